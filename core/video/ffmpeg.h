/* ffmpeg.h - what the files that call FFmpeg share; not for other modules, apart from dgam_ffmpeg_log. */
#ifndef DGAM_VIDEO_FFMPEG_H
#define DGAM_VIDEO_FFMPEG_H

#include <stdint.h>

#include "base/status.h"

/* Whether FFmpeg may write its own messages to standard error, to help find a fault. At first it may not. */
DGAM_API void dgam_ffmpeg_log(int show);

/* Call it before FFmpeg. It keeps FFmpeg from writing to the terminal, unless dgam_ffmpeg_log allows that. Failures reach
 * the caller as a status. */
void dgam_ffmpeg_quiet(void);

/* Stores "<message>: <FFmpeg's words for `code`>" and returns the status that fits the code. */
dgam_status dgam_ffmpeg_fail(int code, const char *fmt, ...) DGAM_PRINTF(2, 3);

/* What a display matrix (nine numbers of AV_PKT_DATA_DISPLAYMATRIX) asks for: a turn clockwise by 0, 90, 180 or 270 degrees, then,
 * if `mirrored` is set, left and right exchanged. */
void dgam_ffmpeg_orientation(const uint8_t *matrix, int *rotation, int *mirrored);

#endif
