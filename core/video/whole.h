/* whole.h - whether a video file goes on to where its container says it does. Used by decode.c, not for other modules.
 *
 * FFmpeg opens a file that was cut off, or of which a part was never written, and takes what it finds. Here the sizes that
 * MP4 boxes, AVI chunks and Matroska elements state are followed from the first to the last. To blame no sound file, three
 * things are not judged: sizes that a recorder left open (live Matroska, AVI never finished), other containers, and anything
 * after the last frame.
 */
#ifndef DGAM_VIDEO_WHOLE_H
#define DGAM_VIDEO_WHOLE_H

#include <stddef.h>

#include "store/file.h"

/* 1: no fault was found; 0: the file is not whole, and why[0 .. n-1] says why. `format` is FFmpeg's name of the container. */
int dgam_whole_file(const dgam_input *in, const char *format, char *why, size_t n);

#endif
