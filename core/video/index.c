/* index.c - see index.h */
#include "video/index.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Frames that a decoder may hold back: H.264 and HEVC have room for 16 in all. */
enum { MOST_DELAY = 15 };

/* What a packet turned out to be. */
enum { HIDDEN, PICTURE, B_PICTURE, KEY, KEY_RESETS_ORDER };

/* --- looking into packets --- */

/* Next start code 00 00 01 at or after p: the byte after it, or end. */
static const uint8_t *start_code(const uint8_t *p, const uint8_t *end) {
  while (end - p > 3) {
    if (p[2] > 1) p += 3; /* no start code holds this byte */
    else if (p[2] == 1 && p[1] == 0 && p[0] == 0) return p + 3;
    else p++;
  }
  return end;
}

/* Type of the next NAL unit of an H.264 or HEVC packet, -1 if there is none. length_size 0: it follows a start code. */
static int next_unit(enum AVCodecID codec, int length_size, const uint8_t **at, const uint8_t *end) {
  size_t n = 0;
  if (!length_size) {
    *at = start_code(*at, end);
    if (*at == end) return -1;
  } else {
    if (end - *at <= length_size) return -1;
    for (int i = 0; i < length_size; i++) n = n << 8 | *(*at)++;
  }
  int type = codec == AV_CODEC_ID_H264 ? **at & 31 : **at >> 1 & 63;
  *at = n > (size_t)(end - *at) ? end : *at + n;
  return type;
}

/* Whether an H.264 or HEVC packet holds the start of a coded video sequence: IDR, or for HEVC also BLA. */
static int holds_idr(const dgam_index *x, const AVPacket *p) {
  const uint8_t *at = p->data, *end = p->data + p->size;
  for (int type; (type = next_unit(x->codec, x->length_size, &at, end)) >= 0;)
    if (x->codec == AV_CODEC_ID_H264 ? type == 5 : type >= 16 && type <= 20) return 1;
  return 0;
}

/* Bytes of a NAL unit's length; 0: start codes. */
static int length_size_of(const AVCodecParameters *par) {
  int at = par->codec_id == AV_CODEC_ID_H264 ? 4 : 21;
  return par->extradata_size > at && par->extradata[0] == 1 ? (par->extradata[at] & 3) + 1 : 0;
}

int dgam_packet_is_headers(const AVCodecParameters *par, const AVPacket *packet) {
  if (par->codec_id != AV_CODEC_ID_H264 && par->codec_id != AV_CODEC_ID_HEVC) return 0;
  const uint8_t *at = packet->data, *end = packet->data + packet->size;
  int length_size = length_size_of(par), units = 0;
  for (int type; (type = next_unit(par->codec_id, length_size, &at, end)) >= 0; units++)
    if (par->codec_id == AV_CODEC_ID_H264 ? type < 6 || type > 12 : type < 32 || type > 40) return 0;
  return units > 0;
}

/* Picture types in an MPEG-1, 2 or 4 packet: 'I', 'P', 'B', or 0 if there is not exactly one coded picture. */
static int mpeg_picture(const dgam_index *x, const AVPacket *p) {
  const uint8_t *at = p->data, *end = p->data + p->size;
  int mpeg4 = x->codec == AV_CODEC_ID_MPEG4, found = 0, type = 0;
  while ((at = start_code(at, end)) < end) {
    if (at[0] != (mpeg4 ? 0xb6 : 0x00) || end - at < 3) continue;
    int code = mpeg4 ? at[1] >> 6 : (at[2] >> 3 & 7) - 1; /* I, P, B, (S or D) */
    type = code < 0 || code > 3 ? 0 : "IPBP"[code];
    if (!mpeg4 && code == 3) type = 0;
    found++;
  }
  return found == 1 ? type : 0;
}

/* A JPEG that a decoder will take: a frame header that makes sense comes before the first scan. */
static int sound_jpeg(dgam_index *x, const AVPacket *p) {
  const uint8_t *at = p->data, *end = p->data + p->size;
  int frame = 0;
  while (end - at >= 4) {
    if (*at++ != 0xff) continue;
    int marker = *at++;
    if (marker == 0 || marker == 0xff || marker == 0xd8 || (marker >= 0xd0 && marker <= 0xd7)) {
      if (marker == 0xff) at--;
      continue;
    }
    size_t n = (size_t)at[0] << 8 | at[1];
    if (n < 2 || n > (size_t)(end - at)) return 0;
    if (marker >= 0xc0 && marker <= 0xc3) {
      frame = n >= 11 && at[2] == 8 && (at[3] | at[4]) && (at[5] | at[6]);
      if (frame && !x->width) x->height = at[3] << 8 | at[4], x->width = at[5] << 8 | at[6];
    }
    if (marker == 0xda) return frame;
    at += n;
  }
  return 0;
}

static int classify(dgam_index *x, const AVPacket *p, int32_t *order) {
  *order = 0;
  if (p->size == 0 || p->flags & AV_PKT_FLAG_DISCARD) return HIDDEN;
  if (p->flags & AV_PKT_FLAG_CORRUPT) x->unsure = 1;
  int key = p->flags & AV_PKT_FLAG_KEY ? KEY : PICTURE;
  switch (x->codec) {
    case AV_CODEC_ID_MJPEG:
      if (!sound_jpeg(x, p)) x->unsure = 1;
      return KEY;
    case AV_CODEC_ID_VP8: return p->data[0] & 16 ? key : HIDDEN;
    case AV_CODEC_ID_MPEG4: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO:
      switch (mpeg_picture(x, p)) {
        case 'I': return KEY;
        case 'P': return PICTURE;
        case 'B': return B_PICTURE;
      }
      x->unsure = 1;
      return PICTURE;
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: {
      uint8_t *out;
      int out_size;
      x->parser->output_picture_number = INT_MIN;
      av_parser_parse2(x->parser, x->context, &out, &out_size, p->data, p->size, AV_NOPTS_VALUE, AV_NOPTS_VALUE, 0);
      *order = x->parser->output_picture_number;
      if (!x->width) x->width = x->parser->width, x->height = x->parser->height;
      int idr = holds_idr(x, p);
      if (*order == INT_MIN || (x->packets == 1 && !idr)) x->unsure = 1; /* leading pictures may be dropped */
      return idr ? KEY_RESETS_ORDER : PICTURE;
    }
    default: return key;
  }
}

/* --- building --- */

dgam_status dgam_index_begin(dgam_index *x, const AVCodecParameters *par) {
  memset(x, 0, sizeof *x);
  x->codec = par->codec_id;
  const AVCodecDescriptor *d = avcodec_descriptor_get(par->codec_id);
  x->intra = d && d->props & AV_CODEC_PROP_INTRA_ONLY;
  switch (x->codec) {
    case AV_CODEC_ID_MPEG4: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO: break;
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: {
      x->parser = av_parser_init((int)x->codec);
      x->context = avcodec_alloc_context3(NULL);
      if (!x->parser || !x->context || avcodec_parameters_to_context(x->context, par) < 0) {
        dgam_index_free(x);
        return dgam_fail(DGAM_ENOMEM, "no memory for a parser");
      }
      x->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
      x->length_size = length_size_of(par);
      break;
    }
    default: /* a codec that may reorder, of which nothing more is known here */
      x->unsure = !x->intra && (!d || d->props & AV_CODEC_PROP_REORDER);
  }
  return DGAM_OK;
}

int dgam_packet_alters(const AVPacket *packet) {
  for (int i = 0; i < packet->side_data_elems; i++) {
    enum AVPacketSideDataType type = packet->side_data[i].type;
    if (type == AV_PKT_DATA_PALETTE || type == AV_PKT_DATA_NEW_EXTRADATA) return 1;
  }
  return 0;
}

dgam_status dgam_index_add(dgam_index *x, const AVPacket *packet) {
  if (x->packets == x->room) {
    size_t room = x->room ? 2 * x->room : 256;
    void *note = room < INT32_MAX ? realloc(x->note, room * sizeof *x->note) : NULL;
    if (!note) return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu packets", room);
    x->note = note;
    x->room = room;
  }
  struct dgam_index_note *n = &x->note[x->packets++];
  n->kind = (uint8_t)classify(x, packet, &n->order);
  n->alters = (uint8_t)dgam_packet_alters(packet);
  return DGAM_OK;
}

/* Numbers the pictures of packets begin .. end-1 by their order count; `next` is the first number. */
typedef struct dgam_index_key {
  int32_t order, packet;
} dgam_index_key;

static int by_order(const void *a, const void *b) {
  const dgam_index_key *p = a, *q = b;
  return p->order != q->order ? (p->order < q->order ? -1 : 1) : (p->packet < q->packet ? -1 : 1);
}

static int32_t number_sequence(dgam_index *x, size_t begin, size_t end, int32_t next, dgam_index_key *keys) {
  size_t n = 0;
  for (size_t i = begin; i < end; i++)
    if (x->note[i].kind != HIDDEN) keys[n++] = (dgam_index_key){x->note[i].order, (int32_t)i};
  qsort(keys, n, sizeof *keys, by_order);
  for (size_t k = 0; k < n; k++) {
    if (k && keys[k].order == keys[k - 1].order) x->unsure = 1; /* two fields in two packets, or damage */
    x->number[keys[k].packet] = next++;
  }
  return next;
}

static int32_t number_mpeg(dgam_index *x) {
  int32_t next = 0, waiting = -1;
  int references = 0;
  for (size_t i = 0; i < x->packets; i++) {
    int kind = x->note[i].kind;
    if (kind == HIDDEN) continue;
    if (kind == B_PICTURE) {
      if (references < 2) x->unsure = 1; /* without both neighbours a decoder may drop it */
      x->number[i] = next++;
      continue;
    }
    if (waiting >= 0) x->number[waiting] = next++;
    waiting = (int32_t)i;
    references++;
  }
  if (waiting >= 0) x->number[waiting] = next++;
  return next;
}

/* B pictures that come out before their I picture lean on what came earlier; they have lower numbers than it, so the
 * picture is still an entry for the frames from its own number on. A palette or codec data in a packet holds for those after
 * it, so from there on only packets that bring their own are entries. */
static void find_entries(dgam_index *x) {
  int altered = 0;
  for (size_t i = 0; i < x->packets; i++) {
    int kind = x->note[i].kind, alters = x->note[i].alters;
    altered |= alters;
    x->entry[i] = (x->parser ? kind == KEY_RESETS_ORDER : x->intra ? kind != HIDDEN : kind == KEY) && alters == altered;
  }
}

dgam_status dgam_index_invert(dgam_index *x, size_t frames) {
  if (frames > x->packets || x->delay < 0 || x->delay > MOST_DELAY) return dgam_fail(DGAM_EFORMAT, "index: out of range");
  free(x->packet);
  x->packet = malloc((x->packets + 1) * sizeof *x->packet);
  if (!x->packet) return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu packets", x->packets);
  for (size_t k = 0; k < frames; k++) x->packet[k] = -1;
  size_t found = 0;
  for (size_t i = 0; i < x->packets; i++) {
    int32_t k = x->number[i];
    if (k == -1) continue;
    if (k < 0 || (size_t)k >= frames || x->packet[k] >= 0) return dgam_fail(DGAM_EFORMAT, "index: packet %zu is frame %d", i, (int)k);
    x->packet[k] = (int32_t)i;
    found++;
  }
  if (found != frames) return dgam_fail(DGAM_EFORMAT, "index: %zu of %zu frames have a packet", found, frames);
  x->frames = frames;
  return DGAM_OK;
}

dgam_status dgam_index_end(dgam_index *x) {
  size_t n = x->packets;
  x->number = malloc((n + 1) * sizeof *x->number);
  x->entry = malloc(n + 1);
  dgam_index_key *keys = malloc((n + 1) * sizeof *keys);
  if (!x->number || !x->entry || !keys) {
    free(keys);
    return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu packets", n);
  }
  for (size_t i = 0; i < n; i++) x->number[i] = -1;
  int32_t frames = 0;
  if (x->codec == AV_CODEC_ID_H264 || x->codec == AV_CODEC_ID_HEVC) {
    for (size_t begin = 0, end; begin < n; begin = end) {
      for (end = begin + 1; end < n && x->note[end].kind != KEY_RESETS_ORDER; end++) {}
      frames = number_sequence(x, begin, end, frames, keys);
    }
  } else if (x->codec == AV_CODEC_ID_MPEG4 || x->codec == AV_CODEC_ID_MPEG1VIDEO || x->codec == AV_CODEC_ID_MPEG2VIDEO) {
    frames = number_mpeg(x);
  } else {
    for (size_t i = 0; i < n; i++)
      if (x->note[i].kind != HIDDEN) x->number[i] = frames++;
  }
  free(keys);
  int32_t decoded = 0;
  for (size_t i = 0; i < n; i++) {
    if (x->number[i] < 0) continue;
    if (decoded - x->number[i] > x->delay) x->delay = decoded - x->number[i];
    decoded++;
  }
  if (x->delay > MOST_DELAY) x->delay = 0, x->unsure = 1; /* no standard allows it, and H.264's decoder would abort */
  DGAM_TRY(dgam_index_invert(x, (size_t)frames));
  find_entries(x);
  free(x->note);
  x->note = NULL;
  if (x->parser) av_parser_close(x->parser);
  x->parser = NULL;
  avcodec_free_context(&x->context);
  return DGAM_OK;
}

dgam_status dgam_index_pictures(dgam_index *x, size_t n) {
  memset(x, 0, sizeof *x);
  x->intra = 1;
  x->note = n < INT32_MAX ? calloc(n + 1, sizeof *x->note) : NULL;
  if (!x->note) return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu pictures", n);
  for (size_t i = 0; i < n; i++) x->note[i].kind = KEY;
  x->packets = n;
  return dgam_index_end(x);
}

void dgam_index_free(dgam_index *x) {
  free(x->number);
  free(x->entry);
  free(x->packet);
  free(x->note);
  if (x->parser) av_parser_close(x->parser);
  avcodec_free_context(&x->context);
  memset(x, 0, sizeof *x);
}
