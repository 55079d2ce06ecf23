/* pool.h - decoding threads that work ahead of training.
 *
 * Jobs are handed in with dgam_pool_submit and come back from dgam_pool_next in the same order, whichever thread was done
 * first. A job that fails comes back with its status and message; the others go on. The result of a job depends only on the
 * job, not on thread count or timing. The pool works ahead on as many jobs as were submitted and not yet taken back. Each job
 * holds its views in memory from the moment a thread takes it.
 *
 * One thread calls submit, next, cancel and destroy. The threads ignore signals, so Ctrl-C reaches the main thread.
 */
#ifndef DGAM_VIDEO_POOL_H
#define DGAM_VIDEO_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "video/cache.h"
#include "video/decode.h"
#include "video/sample.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DGAM_POOL_THREADS = 256 }; /* the most that a pool takes */

typedef struct dgam_pool dgam_pool;

typedef struct dgam_pool_result {
  dgam_status status;
  char message[DGAM_ERROR_ROOM]; /* "" if status is DGAM_OK */
  dgam_video_info info;  /* of the file, if it could be opened */
  uint8_t *views;        /* dgam_sampling_bytes bytes; NULL if the job failed */
  size_t bytes;
  double seconds;        /* wall time the job took a thread */
  int cached;            /* 1: the views were read from the cache */
} dgam_pool_result;

/* Starts `threads` threads (1 .. DGAM_POOL_THREADS). options may be NULL; its `stop` is not used. */
DGAM_API dgam_status dgam_pool_create(dgam_pool **out, int threads, const dgam_video_options *options);

/* Jobs look for their views in `cache` first and add what they decode. Call it before the first job. The pool closes the cache. */
DGAM_API void dgam_pool_use_cache(dgam_pool *p, dgam_clip_cache *cache);

/* Returns 1, once, after views could not be added to the cache, and the reason in why[0 .. n-1]; else 0. Jobs go on without it. */
DGAM_API int dgam_pool_cache_failure(dgam_pool *p, char *why, size_t n);

/* Queues a job: open `path`, sample it. sampling == NULL: only count its frames by decoding it whole (dgam_video_count). */
DGAM_API dgam_status dgam_pool_submit(dgam_pool *p, const char *path, const dgam_sampling *sampling);

/* Waits for the oldest job. DGAM_EINVAL if none is under way, DGAM_EINTERRUPTED on Ctrl-C (the job stays). The result's
 * views belong to the pool until dgam_pool_release. The returned status is about waiting; the job's is in the result. */
DGAM_API dgam_status dgam_pool_next(dgam_pool *p, dgam_pool_result *result);

/* Gives the views of a result back, so that the next job can use the memory. */
DGAM_API void dgam_pool_release(dgam_pool *p, dgam_pool_result *result);

/* How many jobs were submitted and not yet taken. */
DGAM_API size_t dgam_pool_pending(const dgam_pool *p);

/* Drops every job, stops those that are running (within one frame's decoding) and waits for that. */
DGAM_API void dgam_pool_cancel(dgam_pool *p);

/* Cancels and ends the threads. Nothing can interrupt a thread in the middle of a huge frame. It is waited for at most a tenth of a
 * second; then it ends by itself after that frame and frees what is left. NULL is fine. */
DGAM_API void dgam_pool_destroy(dgam_pool *p);

#ifdef __cplusplus
}
#endif
#endif
