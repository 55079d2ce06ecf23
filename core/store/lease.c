/* lease.c - see lease.h */
#define _GNU_SOURCE
#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 160 };

struct dgam_lease {
  int fd;
  char *path;
  char text[TEXT]; /* what is in the file */
  pthread_t thread;
  int beats; /* whether the thread runs */
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int ended;
};

/* --- the file --- */

static void host_name(char out[65]) {
  snprintf(out, 65, "host");
  gethostname(out, 64);
  out[64] = 0;
}

/* Whether the name still leads to the open file. */
static int is_at(int fd, const char *path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void read_text(int fd, char text[TEXT]) {
  ssize_t n = pread(fd, text, TEXT - 1, 0);
  text[n > 0 ? n : 0] = 0;
}

static void read_owner(int fd, dgam_lease_owner *owner) {
  char text[TEXT];
  read_text(fd, text);
  *owner = (dgam_lease_owner){0};
  if (sscanf(text, "%64s %ld %lld", owner->host, &owner->pid, &owner->since) != 3) owner->host[0] = 0;
  struct stat st;
  if (fstat(fd, &st) == 0) owner->touched = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
}

/* Host, process, second; and the nanosecond, so that no two leases are alike. */
static void make_text(char text[TEXT]) {
  char host[65];
  host_name(host);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(text, TEXT, "%s %ld %lld %ld\n", host, (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
}

static dgam_status write_text(int fd, const char *path, const char *text) {
  size_t n = strlen(text);
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text, n, 0) != (ssize_t)n || fsync(fd) != 0)
    return dgam_fail(DGAM_EIO, "cannot write '%s': %s", path, strerror(errno));
  return DGAM_OK;
}

/* --- the thread --- */

static void *beat(void *arg) {
  dgam_lease *l = arg;
  pthread_mutex_lock(&l->mutex);
  while (!l->ended) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DGAM_LEASE_BEAT;
    pthread_cond_timedwait(&l->cond, &l->mutex, &until);
    if (!l->ended && futimens(l->fd, NULL) != 0) continue; /* the next one may do */
  }
  pthread_mutex_unlock(&l->mutex);
  return NULL;
}

static dgam_status hold(dgam_lease **out, int fd, const char *path, const char text[TEXT]) {
  dgam_lease *l = calloc(1, sizeof *l);
  char *name = strdup(path);
  if (!l || !name) {
    free(l);
    free(name);
    return dgam_fail(DGAM_ENOMEM, "no memory to lease '%s'", path);
  }
  l->fd = fd, l->path = name;
  memcpy(l->text, text, TEXT);
  pthread_mutex_init(&l->mutex, NULL);
  pthread_cond_init(&l->cond, NULL);
  l->beats = pthread_create(&l->thread, NULL, beat, l) == 0; /* without it only other hosts may think it dead */
  *out = l;
  return DGAM_OK;
}

/* --- taking --- */

/* The open file of a lease, and whether this call created it. -1: it went in between. -2: failed. */
static int open_lease(const char *path, int *created) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  *created = fd >= 0;
  if (fd >= 0) return fd;
  if (errno == EEXIST) {
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) fd = open(path, O_RDONLY | O_CLOEXEC); /* another user's; one can wait for it at least */
    if (fd >= 0) return fd;
    if (errno == ENOENT) return -1;
  }
  dgam_fail(DGAM_EIO, "cannot write '%s': %s", path, strerror(errno));
  return -2;
}

/* 1: locked; 0: another has the lock; -1: the file system has none. */
static int lock(int fd, int wait) {
  int failed;
  do failed = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0;
  while (failed && errno == EINTR);
  return !failed ? 1 : errno == EWOULDBLOCK ? 0 : -1;
}

/* Whether an open lease that this process did not create is to be had; else *owner says why not. */
static int is_free(int fd, int locked, long long unchanged, dgam_lease_owner *owner) {
  char host[65];
  host_name(host);
  read_owner(fd, owner);
  owner->elsewhere = !locked || strcmp(owner->host, host) != 0;
  return !owner->elsewhere || owner->touched == unchanged;
}

/* Whether what this process wrote is still there when others that did the same have written too. */
static int settled(const char *path, const char *text) {
  struct timespec second = {1, 0};
  while (nanosleep(&second, &second) != 0 && errno == EINTR) {}
  char now[TEXT] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  read_text(fd, now);
  close(fd);
  return strcmp(now, text) == 0;
}

/* One try. *again: the file changed on the way. */
static dgam_status try_take(dgam_lease **out, const char *path, long long unchanged, dgam_lease_owner *owner, int *again) {
  int created, fd = open_lease(path, &created);
  if (fd == -2) return DGAM_EIO;
  *again = fd < 0;
  if (fd < 0) return DGAM_OK;
  /* Who only looks has the lock for a moment, so the one who created the file waits for it. */
  int locked = lock(fd, created);
  if (!locked) {
    read_owner(fd, owner);
    close(fd);
    return DGAM_OK;
  }
  char text[TEXT];
  make_text(text);
  dgam_status s = DGAM_OK;
  if (!is_at(fd, path)) {
    *again = 1;
  } else if (created || is_free(fd, locked > 0, unchanged, owner)) {
    s = write_text(fd, path, text);
    if (s == DGAM_OK && !created && owner->elsewhere && !settled(path, text)) *again = 1;
    if (s == DGAM_OK && !*again) s = hold(out, fd, path, text);
    if (s == DGAM_OK && *out) return DGAM_OK;
    if (s != DGAM_OK && created) unlink(path);
  }
  close(fd);
  return s;
}

dgam_status dgam_lease_take(dgam_lease **out, const char *path, long long unchanged, dgam_lease_owner *owner) {
  *out = NULL;
  *owner = (dgam_lease_owner){0};
  for (int again = 1, tries = 0; again; tries++) {
    if (tries > 1000) return dgam_fail(DGAM_EIO, "cannot lease '%s': it comes and goes", path);
    DGAM_TRY(try_take(out, path, unchanged, owner, &again));
  }
  return DGAM_OK;
}

void dgam_lease_drop(dgam_lease *l) {
  if (!l) return;
  if (l->beats) {
    pthread_mutex_lock(&l->mutex);
    l->ended = 1;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
  }
  char text[TEXT];
  read_text(l->fd, text);
  if (strcmp(text, l->text) == 0 && is_at(l->fd, l->path)) unlink(l->path);
  close(l->fd);
  pthread_cond_destroy(&l->cond);
  pthread_mutex_destroy(&l->mutex);
  free(l->path);
  free(l);
}
