/* status.h - how every function of the core reports failure.
 *
 * A core function that can fail returns a dgam_status and leaves a message for the person who called: what was
 * wrong, the value, what was expected. The message belongs to the thread and lives until the thread's next failure. A message
 * that is too long loses its middle, so that a long path does not hide what happened to it.
 *
 *     if (n < 1) return dgam_fail(DGAM_EINVAL, "clip_len is %lld, expected 1 or more", n);
 */
#ifndef DGAM_BASE_STATUS_H
#define DGAM_BASE_STATUS_H

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DGAM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define DGAM_API __attribute__((visibility("default")))
#else
#define DGAM_PRINTF(fmt, args)
#define DGAM_API
#endif

typedef enum dgam_status {
  DGAM_OK = 0,
  DGAM_EINVAL,       /* an argument is wrong: shape, range, name */
  DGAM_ENOMEM,       /* memory ran out */
  DGAM_EIO,          /* the system refused: open, read, write, space */
  DGAM_EFORMAT,      /* a file is not what it should be: damaged, cut off, other format */
  DGAM_EUNSUPPORTED, /* valid, but this build or machine cannot do it */
  DGAM_EINTERRUPTED, /* the user pressed Ctrl-C; state is kept */
  DGAM_EINTERNAL     /* a library below failed in a way it should not */
} dgam_status;

/* Stores the message for this thread and returns `code`, so a failure is one line: return dgam_fail(...). */
DGAM_API dgam_status dgam_fail(dgam_status code, const char *fmt, ...) DGAM_PRINTF(2, 3);

/* Room for any message, its ending 0 included. */
enum { DGAM_ERROR_ROOM = 1024 };

/* The message of this thread's last failure; "" if there was none. Never NULL. */
DGAM_API const char *dgam_error(void);

/* A short word for a status ("invalid argument"), for messages that have nothing better. */
DGAM_API const char *dgam_status_name(dgam_status code);

/* Hands a failure on to the caller: DGAM_TRY(dgam_video_open(...)); */
#define DGAM_TRY(expr)                         \
  do {                                         \
    dgam_status dgam_try_ = (expr);            \
    if (dgam_try_ != DGAM_OK) return dgam_try_; \
  } while (0)

/* Interrupts. The program owns a flag that its Ctrl-C handler sets and its top level clears, and tells the core about
 * it once; long loops ask dgam_interrupted() before every piece of work, at least every 100 ms, and return
 * dgam_fail_interrupted(). */
DGAM_API void dgam_interrupt_watch(const volatile sig_atomic_t *flag); /* NULL: none */
DGAM_API int dgam_interrupted(void);
DGAM_API dgam_status dgam_fail_interrupted(void);

/* Stops (Ctrl-Z, a scheduler). The program owns a count that its SIGCONT handler raises. If the process was stopped during a
 * limit of wall time, the limit starts anew instead of running out. */
DGAM_API void dgam_resumes_watch(const volatile sig_atomic_t *count); /* NULL: none */
DGAM_API int dgam_resumes(void);

#ifdef __cplusplus
}
#endif
#endif
