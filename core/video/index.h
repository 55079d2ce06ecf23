/* index.h - the order in which the packets of a video come out of its decoder, told from the bitstream alone.
 * Shared by decode.c; not for other modules.
 *
 * FFmpeg's pts and frame counts are wrong or missing in many real files (H.264 in AVI has neither), and containers call pictures key
 * that are not (AVI without its index: all of them). Neither is used where the codec says more:
 *   - codecs whose pictures stand by themselves (MJPEG, FFV1's key pictures, ProRes, ...): packet order;
 *   - VP8, VP9, AV1, Theora, FLV1, MS-MPEG-4, WMV 7 and 8: packet order, without hidden frames; the picture's own header says whether
 *     it is a key picture;
 *   - H.264, HEVC: picture order count, sorted within each coded video sequence (from one IDR to the next);
 *   - MPEG-1, 2, 4: a B picture comes out at once, any other when the next such one is decoded;
 *   - unsure: other codecs, files that do not start with a key picture, and files in which something looks odd. The caller then
 *     decodes everything, hands over what came out (dgam_index_rebuild), and tries each entry before it believes it.
 */
#ifndef DGAM_VIDEO_INDEX_H
#define DGAM_VIDEO_INDEX_H

#include <libavcodec/avcodec.h>

#include "base/status.h"
#include "video/peek.h"

/* Whether decoding may begin with a packet, for the frames from its number on. In an unsure index: whether that may be tried. */
typedef enum dgam_entry { DGAM_NO_ENTRY, DGAM_ENTRY /* for a new decoder */, DGAM_ENTRY_OF_ANY /* for a used one too */ } dgam_entry;

typedef struct dgam_index {
  size_t packets;   /* packets of the stream */
  int32_t *number;  /* packet -> frame number, -1: puts out nothing */
  uint8_t *entry;   /* packet -> dgam_entry */
  size_t frames;
  int32_t *packet;  /* frame number -> packet */
  int64_t solid;    /* frames from this number on come out right only if everything before them is decoded: the torn end of a file,
                       which the decoder fills in from what it has */
  int delay;        /* how many frames may wait in the decoder for one with an earlier number */
  int intra;        /* the codec's pictures stand by themselves */
  int unsure;       /* the order could not be told: count by decoding */

  /* while it is being built */
  size_t room;
  dgam_note *note;
  dgam_peek peek;
} dgam_index;

/* Starts an empty index for a stream; par must live until dgam_index_end. */
dgam_status dgam_index_begin(dgam_index *x, const AVCodecParameters *par);

/* Adds the next packet of the stream. */
dgam_status dgam_index_add(dgam_index *x, const AVPacket *packet);

/* Works out the order. If `par` lacks headers that packets have, it gets them, as in ffmpeg, so that a decoder can start at any
 * entry. par may be NULL. */
dgam_status dgam_index_end(dgam_index *x, AVCodecParameters *par);

/* All of the above for n packets of which each is a picture by itself. */
dgam_status dgam_index_pictures(dgam_index *x, size_t n);

/* Takes the order that was seen: frame k comes from packet from[k]. Returns 0 and changes nothing if that is impossible, as when
 * one packet gives two frames. */
int dgam_index_rebuild(dgam_index *x, const int64_t *from, size_t frames);

/* For arrays number and entry that come from elsewhere: checks that each of `frames` frames has one packet, and fills in
 * `packet` and `frames`. DGAM_EFORMAT if not. */
dgam_status dgam_index_invert(dgam_index *x, size_t frames);

void dgam_index_free(dgam_index *x);

#endif
