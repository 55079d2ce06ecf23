/* encode.c - see encode.h */
#include "video/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "store/file.h"
#include "video/ffmpeg.h"

struct dgam_encoder {
  dgam_encoder_spec spec;
  char *path;            /* for messages */
  dgam_output output;    /* its temporary file is what FFmpeg writes */
  AVFormatContext *mux;
  AVCodecContext *codec;
  AVStream *stream;
  AVFrame *frame;        /* what the encoder is fed, in its pixel format */
  AVPacket *packet;
  struct SwsContext *sws; /* RGB24 -> frame's format; made on first use */
  uint8_t *even;         /* [H,W+1,3], for an odd width: swscale averages colour in pairs and reads one pixel too far */
  int64_t frames;        /* frames taken so far */
};

dgam_encoder_spec dgam_encoder_defaults(int width, int height, int fps_num, int fps_den) {
  return (dgam_encoder_spec){.width = width, .height = height, .fps_num = fps_num, .fps_den = fps_den,
                             .quality = 90, .full_range = 1, .codec = "mjpeg"};
}

/* --- quantiser tables --- */

static const uint8_t annex_k[2][64] = {
    {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,  14, 13, 16, 24, 40,  57,
     69, 56, 14, 17, 22,  29,  51,  87,  80, 62, 18, 22, 37,  56,  68,  109, 103, 77, 24, 35, 55,  64,
     81, 104, 113, 92, 49, 64,  78,  87, 103, 121, 120, 101, 72, 92, 95,  98, 112, 100, 103, 99},
    {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
     99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99}};

void dgam_encoder_jpeg_table(int quality, int chroma, uint16_t table[64]) {
  int percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  for (int i = 0; i < 64; i++) {
    int step = (annex_k[chroma != 0][i] * percent + 50) / 100;
    table[i] = (uint16_t)(step < 1 ? 1 : step > 255 ? 255 : step);
  }
  table[0] = 8;
}

/* FFmpeg multiplies its matrix by qscale / 8, so qscale 8 takes ours as it is. */
static dgam_status use_jpeg_tables(AVCodecContext *c, int quality) {
  c->intra_matrix = av_malloc(64 * sizeof *c->intra_matrix);
  c->chroma_intra_matrix = av_malloc(64 * sizeof *c->chroma_intra_matrix);
  if (!c->intra_matrix || !c->chroma_intra_matrix) return dgam_fail(DGAM_ENOMEM, "no memory for quantiser tables");
  dgam_encoder_jpeg_table(quality, 0, c->intra_matrix);
  dgam_encoder_jpeg_table(quality, 1, c->chroma_intra_matrix);
  c->flags |= AV_CODEC_FLAG_QSCALE;
  c->global_quality = 8 * FF_QP2LAMBDA;
  c->dct_algo = FF_DCT_INT; /* the one that does not depend on the processor */
  return DGAM_OK;
}

/* --- open --- */

static void release(dgam_encoder *e) {
  if (e->mux && e->mux->pb) avio_closep(&e->mux->pb);
  avformat_free_context(e->mux);
  if (e->codec) av_freep(&e->codec->chroma_intra_matrix); /* FFmpeg 5 frees only the other one */
  avcodec_free_context(&e->codec);
  av_frame_free(&e->frame);
  av_packet_free(&e->packet);
  sws_freeContext(e->sws);
  free(e->even);
  free(e->path);
  free(e);
}

void dgam_encoder_abandon(dgam_encoder **pe) {
  if (!pe || !*pe) return;
  dgam_encoder *e = *pe;
  *pe = NULL;
  if (e->mux && e->mux->pb) avio_closep(&e->mux->pb);
  dgam_output_abort(&e->output);
  release(e);
}

static dgam_status check_spec(const char *path, const dgam_encoder_spec *s) {
  if (!path || !*path) return dgam_fail(DGAM_EINVAL, "encoder: the path is empty");
  if (s->width < 1 || s->height < 1 || s->width > 16384 || s->height > 16384)
    return dgam_fail(DGAM_EINVAL, "%s: frame size is %d x %d, expected 1 to 16384 pixels a side", path, s->width, s->height);
  if (s->fps_num < 1 || s->fps_den < 1)
    return dgam_fail(DGAM_EINVAL, "%s: frame rate is %d/%d, expected more than 0", path, s->fps_num, s->fps_den);
  if (s->quality < 1 || s->quality > 100)
    return dgam_fail(DGAM_EINVAL, "%s: JPEG quality is %d, expected 1 to 100", path, s->quality);
  return DGAM_OK;
}

static dgam_status open_codec(dgam_encoder *e, const AVCodec *codec, enum AVPixelFormat pixels) {
  const dgam_encoder_spec *s = &e->spec;
  AVCodecContext *c = e->codec = avcodec_alloc_context3(codec);
  if (!c) return dgam_fail(DGAM_ENOMEM, "no memory for an encoder");
  c->width = s->width;
  c->height = s->height;
  c->pix_fmt = pixels;
  c->time_base = (AVRational){s->fps_den, s->fps_num};
  c->framerate = (AVRational){s->fps_num, s->fps_den};
  c->sample_aspect_ratio = (AVRational){1, 1};
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT;
  if (e->mux->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(pixels);
  if (!(d->flags & AV_PIX_FMT_FLAG_RGB)) {
    c->color_range = s->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    c->colorspace = s->bt709 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
  }
  if (codec->id == AV_CODEC_ID_MJPEG) DGAM_TRY(use_jpeg_tables(c, s->quality));
  AVDictionary *options = NULL;
  if (s->options && av_dict_parse_string(&options, s->options, "=", ":", 0) < 0) {
    av_dict_free(&options);
    return dgam_fail(DGAM_EINVAL, "%s: encoder options are \"%s\", expected key=value:key=value", e->path, s->options);
  }
  int r = avcodec_open2(c, codec, &options);
  const AVDictionaryEntry *unknown = r < 0 ? NULL : av_dict_get(options, "", NULL, AV_DICT_IGNORE_SUFFIX);
  dgam_status status = DGAM_OK;
  if (r < 0)
    status = dgam_ffmpeg_fail(r, "%s: encoder %s refuses %d x %d %s", e->path, codec->name, s->width, s->height, d->name);
  else if (unknown)
    status = dgam_fail(DGAM_EINVAL, "%s: encoder %s has no option '%s'", e->path, codec->name, unknown->key);
  av_dict_free(&options);
  return status;
}

static dgam_status open_file(dgam_encoder *e) {
  const dgam_encoder_spec *s = &e->spec;
  const AVCodec *codec = avcodec_find_encoder_by_name(s->codec);
  if (!codec) return dgam_fail(DGAM_EUNSUPPORTED, "%s: this FFmpeg has no encoder named '%s'", e->path, s->codec);
  enum AVPixelFormat pixels = codec->id == AV_CODEC_ID_MJPEG ? AV_PIX_FMT_YUVJ420P : AV_PIX_FMT_YUV420P;
  if (s->pixels && (pixels = av_get_pix_fmt(s->pixels)) == AV_PIX_FMT_NONE)
    return dgam_fail(DGAM_EINVAL, "%s: unknown pixel format '%s'", e->path, s->pixels);
  const AVOutputFormat *format = av_guess_format(s->format, s->format ? NULL : e->path, NULL);
  if (!format)
    return dgam_fail(DGAM_EINVAL, "%s: no container is known by '%s', expected .avi, .mp4, .mkv ...", e->path,
                     s->format ? s->format : "this file name ending");

  int r = avformat_alloc_output_context2(&e->mux, format, NULL, NULL);
  if (r < 0) return dgam_ffmpeg_fail(r, "%s: cannot start a %s file", e->path, format->name);
  e->mux->flags |= AVFMT_FLAG_BITEXACT;
  DGAM_TRY(open_codec(e, codec, pixels));

  if (!(e->stream = avformat_new_stream(e->mux, NULL))) return dgam_fail(DGAM_ENOMEM, "no memory for a video stream");
  e->stream->time_base = e->codec->time_base;
  e->stream->avg_frame_rate = e->codec->framerate;
  if ((r = avcodec_parameters_from_context(e->stream->codecpar, e->codec)) < 0)
    return dgam_ffmpeg_fail(r, "%s: cannot describe the stream", e->path);

  e->frame = av_frame_alloc();
  e->packet = av_packet_alloc();
  if (!e->frame || !e->packet) return dgam_fail(DGAM_ENOMEM, "no memory for a frame");
  e->frame->width = s->width;
  e->frame->height = s->height;
  e->frame->format = pixels;
  e->frame->color_range = e->codec->color_range;
  e->frame->colorspace = e->codec->colorspace;
  if ((r = av_frame_get_buffer(e->frame, 0)) < 0)
    return dgam_ffmpeg_fail(r, "%s: no memory for a %d x %d frame", e->path, s->width, s->height);

  DGAM_TRY(dgam_output_begin(&e->output, e->path));
  e->output.lazy = s->lazy;
  size_t n = strlen(e->output.temp) + 6;
  char *url = malloc(n);
  if (!url) return dgam_fail(DGAM_ENOMEM, "no memory for a file name");
  snprintf(url, n, "file:%s", e->output.temp);
  r = avio_open(&e->mux->pb, url, AVIO_FLAG_WRITE);
  free(url);
  if (r < 0) return dgam_ffmpeg_fail(r, "%s: cannot create the file", e->path);
  if ((r = avformat_write_header(e->mux, NULL)) < 0)
    return dgam_ffmpeg_fail(r, "%s: a %s file cannot hold %s", e->path, format->name, s->codec);
  return DGAM_OK;
}

dgam_status dgam_encoder_open(dgam_encoder **out, const char *path, const dgam_encoder_spec *spec) {
  *out = NULL;
  DGAM_TRY(check_spec(path, spec));
  dgam_ffmpeg_quiet();
  dgam_encoder *e = calloc(1, sizeof *e);
  if (!e) return dgam_fail(DGAM_ENOMEM, "no memory for an encoder");
  e->spec = *spec;
  e->output = DGAM_OUTPUT_NONE;
  if (!e->spec.codec) e->spec.codec = "mjpeg";
  e->path = strdup(path);
  dgam_status s = e->path ? open_file(e) : dgam_fail(DGAM_ENOMEM, "no memory for a file name");
  e->spec.codec = e->spec.format = e->spec.pixels = e->spec.options = NULL; /* the caller's strings, not ours */
  if (s != DGAM_OK) {
    dgam_encoder_abandon(&e);
    return s;
  }
  *out = e;
  return DGAM_OK;
}

/* --- frames --- */

static dgam_status write_packets(dgam_encoder *e) {
  for (;;) {
    int r = avcodec_receive_packet(e->codec, e->packet);
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return DGAM_OK;
    if (r < 0) return dgam_ffmpeg_fail(r, "%s: encoding failed near frame %lld", e->path, (long long)e->frames);
    if (e->packet->duration == 0) e->packet->duration = 1;
    av_packet_rescale_ts(e->packet, e->codec->time_base, e->stream->time_base);
    e->packet->stream_index = e->stream->index;
    r = av_interleaved_write_frame(e->mux, e->packet);
    if (r >= 0 && e->mux->pb->error < 0) r = e->mux->pb->error;
    if (r < 0) return dgam_ffmpeg_fail(r, "%s: cannot write frame %lld", e->path, (long long)e->frames);
  }
}

static dgam_status send_frame(dgam_encoder *e) {
  e->frame->pts = e->frames;
  e->frame->quality = e->codec->global_quality;
  int r = avcodec_send_frame(e->codec, e->frame);
  if (r < 0) return dgam_ffmpeg_fail(r, "%s: frame %lld is refused", e->path, (long long)e->frames);
  e->frames++;
  return write_packets(e);
}

static dgam_status make_writable(dgam_encoder *e) {
  int r = av_frame_make_writable(e->frame);
  return r < 0 ? dgam_ffmpeg_fail(r, "%s: no memory for a frame", e->path) : DGAM_OK;
}

/* Copies the picture with its last column repeated. */
static dgam_status widen(dgam_encoder *e, const uint8_t **rgb, size_t *stride) {
  size_t w = (size_t)e->spec.width, h = (size_t)e->spec.height, row = 3 * (w + 1);
  if (!e->even && !(e->even = malloc(h * row))) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a frame", e->path);
  for (size_t y = 0; y < h; y++) {
    memcpy(e->even + y * row, *rgb + y * *stride, 3 * w);
    memcpy(e->even + y * row + 3 * w, *rgb + y * *stride + 3 * (w - 1), 3);
  }
  *rgb = e->even;
  *stride = row;
  return DGAM_OK;
}

dgam_status dgam_encoder_rgb(dgam_encoder *e, const uint8_t *rgb, size_t stride) {
  DGAM_TRY(make_writable(e));
  int w = e->spec.width, h = e->spec.height;
  if (!stride) stride = 3 * (size_t)w;
  if (w % 2) DGAM_TRY(widen(e, &rgb, &stride));
  if (!e->sws) {
    e->sws = sws_getContext(w, h, AV_PIX_FMT_RGB24, w, h, e->frame->format,
                            SWS_AREA | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    if (!e->sws)
      return dgam_fail(DGAM_EUNSUPPORTED, "%s: RGB cannot be turned into %s", e->path, av_get_pix_fmt_name(e->frame->format));
    const int *matrix = sws_getCoefficients(e->spec.bt709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    sws_setColorspaceDetails(e->sws, matrix, 1, matrix, e->codec->color_range == AVCOL_RANGE_JPEG, 0, 1 << 16, 1 << 16);
  }
  const uint8_t *planes[4] = {rgb};
  int strides[4] = {(int)stride};
  if (sws_scale(e->sws, planes, strides, 0, h, e->frame->data, e->frame->linesize) != h)
    return dgam_fail(DGAM_EINTERNAL, "%s: colour conversion of frame %lld failed", e->path, (long long)e->frames);
  return send_frame(e);
}

dgam_status dgam_encoder_yuv420(dgam_encoder *e, const uint8_t *y, const uint8_t *u, const uint8_t *v) {
  if (e->frame->format != AV_PIX_FMT_YUV420P && e->frame->format != AV_PIX_FMT_YUVJ420P)
    return dgam_fail(DGAM_EINVAL, "%s: planes are 4:2:0, the file is %s", e->path, av_get_pix_fmt_name(e->frame->format));
  DGAM_TRY(make_writable(e));
  const uint8_t *from[3] = {y, u, v};
  for (int p = 0; p < 3; p++) {
    size_t w = p ? (size_t)(e->spec.width + 1) / 2 : (size_t)e->spec.width;
    int h = p ? (e->spec.height + 1) / 2 : e->spec.height;
    for (int i = 0; i < h; i++)
      memcpy(e->frame->data[p] + (ptrdiff_t)i * e->frame->linesize[p], from[p] + (size_t)i * w, w);
  }
  return send_frame(e);
}

/* --- end --- */

static dgam_status finish(dgam_encoder *e) {
  if (e->frames == 0) return dgam_fail(DGAM_EINVAL, "%s: no frame was written", e->path);
  int r = avcodec_send_frame(e->codec, NULL);
  if (r < 0) return dgam_ffmpeg_fail(r, "%s: cannot drain the encoder", e->path);
  DGAM_TRY(write_packets(e));
  r = av_write_trailer(e->mux);
  if (r >= 0) r = e->mux->pb->error;
  int closed = avio_closep(&e->mux->pb);
  if (r >= 0) r = closed;
  if (r < 0) return dgam_ffmpeg_fail(r, "%s: cannot write the end of the file", e->path);
  return dgam_output_commit(&e->output);
}

dgam_status dgam_encoder_finish(dgam_encoder **pe) {
  dgam_status s = finish(*pe);
  dgam_encoder_abandon(pe); /* removes the temporary file if it is still there */
  return s;
}
