/* zip.c - see zip.h. The layout follows PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 to 4.3.16 and 4.5.3. */
#include "store/zip.h"

#include <stdlib.h>
#include <string.h>

enum { END_SIZE = 22, CENTRAL_SIZE = 46, LOCAL_SIZE = 30, LOCATOR_SIZE = 20, END64_SIZE = 56 };

static uint64_t le(const unsigned char *p, int n) {
  uint64_t u = 0;
  while (n--) u = u << 8 | p[n];
  return u;
}

static dgam_status damaged(const dgam_input *in, const char *what) {
  return dgam_fail(DGAM_EFORMAT, "'%s' is a damaged zip archive: %s", in->name, what);
}

/* Where the directory is: its first byte, its length, its number of entries. */
static dgam_status find_directory(const dgam_input *in, uint64_t *offset, uint64_t *size, uint64_t *count) {
  unsigned char tail[END_SIZE + 65535], end64[END64_SIZE];
  size_t n = in->size < sizeof tail ? (size_t)in->size : sizeof tail;
  DGAM_TRY(dgam_input_read(in, in->size - n, tail, n));
  const unsigned char *end = NULL;
  for (size_t i = n; i >= END_SIZE && !end; i--) { /* a comment may follow the record */
    const unsigned char *p = tail + i - END_SIZE;
    if (memcmp(p, "PK\5\6", 4) == 0 && le(p + 20, 2) == (size_t)(tail + n - p) - END_SIZE) end = p;
  }
  if (!end)
    return dgam_fail(DGAM_EFORMAT, "'%s' is cut off: it begins as a zip archive but has no directory at its end",
                     in->name);
  *count = le(end + 10, 2), *size = le(end + 12, 4), *offset = le(end + 16, 4);
  if (*count != 0xffff && *size != 0xffffffff && *offset != 0xffffffff) return DGAM_OK;
  if ((size_t)(end - tail) < LOCATOR_SIZE || memcmp(end - LOCATOR_SIZE, "PK\6\7", 4) != 0) return DGAM_OK;
  DGAM_TRY(dgam_input_read(in, le(end - LOCATOR_SIZE + 8, 8), end64, END64_SIZE));
  if (memcmp(end64, "PK\6\6", 4) != 0) return damaged(in, "no zip64 record where its locator points");
  *count = le(end64 + 32, 8), *size = le(end64 + 40, 8), *offset = le(end64 + 48, 8);
  return DGAM_OK;
}

/* Takes 64-bit values for the fields that are 0xffffffff from the extra field. */
static dgam_status zip64_extra(const dgam_input *in, const unsigned char *extra, size_t n, uint64_t *fields[3]) {
  while (n >= 4) {
    size_t id = (size_t)le(extra, 2), len = (size_t)le(extra + 2, 2);
    if (len > n - 4) return damaged(in, "an extra field longer than its entry");
    if (id == 1) {
      const unsigned char *p = extra + 4;
      for (int i = 0; i < 3; i++) {
        if (*fields[i] != 0xffffffff) continue;
        if (len < 8) return damaged(in, "a zip64 field is missing");
        *fields[i] = le(p, 8);
        p += 8, len -= 8;
      }
      return DGAM_OK;
    }
    extra += 4 + len, n -= 4 + len;
  }
  return DGAM_OK;
}

/* One entry of the directory at p, of which n bytes are left. *used: how long it is. */
static dgam_status read_entry(const dgam_input *in, const unsigned char *p, size_t n, dgam_zip_entry *e, size_t *used) {
  if (n < CENTRAL_SIZE || memcmp(p, "PK\1\2", 4) != 0) return damaged(in, "its directory ends too early");
  size_t name = (size_t)le(p + 28, 2), extra = (size_t)le(p + 30, 2), comment = (size_t)le(p + 32, 2);
  *used = CENTRAL_SIZE + name + extra + comment;
  if (*used > n) return damaged(in, "its directory ends too early");
  uint64_t packed = le(p + 20, 4), size = le(p + 24, 4), offset = le(p + 42, 4);
  DGAM_TRY(zip64_extra(in, p + CENTRAL_SIZE + name, extra, (uint64_t *[]){&size, &packed, &offset}));
  unsigned char local[LOCAL_SIZE];
  DGAM_TRY(dgam_input_read(in, offset, local, LOCAL_SIZE));
  if (memcmp(local, "PK\3\4", 4) != 0) return damaged(in, "an entry is not where the directory says");
  offset += LOCAL_SIZE + le(local + 26, 2) + le(local + 28, 2); /* no overflow: the header was inside the file */
  if (offset > in->size || packed > in->size - offset) return damaged(in, "an entry ends behind the file");
  int method = (int)le(p + 10, 2), encrypted = (int)le(p + 8, 2) & 1;
  if (method == 0 && packed != size) return damaged(in, "a stored entry has two lengths");
  e->name = strndup((const char *)p + CENTRAL_SIZE, name);
  if (!e->name) return dgam_fail(DGAM_ENOMEM, "no memory for the directory of '%s'", in->name);
  e->offset = offset, e->size = size, e->method = encrypted ? -1 : method;
  return DGAM_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const dgam_zip_entry *)a)->name, ((const dgam_zip_entry *)b)->name);
}

dgam_status dgam_zip_open(const dgam_input *in, dgam_zip *zip) {
  uint64_t offset, size, count;
  *zip = (dgam_zip){0};
  DGAM_TRY(find_directory(in, &offset, &size, &count));
  if (size > in->size || offset > in->size - size) return damaged(in, "its directory is outside the file");
  if (count > size / CENTRAL_SIZE) return damaged(in, "more entries than its directory can hold");
  unsigned char *directory = malloc((size_t)size + 1);
  zip->entries = calloc((size_t)count + 1, sizeof *zip->entries);
  dgam_status s = DGAM_OK;
  if (!directory || !zip->entries) s = dgam_fail(DGAM_ENOMEM, "no memory for the directory of '%s'", in->name);
  if (s == DGAM_OK) s = dgam_input_read(in, offset, directory, (size_t)size);
  for (size_t at = 0, used = 0; s == DGAM_OK && zip->count < count; at += used) {
    s = read_entry(in, directory + at, (size_t)size - at, &zip->entries[zip->count], &used);
    if (s == DGAM_OK) zip->count++;
  }
  free(directory);
  if (s != DGAM_OK) {
    dgam_zip_close(zip);
    return s;
  }
  qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
  return DGAM_OK;
}

const dgam_zip_entry *dgam_zip_find(const dgam_zip *zip, const char *name) {
  dgam_zip_entry key = {.name = (char *)name};
  return bsearch(&key, zip->entries, zip->count, sizeof key, by_name);
}

void dgam_zip_close(dgam_zip *zip) {
  for (size_t i = 0; i < zip->count; i++) free(zip->entries[i].name);
  free(zip->entries);
  *zip = (dgam_zip){0};
}
