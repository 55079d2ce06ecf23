/* status.c - see status.h */
#include "base/status.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char message[DGAM_ERROR_ROOM];
static const volatile sig_atomic_t *_Atomic watched, *_Atomic resumes;

static int inside_character(char c) { return (c & 0xC0) == 0x80; } /* UTF-8 */

/* As much of the beginning and of the end of text[0 .. n-1] as the message has room for. */
static void keep_ends(const char *text, size_t n) {
  static const char gap[] = " ... ";
  size_t head = (sizeof message - sizeof gap) / 2, tail = n - head;
  while (head > 0 && inside_character(text[head])) head--;
  while (inside_character(text[tail])) tail++;
  snprintf(message, sizeof message, "%.*s%s%s", (int)head, text, gap, text + tail);
}

dgam_status dgam_fail(dgam_status code, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(message, sizeof message, fmt, args);
  char *whole = n >= (int)sizeof message ? malloc((size_t)n + 1) : NULL;
  if (whole) {
    vsnprintf(whole, (size_t)n + 1, fmt, again);
    keep_ends(whole, (size_t)n);
    free(whole);
  }
  va_end(again);
  va_end(args);
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
