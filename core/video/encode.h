/* encode.h - writes video files: what the built-in dataset, darken and the tests need.
 *
 *     dgam_encoder_spec s = dgam_encoder_defaults(w, h, 30, 1);
 *     s.quality = 75;
 *     dgam_encoder_open(&e, "clip.avi", &s);
 *     for each frame: dgam_encoder_rgb(e, rgb, 0);
 *     dgam_encoder_finish(&e);
 *
 * The file is written under a temporary name in the same folder. finish flushes, syncs and renames it, so `path` is either
 * the whole video or what it was before. The same frames and spec give the same bytes: no dates, no library versions, one
 * encoder thread.
 *
 * MJPEG: `quality` is the JPEG quality of libjpeg (1..100): the tables of ITU-T T.81 annex K, scaled by 5000/q percent
 * below 50 and 200-2q from there on. FFmpeg fixes the DC step at 8 (one grey level), which is libjpeg's at quality 75.
 *
 * An encoder belongs to one thread at a time; different encoders may run in different threads.
 */
#ifndef DGAM_VIDEO_ENCODE_H
#define DGAM_VIDEO_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_encoder dgam_encoder;

typedef struct dgam_encoder_spec {
  int width, height;    /* pixels, 1 or more, odd is fine */
  int fps_num, fps_den; /* frames per second as a fraction, e.g. 30000/1001 */
  int quality;          /* JPEG quality 1..100 (MJPEG only) */
  int bt709;            /* 1: BT.709 luma weights, 0: BT.601 (what JPEG means) */
  int full_range;       /* 1: 0..255, 0: 16..235 (MJPEG is always full) */
  const char *codec;    /* FFmpeg encoder name, "mjpeg" by default */
  const char *format;   /* FFmpeg muxer name; NULL: from the ending of the path */
  const char *pixels;   /* FFmpeg pixel format name; NULL: 4:2:0, 8 bit */
  const char *options;  /* encoder options "key=value:key=value"; NULL: none */
  int lazy;             /* 1: renamed without a sync to disk, for files that can be made again */
} dgam_encoder_spec;

/* MJPEG at quality 90. */
DGAM_API dgam_encoder_spec dgam_encoder_defaults(int width, int height, int fps_num, int fps_den);

/* Starts a file. On failure *out is NULL and nothing is left on disk. */
DGAM_API dgam_status dgam_encoder_open(dgam_encoder **out, const char *path, const dgam_encoder_spec *spec);

/* Adds a frame: rgb is [H,W,3] uint8, rows `stride` bytes apart (0: 3 W). Not kept. */
DGAM_API dgam_status dgam_encoder_rgb(dgam_encoder *e, const uint8_t *rgb, size_t stride);

/* Adds a frame as planes: y is [H,W], u and v are [(H+1)/2,(W+1)/2] uint8, rows without gaps, in the range and matrix
 * of the spec. Only for 4:2:0, 8 bit. */
DGAM_API dgam_status dgam_encoder_yuv420(dgam_encoder *e, const uint8_t *y, const uint8_t *u, const uint8_t *v);

/* Ends the file: drains the encoder, writes the index, syncs, renames. Afterwards the encoder is gone and *e is NULL, also
 * after a failure, which leaves nothing on disk. A file without any frame is an error. */
DGAM_API dgam_status dgam_encoder_finish(dgam_encoder **e);

/* Gives up: the temporary file is removed. NULL is fine. */
DGAM_API void dgam_encoder_abandon(dgam_encoder **e);

/* The 64 quantiser steps (row by row, luma or chroma) that MJPEG uses at a quality; entry 0 is 8. */
DGAM_API void dgam_encoder_jpeg_table(int quality, int chroma, uint16_t table[64]);

#ifdef __cplusplus
}
#endif
#endif
