/* whole.h - whether a video file goes on to where its container says it does. Used by decode.c, not for other modules.
 *
 * A file that was cut off, or of which a part was never written, still opens: FFmpeg takes what it finds. Here the sizes that
 * MP4 boxes, AVI chunks and Matroska elements state are followed from the first to the last. Sizes that a recorder left open
 * (live Matroska, AVI never finished), other containers and anything after the last frame say nothing, so that a sound file
 * is not blamed.
 */
#ifndef DGAM_VIDEO_WHOLE_H
#define DGAM_VIDEO_WHOLE_H

#include <stddef.h>

#include "store/file.h"

/* 1: nothing speaks against it; 0: it is not, and why in why[0 .. n-1]. `format` is FFmpeg's name of the container. */
int dgam_whole_file(const dgam_input *in, const char *format, char *why, size_t n);

#endif
