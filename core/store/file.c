/* file.c - see file.h */
#define _GNU_SOURCE /* asprintf */
#include "store/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
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
  *out = DGAM_OUTPUT_NONE;
}

static void host_name(char host[64]) {
  memset(host, 0, 64);
  if (gethostname(host, 63) != 0) strcpy(host, "host");
}

/* Creates and locks out->temp. 1 if another process took it for one that nobody writes, in the moment before the lock. A file
 * system without locks is fine: nothing is cleaned there. */
static int create_locked(dgam_output *out) {
  struct stat st;
  out->fd = open(out->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (out->fd < 0) return 0;
  int taken = flock(out->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!taken) taken = fstat(out->fd, &st) == 0 && st.st_nlink == 0;
  if (taken) close(out->fd);
  return taken;
}

dgam_status dgam_output_begin(dgam_output *out, const char *path) {
  static _Atomic unsigned serial;
  *out = DGAM_OUTPUT_NONE;
  struct stat st;
  int exists = stat(path, &st) == 0, taken = 1;
  if (exists && !S_ISREG(st.st_mode))
    return dgam_fail(DGAM_EIO, "cannot write '%s': it exists and is not a regular file", path);
  out->path = exists ? realpath(path, NULL) : strdup(path); /* realpath: a link stays, what it points to is replaced */
  const char *slash = out->path ? strrchr(out->path, '/') : NULL;
  int folder = slash ? (int)(slash - out->path) + 1 : 0, reason = 0;
  char host[64];
  host_name(host);
  while (taken) {
    free(out->temp);
    if (!out->path || asprintf(&out->temp, "%.*s.%.100s.%s.%ld.%u.tmp", folder, out->path, out->path + folder, host,
                               (long)getpid(), atomic_fetch_add(&serial, 1)) < 0) {
      out->temp = NULL;
      output_free(out);
      return dgam_fail(DGAM_ENOMEM, "no memory to write '%s'", path);
    }
    taken = create_locked(out);
    reason = errno;
  }
  if (out->fd < 0) {
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
  int lock = dup(out->fd); /* keeps the lock until the file has its name */
  int bad = !out->lazy && fsync(out->fd) != 0, reason = errno;
  if (close(out->fd) != 0 && !bad) bad = 1, reason = errno;
  out->fd = -1;
  if (!bad && rename(out->temp, out->path) != 0) bad = 1, reason = errno;
  if (bad) unlink(out->temp);
  if (lock >= 0) close(lock);
  dgam_status s = DGAM_OK;
  if (bad) {
    s = dgam_fail(DGAM_EIO, "cannot write '%s': %s", out->path, strerror(reason));
  } else if (!out->lazy && sync_folder(out->path) != 0) {
    s = dgam_fail(DGAM_EIO, "'%s' is written, but its folder cannot be synced: %s", out->path, strerror(errno));
  }
  output_free(out);
  return s;
}

void dgam_output_abort(dgam_output *out) {
  if (out->temp) unlink(out->temp);
  if (out->fd >= 0) close(out->fd);
  output_free(out);
}

/* --- what dead processes left --- */

/* Goes back from *end over digits and the dot before them; 0 if there are none. */
static int number_before(const char *name, size_t *end) {
  size_t at = *end;
  while (at && isdigit((unsigned char)name[at - 1])) at--;
  if (at == *end || at == 0 || name[at - 1] != '.') return 0;
  *end = at - 1;
  return 1;
}

/* Whether a file is called .NAME.HOST.PID.N.tmp; *ours: with this host's name. */
static int is_temporary(const char *name, const char *host, int *ours) {
  size_t n = strlen(name), h = strlen(host);
  if (n < 5 || name[0] != '.' || strcmp(name + n - 4, ".tmp") != 0) return 0;
  n -= 4;
  if (!number_before(name, &n) || !number_before(name, &n)) return 0;
  *ours = n > h + 1 && name[n - h - 1] == '.' && memcmp(name + n - h, host, h) == 0;
  return 1;
}

static void remove_unless_locked(int folder, const char *name, int ours) {
  enum { A_DAY = 24 * 3600 };
  struct stat st, again;
  int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (ours || time(NULL) - st.st_mtime > A_DAY) &&
      flock(fd, LOCK_EX | LOCK_NB) == 0 && fstatat(folder, name, &again, AT_SYMLINK_NOFOLLOW) == 0 &&
      again.st_ino == st.st_ino)
    (void)unlinkat(folder, name, 0);
  close(fd);
}

void dgam_output_clean(const char *folder) {
  char host[64];
  host_name(host);
  DIR *d = opendir(folder);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    int ours;
    if (is_temporary(e->d_name, host, &ours)) remove_unless_locked(dirfd(d), e->d_name, ours);
  }
  closedir(d);
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

static dgam_status sha_failed(void) {
  return dgam_fail(DGAM_EINTERNAL, "OpenSSL cannot compute SHA-256 here");
}

dgam_status dgam_sha256(const void *data, size_t n, unsigned char digest[32]) {
  return EVP_Digest(n ? data : "", n, digest, NULL, EVP_sha256(), NULL) ? DGAM_OK : sha_failed();
}

static dgam_status hash_pieces(EVP_MD_CTX *context, const dgam_input *in, unsigned char digest[32]) {
  enum { PIECE = 1 << 16 };
  unsigned char piece[PIECE];
  if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) return sha_failed();
  for (uint64_t at = 0; at < in->size; at += PIECE) {
    size_t n = in->size - at < PIECE ? (size_t)(in->size - at) : PIECE;
    DGAM_TRY(dgam_input_read(in, at, piece, n));
    if (!EVP_DigestUpdate(context, piece, n)) return sha_failed();
  }
  return EVP_DigestFinal_ex(context, digest, NULL) ? DGAM_OK : sha_failed();
}

dgam_status dgam_sha256_file(const char *path, unsigned char digest[32]) {
  dgam_input in;
  DGAM_TRY(dgam_input_open(&in, path));
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  dgam_status s = hash_pieces(context, &in, digest);
  EVP_MD_CTX_free(context);
  dgam_input_close(&in);
  return s;
}

void dgam_sha256_text(const unsigned char digest[32], char text[65]) {
  for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}
