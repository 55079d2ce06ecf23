/* ffmpeg.h - what encode.c and decode.c share; not for other modules. */
#ifndef DGAM_VIDEO_FFMPEG_H
#define DGAM_VIDEO_FFMPEG_H

#include "base/status.h"

/* Keeps FFmpeg from writing to the terminal; what went wrong reaches the caller as a status. $DGAMLUA_FFMPEG_LOG set:
 * FFmpeg's own messages are shown. */
void dgam_ffmpeg_quiet(void);

/* Stores "<message>: <FFmpeg's words for `code`>" and returns the status that fits the code. */
dgam_status dgam_ffmpeg_fail(int code, const char *fmt, ...) DGAM_PRINTF(2, 3);

#endif
