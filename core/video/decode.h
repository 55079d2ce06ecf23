/* decode.h - reads frames of a video file by number, decoding no more than it must.
 *
 * Frame n is the n-th frame that the decoder puts out, counted from 0. This holds for every file and however the frame is reached.
 * Timestamps and the container's marks of key pictures are not used. Opening a file reads its packets and decodes the first two frames.
 * The bitstream (picture types, picture order, hidden frames) says in which order frames will come out. Decoding checks that order.
 * Some bitstreams do not say enough (index.h): the file starts in the middle of a group of pictures, its end is torn, or its codec is a
 * rare one. Such a file is decoded whole, once, when it is opened. The same happens later to a file whose frames come out in another
 * order than expected. The order is then the one that was seen, and decoding starts only where a new decoder gave the same pixels.
 *
 * To start at another place a new decoder is made, because some decoders remember pictures after a flush. Codecs whose pictures stand by
 * themselves keep theirs. Size and crop are those of the decoder's first frame. In a damaged file frame numbers stay exact, but pixels
 * may depend on where decoding started: an error is concealed with the neighbours that the decoder has.
 *
 * What a frame is: the decoder's picture, turned to RGB by swscale (full or limited range, BT.601 unless the file says
 * otherwise, chroma as the usual players do it; grey full range unless the file says otherwise), turned upright and
 * mirrored if the file says so, then cropped and resized as resize.h says. Only the part of the picture that is wanted is
 * converted.
 *
 * A dgam_video belongs to one thread at a time; different ones may run in different threads.
 */
#ifndef DGAM_VIDEO_DECODE_H
#define DGAM_VIDEO_DECODE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "video/resize.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_video dgam_video;

/* When to give up on a file, and what is kept of it. A field that is 0 takes the default. */
typedef struct dgam_video_options {
  double seconds;         /* wall time of one call (60); of each frame while all frames are counted. Starts anew if the process
                             was stopped */
  size_t pixels;          /* width x height of a frame (2^26) */
  size_t bytes;           /* packets held in memory, where they cannot be read by offset; longer files are read again for
                             each call (2^26) */
  const atomic_int *stop; /* when it is not 0: stop at once with DGAM_EINTERRUPTED; NULL: none */
  const char *index;      /* folder that keeps what was found out about a file, so that opening it again is quick. It must
                             exist; several processes may share it; NULL: none */
  size_t index_bytes;     /* about the size of that folder; entries that were not used for longest go first (2^28) */
} dgam_video_options;

typedef struct dgam_video_info {
  int width, height;        /* upright, in pixels */
  int rotation;             /* degrees clockwise that the stored picture is turned by: 0, 90, 180, 270 */
  int mirrored;             /* 1: after turning, left and right are exchanged */
  int64_t frames;           /* how many the decoder puts out */
  double fps;               /* 0 if the file does not say */
  int intra;                /* 1: every frame can be decoded alone */
  int counted;              /* 1: `frames` was counted by decoding the file, 0: from its packets */
  uint64_t content;         /* hash of the coded pictures, whatever the container; 0 unless dgam_video_count ran */
  char codec[32], pixels[32], format[32]; /* FFmpeg's names, e.g. "mjpeg", "yuvj420p", "avi" */
  char damage[160];         /* what dgam_video_count found wrong, e.g. "errors in 3 of 100 coded frames"; "": nothing */
} dgam_video_info;

/* Opens a file and works out its frames. A folder of pictures of one kind and size (JPEG, PNG, ...) is a video too, whose
 * frames are the files in the order of their names, numbers by their value. options may be NULL. On failure *out is
 * NULL and the message holds the path: DGAM_EIO (cannot be read), DGAM_EFORMAT (empty, a pipe or device, not a video, no
 * frame, damaged), DGAM_EUNSUPPORTED (no decoder), DGAM_EINVAL (over a limit), DGAM_EINTERRUPTED. The file is opened once:
 * it may be removed while it is read, and nothing that it names is opened. */
DGAM_API dgam_status dgam_video_open(dgam_video **out, const char *path, const dgam_video_options *options);
DGAM_API void dgam_video_close(dgam_video *v); /* NULL is fine */

/* What is known about the file. */
DGAM_API void dgam_video_get_info(const dgam_video *v, dgam_video_info *info);

/* Decodes every frame, corrects `frames` and fills in what get_info may miss: the content hash and `damage`. It gives up only when no
 * frame comes out for the time of a call, so a film may be as long as it likes. A file without a frame that can be decoded is DGAM_EFORMAT.
 *
 * These count as damage: an MP4, AVI or Matroska file that ends before its sizes say, or has a gap (whole.h); packets or frames with
 * errors; fewer frames than the packets hold. Two kinds of errors do not count: at the start, frames that need what came before the
 * recording; at the end, in containers that may be cut anywhere (TS, PS, raw). Damage that shows in none of these ways (zeros in
 * uncompressed pictures) is not found. */
DGAM_API dgam_status dgam_video_count(dgam_video *v);

/* One view: T frames, cropped and resized the same way. (x, y) is the upper left corner of a rectangle of resize.w x
 * resize.h pixels of the upright picture. Pixel (c, t, row, column) goes to out[c plane + t frame + row resize.ow + column]:
 * plane = T oh ow, frame = oh ow give [3,T,H,W]; plane = oh ow, frame = 3 oh ow give [T,3,H,W]. */
typedef struct dgam_view {
  const int64_t *frames;    /* T frame numbers in any order, repeats are fine */
  size_t count;             /* T */
  int x, y;
  dgam_resize_spec resize;
  uint8_t *out;
  size_t plane, frame;      /* bytes */
} dgam_view;

/* Fills all views from one pass over the file. Frame numbers must be 0 .. frames-1 and rectangles inside the picture, else
 * DGAM_EINVAL before anything is decoded. On failure the outputs are partly written. DGAM_EFORMAT: the file is damaged, a wanted
 * frame does not come out of the decoder. A wrong info.frames has then been corrected. */
DGAM_API dgam_status dgam_video_views(dgam_video *v, const dgam_view *views, size_t n);

/* Whole frames at their own size, for n numbers: out is [n,3,H,W]. */
DGAM_API dgam_status dgam_video_frames(dgam_video *v, const int64_t *frames, size_t n, uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
