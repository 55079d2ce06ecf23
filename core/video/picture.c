/* picture.c - see picture.h
 *
 * Two ways through swscale. 8-bit 4:2:0 and 4:2:2 go through its converter for unscaled pictures, which takes each pixel by
 * itself (chroma from the nearest sample): it is what PyAV and decord give, it is fast, and any part of the picture can be
 * converted alone. Everything else takes the general way with accurate rounding, always for the whole picture, because
 * its chroma filter looks at neighbours.
 */
#include "video/picture.h"

#include <stdlib.h>

#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

static dgam_status room(uint8_t **buffer, size_t *have, size_t need) {
  if (need <= *have) return DGAM_OK;
  free(*buffer);
  *have = 0;
  *buffer = aligned_alloc(64, (need + 63) / 64 * 64);
  if (!*buffer) return dgam_fail(DGAM_ENOMEM, "no memory for a picture of %zu bytes", need);
  *have = need;
  return DGAM_OK;
}

/* Grey is full range unless the file says otherwise, as FFmpeg has it. */
static int is_grey(const AVFrame *f) {
  const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
  return d && d->nb_components < 3 && !(d->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_RGB));
}

static int full_range(const AVFrame *f) {
  switch (f->format) {
    case AV_PIX_FMT_YUVJ420P: case AV_PIX_FMT_YUVJ422P: case AV_PIX_FMT_YUVJ444P: case AV_PIX_FMT_YUVJ440P: case AV_PIX_FMT_YUVJ411P:
      return 1;
    default: return is_grey(f) ? f->color_range != AVCOL_RANGE_MPEG : f->color_range == AVCOL_RANGE_JPEG;
  }
}

static int matrix(const AVFrame *f) {
  switch (f->colorspace) {
    case AVCOL_SPC_BT709: return SWS_CS_ITU709;
    case AVCOL_SPC_FCC: return SWS_CS_FCC;
    case AVCOL_SPC_SMPTE240M: return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL: case AVCOL_SPC_BT2020_CL: return SWS_CS_BT2020;
    default: return SWS_CS_ITU601;
  }
}

/* Each pixel by itself? Rows come in pairs, so an odd height takes the general way. */
static int pointwise(const AVFrame *f) {
  switch (f->format) {
    case AV_PIX_FMT_YUV420P: case AV_PIX_FMT_YUVJ420P: case AV_PIX_FMT_YUV422P: case AV_PIX_FMT_YUVJ422P: case AV_PIX_FMT_YUVA420P:
      return f->height % 2 == 0;
    default: return 0;
  }
}

static dgam_status set_up(dgam_picture *p, const AVFrame *f, int w, int h, const char *path) {
  int range = full_range(f), m = matrix(f);
  if (p->sws && p->format == f->format && p->w == w && p->h == h && p->full_range == range && p->matrix == m) return DGAM_OK;
  int flags = pointwise(f) ? SWS_BILINEAR
                           : SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
  sws_freeContext(p->sws);
  p->sws = sws_isSupportedInput(f->format) ? sws_getContext(w, h, f->format, w, h, AV_PIX_FMT_RGB24, flags, NULL, NULL, NULL) : NULL;
  const char *name = av_get_pix_fmt_name(f->format);
  if (!p->sws) return dgam_fail(DGAM_EUNSUPPORTED, "%s: pixels of format %s cannot be turned into RGB", path, name ? name : "?");
  sws_setColorspaceDetails(p->sws, sws_getCoefficients(m), range, sws_getCoefficients(m), 1, 0, 1 << 16, 1 << 16);
  p->format = f->format, p->w = w, p->h = h, p->full_range = range, p->matrix = m;
  return DGAM_OK;
}

/* The box that shows as `b` once the picture, `w` wide, is mirrored. */
static dgam_box mirrored_box(dgam_box b, int w) { return (dgam_box){w - b.x - b.w, b.y, b.w, b.h}; }

/* The box in the stored picture (w, h) that shows as `b` once turned clockwise and mirrored. */
static dgam_box stored_box(dgam_box b, int rotation, int mirrored, int w, int h) {
  if (mirrored) b = mirrored_box(b, rotation % 180 ? h : w);
  switch (rotation) {
    case 90: return (dgam_box){b.y, h - b.x - b.w, b.h, b.w};
    case 180: return (dgam_box){w - b.x - b.w, h - b.y - b.h, b.w, b.h};
    case 270: return (dgam_box){w - b.y - b.h, b.x, b.h, b.w};
    default: return b;
  }
}

static dgam_box upright_box(dgam_box s, int rotation, int mirrored, int w, int h) {
  dgam_box b = s;
  switch (rotation) {
    case 90: b = (dgam_box){h - s.y - s.h, s.x, s.h, s.w}; break;
    case 180: b = (dgam_box){w - s.x - s.w, h - s.y - s.h, s.w, s.h}; break;
    case 270: b = (dgam_box){s.y, w - s.x - s.w, s.h, s.w}; break;
  }
  return mirrored ? mirrored_box(b, rotation % 180 ? h : w) : b;
}

/* Turns [h,w,3] clockwise and mirrors it into `to`, rows without gaps. */
static void turn(const uint8_t *from, size_t stride, int w, int h, int rotation, int mirrored, uint8_t *to) {
  int tw = rotation % 180 ? h : w, th = rotation % 180 ? w : h;
  for (int y = 0; y < th; y++)
    for (int i = 0; i < tw; i++, to += 3) {
      int x = mirrored ? tw - 1 - i : i;
      int sx = rotation == 0 ? x : rotation == 90 ? y : rotation == 180 ? w - 1 - x : w - 1 - y;
      int sy = rotation == 0 ? y : rotation == 90 ? h - 1 - x : rotation == 180 ? h - 1 - y : x;
      const uint8_t *p = from + (size_t)sy * stride + 3 * (size_t)sx;
      to[0] = p[0], to[1] = p[1], to[2] = p[2];
    }
}

/* 16..235 -> 0..255 */
static void stretch(uint8_t *p, size_t n) {
  uint8_t table[256];
  for (int i = 0; i < 256; i++) {
    int v = ((i - 16) * 510 + 219) / 438; /* to the nearest */
    table[i] = (uint8_t)(i < 16 ? 0 : v > 255 ? 255 : v);
  }
  for (size_t i = 0; i < n; i++) p[i] = table[p[i]];
}

dgam_status dgam_picture_rgb(dgam_picture *p, const AVFrame *f, int rotation, int mirrored, dgam_box *box, const uint8_t **rgb,
                             size_t *stride, const char *path) {
  dgam_box s = {0, 0, f->width, f->height};
  const uint8_t *planes[4] = {f->data[0], f->data[1], f->data[2], f->data[3]};
  if (pointwise(f)) {
    dgam_box want = stored_box(*box, rotation, mirrored, f->width, f->height);
    int right = want.x + want.w, bottom = want.y + want.h;
    s.x = want.x & ~15; /* whole groups of pixels, whole chroma samples */
    s.y = want.y & ~1;
    s.w = right - s.x;
    s.h = ((bottom + 1) & ~1) - s.y;
    int down = f->format == AV_PIX_FMT_YUV422P || f->format == AV_PIX_FMT_YUVJ422P ? 0 : 1;
    planes[0] += (ptrdiff_t)s.y * f->linesize[0] + s.x;
    for (int c = 1; c < 3; c++) planes[c] += (ptrdiff_t)(s.y >> down) * f->linesize[c] + (s.x >> 1);
    if (planes[3]) planes[3] += (ptrdiff_t)s.y * f->linesize[3] + s.x; /* alpha: swscale wants it, and does not use it */
  }
  DGAM_TRY(set_up(p, f, s.w, s.h, path));
  size_t line = ((size_t)s.w * 3 + 127) / 64 * 64; /* room past the end: swscale writes whole groups of pixels */
  DGAM_TRY(room(&p->rgb, &p->rgb_room, line * (size_t)s.h + 64));
  uint8_t *to[4] = {p->rgb};
  int to_line[4] = {(int)line};
  if (sws_scale(p->sws, planes, f->linesize, 0, s.h, to, to_line) <= 0)
    return dgam_fail(DGAM_EINTERNAL, "%s: conversion of a %d x %d picture to RGB failed", path, s.w, s.h);
  if (f->format == AV_PIX_FMT_GRAY8 && !full_range(f)) stretch(p->rgb, line * (size_t)s.h); /* swscale copies it as it is */
  *rgb = p->rgb;
  *stride = line;
  *box = upright_box(s, rotation, mirrored, f->width, f->height);
  if (rotation == 0 && !mirrored) return DGAM_OK;
  DGAM_TRY(room(&p->upright, &p->upright_room, (size_t)s.w * (size_t)s.h * 3));
  turn(p->rgb, line, s.w, s.h, rotation, mirrored, p->upright);
  *rgb = p->upright;
  *stride = 3 * (size_t)box->w;
  return DGAM_OK;
}

void dgam_picture_free(dgam_picture *p) {
  sws_freeContext(p->sws);
  free(p->rgb);
  free(p->upright);
}
