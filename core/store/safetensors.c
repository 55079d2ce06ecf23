/* safetensors.c - see safetensors.h */
#include "store/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/file.h"
#include "store/grow.h"

enum { MAX_HEADER = 100000000 }; /* the format's own limit */

static const struct {
  const char *name;
  dgam_dtype dtype;
} types[] = {{"F64", DGAM_F64},   {"I64", DGAM_I64}, {"F32", DGAM_F32}, {"I32", DGAM_I32}, {"F16", DGAM_F16},
             {"BF16", DGAM_BF16}, {"I16", DGAM_I16}, {"U8", DGAM_U8},   {"I8", DGAM_I8},   {"BOOL", DGAM_BOOL}};
enum { NTYPES = sizeof types / sizeof *types };

typedef struct entry {
  dgam_tensor_info info;
  uint64_t begin, end; /* in the data */
} entry;

struct dgam_safetensors {
  dgam_input in;
  uint64_t data; /* where the data begins */
  char *header;  /* JSON; names and metadata point into it, unescaped in place */
  entry *entries;
  size_t count, cap;
  dgam_text_pair *pairs;
  size_t npairs, pairs_cap;
};

/* --- JSON: as much of it as the header has --- */

typedef struct scanner {
  const dgam_safetensors *file;
  char *at, *end;
} scanner;

static dgam_status bad(const scanner *s, const char *what) {
  return dgam_fail(DGAM_EFORMAT, "'%s' is no safetensors file or damaged: %s at byte %zu of its header",
                   s->file->in.name, what, (size_t)(s->at - s->file->header));
}

static char peek(scanner *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
  return s->at < s->end ? *s->at : 0;
}

static dgam_status expect(scanner *s, char c) {
  if (peek(s) != c) {
    char what[] = "'?' expected";
    what[1] = c;
    return bad(s, what);
  }
  s->at++;
  return DGAM_OK;
}

static int hex4(const char *p, unsigned *out) {
  *out = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return 1;
    *out = *out << 4 | (unsigned)digit;
  }
  return 0;
}

static char *put_utf8(char *to, unsigned u) {
  if (u < 0x80) {
    *to++ = (char)u;
  } else if (u < 0x800) {
    *to++ = (char)(0xc0 | u >> 6);
    *to++ = (char)(0x80 | (u & 0x3f));
  } else if (u < 0x10000) {
    *to++ = (char)(0xe0 | u >> 12);
    *to++ = (char)(0x80 | (u >> 6 & 0x3f));
    *to++ = (char)(0x80 | (u & 0x3f));
  } else {
    *to++ = (char)(0xf0 | u >> 18);
    *to++ = (char)(0x80 | (u >> 12 & 0x3f));
    *to++ = (char)(0x80 | (u >> 6 & 0x3f));
    *to++ = (char)(0x80 | (u & 0x3f));
  }
  return to;
}

/* \uXXXX behind s->at, a pair of them for a character beyond 16 bits. */
static dgam_status unicode(scanner *s, unsigned *u) {
  unsigned low;
  if (s->end - s->at < 4 || hex4(s->at, u)) return bad(s, "a wrong \\u");
  s->at += 4;
  if (*u >= 0xd800 && *u < 0xdc00) {
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u' || hex4(s->at + 2, &low) || low < 0xdc00 ||
        low > 0xdfff)
      return bad(s, "half a pair of \\u");
    s->at += 6;
    *u = 0x10000 + ((*u - 0xd800) << 10) + (low - 0xdc00);
  } else if (*u == 0 || (*u >= 0xdc00 && *u < 0xe000)) {
    return bad(s, "a wrong \\u");
  }
  return DGAM_OK;
}

/* A string, unescaped in place (it only gets shorter) and ended by a zero. */
static dgam_status string(scanner *s, char **out) {
  DGAM_TRY(expect(s, '"'));
  char *to = s->at;
  *out = to;
  while (s->at < s->end && *s->at != '"') {
    char c = *s->at++;
    if ((unsigned char)c < 0x20) return bad(s, "a control character in a name");
    if (c != '\\') {
      *to++ = c;
      continue;
    }
    if (s->at == s->end) break;
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    c = *s->at++;
    const char *found = c ? strchr(from, c) : NULL;
    unsigned u = 0;
    if (found) {
      *to++ = into[found - from];
    } else if (c == 'u') {
      DGAM_TRY(unicode(s, &u));
      to = put_utf8(to, u);
    } else {
      return bad(s, "an unknown escape");
    }
  }
  if (s->at == s->end) return bad(s, "a name without an end");
  *to = 0;
  s->at++;
  return DGAM_OK;
}

static dgam_status integer(scanner *s, uint64_t *out) {
  char c = peek(s);
  if (c < '0' || c > '9') return bad(s, "a whole number expected");
  for (*out = 0; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
    if (__builtin_mul_overflow(*out, UINT64_C(10), out) || __builtin_add_overflow(*out, (uint64_t)(*s->at - '0'), out))
      return bad(s, "a number too large");
  return DGAM_OK;
}

/* [a, b, ...], at most `most` numbers. */
static dgam_status integers(scanner *s, uint64_t *out, int most, int *n) {
  DGAM_TRY(expect(s, '['));
  *n = 0;
  if (peek(s) == ']') return expect(s, ']');
  for (;;) {
    if (*n == most) return bad(s, "a list too long");
    DGAM_TRY(integer(s, &out[(*n)++]));
    if (peek(s) == ']') return expect(s, ']');
    DGAM_TRY(expect(s, ','));
  }
}

/* Calls item for each key of an object. */
static dgam_status object(scanner *s, dgam_status (*item)(scanner *, char *, void *), void *ctx) {
  DGAM_TRY(expect(s, '{'));
  if (peek(s) == '}') return expect(s, '}');
  for (;;) {
    char *key;
    DGAM_TRY(string(s, &key));
    DGAM_TRY(expect(s, ':'));
    DGAM_TRY(item(s, key, ctx));
    if (peek(s) == '}') return expect(s, '}');
    DGAM_TRY(expect(s, ','));
  }
}

static dgam_status metadata_item(scanner *s, char *key, void *ctx) {
  dgam_safetensors *f = ctx;
  char *value;
  DGAM_TRY(string(s, &value));
  if (dgam_grow(&f->pairs, f->npairs, &f->pairs_cap, sizeof *f->pairs))
    return dgam_fail(DGAM_ENOMEM, "no memory for the header of '%s'", f->in.name);
  f->pairs[f->npairs++] = (dgam_text_pair){key, value};
  return DGAM_OK;
}

typedef struct fields {
  entry e;
  char *dtype;
  int has_shape, has_offsets;
} fields;

static dgam_status tensor_field(scanner *s, char *key, void *ctx) {
  fields *f = ctx;
  uint64_t n[DGAM_MAXDIM];
  int count;
  if (strcmp(key, "dtype") == 0) return f->dtype ? bad(s, "a second dtype") : string(s, &f->dtype);
  if (strcmp(key, "shape") == 0) {
    if (f->has_shape) return bad(s, "a second shape");
    DGAM_TRY(integers(s, n, DGAM_MAXDIM, &count));
    for (int d = 0; d < count; d++) f->e.info.shape[d] = (size_t)n[d];
    f->e.info.ndim = count;
    f->has_shape = 1;
    return DGAM_OK;
  }
  if (strcmp(key, "data_offsets") == 0) {
    if (f->has_offsets) return bad(s, "second data_offsets");
    DGAM_TRY(integers(s, n, 2, &count));
    if (count != 2) return bad(s, "two offsets expected");
    f->e.begin = n[0], f->e.end = n[1];
    f->has_offsets = 1;
    return DGAM_OK;
  }
  return bad(s, "an unknown field");
}

static dgam_status header_item(scanner *s, char *key, void *ctx) {
  dgam_safetensors *f = ctx;
  if (strcmp(key, "__metadata__") == 0) return object(s, metadata_item, f);
  fields t = {.e.info = {.name = key, .dtype = DGAM_NODTYPE}};
  DGAM_TRY(object(s, tensor_field, &t));
  if (!t.dtype || !t.has_shape || !t.has_offsets) return bad(s, "a tensor without dtype, shape or data_offsets");
  for (int i = 0; i < NTYPES; i++)
    if (strcmp(t.dtype, types[i].name) == 0) t.e.info.dtype = types[i].dtype;
  if (t.e.info.dtype == DGAM_NODTYPE)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s': tensor '%.128s' has type '%.16s', which is not supported", f->in.name,
                     key, t.dtype);
  size_t bytes;
  if (dgam_shape_overflow(t.e.info.ndim, t.e.info.shape, t.e.info.dtype, &t.e.info.count, &bytes) ||
      t.e.end < t.e.begin || t.e.end - t.e.begin != bytes) {
    char shape[128];
    return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: tensor '%.128s' of shape %s and type %s is given %llu bytes",
                     f->in.name, key, dgam_shape_text(t.e.info.ndim, t.e.info.shape, shape, sizeof shape), t.dtype,
                     (unsigned long long)(t.e.end - t.e.begin));
  }
  if (dgam_grow(&f->entries, f->count, &f->cap, sizeof *f->entries))
    return dgam_fail(DGAM_ENOMEM, "no memory for the header of '%s'", f->in.name);
  f->entries[f->count++] = t.e;
  return DGAM_OK;
}

/* --- reading --- */

static int by_offset(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return strcmp(x->info.name, y->info.name);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that appears twice, or NULL. Sorts the names. */
static const char *twice(size_t n, const char **names) {
  if (n) qsort(names, n, sizeof *names, by_name);
  for (size_t i = 1; i < n; i++)
    if (strcmp(names[i - 1], names[i]) == 0) return names[i];
  return NULL;
}

/* The tensors must fill the data exactly and have different names. */
static dgam_status check_layout(dgam_safetensors *f) {
  uint64_t at = 0;
  if (f->count) qsort(f->entries, f->count, sizeof *f->entries, by_offset);
  for (size_t i = 0; i < f->count; at = f->entries[i++].end)
    if (f->entries[i].begin != at)
      return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: tensor '%.128s' begins at byte %llu of the data, %llu expected",
                       f->in.name, f->entries[i].info.name, (unsigned long long)f->entries[i].begin,
                       (unsigned long long)at);
  if (at != f->in.size - f->data)
    return dgam_fail(DGAM_EFORMAT, "'%s' is damaged or cut off: its tensors take %llu bytes, the file has %llu",
                     f->in.name, (unsigned long long)at, (unsigned long long)(f->in.size - f->data));
  const char **names = malloc((f->count + 1) * sizeof *names);
  if (!names) return dgam_fail(DGAM_ENOMEM, "no memory for the header of '%s'", f->in.name);
  for (size_t i = 0; i < f->count; i++) names[i] = f->entries[i].info.name;
  const char *again = twice(f->count, names);
  free(names);
  if (again) return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: tensor '%.128s' appears twice", f->in.name, again);
  return DGAM_OK;
}

static dgam_status open_any(dgam_safetensors *f) {
  unsigned char b[8];
  uint64_t n = 0;
  if (f->in.size < 10)
    return dgam_fail(DGAM_EFORMAT, "'%s' is no safetensors file: it has %llu bytes", f->in.name,
                     (unsigned long long)f->in.size);
  DGAM_TRY(dgam_input_read(&f->in, 0, b, 8));
  for (int i = 8; i-- > 0;) n = n << 8 | b[i];
  if (n > MAX_HEADER || n > f->in.size - 8)
    return dgam_fail(DGAM_EFORMAT, "'%s' is no safetensors file or cut off: a header of %llu bytes in a file of %llu",
                     f->in.name, (unsigned long long)n, (unsigned long long)f->in.size);
  f->header = malloc((size_t)n + 1);
  if (!f->header) return dgam_fail(DGAM_ENOMEM, "no memory for the header of '%s'", f->in.name);
  DGAM_TRY(dgam_input_read(&f->in, 8, f->header, (size_t)n));
  f->header[n] = 0;
  f->data = 8 + n;
  scanner s = {.file = f, .at = f->header, .end = f->header + n};
  DGAM_TRY(object(&s, header_item, f));
  if (peek(&s) || s.at < s.end) return bad(&s, "something behind the header");
  return check_layout(f);
}

static dgam_status finish_open(dgam_safetensors *f, dgam_status s, dgam_safetensors **out) {
  if (s == DGAM_OK) s = open_any(f);
  if (s == DGAM_OK)
    *out = f;
  else
    dgam_safetensors_close(f);
  return s;
}

dgam_status dgam_safetensors_open(const char *path, dgam_safetensors **out) {
  dgam_safetensors *f = calloc(1, sizeof *f);
  if (!f) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", path);
  return finish_open(f, dgam_input_open(&f->in, path), out);
}

dgam_status dgam_safetensors_open_memory(const void *data, size_t size, dgam_safetensors **out) {
  dgam_safetensors *f = calloc(1, sizeof *f);
  if (!f) return dgam_fail(DGAM_ENOMEM, "no memory to open a safetensors file");
  return finish_open(f, dgam_input_memory(&f->in, data, size, "memory"), out);
}

size_t dgam_safetensors_count(const dgam_safetensors *s) {
  return s->count;
}
const dgam_tensor_info *dgam_safetensors_info(const dgam_safetensors *s, size_t i) {
  return &s->entries[i].info;
}
size_t dgam_safetensors_metadata_count(const dgam_safetensors *s) {
  return s->npairs;
}
dgam_text_pair dgam_safetensors_metadata(const dgam_safetensors *s, size_t i) {
  return s->pairs[i];
}

dgam_status dgam_safetensors_read(dgam_safetensors *s, size_t i, void *out, size_t bytes) {
  const entry *e = &s->entries[i];
  if (bytes != e->end - e->begin)
    return dgam_fail(DGAM_EINVAL, "'%s': tensor '%s' takes %llu bytes, room for %zu given", s->in.name, e->info.name,
                     (unsigned long long)(e->end - e->begin), bytes);
  DGAM_TRY(dgam_input_read(&s->in, s->data + e->begin, out, bytes));
  unsigned char *b = out;
  if (e->info.dtype == DGAM_BOOL) /* a byte that is neither 0 nor 1 is no bool for anyone who reads it as one */
    for (size_t k = 0; k < bytes; k++) b[k] = b[k] != 0;
  return DGAM_OK;
}

void dgam_safetensors_close(dgam_safetensors *s) {
  if (!s) return;
  free(s->header);
  free(s->entries);
  free(s->pairs);
  dgam_input_close(&s->in);
  free(s);
}

/* --- writing --- */

typedef struct text {
  char *s;
  size_t n, cap;
  int failed;
} text;

static void add(text *t, const char *s, size_t n) {
  if (t->failed) return;
  while (t->cap - t->n < n) {
    size_t cap = t->cap ? t->cap * 2 : 4096;
    char *bigger = realloc(t->s, cap);
    if (!bigger) {
      t->failed = 1;
      return;
    }
    t->s = bigger, t->cap = cap;
  }
  memcpy(t->s + t->n, s, n);
  t->n += n;
}

static void add_plain(text *t, const char *s) {
  add(t, s, strlen(s));
}

static void add_string(text *t, const char *s) {
  add(t, "\"", 1);
  while (*s) {
    size_t plain = 0;
    while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') plain++;
    add(t, s, plain);
    s += plain;
    if (!*s) break;
    char escape[8];
    snprintf(escape, sizeof escape, (unsigned char)*s < 0x20 ? "\\u%04x" : "\\%c", (unsigned)*s);
    add_plain(t, escape);
    s++;
  }
  add(t, "\"", 1);
}

static void add_number(text *t, uint64_t u) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)u);
  add_plain(t, digits);
}

static void add_header(text *t, size_t n, const dgam_tensor_info *const *order, size_t npairs,
                       const dgam_text_pair *pairs) {
  uint64_t at = 0;
  add_plain(t, "{");
  if (npairs) add_plain(t, "\"__metadata__\":{");
  for (size_t i = 0; i < npairs; i++) {
    if (i) add_plain(t, ",");
    add_string(t, pairs[i].key);
    add_plain(t, ":");
    add_string(t, pairs[i].value);
  }
  if (npairs) add_plain(t, n ? "}," : "}");
  for (size_t i = 0; i < n; i++) {
    const dgam_tensor_info *info = order[i];
    if (i) add_plain(t, ",");
    add_string(t, info->name);
    add_plain(t, ":{\"dtype\":\"");
    for (int k = 0; k < NTYPES; k++)
      if (types[k].dtype == info->dtype) add_plain(t, types[k].name);
    add_plain(t, "\",\"shape\":[");
    for (int d = 0; d < info->ndim; d++) {
      if (d) add_plain(t, ",");
      add_number(t, info->shape[d]);
    }
    add_plain(t, "],\"data_offsets\":[");
    add_number(t, at);
    add_plain(t, ",");
    at += info->count * dgam_dtype_size(info->dtype);
    add_number(t, at);
    add_plain(t, "]}");
  }
  add_plain(t, "}");
  while (t->n % 8 && !t->failed) add_plain(t, " "); /* the data begins at a multiple of 8 */
}

/* Whether a text is UTF-8, as RFC 3629 has it: no longer forms than needed, no surrogates, nothing above 0x10ffff. */
static int is_utf8(const char *what) {
  const unsigned char *s = (const unsigned char *)what;
  while (*s) {
    int more = *s < 0x80 ? 0 : *s >= 0xc2 && *s < 0xe0 ? 1 : *s >= 0xe0 && *s < 0xf0 ? 2 : *s >= 0xf0 && *s < 0xf5 ? 3 : -1;
    if (more < 0) return 0;
    unsigned char low = *s == 0xe0 ? 0xa0 : *s == 0xf0 ? 0x90 : 0x80, high = *s == 0xed ? 0x9f : *s == 0xf4 ? 0x8f : 0xbf;
    for (s++; more > 0; more--, s++, low = 0x80, high = 0xbf)
      if (*s < low || *s > high) return 0;
  }
  return 1;
}

static dgam_status check_utf8(const char *path, const char *what, const char *name, const char *content) {
  if (is_utf8(content)) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "cannot write '%s': %s '%.128s' is not UTF-8, which its header must be", path, what, name);
}

static int by_width(const void *a, const void *b) {
  const dgam_tensor_info *x = *(const dgam_tensor_info *const *)a, *y = *(const dgam_tensor_info *const *)b;
  size_t wide_x = dgam_dtype_size(x->dtype), wide_y = dgam_dtype_size(y->dtype);
  if (wide_x != wide_y) return wide_x > wide_y ? -1 : 1;
  return strcmp(x->name, y->name);
}

static dgam_status check_infos(const char *path, size_t n, const dgam_tensor_info *infos, const char **names) {
  for (size_t i = 0; i < n; i++) {
    size_t count;
    char shape[128];
    const dgam_tensor_info *t = &infos[i];
    if (strcmp(t->name, "__metadata__") == 0)
      return dgam_fail(DGAM_EINVAL, "cannot write '%s': no tensor may be called '__metadata__'", path);
    if (!dgam_dtype_size(t->dtype) || t->ndim < 0 || t->ndim > DGAM_MAXDIM ||
        dgam_shape_overflow(t->ndim, t->shape, t->dtype, &count, NULL) || count != t->count)
      return dgam_fail(DGAM_EINVAL, "cannot write '%s': tensor '%s' has type %s, shape %s and %zu elements", path,
                       t->name, dgam_dtype_name(t->dtype),
                       dgam_shape_text(t->ndim <= DGAM_MAXDIM ? t->ndim : 0, t->shape, shape, sizeof shape), t->count);
    DGAM_TRY(check_utf8(path, "the name", t->name, t->name));
    names[i] = t->name;
  }
  const char *again = twice(n, names);
  if (again) return dgam_fail(DGAM_EINVAL, "cannot write '%s': tensor '%s' is given twice", path, again);
  return DGAM_OK;
}

static dgam_status write_all(const char *path, const text *header, size_t n, const dgam_tensor_info *const *order,
                             const dgam_tensor_info *infos, const void *const *data) {
  unsigned char length[8];
  dgam_output out;
  DGAM_TRY(dgam_output_begin(&out, path));
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header->n >> (8 * i));
  dgam_status s = dgam_output_write(&out, length, 8);
  if (s == DGAM_OK) s = dgam_output_write(&out, header->s, header->n);
  for (size_t i = 0; i < n && s == DGAM_OK; i++) {
    if (dgam_interrupted())
      s = dgam_fail_interrupted();
    else
      s = dgam_output_write(&out, data[order[i] - infos], order[i]->count * dgam_dtype_size(order[i]->dtype));
  }
  if (s == DGAM_OK) return dgam_output_commit(&out);
  dgam_output_abort(&out);
  return s;
}

dgam_status dgam_safetensors_write(const char *path, size_t n, const dgam_tensor_info *infos, const void *const *data,
                                   size_t npairs, const dgam_text_pair *metadata) {
  const char **names = malloc((n + 1) * sizeof *names);
  const dgam_tensor_info **order = malloc((n + 1) * sizeof *order);
  text header = {0};
  dgam_status s =
      names && order ? check_infos(path, n, infos, names) : dgam_fail(DGAM_ENOMEM, "no memory to write '%s'", path);
  for (size_t i = 0; i < npairs && s == DGAM_OK; i++) {
    s = check_utf8(path, "the metadata's name", metadata[i].key, metadata[i].key);
    if (s == DGAM_OK) s = check_utf8(path, "the metadata", metadata[i].key, metadata[i].value);
  }
  if (s == DGAM_OK) {
    for (size_t i = 0; i < n; i++) order[i] = &infos[i];
    if (n) qsort(order, n, sizeof *order, by_width);
    add_header(&header, n, order, npairs, metadata);
    if (header.failed)
      s = dgam_fail(DGAM_ENOMEM, "no memory to write '%s'", path);
    else if (header.n > MAX_HEADER)
      s = dgam_fail(DGAM_EINVAL, "cannot write '%s': its names and metadata take %zu bytes, the format has room for %d", path,
                    header.n, MAX_HEADER);
    else
      s = write_all(path, &header, n, order, infos, data);
  }
  free(header.s);
  free(names);
  free(order);
  return s;
}
