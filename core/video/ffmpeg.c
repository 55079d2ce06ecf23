/* ffmpeg.c - see ffmpeg.h */
#define _GNU_SOURCE /* vasprintf */
#include "video/ffmpeg.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/display.h>
#include <libavutil/error.h>
#include <libavutil/log.h>

static atomic_int shown;

void dgam_ffmpeg_log(int show) { atomic_store_explicit(&shown, show, memory_order_relaxed); }

void dgam_ffmpeg_quiet(void) {
  av_log_set_level(atomic_load_explicit(&shown, memory_order_relaxed) ? AV_LOG_INFO : AV_LOG_QUIET);
}

static dgam_status status_of(int code) {
  switch (code) {
    case AVERROR(ENOMEM): return DGAM_ENOMEM;
    case AVERROR_INVALIDDATA: case AVERROR_EOF: case AVERROR_STREAM_NOT_FOUND: return DGAM_EFORMAT;
    case AVERROR_PATCHWELCOME: case AVERROR_DECODER_NOT_FOUND: case AVERROR_ENCODER_NOT_FOUND:
    case AVERROR_DEMUXER_NOT_FOUND: case AVERROR_MUXER_NOT_FOUND: case AVERROR(ENOSYS): return DGAM_EUNSUPPORTED;
    case AVERROR_EXIT: return DGAM_EINTERRUPTED;
    case AVERROR(EINVAL): return DGAM_EINVAL;
    case AVERROR_BUG: case AVERROR_BUG2: case AVERROR_EXTERNAL: case AVERROR_UNKNOWN: return DGAM_EINTERNAL;
    default: return DGAM_EIO;
  }
}

dgam_status dgam_ffmpeg_fail(int code, const char *fmt, ...) {
  char *message, words[AV_ERROR_MAX_STRING_SIZE];
  va_list args;
  va_start(args, fmt);
  if (vasprintf(&message, fmt, args) < 0) message = NULL;
  va_end(args);
  av_make_error_string(words, sizeof words, code);
  dgam_status s = dgam_fail(status_of(code), "%s: %s", message ? message : "FFmpeg", words);
  free(message);
  return s;
}

void dgam_ffmpeg_orientation(const uint8_t *matrix, int *rotation, int *mirrored) {
  int32_t m[9];
  memcpy(m, matrix, sizeof m);
  *mirrored = (double)m[0] * m[4] < (double)m[1] * m[3];
  if (*mirrored) av_display_matrix_flip(m, 1, 0); /* leaves what is to be done before */
  double degrees = -av_display_rotation_get(m);
  *rotation = isfinite(degrees) ? ((int)lrint(degrees / 90) * 90 % 360 + 360) % 360 : 0;
}
