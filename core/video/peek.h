/* peek.h - what a packet's own bitstream says, without decoding it. Used by index.c, not for other modules.
 *
 * Containers say which pictures are key, how large they are and in which order they come. That is often wrong: recorders are killed,
 * files are remuxed, streams are cut. So only the codec is asked.
 */
#ifndef DGAM_VIDEO_PEEK_H
#define DGAM_VIDEO_PEEK_H

#include <libavcodec/avcodec.h>

#include "base/status.h"

/* What a packet is. A key picture needs nothing before it except the headers that notes of earlier packets list. */
typedef enum dgam_kind { DGAM_HIDDEN, DGAM_PICTURE, DGAM_B_PICTURE, DGAM_KEY, DGAM_KEY_RESETS_ORDER } dgam_kind;

typedef struct dgam_note {
  int32_t order;            /* picture order count (H.264, HEVC) */
  uint16_t brings, changes; /* bits: headers in the packet that a decoder keeps for later packets; those of them that are new */
  uint8_t kind;             /* dgam_kind */
  uint8_t odd;              /* 1: it cannot be told how many frames it gives, or in which order */
} dgam_note;

/* How the numbers of frames follow from packets. */
typedef enum dgam_order { DGAM_AS_PACKETS, DGAM_BY_COUNT, DGAM_LIKE_MPEG } dgam_order;

typedef struct dgam_peek {
  enum AVCodecID codec;
  const AVCodecParameters *par;
  dgam_order order;
  int intra;         /* pictures stand by themselves */
  int known;         /* 1: kinds of pictures can be told; 0: every packet with the container's key flag is DGAM_KEY */
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

/* 1 if an H.264 or HEVC packet has only parameter sets, SEI and the like. A decoder reports that such a packet holds no frame. */
int dgam_packet_is_headers(const AVCodecParameters *par, const AVPacket *packet);

#endif
