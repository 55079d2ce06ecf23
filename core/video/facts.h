/* facts.h - what one pass over a video file tells, kept on disk so that the pass is made once. Entries of an older format (the magic
 * in facts.c) are ignored. Used by reader.c and decode.c, not for other modules.
 *
 * An entry is a file in a folder that the caller names. Its name is a hash of the video's size, its time of change, its
 * first and last 4 KB and the versions of FFmpeg, so a changed video has another entry. A missing or damaged entry costs only
 * the pass. A video that changed less than two seconds ago gets no entry, because a further change might not show in its time.
 */
#ifndef DGAM_VIDEO_FACTS_H
#define DGAM_VIDEO_FACTS_H

#include <libavcodec/avcodec.h>
#include <stdint.h>

#include "store/file.h"
#include "video/index.h"

/* Where a packet lies in the file, in one piece. */
typedef struct dgam_place {
  int64_t at;
  int32_t size, flags; /* bytes; AV_PKT_FLAG_... */
} dgam_place;

typedef struct dgam_facts {
  AVCodecParameters *par;
  dgam_index index;
  dgam_place *places;      /* one for each packet; NULL: some packet is not in one piece, or carries side data */
  int stream;              /* number in the container */
  int width, height;       /* of the first frame that comes out, as stored; 0: none was decoded yet */
  int pixels;              /* its enum AVPixelFormat */
  int rotation, mirrored;  /* as in dgam_video_info */
  double fps, seconds;     /* 0: not known */
  int64_t promised;        /* packets that the container says it holds; 0: it does not say */
  int64_t held;            /* frames that the packets should give */
  int64_t frames;          /* how many the decoder puts out */
  int counted;             /* `frames` comes from decoding */
  int by_count;            /* the index does not fit the decoder: count from the start */
  uint64_t content;        /* hash of all packets, once counted; 0: not yet */
  char format[32];
  char damage[160];        /* what counting found wrong; "": nothing, or not yet counted */
} dgam_facts;

/* One more block of bytes into a hash: 8 at a time, each step a multiplication and a fold. Not against forgers. */
uint64_t dgam_facts_hash(uint64_t h, const void *data, size_t n);

/* Finds the entry of a file: 1 and *f (which was zero), or 0. */
int dgam_facts_load(dgam_facts *f, const char *folder, const dgam_input *video);

/* Writes an entry for f if possible. When the folder holds more than `limit` bytes, the files not used for longest are removed. */
void dgam_facts_save(const dgam_facts *f, const char *folder, const dgam_input *video, size_t limit);

void dgam_facts_free(dgam_facts *f); /* a zeroed one is fine */

#endif
