/* status.c - see status.h */
#include "base/status.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Thread_local char message[1024];
static const volatile sig_atomic_t *_Atomic watched, *_Atomic resumes;

dgam_status dgam_fail(dgam_status code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(message, sizeof message, fmt, ap);
  va_end(ap);
  return code;
}

const char *dgam_error(void) { return message; }

const char *dgam_status_name(dgam_status code) {
  switch (code) {
    case DGAM_OK: return "ok";
    case DGAM_EINVAL: return "invalid argument";
    case DGAM_ENOMEM: return "out of memory";
    case DGAM_EIO: return "input/output error";
    case DGAM_EFORMAT: return "bad file format";
    case DGAM_EUNSUPPORTED: return "not supported";
    case DGAM_EINTERRUPTED: return "interrupted";
    case DGAM_EINTERNAL: return "internal error";
  }
  return "unknown status";
}

void dgam_interrupt_watch(const volatile sig_atomic_t *flag) { atomic_store(&watched, flag); }

int dgam_interrupted(void) {
  const volatile sig_atomic_t *flag = atomic_load_explicit(&watched, memory_order_relaxed);
  return flag && *flag;
}

void dgam_resumes_watch(const volatile sig_atomic_t *count) { atomic_store(&resumes, count); }

int dgam_resumes(void) {
  const volatile sig_atomic_t *count = atomic_load_explicit(&resumes, memory_order_relaxed);
  return count ? *count : 0;
}

dgam_status dgam_fail_interrupted(void) { return dgam_fail(DGAM_EINTERRUPTED, "interrupted"); }
