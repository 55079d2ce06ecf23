/* peek.c - see peek.h. Sections: start codes and NAL units, headers that a decoder keeps, pictures of each codec. */
#define _GNU_SOURCE /* memmem */
#include "video/peek.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What a decoder keeps; the tables of JPEG have a bit each. */
enum { SIDE_DATA = 1, HEADERS = 2, HUFFMAN = 4 /* 8 tables */, QUANTISERS = 1 << 10 /* 4 tables */ };

/* --- start codes and NAL units --- */

/* Next start code 00 00 01 at or after p: the byte after it, or end. */
static const uint8_t *start_code(const uint8_t *p, const uint8_t *end) {
  while (end - p > 3) {
    if (p[2] > 1) p += 3; /* no start code holds this byte */
    else if (p[2] == 1 && p[1] == 0 && p[0] == 0) return p + 3;
    else p++;
  }
  return end;
}

/* Type of the next NAL unit of an H.264 or HEVC packet, -1 if there is none. length_size 0: it follows a start code. *unit is its
 * first byte; with start codes its end is not looked for, *at is then the same. */
static int next_unit(enum AVCodecID codec, int length_size, const uint8_t **at, const uint8_t *end, const uint8_t **unit) {
  size_t n = 0;
  if (!length_size) {
    *at = start_code(*at, end);
    if (*at == end) return -1;
  } else {
    if (end - *at <= length_size) return -1;
    for (int i = 0; i < length_size; i++) n = n << 8 | *(*at)++;
  }
  *unit = *at;
  int type = codec == AV_CODEC_ID_H264 ? **at & 31 : **at >> 1 & 63;
  *at = n > (size_t)(end - *at) ? end : *at + n;
  return type;
}

/* Bytes of a NAL unit's length; 0: start codes. */
static int length_size_of(const AVCodecParameters *par) {
  int at = par->codec_id == AV_CODEC_ID_H264 ? 4 : 21;
  return par->extradata_size > at && par->extradata[0] == 1 ? (par->extradata[at] & 3) + 1 : 0;
}

int dgam_packet_is_headers(const AVCodecParameters *par, const AVPacket *packet) {
  if (par->codec_id != AV_CODEC_ID_H264 && par->codec_id != AV_CODEC_ID_HEVC) return 0;
  const uint8_t *at = packet->data, *end = packet->data + packet->size, *unit;
  int length_size = length_size_of(par), units = 0;
  for (int type; (type = next_unit(par->codec_id, length_size, &at, end, &unit)) >= 0; units++)
    if (par->codec_id == AV_CODEC_ID_H264 ? type < 6 || type > 12 : type < 32 || type > 40) return 0;
  return units > 0;
}

/* --- headers that a decoder keeps --- */

/* A palette or new codec data beside the packet. */
static int has_side_data(const AVPacket *packet) {
  for (int i = 0; i < packet->side_data_elems; i++) {
    enum AVPacketSideDataType type = packet->side_data[i].type;
    if (type == AV_PKT_DATA_PALETTE || type == AV_PKT_DATA_NEW_EXTRADATA) return 1;
  }
  return 0;
}

static dgam_status hold_headers(dgam_peek *k, const uint8_t *from, size_t n) {
  static const uint8_t code[4] = {0, 0, 0, 1};
  uint8_t *more = realloc(k->headers, k->n_headers + sizeof code + n);
  if (!more) return dgam_fail(DGAM_ENOMEM, "no memory for %zu bytes of headers", n);
  memcpy(more + k->n_headers, code, sizeof code);
  memcpy(more + k->n_headers + sizeof code, from, n);
  k->headers = more;
  k->n_headers += sizeof code + n;
  return DGAM_OK;
}

/* A header in a packet. New is what neither stands beside the packets nor in the first of them that has any, if there is nothing
 * beside them. */
static dgam_status meet_header(dgam_peek *k, const uint8_t *from, size_t n, dgam_note *note) {
  while (n && !from[n - 1]) n--; /* zeros before the next start code */
  note->brings |= HEADERS;
  if (n == 0) return DGAM_OK;
  if (!k->from) k->from = k->packets;
  if (k->par->extradata_size <= 0 && k->from == k->packets) return hold_headers(k, from, n);
  const uint8_t *had = k->par->extradata_size > 0 ? k->par->extradata : k->headers;
  size_t n_had = k->par->extradata_size > 0 ? (size_t)k->par->extradata_size : k->n_headers;
  if (!n_had || !memmem(had, n_had, from, n)) note->changes |= HEADERS;
  return DGAM_OK;
}

/* Sequence headers of MPEG-1 and 2, everything before the first picture or group of MPEG-4. */
static dgam_status mpeg_headers(dgam_peek *k, const AVPacket *p, dgam_note *note) {
  const uint8_t *at = p->data, *end = p->data + p->size, *from = NULL;
  int mpeg4 = k->codec == AV_CODEC_ID_MPEG4;
  while ((at = start_code(at, end)) < end) {
    int picture = mpeg4 ? at[0] == 0xb3 || at[0] == 0xb6 : at[0] == 0xb8 || at[0] == 0x00;
    if (picture) break;
    if (!from && (mpeg4 ? at[0] >= 0x20 && at[0] <= 0x2f : at[0] == 0xb3)) from = at;
  }
  return from ? meet_header(k, from, (size_t)((at < end ? at - 3 : end) - from), note) : DGAM_OK;
}

static dgam_status parameter_sets(dgam_peek *k, const AVPacket *p, dgam_note *note) {
  const uint8_t *at = p->data, *end = p->data + p->size, *unit;
  for (int type; (type = next_unit(k->codec, k->length_size, &at, end, &unit)) >= 0;) {
    int set = k->codec == AV_CODEC_ID_H264 ? type == 7 || type == 8 : type >= 32 && type <= 34;
    const uint8_t *stop = at;
    if (!k->length_size) {
      if (k->codec == AV_CODEC_ID_H264 ? type >= 1 && type <= 5 : type < 32) break; /* pictures: no set follows them */
      stop = start_code(unit, end);
      if (stop < end) stop -= 3;
    }
    if (set) DGAM_TRY(meet_header(k, unit, (size_t)(stop - unit), note));
  }
  return DGAM_OK;
}

/* --- pictures of each codec --- */

static int h26x_picture(dgam_peek *k, const AVPacket *p, dgam_note *note) {
  uint8_t *out;
  int out_size;
  k->parser->output_picture_number = INT_MIN;
  av_parser_parse2(k->parser, k->context, &out, &out_size, p->data, p->size, AV_NOPTS_VALUE, AV_NOPTS_VALUE, 0);
  note->order = k->parser->output_picture_number;
  note->odd |= note->order == INT_MIN;
  /* the start of a coded video sequence: IDR, or for HEVC also BLA */
  const uint8_t *at = p->data, *end = p->data + p->size, *unit;
  for (int type; (type = next_unit(k->codec, k->length_size, &at, end, &unit)) >= 0;)
    if (k->codec == AV_CODEC_ID_H264 ? type == 5 : type >= 16 && type <= 20) return DGAM_KEY_RESETS_ORDER;
  return DGAM_PICTURE;
}

/* MPEG-1, 2 and 4; odd if there is not exactly one coded picture. */
static int mpeg_picture(const dgam_peek *k, const AVPacket *p, dgam_note *note) {
  static const uint8_t kinds[] = {DGAM_KEY, DGAM_PICTURE, DGAM_B_PICTURE, DGAM_PICTURE};
  const uint8_t *at = p->data, *end = p->data + p->size;
  int mpeg4 = k->codec == AV_CODEC_ID_MPEG4, found = 0, kind = DGAM_PICTURE;
  while ((at = start_code(at, end)) < end) {
    if (at[0] != (mpeg4 ? 0xb6 : 0x00) || end - at < 3) continue;
    int code = mpeg4 ? at[1] >> 6 : (at[2] >> 3 & 7) - 1; /* I, P, B, (S or D) */
    if (code < 0 || code > 3 || (!mpeg4 && code == 3)) note->odd = 1;
    else kind = kinds[code];
    if (mpeg4 && end - at < 12) note->odd = 1; /* so short, it may say that there is no picture */
    found++;
  }
  note->odd |= found != 1;
  return kind;
}

/* Which tables a JPEG defines; odd if a decoder may not take it: a frame header that makes sense comes before the first scan. */
static int jpeg_picture(const AVPacket *p, dgam_note *note) {
  const uint8_t *at = p->data, *end = p->data + p->size;
  int frame = 0;
  note->odd = 1;
  while (end - at >= 4) {
    if (*at++ != 0xff) continue;
    int marker = *at++;
    if (marker == 0 || marker == 0xff || marker == 0xd8 || (marker >= 0xd0 && marker <= 0xd7)) {
      if (marker == 0xff) at--;
      continue;
    }
    size_t n = (size_t)at[0] << 8 | at[1];
    if (n < 2 || n > (size_t)(end - at)) break;
    if (marker >= 0xc0 && marker <= 0xc3) frame = n >= 11 && at[2] == 8 && (at[3] | at[4]) && (at[5] | at[6]);
    if (marker == 0xc4)
      for (size_t i = 2, codes; i + 17 <= n; i += 17 + codes) {
        note->brings |= (uint16_t)(HUFFMAN << ((at[i] >> 4 & 1) * 4 + (at[i] & 3)));
        codes = 0;
        for (size_t b = 1; b <= 16; b++) codes += at[i + b];
      }
    if (marker == 0xdb)
      for (size_t i = 2; i < n; i += at[i] >> 4 ? 129 : 65) note->brings |= (uint16_t)(QUANTISERS << (at[i] & 3));
    if (marker == 0xda) {
      note->odd = !frame;
      break;
    }
    at += n;
  }
  note->changes |= note->brings;
  return DGAM_KEY;
}

/* One frame of VP9: 1 if it is shown. *key is set if nothing before it is needed. */
static int vp9_frame(const uint8_t *p, size_t n, int *key) {
  *key = 0;
  if (n == 0) return 0;
  int profile = (p[0] >> 5 & 1) | (p[0] >> 3 & 2), bit = profile == 3 ? 2 : 3;
  if (p[0] >> bit & 1) return 1; /* one that was decoded before */
  *key = !(p[0] >> (bit - 1) & 1);
  return bit >= 2 ? p[0] >> (bit - 2) & 1 : 0;
}

static int vp9_picture(const AVPacket *p, dgam_note *note) {
  size_t n = (size_t)p->size;
  const uint8_t *d = p->data;
  int mark = d[n - 1], key, first, shown;
  size_t frames = (size_t)(mark & 7) + 1, bytes = (size_t)(mark >> 3 & 3) + 1, index = 2 + bytes * frames;
  if ((mark & 0xe0) == 0xc0 && n >= index && d[n - index] == mark) { /* several in one packet */
    const uint8_t *size = d + n - index + 1;
    size_t at = 0;
    shown = 0, first = 0;
    for (size_t i = 0; i < frames; i++) {
      size_t length = 0;
      for (size_t b = 0; b < bytes; b++) length |= (size_t)*size++ << (8 * b);
      if (length > n - index - at) {
        note->odd = 1;
        break;
      }
      if (length == 0) continue;
      shown += vp9_frame(d + at, length, &key);
      if (at == 0) first = key;
      at += length;
    }
  } else {
    shown = vp9_frame(d, n, &first);
  }
  note->odd |= shown > 1;
  return shown == 0 ? DGAM_HIDDEN : first ? DGAM_KEY : DGAM_PICTURE;
}

/* A temporal unit of AV1. */
static int av1_picture(const AVPacket *p, dgam_note *note) {
  size_t n = (size_t)p->size, at = 0;
  const uint8_t *d = p->data;
  int sequence = 0, frames = 0, shown = 0, key = 0;
  while (at < n) {
    int head = d[at++], type = head >> 3 & 15;
    size_t length = 0;
    if (head & 4) at++; /* extension */
    if (!(head & 2)) {
      length = n > at ? n - at : 0;
    } else {
      for (int i = 0; i < 8 && at < n; i++) {
        length |= (size_t)(d[at] & 127) << (7 * i);
        if (!(d[at++] & 128)) break;
      }
    }
    if (at > n || length > n - at) {
      note->odd = 1;
      break;
    }
    if (type == 1) sequence = 1;
    if (type == 1 && length && d[at] & 8) note->odd = 1; /* a still picture, whose headers are short */
    if ((type == 3 || type == 6) && length) {
      int again = d[at] >> 7, show = again || d[at] >> 4 & 1;
      if (!frames++) key = !again && show && (d[at] >> 5 & 3) == 0;
      shown += show;
    }
    at += length;
  }
  note->odd |= shown != 1;
  return key && sequence ? DGAM_KEY : DGAM_PICTURE;
}

/* Bits n .. n+count-1 of a packet, 0 beyond its end. */
static unsigned bits(const AVPacket *p, int n, int count) {
  unsigned v = 0;
  for (int i = n; i < n + count; i++) v = v << 1 | (i / 8 < p->size ? p->data[i / 8] >> (7 - i % 8) & 1 : 0);
  return v;
}

static int flv_picture(const AVPacket *p) {
  unsigned size = bits(p, 30, 3);
  return bits(p, 33 + (size == 0 ? 16 : size == 1 ? 32 : 0), 2) == 0 ? DGAM_KEY : DGAM_PICTURE;
}

static int kind_of(dgam_peek *k, const AVPacket *p, dgam_note *note) {
  const uint8_t *d = p->data;
  switch (k->codec) {
    case AV_CODEC_ID_MJPEG: return jpeg_picture(p, note);
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: return h26x_picture(k, p, note);
    case AV_CODEC_ID_MPEG4: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO: return mpeg_picture(k, p, note);
    case AV_CODEC_ID_VP8: return !(d[0] & 16) ? DGAM_HIDDEN : d[0] & 1 ? DGAM_PICTURE : DGAM_KEY;
    case AV_CODEC_ID_VP9: return vp9_picture(p, note);
    case AV_CODEC_ID_AV1: return av1_picture(p, note);
    case AV_CODEC_ID_THEORA: note->odd |= d[0] >> 7; return d[0] & 64 ? DGAM_PICTURE : DGAM_KEY;
    case AV_CODEC_ID_FLV1: return flv_picture(p);
    case AV_CODEC_ID_MSMPEG4V2: case AV_CODEC_ID_MSMPEG4V3: case AV_CODEC_ID_WMV1: return d[0] >> 6 ? DGAM_PICTURE : DGAM_KEY;
    case AV_CODEC_ID_WMV2: return d[0] >> 7 ? DGAM_PICTURE : DGAM_KEY;
    case AV_CODEC_ID_FFV1: return bits(p, 0, 16) >= 0x7f80 ? DGAM_KEY : DGAM_PICTURE; /* the range coder's first bit */
    default: return k->intra || p->flags & AV_PKT_FLAG_KEY ? DGAM_KEY : DGAM_PICTURE;
  }
}

/* Codecs whose every packet is a picture by itself, as far as we could make files to see. FFmpeg's own mark is on more: some of those
 * have packets that repeat what was before. */
static int is_intra(enum AVCodecID codec) {
  static const enum AVCodecID codecs[] = {
      AV_CODEC_ID_MJPEG, AV_CODEC_ID_JPEG2000, AV_CODEC_ID_JPEGLS, AV_CODEC_ID_PNG, AV_CODEC_ID_BMP, AV_CODEC_ID_TIFF,
      AV_CODEC_ID_WEBP, AV_CODEC_ID_PPM, AV_CODEC_ID_PGM, AV_CODEC_ID_TARGA, AV_CODEC_ID_RAWVIDEO, AV_CODEC_ID_HUFFYUV,
      AV_CODEC_ID_FFVHUFF, AV_CODEC_ID_UTVIDEO, AV_CODEC_ID_MAGICYUV, AV_CODEC_ID_PRORES, AV_CODEC_ID_DNXHD,
      AV_CODEC_ID_DVVIDEO, AV_CODEC_ID_HAP, AV_CODEC_ID_V210, AV_CODEC_ID_R210, AV_CODEC_ID_ASV1, AV_CODEC_ID_ASV2};
  for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
    if (codecs[i] == codec) return 1;
  return 0;
}

static int is_known(enum AVCodecID codec) {
  switch (codec) {
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: case AV_CODEC_ID_MPEG4: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_VP8: case AV_CODEC_ID_VP9: case AV_CODEC_ID_AV1: case AV_CODEC_ID_THEORA: case AV_CODEC_ID_FLV1:
    case AV_CODEC_ID_MSMPEG4V2: case AV_CODEC_ID_MSMPEG4V3: case AV_CODEC_ID_WMV1: case AV_CODEC_ID_WMV2: case AV_CODEC_ID_FFV1:
      return 1;
    default: return is_intra(codec);
  }
}

dgam_status dgam_peek_begin(dgam_peek *k, const AVCodecParameters *par) {
  memset(k, 0, sizeof *k);
  k->codec = par->codec_id;
  k->par = par;
  k->intra = is_intra(k->codec);
  k->known = is_known(k->codec);
  switch (k->codec) {
    case AV_CODEC_ID_MPEG4: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO: k->order = DGAM_LIKE_MPEG; break;
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: k->order = DGAM_BY_COUNT; break;
    default: k->order = DGAM_AS_PACKETS;
  }
  if (k->order != DGAM_BY_COUNT) return DGAM_OK;
  k->parser = av_parser_init((int)k->codec);
  k->context = avcodec_alloc_context3(NULL);
  if (!k->parser || !k->context || avcodec_parameters_to_context(k->context, par) < 0) {
    dgam_peek_end(k);
    return dgam_fail(DGAM_ENOMEM, "no memory for a parser");
  }
  k->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  k->length_size = length_size_of(par);
  return DGAM_OK;
}

dgam_status dgam_peek_packet(dgam_peek *k, const AVPacket *packet, dgam_note *note) {
  memset(note, 0, sizeof *note);
  k->packets++;
  if (has_side_data(packet)) note->brings = note->changes = SIDE_DATA;
  if (packet->size == 0 || packet->flags & AV_PKT_FLAG_DISCARD) return DGAM_OK; /* hidden */
  note->odd = (packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
  note->kind = (uint8_t)kind_of(k, packet, note);
  if (k->order == DGAM_BY_COUNT) return parameter_sets(k, packet, note);
  return k->order == DGAM_LIKE_MPEG ? mpeg_headers(k, packet, note) : DGAM_OK;
}

void dgam_peek_end(dgam_peek *k) {
  if (k->parser) av_parser_close(k->parser);
  k->parser = NULL;
  avcodec_free_context(&k->context);
  free(k->headers);
  k->headers = NULL;
  k->n_headers = 0;
}
