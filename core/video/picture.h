/* picture.h - part of a decoded picture as upright RGB; used by decode.c, not for other modules. */
#ifndef DGAM_VIDEO_PICTURE_H
#define DGAM_VIDEO_PICTURE_H

#include <libavutil/frame.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dgam_box {
  int x, y, w, h;
} dgam_box;

/* Buffers and the conversion that was set up last; zero to start with. */
typedef struct dgam_picture {
  struct SwsContext *sws;
  int format, w, h, full_range, matrix; /* what sws is for */
  uint8_t *rgb, *upright;
  size_t rgb_room, upright_room;
} dgam_picture;

/* Converts the part `box` of the upright picture to RGB: *rgb is [h,w,3], rows *stride bytes apart, until the next call. The
 * upright picture is the stored one turned by `rotation` degrees clockwise and then, if `mirrored`, with left and right
 * exchanged. *box becomes what was converted, which contains what was asked for. A pixel's value does not depend on the box.
 * `path` is for messages. */
dgam_status dgam_picture_rgb(dgam_picture *p, const AVFrame *f, int rotation, int mirrored, dgam_box *box, const uint8_t **rgb,
                             size_t *stride, const char *path);

void dgam_picture_free(dgam_picture *p);

#endif
