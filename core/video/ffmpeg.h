/* ffmpeg.h - what the files that call FFmpeg share; not for other modules. */
#ifndef DGAM_VIDEO_FFMPEG_H
#define DGAM_VIDEO_FFMPEG_H

#include <stdint.h>

#include "base/status.h"

/* Keeps FFmpeg from writing to the terminal; what went wrong reaches the caller as a status. $DGAMLUA_FFMPEG_LOG set:
 * FFmpeg's own messages are shown. */
void dgam_ffmpeg_quiet(void);

/* Stores "<message>: <FFmpeg's words for `code`>" and returns the status that fits the code. */
dgam_status dgam_ffmpeg_fail(int code, const char *fmt, ...) DGAM_PRINTF(2, 3);

/* What a display matrix (nine numbers of AV_PKT_DATA_DISPLAYMATRIX) asks for: a turn clockwise by 0, 90, 180 or 270 degrees, then,
 * if `mirrored` is set, left and right changed over. */
void dgam_ffmpeg_orientation(const uint8_t *matrix, int *rotation, int *mirrored);

#endif
