/* cache.c - see cache.h */
#define _GNU_SOURCE /* asprintf */
#include "video/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libswscale/swscale.h>

#include "store/file.h"
#include "video/facts.h"

enum { SETTLED = 2, AN_HOUR = 3600, COUNT_EVERY = 64, NAME = 21 /* 16 digits and .clip */ };

typedef struct entry {
  int64_t used; /* ns */
  uint64_t bytes;
  char name[NAME + 1];
} entry;

struct dgam_clip_cache {
  char *folder;
  uint64_t limit;
  int64_t opened;
  pthread_mutex_t lock;
  uint64_t bytes;         /* in the folder */
  unsigned saved;         /* since it was counted */
  entry *old;             /* last used before `opened`, in that order */
  size_t n_old, next_old; /* next_old: the first that is still there */
  int failed, told;       /* an entry could not be written; its reason was asked for */
  char why[DGAM_ERROR_ROOM];
};

typedef struct head {
  char magic[8];
  uint64_t bytes, check; /* of the whole entry; hash of what follows this field */
  uint64_t key_bytes;
  dgam_video_info info;
} head;

static const char magic[8] = "dgamclp5"; /* count on when the same key comes to mean other pixels */
enum { UNCHECKED = offsetof(head, check) + sizeof(uint64_t) };

static int64_t ns(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

/* --- keys --- */

/* What tells one state of a file from another, in *hash; its time of change in *changed. 0 if there is no such file. */
static int state_of(const char *path, uint64_t *hash, int64_t *changed) {
  struct stat st;
  if (stat(path, &st) != 0) return 0;
  *changed = ns(st.st_mtim);
  uint64_t about[3] = {st.st_ino, (uint64_t)st.st_size, (uint64_t)*changed};
  *hash = dgam_facts_hash(1, about, sizeof about);
  if (!S_ISDIR(st.st_mode)) return 1;
  DIR *d = opendir(path);
  if (!d) return 0;
  for (struct dirent *e; (e = readdir(d));) { /* in any order: a sum */
    if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, 0) != 0) continue;
    uint64_t file[4] = {st.st_ino, (uint64_t)st.st_size, (uint64_t)ns(st.st_mtim), dgam_facts_hash(1, e->d_name, strlen(e->d_name))};
    *hash += dgam_facts_hash(2, file, sizeof file);
    if (ns(st.st_mtim) > *changed) *changed = ns(st.st_mtim);
  }
  closedir(d);
  return 1;
}

static char *key_of(const char *path, const dgam_sampling *s) {
  uint64_t state;
  int64_t changed;
  if (!state_of(path, &state, &changed) || (int64_t)time(NULL) - changed / 1000000000 < SETTLED) return NULL;
  char enhance[64] = "", *key;
  if (s->enhanced)
    snprintf(enhance, sizeof enhance, "%s %016llx", s->enhance.method->name,
             (unsigned long long)dgam_facts_hash(4, s->enhance.option, sizeof s->enhance.option));
  int draws = dgam_sampling_draws(s);
  int n = asprintf(&key, "%s\n%016llx %x %x\n%d %d %d %d %d %d %d %d %d %d %d\n%a %a %a %a %a\n%s\n%llu %llu", path, (unsigned long long)state,
                   avcodec_version(), swscale_version(), (int)s->clips_rule, s->clip_len, s->interval, s->clips, s->window, s->positions, (int)s->crop, s->short_side,
                   s->out_w, s->out_h, s->frames_first, s->area[0], s->area[1], s->ratio[0], s->ratio[1], s->flip, enhance,
                   draws ? (unsigned long long)s->seed : 0, draws ? (unsigned long long)s->stream : 0);
  return n < 0 ? NULL : key;
}

static char *entry_path(const dgam_clip_cache *c, const char *key) {
  char *path;
  uint64_t h = dgam_facts_hash(3, key, strlen(key));
  return asprintf(&path, "%s/%016llx.clip", c->folder, (unsigned long long)h) < 0 ? NULL : path;
}

static uint64_t check_of(const head *h, const char *key, const uint8_t *views, size_t n) {
  uint64_t check = dgam_facts_hash(2, (const char *)h + UNCHECKED, sizeof *h - UNCHECKED);
  return dgam_facts_hash(dgam_facts_hash(check, key, strlen(key)), views, n);
}

/* --- what is in the folder --- */

static int by_use(const void *a, const void *b) {
  const entry *p = a, *q = b;
  return p->used != q->used ? (p->used < q->used ? -1 : 1) : strcmp(p->name, q->name);
}

/* Counts the folder anew. Under the lock. */
static void count(dgam_clip_cache *c) {
  DIR *d = opendir(c->folder);
  if (!d) return;
  size_t n = 0, room = 0;
  free(c->old);
  c->old = NULL;
  c->bytes = 0, c->saved = 0;
  int64_t now = (int64_t)time(NULL);
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    size_t length = strlen(e->d_name);
    int whole = length == NAME && strcmp(e->d_name + 16, ".clip") == 0, part = length > 4 && strcmp(e->d_name + length - 4, ".tmp") == 0;
    if (!(whole || part) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (part && now - st.st_mtim.tv_sec > AN_HOUR) {
      (void)unlinkat(dirfd(d), e->d_name, 0);
      continue;
    }
    c->bytes += (uint64_t)st.st_size;
    if (part || ns(st.st_mtim) >= c->opened) continue;
    if (n == room) {
      entry *more = realloc(c->old, (room = room ? 2 * room : 256) * sizeof *more);
      if (!more) break;
      c->old = more;
    }
    c->old[n] = (entry){.used = ns(st.st_mtim), .bytes = (uint64_t)st.st_size};
    memcpy(c->old[n++].name, e->d_name, NAME + 1);
  }
  closedir(d);
  if (n) qsort(c->old, n, sizeof *c->old, by_use);
  c->n_old = n, c->next_old = 0;
}

/* Makes room for n bytes, if it can, and takes it. Not after a failure. */
static int make_room(dgam_clip_cache *c, uint64_t n) {
  pthread_mutex_lock(&c->lock);
  if (c->saved >= COUNT_EVERY) count(c);
  while (!c->failed && c->bytes + n > c->limit && c->next_old < c->n_old) {
    const entry *e = &c->old[c->next_old++];
    char path[4096];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", c->folder, e->name) >= (int)sizeof path || stat(path, &st) != 0) continue;
    if (ns(st.st_mtim) != e->used) continue; /* used since */
    if (unlink(path) == 0) c->bytes -= e->bytes < c->bytes ? e->bytes : c->bytes;
  }
  int fits = !c->failed && n <= c->limit && c->bytes <= c->limit - n;
  if (fits) c->bytes += n, c->saved++;
  pthread_mutex_unlock(&c->lock);
  return fits;
}

dgam_status dgam_clip_cache_open(dgam_clip_cache **out, const char *folder, uint64_t limit) {
  *out = NULL;
  struct stat st;
  if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) return dgam_fail(DGAM_EIO, "%s: there is no such folder for decoded clips", folder);
  if (access(folder, W_OK | X_OK) != 0) return dgam_fail(DGAM_EIO, "%s: no clips can be written to this folder", folder);
  dgam_clip_cache *c = calloc(1, sizeof *c);
  if (!c || !(c->folder = strdup(folder))) {
    free(c);
    return dgam_fail(DGAM_ENOMEM, "%s: no memory for a cache", folder);
  }
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  c->opened = ns(t), c->limit = limit;
  pthread_mutex_init(&c->lock, NULL);
  count(c);
  *out = c;
  return DGAM_OK;
}

void dgam_clip_cache_close(dgam_clip_cache *c) {
  if (!c) return;
  pthread_mutex_destroy(&c->lock);
  free(c->old);
  free(c->folder);
  free(c);
}

uint64_t dgam_clip_cache_bytes(dgam_clip_cache *c) {
  pthread_mutex_lock(&c->lock);
  uint64_t bytes = c->bytes;
  pthread_mutex_unlock(&c->lock);
  return bytes;
}

/* --- entries --- */

static int read_entry(const dgam_input *in, const char *key, size_t n, dgam_video_info *info, uint8_t *views) {
  head h;
  size_t key_bytes = strlen(key);
  if (in->size != sizeof h + key_bytes + n || dgam_input_read(in, 0, &h, sizeof h) != DGAM_OK) return 0;
  if (memcmp(h.magic, magic, sizeof magic) != 0 || h.bytes != in->size || h.key_bytes != key_bytes) return 0;
  char *theirs = malloc(key_bytes + 1);
  int same = theirs && dgam_input_read(in, sizeof h, theirs, key_bytes) == DGAM_OK && memcmp(theirs, key, key_bytes) == 0;
  free(theirs);
  if (!same || dgam_input_read(in, sizeof h + key_bytes, views, n) != DGAM_OK || h.check != check_of(&h, key, views, n)) return 0;
  *info = h.info;
  return 1;
}

int dgam_clip_cache_load(dgam_clip_cache *c, const char *path, const dgam_sampling *s, dgam_video_info *info, uint8_t *views, char **key) {
  *key = key_of(path, s);
  if (!*key) return 0;
  char *file = entry_path(c, *key);
  dgam_input in;
  int found = 0;
  if (file && dgam_input_open(&in, file) == DGAM_OK) {
    found = read_entry(&in, *key, dgam_sampling_bytes(s), info, views);
    struct stat st; /* its time tells when it was last of use, roughly */
    if (found && fstat(in.fd, &st) == 0 && ns(st.st_mtim) < c->opened) (void)futimens(in.fd, NULL);
    dgam_input_close(&in);
  }
  free(file);
  if (found) free(*key), *key = NULL;
  return found;
}

static dgam_status write_parts(dgam_output *out, const char *key, const head *h, const uint8_t *views, size_t n) {
  DGAM_TRY(dgam_output_write(out, h, sizeof *h));
  DGAM_TRY(dgam_output_write(out, key, strlen(key)));
  return dgam_output_write(out, views, n);
}

static dgam_status write_entry(const char *file, const char *key, const head *h, const uint8_t *views, size_t n) {
  dgam_output out;
  DGAM_TRY(dgam_output_begin(&out, file));
  out.lazy = 1; /* after a crash it may be cut off, which shows */
  dgam_status s = write_parts(&out, key, h, views, n);
  if (s == DGAM_OK) return dgam_output_commit(&out);
  dgam_output_abort(&out);
  return s;
}

static void fail(dgam_clip_cache *c) {
  pthread_mutex_lock(&c->lock);
  if (!c->failed) snprintf(c->why, sizeof c->why, "%s", dgam_error());
  c->failed = 1;
  pthread_mutex_unlock(&c->lock);
}

int dgam_clip_cache_failure(dgam_clip_cache *c, char *why, size_t n) {
  pthread_mutex_lock(&c->lock);
  int news = c->failed && !c->told;
  if (news) snprintf(why, n, "%s", c->why), c->told = 1;
  pthread_mutex_unlock(&c->lock);
  return news;
}

void dgam_clip_cache_save(dgam_clip_cache *c, const char *path, const dgam_sampling *s, const dgam_video_info *info, const uint8_t *views,
                          char *key) {
  char *now = key && info ? key_of(path, s) : NULL;
  size_t n = dgam_sampling_bytes(s);
  if (now && strcmp(now, key) == 0) { /* it did not change while it was decoded */
    head h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.bytes = sizeof h + strlen(key) + n, h.key_bytes = strlen(key), h.info = *info;
    h.check = check_of(&h, key, views, n);
    char *file = entry_path(c, key);
    if (file && make_room(c, h.bytes) && write_entry(file, key, &h, views, n) != DGAM_OK) fail(c);
    free(file);
  }
  free(now);
  free(key);
}
