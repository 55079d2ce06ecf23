/* peek.h - what a packet's own bitstream says, without decoding it. Used by index.c, not for other modules.
 *
 * Containers say which pictures are key, how large they are and in which order they come. Recorders that were killed, remuxers and
 * streams that were cut make that wrong, so only the codec is asked.
 */
#ifndef DGAM_VIDEO_PEEK_H
#define DGAM_VIDEO_PEEK_H

#include <libavcodec/avcodec.h>

#include "base/status.h"

/* What a packet turned out to be. A key picture needs nothing before it but what notes of earlier packets say they brought. */
typedef enum dgam_kind { DGAM_HIDDEN, DGAM_PICTURE, DGAM_B_PICTURE, DGAM_KEY, DGAM_KEY_RESETS_ORDER } dgam_kind;

typedef struct dgam_note {
  int32_t order;            /* picture order count (H.264, HEVC) */
  uint16_t brings, changes; /* bits: what the packet has of that which a decoder keeps for later ones, and what of it is new */
  uint8_t kind;             /* dgam_kind */
  uint8_t odd;              /* how many frames it gives, or in which order, cannot be told */
} dgam_note;

/* How the numbers of frames follow from packets. */
typedef enum dgam_order { DGAM_AS_PACKETS, DGAM_BY_COUNT, DGAM_LIKE_MPEG } dgam_order;

typedef struct dgam_peek {
  enum AVCodecID codec;
  const AVCodecParameters *par;
  dgam_order order;
  int intra;         /* pictures stand by themselves */
  int known;         /* kinds of pictures can be told; else all that has a container's key flag is DGAM_KEY */
  size_t packets;
  uint8_t *headers;  /* the first parameter sets, sequence or VOL headers, for a stream that has none beside its packets */
  size_t n_headers;
  size_t from;       /* packet that they come from, counted from 1 */
  int length_size;   /* bytes of a NAL unit's length; 0: start codes */
  AVCodecParserContext *parser;
  AVCodecContext *context;
} dgam_peek;

/* Starts with a stream, whose parameters must live until dgam_peek_end. */
dgam_status dgam_peek_begin(dgam_peek *k, const AVCodecParameters *par);

/* Looks at the next packet. */
dgam_status dgam_peek_packet(dgam_peek *k, const AVPacket *packet, dgam_note *note);

void dgam_peek_end(dgam_peek *k); /* twice is fine */

/* 1 if an H.264 or HEVC packet has parameter sets, SEI and the like only: of such a one a decoder says that it holds no frame. */
int dgam_packet_is_headers(const AVCodecParameters *par, const AVPacket *packet);

#endif
