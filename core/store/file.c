/* file.c - see file.h */
#define _GNU_SOURCE /* asprintf */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- reading --- */

dgam_status dgam_input_open(dgam_input *in, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hang us */
  if (fd < 0) return dgam_fail(DGAM_EIO, "cannot open '%s': %s", path, strerror(errno));
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return dgam_fail(DGAM_EIO, "cannot open '%s': it is not a regular file", path);
  }
  char *name = strdup(path);
  if (!name) {
    close(fd);
    return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", path);
  }
  *in = (dgam_input){.name = name, .fd = fd, .size = (uint64_t)st.st_size};
  return DGAM_OK;
}

dgam_status dgam_input_memory(dgam_input *in, const void *data, size_t size, const char *name) {
  char *copy = strdup(name);
  if (!copy) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", name);
  *in = (dgam_input){.name = copy, .data = data ? data : (const unsigned char *)"", .fd = -1, .size = size};
  return DGAM_OK;
}

dgam_status dgam_input_read(const dgam_input *in, uint64_t offset, void *out, size_t n) {
  if (n > in->size || offset > in->size - n)
    return dgam_fail(DGAM_EFORMAT, "'%s' is damaged or cut off: %zu bytes wanted at %llu of %llu", in->name, n,
                     (unsigned long long)offset, (unsigned long long)in->size);
  if (in->data) {
    if (n) memcpy(out, in->data + offset, n);
    return DGAM_OK;
  }
  unsigned char *to = out;
  while (n) {
    if (dgam_interrupted()) return dgam_fail_interrupted();
    ssize_t got = pread(in->fd, to, n < (64u << 20) ? n : (64u << 20), (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return dgam_fail(DGAM_EIO, "cannot read '%s': %s", in->name, strerror(errno));
    if (got == 0) return dgam_fail(DGAM_EFORMAT, "'%s' became shorter while it was read", in->name);
    to += got, offset += (uint64_t)got, n -= (size_t)got;
  }
  return DGAM_OK;
}

void dgam_input_close(dgam_input *in) {
  if (in->name && !in->data) close(in->fd);
  free(in->name);
  *in = (dgam_input){.fd = -1};
}

/* --- writing --- */

static void output_free(dgam_output *out) {
  free(out->path);
  free(out->temp);
  *out = (dgam_output){.fd = -1};
}

dgam_status dgam_output_begin(dgam_output *out, const char *path) {
  static _Atomic unsigned serial;
  *out = (dgam_output){.fd = -1};
  struct stat st;
  int exists = stat(path, &st) == 0;
  if (exists && !S_ISREG(st.st_mode))
    return dgam_fail(DGAM_EIO, "cannot write '%s': it exists and is not a regular file", path);
  out->path = exists ? realpath(path, NULL) : strdup(path); /* realpath: a link stays, what it points to is replaced */
  char host[64] = "host";
  gethostname(host, sizeof host - 1);
  if (out->path) {
    const char *slash = strrchr(out->path, '/');
    int folder = slash ? (int)(slash - out->path) + 1 : 0;
    if (asprintf(&out->temp, "%.*s.%.100s.%s.%ld.%u.tmp", folder, out->path, out->path + folder, host, (long)getpid(),
                 atomic_fetch_add(&serial, 1)) < 0)
      out->temp = NULL;
  }
  if (!out->path || !out->temp) {
    output_free(out);
    return dgam_fail(DGAM_ENOMEM, "no memory to write '%s'", path);
  }
  out->fd = open(out->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (out->fd < 0) {
    int reason = errno;
    output_free(out);
    return dgam_fail(DGAM_EIO, "cannot write '%s': %s", path, strerror(reason));
  }
  if (exists && fchmod(out->fd, st.st_mode & 07777) != 0) errno = 0; /* a file system without modes is fine */
  return DGAM_OK;
}

dgam_status dgam_output_write(dgam_output *out, const void *data, size_t n) {
  const unsigned char *from = data;
  while (n) {
    ssize_t put = write(out->fd, from, n < (64u << 20) ? n : (64u << 20));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return dgam_fail(DGAM_EIO, "cannot write '%s': %s", out->path, strerror(errno));
    from += put, n -= (size_t)put;
  }
  return DGAM_OK;
}

/* Makes names in the folder of `path` durable. A file system that cannot sync a folder (EINVAL) has nothing to sync. */
static int sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
  if (!folder) return -1;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad = 0;
  free(folder);
  if (fd < 0) return errno == EACCES ? 0 : -1; /* a folder we may write but not read */
  if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) bad = -1;
  int reason = errno;
  close(fd);
  errno = reason;
  return bad;
}

dgam_status dgam_output_commit(dgam_output *out) {
  int bad = !out->lazy && fsync(out->fd) != 0, reason = errno;
  if (close(out->fd) != 0 && !bad) bad = 1, reason = errno;
  out->fd = -1;
  if (!bad && rename(out->temp, out->path) != 0) bad = 1, reason = errno;
  dgam_status s = DGAM_OK;
  if (bad) {
    unlink(out->temp);
    s = dgam_fail(DGAM_EIO, "cannot write '%s': %s", out->path, strerror(reason));
  } else if (!out->lazy && sync_folder(out->path) != 0) {
    s = dgam_fail(DGAM_EIO, "'%s' is written, but its folder cannot be synced: %s", out->path, strerror(errno));
  }
  output_free(out);
  return s;
}

void dgam_output_abort(dgam_output *out) {
  if (out->fd >= 0) close(out->fd);
  if (out->temp) unlink(out->temp);
  output_free(out);
}

dgam_status dgam_file_write(const char *path, const void *data, size_t n) {
  dgam_output out;
  DGAM_TRY(dgam_output_begin(&out, path));
  dgam_status s = dgam_output_write(&out, data, n);
  if (s == DGAM_OK) return dgam_output_commit(&out);
  dgam_output_abort(&out);
  return s;
}

/* --- SHA-256 --- */

typedef struct sha256 {
  uint32_t h[8];
  unsigned char block[64];
  size_t used;    /* bytes waiting in block */
  uint64_t total; /* bytes seen */
} sha256;

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static void sha_block(sha256 *s, const unsigned char *p) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
  }
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t t =
        v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha_k[i] + w[i];
    uint32_t u = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t;
    v[0] = t + u;
  }
  for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha_begin(sha256 *s) {
  *s = (sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static void sha_update(sha256 *s, const unsigned char *p, size_t n) {
  s->total += n;
  while (n) {
    size_t take = 64 - s->used < n ? 64 - s->used : n;
    memcpy(s->block + s->used, p, take);
    s->used += take, p += take, n -= take;
    if (s->used == 64) sha_block(s, s->block), s->used = 0;
  }
}

static void sha_end(sha256 *s, unsigned char digest[32]) {
  uint64_t bits = s->total * 8;
  unsigned char pad[72] = {0x80};
  size_t n = (s->used < 56 ? 56 : 120) - s->used;
  for (int i = 0; i < 8; i++) pad[n + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
  sha_update(s, pad, n + 8);
  for (int i = 0; i < 32; i++) digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void dgam_sha256(const void *data, size_t n, unsigned char digest[32]) {
  sha256 s;
  sha_begin(&s);
  if (n) sha_update(&s, data, n);
  sha_end(&s, digest);
}

dgam_status dgam_sha256_file(const char *path, unsigned char digest[32]) {
  enum { PIECE = 1 << 16 };
  unsigned char piece[PIECE];
  dgam_input in;
  DGAM_TRY(dgam_input_open(&in, path));
  sha256 s;
  sha_begin(&s);
  dgam_status status = DGAM_OK;
  for (uint64_t at = 0; at < in.size && status == DGAM_OK; at += PIECE) {
    size_t n = in.size - at < PIECE ? (size_t)(in.size - at) : PIECE;
    status = dgam_input_read(&in, at, piece, n);
    if (status == DGAM_OK) sha_update(&s, piece, n);
  }
  dgam_input_close(&in);
  if (status == DGAM_OK) sha_end(&s, digest);
  return status;
}

void dgam_sha256_text(const unsigned char digest[32], char text[65]) {
  for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}
