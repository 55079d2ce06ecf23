/* pool.c - see pool.h */
#include "video/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPARE = 8 };

static const double PATIENCE = .1; /* s that the end of the threads is waited for */

typedef struct job {
  struct job *next;
  char *path;
  int sampled;             /* 0: only count frames */
  dgam_sampling sampling;
  int done;
  dgam_pool_result result;
} job;

struct dgam_pool {
  pthread_mutex_t lock;
  pthread_cond_t work, done; /* a job was queued; a job is done or a thread idle */
  job *oldest, *newest;      /* jobs in the order of submission */
  job *waiting;              /* the first that no thread has taken; the rest follows */
  size_t pending;
  int running, quit;
  int alive;                 /* threads that have not left yet */
  int orphaned;              /* nobody waits for them: the last one frees the pool */
  atomic_int stop;           /* running jobs give up */
  dgam_video_options options;
  dgam_clip_cache *cache;    /* or NULL */
  pthread_t threads[DGAM_POOL_THREADS];
  int n_threads;
  struct {
    uint8_t *memory;
    size_t bytes;
  } spare[SPARE];            /* buffers to use again: fresh pages cost more than the copy into them */
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- buffers, under the lock --- */

static uint8_t *take_spare(dgam_pool *p, size_t bytes) {
  for (int i = 0; i < SPARE; i++)
    if (p->spare[i].memory && p->spare[i].bytes == bytes) {
      uint8_t *m = p->spare[i].memory;
      p->spare[i].memory = NULL;
      return m;
    }
  return NULL;
}

static void put_spare(dgam_pool *p, uint8_t *memory, size_t bytes) {
  static const size_t largest = (size_t)1 << 26;
  for (int i = 0; i < SPARE && bytes <= largest; i++)
    if (!p->spare[i].memory || p->spare[i].bytes != bytes) {
      free(p->spare[i].memory);
      p->spare[i].memory = memory;
      p->spare[i].bytes = bytes;
      return;
    }
  free(memory);
}

static void free_job(job *j) {
  free(j->result.views);
  free(j->path);
  free(j);
}

static void free_jobs(dgam_pool *p) {
  for (job *j = p->oldest, *next; j; j = next) {
    next = j->next;
    free_job(j);
  }
  p->oldest = p->newest = NULL;
  p->pending = 0;
}

static void free_pool(dgam_pool *p) {
  free_jobs(p);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->work);
  pthread_cond_destroy(&p->done);
  for (int i = 0; i < SPARE; i++) free(p->spare[i].memory);
  dgam_clip_cache_close(p->cache);
  free((char *)p->options.index);
  free(p);
}

/* --- threads --- */

static dgam_status decode(dgam_pool *p, job *j) {
  dgam_video *v;
  DGAM_TRY(dgam_video_open(&v, j->path, &p->options));
  dgam_status s = j->sampled ? dgam_video_views_of(v, &j->sampling, j->result.views, &p->stop) : dgam_video_count(v);
  dgam_video_get_info(v, &j->result.info);
  dgam_video_close(v);
  return s;
}

static dgam_status work(dgam_pool *p, job *j) {
  if (!j->sampled) return decode(p, j);
  char *key = NULL;
  dgam_pool_result *r = &j->result;
  r->cached = p->cache && dgam_clip_cache_load(p->cache, j->path, &j->sampling, &r->info, r->views, &key);
  if (!r->cached) {
    dgam_status s = decode(p, j);
    if (p->cache) dgam_clip_cache_save(p->cache, j->path, &j->sampling, s == DGAM_OK ? &r->info : NULL, r->views, key);
    DGAM_TRY(s);
  }
  return dgam_sampling_augment(&j->sampling, r->views);
}

static void run_job(dgam_pool *p, job *j) {
  double start = now();
  dgam_status s = DGAM_OK;
  if (j->sampled && !j->result.views && !(j->result.views = malloc(j->result.bytes)))
    s = dgam_fail(DGAM_ENOMEM, "%s: no memory for views of %zu bytes", j->path, j->result.bytes);
  if (s == DGAM_OK) s = work(p, j);
  j->result.status = s;
  if (s != DGAM_OK) {
    snprintf(j->result.message, sizeof j->result.message, "%s", dgam_error());
    free(j->result.views);
    j->result.views = NULL;
  }
  j->result.seconds = now() - start;
}

static void *thread_main(void *pool) {
  dgam_pool *p = pool;
  pthread_mutex_lock(&p->lock);
  while (!p->quit) {
    job *j = p->waiting;
    if (!j) {
      pthread_cond_wait(&p->work, &p->lock);
      continue;
    }
    p->waiting = j->next;
    p->running++;
    if (j->sampled) j->result.views = take_spare(p, j->result.bytes);
    pthread_mutex_unlock(&p->lock);
    run_job(p, j);
    pthread_mutex_lock(&p->lock);
    j->done = 1;
    p->running--;
    pthread_cond_signal(&p->done);
  }
  p->alive--;
  int last = p->orphaned && p->alive == 0;
  pthread_cond_signal(&p->done);
  pthread_mutex_unlock(&p->lock);
  if (last) free_pool(p);
  return NULL;
}

dgam_status dgam_pool_create(dgam_pool **out, int threads, const dgam_video_options *options) {
  *out = NULL;
  if (threads < 1 || threads > DGAM_POOL_THREADS) return dgam_fail(DGAM_EINVAL, "threads is %d, expected 1 to %d", threads, DGAM_POOL_THREADS);
  dgam_pool *p = calloc(1, sizeof *p);
  if (!p) return dgam_fail(DGAM_ENOMEM, "no memory for decoding threads");
  if (options) p->options = *options;
  p->options.stop = &p->stop;
  if (p->options.index && !(p->options.index = strdup(p->options.index))) {
    free(p);
    return dgam_fail(DGAM_ENOMEM, "no memory for decoding threads");
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->done, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_lock(&p->lock);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old); /* inherited by the threads */
  int bad = 0;
  while (p->n_threads < threads && !bad) {
    bad = pthread_create(&p->threads[p->n_threads], NULL, thread_main, p);
    if (!bad) p->alive = ++p->n_threads;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_mutex_unlock(&p->lock);
  if (bad && p->n_threads == 0) {
    dgam_pool_destroy(p);
    return dgam_fail(DGAM_EIO, "no decoding thread can be started: %s", strerror(bad));
  }
  *out = p;
  return DGAM_OK;
}

/* --- the caller's side --- */

void dgam_pool_use_cache(dgam_pool *p, dgam_clip_cache *cache) { p->cache = cache; }

int dgam_pool_cache_failure(dgam_pool *p, char *why, size_t n) { return p->cache && dgam_clip_cache_failure(p->cache, why, n); }

dgam_status dgam_pool_submit(dgam_pool *p, const char *path, const dgam_sampling *sampling) {
  if (sampling) DGAM_TRY(dgam_sampling_check(sampling));
  job *j = calloc(1, sizeof *j);
  if (!j || !(j->path = strdup(path))) {
    free(j);
    return dgam_fail(DGAM_ENOMEM, "%s: no memory for a job", path);
  }
  if (sampling) {
    j->sampled = 1;
    j->sampling = *sampling;
    j->result.bytes = dgam_sampling_bytes(sampling);
  }
  pthread_mutex_lock(&p->lock);
  if (p->newest) p->newest->next = j;
  else p->oldest = j;
  p->newest = j;
  if (!p->waiting) p->waiting = j;
  p->pending++;
  pthread_cond_signal(&p->work);
  pthread_mutex_unlock(&p->lock);
  return DGAM_OK;
}

/* Waits on `done` for at most 20 ms, so that an interrupt is seen. */
static void wait_a_little(dgam_pool *p) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_nsec += 20000000;
  if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
  pthread_cond_timedwait(&p->done, &p->lock, &t);
}

dgam_status dgam_pool_next(dgam_pool *p, dgam_pool_result *result) {
  memset(result, 0, sizeof *result);
  pthread_mutex_lock(&p->lock);
  dgam_status s = DGAM_OK;
  if (!p->oldest) s = dgam_fail(DGAM_EINVAL, "no decoding job is under way");
  while (s == DGAM_OK && !p->oldest->done) {
    if (dgam_interrupted()) s = dgam_fail_interrupted();
    else wait_a_little(p);
  }
  if (s == DGAM_OK && p->oldest->result.status == DGAM_EINTERRUPTED) s = dgam_fail_interrupted(); /* not the file's fault */
  if (s == DGAM_OK) {
    job *j = p->oldest;
    p->oldest = j->next;
    if (!p->oldest) p->newest = NULL;
    p->pending--;
    *result = j->result;
    j->result.views = NULL;
    free_job(j);
  }
  pthread_mutex_unlock(&p->lock);
  return s;
}

void dgam_pool_release(dgam_pool *p, dgam_pool_result *result) {
  if (!result->views) return;
  pthread_mutex_lock(&p->lock);
  put_spare(p, result->views, result->bytes);
  pthread_mutex_unlock(&p->lock);
  result->views = NULL;
}

size_t dgam_pool_pending(const dgam_pool *p) { return p->pending; }

void dgam_pool_cancel(dgam_pool *p) {
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->stop, 1);
  p->waiting = NULL;
  while (p->running > 0) wait_a_little(p);
  free_jobs(p);
  atomic_store(&p->stop, 0);
  pthread_mutex_unlock(&p->lock);
}

void dgam_pool_destroy(dgam_pool *p) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->stop, 1);
  p->waiting = NULL;
  p->quit = 1;
  pthread_cond_broadcast(&p->work);
  for (double start = now(); p->alive > 0 && now() - start < PATIENCE;) wait_a_little(p);
  int orphaned = p->orphaned = p->alive > 0;
  for (int i = 0; i < p->n_threads && orphaned; i++) pthread_detach(p->threads[i]);
  pthread_mutex_unlock(&p->lock);
  if (orphaned) return; /* the pool is the threads' now */
  for (int i = 0; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
  free_pool(p);
}
