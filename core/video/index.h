/* index.h - the order in which the packets of a video come out of its decoder, told from the bitstream alone.
 * Shared by decode.c; not for other modules.
 *
 * FFmpeg's pts and frame counts are wrong or missing in many real files (H.264 in AVI has neither), so they are not used:
 *   - codecs that never reorder: packet order, without hidden frames (VP8) and empty packets;
 *   - H.264, HEVC: picture order count, sorted within each coded video sequence (from one IDR to the next);
 *   - MPEG-1, 2, 4: a B picture comes out at once, any other when the next such one is decoded;
 *   - the rest, and files in which something looks odd: unsure, the caller counts by decoding.
 */
#ifndef DGAM_VIDEO_INDEX_H
#define DGAM_VIDEO_INDEX_H

#include <libavcodec/avcodec.h>

#include "base/status.h"

typedef struct dgam_index {
  size_t packets;   /* packets of the stream */
  int32_t *number;  /* packet -> frame number, -1: puts out nothing */
  uint8_t *entry;   /* packet -> 1: decoding may start here for the frames from number[packet] on */
  size_t frames;
  int32_t *packet;  /* frame number -> packet */
  int delay;        /* how many frames may wait in the decoder for one with an earlier number */
  int intra;        /* the codec's pictures stand by themselves */
  int unsure;       /* the order could not be told: count by decoding */
  int width, height; /* of the first picture, as the bitstream says; 0: not known */

  /* while it is being built */
  size_t room;
  struct dgam_index_note {
    int32_t order;  /* picture order count */
    uint8_t kind;   /* see index.c */
    uint8_t alters; /* dgam_packet_alters */
  } *note;
  AVCodecParserContext *parser;
  AVCodecContext *context;
  int length_size;  /* bytes of a NAL unit's length; 0: start codes */
  enum AVCodecID codec;
} dgam_index;

/* 1 if the packet carries a palette or new codec data, which the decoder keeps for the packets after it. */
int dgam_packet_alters(const AVPacket *packet);

/* 1 if an H.264 or HEVC packet has parameter sets, SEI and the like only: of such a one a decoder says that it holds no frame. */
int dgam_packet_is_headers(const AVCodecParameters *par, const AVPacket *packet);

/* Starts an empty index for a stream. */
dgam_status dgam_index_begin(dgam_index *x, const AVCodecParameters *par);

/* Adds the next packet of the stream. */
dgam_status dgam_index_add(dgam_index *x, const AVPacket *packet);

/* Works out the order. */
dgam_status dgam_index_end(dgam_index *x);

/* All of the above for n packets of which each is a picture by itself. */
dgam_status dgam_index_pictures(dgam_index *x, size_t n);

/* For arrays number and entry that come from elsewhere: checks that each of `frames` frames has one packet, and fills in
 * `packet` and `frames`. DGAM_EFORMAT if not. */
dgam_status dgam_index_invert(dgam_index *x, size_t frames);

void dgam_index_free(dgam_index *x);

#endif
