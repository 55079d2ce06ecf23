/* folder.c - see folder.h */
#include "video/folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *ending;
  enum AVCodecID codec;
} kinds[] = {{"jpg", AV_CODEC_ID_MJPEG}, {"jpeg", AV_CODEC_ID_MJPEG}, {"png", AV_CODEC_ID_PNG},   {"bmp", AV_CODEC_ID_BMP},
             {"tif", AV_CODEC_ID_TIFF},  {"tiff", AV_CODEC_ID_TIFF},  {"webp", AV_CODEC_ID_WEBP}, {"ppm", AV_CODEC_ID_PPM},
             {"pgm", AV_CODEC_ID_PGM}};

static enum AVCodecID kind_of(const char *name) {
  const char *dot = strrchr(name, '.');
  if (!dot || name[0] == '.') return AV_CODEC_ID_NONE;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcasecmp(dot + 1, kinds[i].ending) == 0) return kinds[i].codec;
  return AV_CODEC_ID_NONE;
}

/* Runs of digits by their value, however many zeros lead them; names that are equal so by their bytes. */
static int in_order(const void *a, const void *b) {
  static const char digits[] = "0123456789";
  const char *p = *(char *const *)a, *q = *(char *const *)b;
  while (*p && *q) {
    if (isdigit((unsigned char)*p) && isdigit((unsigned char)*q)) {
      p += strspn(p, "0"), q += strspn(q, "0");
      size_t n = strspn(p, digits), m = strspn(q, digits);
      int order = n != m ? (n < m ? -1 : 1) : memcmp(p, q, n);
      if (order) return order;
      p += n, q += m;
    } else if (*p == *q) {
      p++, q++;
    } else {
      break;
    }
  }
  return *p != *q ? ((unsigned char)*p < (unsigned char)*q ? -1 : 1) : strcmp(*(char *const *)a, *(char *const *)b);
}

static dgam_status add(dgam_folder *f, const char *name, size_t *room) {
  enum AVCodecID codec = kind_of(name);
  if (codec == AV_CODEC_ID_NONE) return DGAM_OK;
  if (f->count && codec != f->codec)
    return dgam_fail(DGAM_EFORMAT, "%s: there are pictures of several kinds in this folder (%s, %s), expected one", f->path,
                     f->names[0], name);
  f->codec = codec;
  if (f->count == *room) {
    *room = *room ? 2 * *room : 64;
    char **more = realloc(f->names, *room * sizeof *more);
    if (!more) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu names", f->path, *room);
    f->names = more;
  }
  if (!(f->names[f->count] = strdup(name))) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a name", f->path);
  f->count++;
  return DGAM_OK;
}

/* Where the first number of a name begins. */
static size_t number_at(const char *name) { return strcspn(name, "0123456789"); }

static size_t text_length(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? (size_t)(dot - name) : strlen(name);
}

/* img_00001.jpg */
static int is_mmaction_frame(const char *name) {
  size_t n = text_length(name);
  return n > 4 && strncmp(name, "img_", 4) == 0 && 4 + strspn(name + 4, "0123456789") == n;
}

/* Whether two names, the first of which comes just before the second, cannot be of one film: another text before the number, a number in
 * one of them only, or the same number with another text behind. */
static int are_of_two_films(const char *a, const char *b) {
  size_t n = number_at(a), m = number_at(b), na = text_length(a), nb = text_length(b);
  if ((n < na) != (m < nb)) return 1;
  if (n >= na) return 0;
  if (n != m || strncmp(a, b, n) != 0) return n > 0 && m > 0;
  const char *p = a + n + strspn(a + n, "0"), *q = b + n + strspn(b + n, "0");
  size_t i = strspn(p, "0123456789"), j = strspn(q, "0123456789");
  if (i != j || strncmp(p, q, i) != 0) return 0;
  p += i, q += j;
  size_t left = (size_t)(a + na - p), right = (size_t)(b + nb - q);
  size_t text = strcspn(p, "0123456789"), other = strcspn(q, "0123456789");
  if (text > left) text = left;
  if (other > right) other = right;
  return text != other || strncmp(p, q, text) != 0;
}

/* Of the pictures of several films those that are named as frames are. */
static dgam_status choose_film(dgam_folder *f) {
  size_t clash = 0, kept = 0;
  for (size_t i = 1; i < f->count && !clash; i++)
    if (are_of_two_films(f->names[i - 1], f->names[i])) clash = i;
  if (!clash) return DGAM_OK;
  dgam_status s = dgam_fail(DGAM_EFORMAT, "%s: there are pictures of several films in this folder (%s, %s), expected one; put flow, masks "
                            "or thumbnails into a folder of their own, or name the frames img_00001 and so on", f->path,
                            f->names[clash - 1], f->names[clash]);
  for (size_t i = 0; i < f->count; i++) kept += (size_t)is_mmaction_frame(f->names[i]);
  if (!kept) return s;
  kept = 0;
  for (size_t i = 0; i < f->count; i++)
    if (is_mmaction_frame(f->names[i])) f->names[kept++] = f->names[i];
    else free(f->names[i]);
  f->count = kept;
  return DGAM_OK;
}

dgam_status dgam_folder_open(dgam_folder *f, const char *path) {
  memset(f, 0, sizeof *f);
  size_t room = 0;
  DIR *d = opendir(path);
  if (!d) return dgam_fail(DGAM_EIO, "%s: cannot open the folder: %s", path, strerror(errno));
  dgam_status s = (f->path = strdup(path)) ? DGAM_OK : dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", path);
  for (struct dirent *e; s == DGAM_OK && (e = readdir(d));) s = add(f, e->d_name, &room);
  closedir(d);
  if (s == DGAM_OK && f->count == 0)
    s = dgam_fail(DGAM_EFORMAT, "%s: there is no picture in this folder, expected a video file or a folder of JPEG, PNG, ...", path);
  if (s == DGAM_OK) {
    qsort(f->names, f->count, sizeof *f->names, in_order);
    s = choose_film(f);
  }
  if (s != DGAM_OK) dgam_folder_free(f);
  return s;
}

dgam_status dgam_folder_read(const dgam_folder *f, size_t i, AVPacket *packet) {
  size_t n = strlen(f->path) + strlen(f->names[i]) + 2;
  char *path = malloc(n);
  if (!path) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a name", f->path);
  snprintf(path, n, "%s/%s", f->path, f->names[i]);
  FILE *file = fopen(path, "rb");
  long size = -1;
  if (file && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  dgam_status s = DGAM_OK;
  if (size < 0) s = dgam_fail(DGAM_EIO, "%s: cannot read the picture: %s", path, strerror(errno));
  else if (size == 0 || size > 1 << 30) s = dgam_fail(DGAM_EFORMAT, "%s: the picture has %ld bytes", path, size);
  else if (av_new_packet(packet, (int)size) < 0) s = dgam_fail(DGAM_ENOMEM, "%s: no memory for %ld bytes", path, size);
  else if (rewind(file), fread(packet->data, 1, (size_t)size, file) != (size_t)size)
    s = dgam_fail(DGAM_EIO, "%s: cannot read the picture: %s", path, strerror(errno));
  if (file) fclose(file);
  free(path);
  if (s == DGAM_OK) packet->flags |= AV_PKT_FLAG_KEY;
  else av_packet_unref(packet);
  return s;
}

void dgam_folder_free(dgam_folder *f) {
  for (size_t i = 0; i < f->count; i++) free(f->names[i]);
  free(f->names);
  free(f->path);
  memset(f, 0, sizeof *f);
}
