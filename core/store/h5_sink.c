/* h5_sink.c - see h5_sink.h */
#include "store/h5_sink.h"

#include <errno.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct file {
  H5FD_t base; /* first: HDF5 sees only this */
  dgam_h5_sink *sink;
  haddr_t eoa, eof; /* end of what HDF5 has given out, end of the file */
} file;

/* Writes all; errno and 0 on failure. *put: bytes that got there. */
static int write_all(int fd, const unsigned char *from, size_t n, haddr_t at, size_t *put) {
  for (*put = 0; *put < n;) {
    ssize_t k = pwrite(fd, from + *put, n - *put, (off_t)(at + *put));
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return 0;
    *put += (size_t)k;
  }
  return 1;
}

/* Reads n bytes; what is behind the end of the file is zero. */
static int read_all(int fd, unsigned char *to, size_t n, haddr_t at) {
  while (n) {
    ssize_t k = pread(fd, to, n, (off_t)at);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return 0;
    if (k == 0) {
      memset(to, 0, n);
      return 1;
    }
    to += k, at += (haddr_t)k, n -= (size_t)k;
  }
  return 1;
}

static herr_t keep(dgam_h5_sink *s, const unsigned char *from, size_t n, haddr_t at) {
  if (s->count == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 64;
    dgam_h5_extent *bigger = realloc(s->extents, cap * sizeof *bigger);
    if (!bigger) return -1;
    s->extents = bigger, s->cap = cap;
  }
  unsigned char *bytes = malloc(n + 1);
  if (!bytes) return -1;
  memcpy(bytes, from, n);
  s->extents[s->count++] = (dgam_h5_extent){at, at + n, bytes};
  return 0;
}

static H5FD_t *sink_open(const char *name, unsigned flags, hid_t access, haddr_t maxaddr) {
  (void)name, (void)maxaddr;
  dgam_h5_sink *const *info = H5Pget_driver_info(access);
  struct stat st;
  file *f = calloc(1, sizeof *f);
  if (!f || !info || fstat((*info)->fd, &st) != 0 || ((flags & H5F_ACC_TRUNC) && ftruncate((*info)->fd, 0) != 0)) {
    free(f);
    return NULL;
  }
  f->sink = *info;
  f->eof = flags & H5F_ACC_TRUNC ? 0 : (haddr_t)st.st_size;
  return &f->base;
}

static herr_t sink_close(H5FD_t *base) {
  free(base);
  return 0;
}

static int sink_cmp(const H5FD_t *a, const H5FD_t *b) {
  const dgam_h5_sink *x = ((const file *)(const void *)a)->sink, *y = ((const file *)(const void *)b)->sink;
  return x < y ? -1 : x > y;
}

static herr_t sink_query(const H5FD_t *base, unsigned long *flags) {
  (void)base;
  if (flags)
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *base, H5FD_mem_t type) {
  (void)type;
  return ((const file *)(const void *)base)->eoa;
}

static herr_t sink_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t at) {
  (void)type;
  ((file *)(void *)base)->eoa = at;
  return 0;
}

static haddr_t sink_get_eof(const H5FD_t *base, H5FD_mem_t type) {
  (void)type;
  return ((const file *)(const void *)base)->eof;
}

static herr_t sink_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, void *to) {
  (void)type, (void)transfer;
  const dgam_h5_sink *s = ((file *)(void *)base)->sink;
  if (!read_all(s->fd, to, n, at)) return -1;
  for (size_t i = 0; i < s->count; i++) { /* what went to memory covers what the file has */
    haddr_t begin = s->extents[i].begin > at ? s->extents[i].begin : at;
    haddr_t end = s->extents[i].end < at + n ? s->extents[i].end : at + n;
    if (begin < end)
      memcpy((unsigned char *)to + (begin - at), s->extents[i].bytes + (begin - s->extents[i].begin),
             (size_t)(end - begin));
  }
  return 0;
}

static herr_t sink_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, const void *data) {
  (void)type, (void)transfer;
  file *f = (file *)(void *)base;
  const unsigned char *from = data;
  size_t put = 0;
  if (at + n > f->eof) f->eof = at + n;
  if (!f->sink->reason) {
    if (write_all(f->sink->fd, from, n, at, &put)) return 0;
    f->sink->reason = errno ? errno : EIO;
  }
  return keep(f->sink, from + put, n - put, at + put);
}

static herr_t sink_truncate(H5FD_t *base, hid_t transfer, hbool_t closing) {
  (void)transfer, (void)closing;
  file *f = (file *)(void *)base;
  if (f->eof != f->eoa && !f->sink->reason && ftruncate(f->sink->fd, (off_t)f->eoa) != 0) f->sink->reason = errno;
  f->eof = f->eoa;
  return 0;
}

static const H5FD_class_t sink_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 700, /* numbers from 512 on are for drivers outside the library */
#endif
    .name = "dgam_sink",
    .maxaddr = ((haddr_t)1 << 62) - 1,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(dgam_h5_sink *),
    .open = sink_open,
    .close = sink_close,
    .cmp = sink_cmp,
    .query = sink_query,
    .get_eoa = sink_get_eoa,
    .set_eoa = sink_set_eoa,
    .get_eof = sink_get_eof,
    .read = sink_read,
    .write = sink_write,
    .truncate = sink_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

herr_t dgam_h5_sink_use(hid_t access, dgam_h5_sink *sink) {
  sink->driver = H5FDregister(&sink_class);
  return sink->driver < 0 ? -1 : H5Pset_driver(access, sink->driver, &sink);
}

void dgam_h5_sink_free(dgam_h5_sink *sink) {
  for (size_t i = 0; i < sink->count; i++) free(sink->extents[i].bytes);
  free(sink->extents);
  if (sink->driver > 0) H5FDunregister(sink->driver);
  sink->driver = 0;
  sink->extents = NULL, sink->count = sink->cap = 0;
}
