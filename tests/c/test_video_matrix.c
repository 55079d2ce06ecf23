/* Frame n is the same however it is reached, for every codec that FFmpeg here encodes, in every container that takes it: whole, cut at
 * its start, cut at its end, without the index, and with every packet marked key. The measure is what libavcodec gives that is handed
 * the packets in order by libavformat, converted by the same code (picture.c).
 *
 * An ordinary run reads every pair of codec and container whole, and of the damaged ones every fourth. Of codecs that write the like of
 * others' (uncompressed, still pictures) fewer are read. DGAM_MATRIX=all reads all of them, DGAM_MATRIX=name those of one encoder, and
 * both say more. */
#include "video_kinds.h"

#include <fcntl.h>
#include <time.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/crc.h>
#include <libavutil/opt.h>

#include "base/rng.h"
#include "video/decode.h"
#include "video/sample.h"

#include "../../core/video/picture.c"

enum { N = 30, GROUP = 10, MOST = 3 * N };

/* --- encoding: packets of a film --- */

typedef struct stream {
  AVPacket *packets[MOST];
  int n;
  AVCodecParameters *par;
  AVRational rate;
} stream;

static const struct {
  int w, h;
} sizes[] = {{64, 48}, {64, 64}, {176, 144}, {256, 128}, {720, 576}};

static const struct {
  const char *encoder, *options;
} options_of[] = {
    {"libx264", "preset=veryfast"},        {"libx264rgb", "preset=veryfast"},
    {"libx265", "preset=ultrafast:x265-params='log-level=none:pools=none:frame-threads=1'"},
    {"libaom-av1", "cpu-used=8:usage=realtime"}, {"libsvtav1", "preset=12"}, {"librav1e", "speed=10"},
    {"libvpx", "deadline=realtime:cpu-used=8"},  {"libvpx-vp9", "deadline=good:cpu-used=8:auto-alt-ref=1:lag-in-frames=8"},
    {"dnxhd", "profile=dnxhr_lb"}};

static void free_stream(stream *s) {
  for (int i = 0; i < s->n; i++) av_packet_free(&s->packets[i]);
  avcodec_parameters_free(&s->par);
  s->n = 0;
}

/* Frame k of the film in the format of f. */
static int paint(AVFrame *f, int k) {
  static uint8_t rgb[3 * 720 * 576];
  film_frame(rgb, f->width, f->height, k);
  if (f->format == AV_PIX_FMT_PAL8) {
    for (int i = 0; i < 256; i++) ((uint32_t *)(void *)f->data[1])[i] = 0xff000000u | (uint32_t)((i >> 5) * 36 << 16 | (i >> 2 & 7) * 36 << 8 | (i & 3) * 85);
    for (int y = 0; y < f->height; y++)
      for (int x = 0; x < f->width; x++) {
        const uint8_t *p = rgb + 3 * (y * f->width + x);
        f->data[0][y * f->linesize[0] + x] = (uint8_t)(p[0] >> 5 << 5 | p[1] >> 5 << 2 | p[2] >> 6);
      }
    return 1;
  }
  if (!sws_isSupportedOutput(f->format)) return 0;
  struct SwsContext *sws = sws_getContext(f->width, f->height, AV_PIX_FMT_RGB24, f->width, f->height, f->format, SWS_BILINEAR, NULL, NULL, NULL);
  const uint8_t *from[4] = {rgb};
  int line[4] = {3 * f->width};
  int ok = sws && sws_scale(sws, from, line, 0, f->height, f->data, f->linesize) > 0;
  sws_freeContext(sws);
  return ok;
}

static AVCodecContext *start_encoder(const AVCodec *codec, int w, int h, int b_frames, int global) {
  AVCodecContext *c = avcodec_alloc_context3(codec);
  AVDictionary *o = NULL;
  c->width = w, c->height = h;
  c->time_base = (AVRational){1, 25}, c->framerate = (AVRational){25, 1};
  c->pix_fmt = codec->pix_fmts ? codec->pix_fmts[0] : AV_PIX_FMT_YUV420P;
  if (strcmp(codec->name, "prores") == 0) c->pix_fmt = AV_PIX_FMT_YUV422P10;
  if (strcmp(codec->name, "libvpx-vp9") == 0) c->pix_fmt = AV_PIX_FMT_YUV420P;
  if (codec->id == AV_CODEC_ID_DNXHD) c->pix_fmt = AV_PIX_FMT_YUV422P;
  c->gop_size = GROUP, c->max_b_frames = b_frames, c->bit_rate = 400000, c->thread_count = 1;
  c->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
  if (global) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  for (size_t i = 0; i < sizeof options_of / sizeof *options_of; i++)
    if (strcmp(options_of[i].encoder, codec->name) == 0) av_dict_parse_string(&o, options_of[i].options, "=", ":", 0);
  int bad = avcodec_open2(c, codec, &o);
  av_dict_free(&o);
  if (bad < 0) avcodec_free_context(&c);
  return c;
}

static int take_packets(AVCodecContext *c, stream *s) {
  for (AVPacket *p;;) {
    if (!(p = av_packet_alloc())) return 0;
    int bad = avcodec_receive_packet(c, p);
    if (bad < 0) {
      av_packet_free(&p);
      return bad == AVERROR(EAGAIN) || bad == AVERROR_EOF;
    }
    size_t n = 0;
    const uint8_t *side = av_packet_get_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, &n); /* APNG's headers come with the last frame */
    if (side && !s->par->extradata_size && (s->par->extradata = av_mallocz(n + AV_INPUT_BUFFER_PADDING_SIZE))) {
      memcpy(s->par->extradata, side, n);
      s->par->extradata_size = (int)n;
    }
    if (s->n == MOST) return 0;
    if (!p->duration) p->duration = 1;
    s->packets[s->n++] = p;
  }
}

static int encode_with(AVCodecContext *c, stream *s, int frames) {
  AVFrame *f = av_frame_alloc();
  f->width = c->width, f->height = c->height, f->format = c->pix_fmt;
  AVCodecParameters *late = s->par = avcodec_parameters_alloc(), *par = avcodec_parameters_alloc();
  int ok = av_frame_get_buffer(f, 0) >= 0;
  for (int k = 0; ok && k <= frames; k++) {
    if (k < frames) ok = av_frame_make_writable(f) >= 0 && paint(f, k);
    f->pts = k;
    ok = ok && avcodec_send_frame(c, k < frames ? f : NULL) >= 0 && take_packets(c, s);
  }
  av_frame_free(&f);
  ok = ok && s->n > 0 && avcodec_parameters_from_context(par, c) >= 0;
  if (late->extradata_size && !par->extradata_size) {
    par->extradata = late->extradata, par->extradata_size = late->extradata_size;
    late->extradata = NULL, late->extradata_size = 0;
  }
  avcodec_parameters_free(&late);
  s->par = par;
  return ok;
}

/* Encodes with the smallest size and the most B pictures that the encoder takes. */
static int encode(const AVCodec *codec, int global, stream *s) {
  memset(s, 0, sizeof *s);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int b = codec->id == AV_CODEC_ID_WMV2 ? 0 : 2; b >= 0; b -= 2) {
      AVCodecContext *c = start_encoder(codec, sizes[i].w, sizes[i].h, b, global);
      if (!c) continue;
      int ok = encode_with(c, s, sizes[i].w > 256 ? 6 : N);
      s->rate = c->framerate;
      avcodec_free_context(&c);
      if (ok) return 1;
      free_stream(s);
    }
  return 0;
}

/* --- files --- */

/* "raw": the muxer for the codec alone. */
static const char *const containers[] = {"avi", "matroska", "webm", "mp4", "mov", "mpegts", "mpeg", "vob", "flv", "ogg", "nut", "asf", "mxf",
                                         "ivf", "rm", "3gp", "raw"};

static const char *muxer_of(const char *container, enum AVCodecID codec) {
  if (strcmp(container, "raw") != 0) return container;
  switch (codec) {
    case AV_CODEC_ID_MPEG1VIDEO: return "mpeg1video";
    case AV_CODEC_ID_MPEG2VIDEO: return "mpeg2video";
    case AV_CODEC_ID_MPEG4: return "m4v";
    case AV_CODEC_ID_H264: return "h264";
    case AV_CODEC_ID_HEVC: return "hevc";
    case AV_CODEC_ID_MJPEG: return "mjpeg";
    case AV_CODEC_ID_DVVIDEO: return "dv";
    case AV_CODEC_ID_AV1: return "obu";
    case AV_CODEC_ID_GIF: return "gif";
    case AV_CODEC_ID_APNG: return "apng";
    case AV_CODEC_ID_RAWVIDEO: return "yuv4mpegpipe";
    default: return NULL;
  }
}

static void put_big(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* APNG from its first frame on; the muxer of FFmpeg 5 crashes when it is not handed the headers with the last packet. */
static int mux_apng(const char *path, const stream *s) {
  uint8_t control[20] = {0, 0, 0, 8, 'a', 'c', 'T', 'L'};
  put_big(control + 8, (uint32_t)s->n);
  put_big(control + 16, ~av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), 0xffffffff, control + 4, 12));
  FILE *f = fopen(path, "wb");
  fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
  fwrite(s->par->extradata, 1, (size_t)s->par->extradata_size, f);
  fwrite(control, 1, sizeof control, f);
  for (int i = 0; i < s->n; i++) fwrite(s->packets[i]->data, 1, (size_t)s->packets[i]->size, f);
  fwrite("\0\0\0\0IEND\xae\x42\x60\x82", 1, 12, f);
  return fclose(f) == 0;
}

/* Writes packets first .. n-1; 0 if the container does not take them. */
static int mux_as(const char *path, const char *name, const stream *s, int first, int all_key, int tagged) {
  AVFormatContext *f = NULL;
  AVDictionary *o = NULL;
  AVPacket *p = av_packet_alloc();
  if (avformat_alloc_output_context2(&f, NULL, name, path) < 0) {
    av_packet_free(&p);
    return 0;
  }
  AVStream *to = avformat_new_stream(f, NULL);
  avcodec_parameters_copy(to->codecpar, s->par);
  if (!tagged) to->codecpar->codec_tag = 0;
  to->time_base = av_inv_q(s->rate), to->avg_frame_rate = s->rate;
  f->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
  f->flags |= AVFMT_FLAG_BITEXACT;
  if (strcmp(name, "mp4") == 0 || strcmp(name, "mov") == 0 || strcmp(name, "3gp") == 0) av_dict_set(&o, "movflags", "+faststart", 0);
  int ok = avio_open(&f->pb, path, AVIO_FLAG_WRITE) >= 0 && avformat_write_header(f, &o) >= 0, headed = ok;
  int64_t start = s->packets[first]->dts != AV_NOPTS_VALUE ? s->packets[first]->dts : s->packets[first]->pts;
  for (int i = first; ok && i < s->n; i++) {
    ok = av_packet_ref(p, s->packets[i]) >= 0;
    if (p->pts != AV_NOPTS_VALUE) p->pts -= start;
    if (p->dts != AV_NOPTS_VALUE) p->dts -= start;
    if (all_key) p->flags |= AV_PKT_FLAG_KEY;
    av_packet_rescale_ts(p, av_inv_q(s->rate), to->time_base);
    p->stream_index = 0;
    ok = ok && av_interleaved_write_frame(f, p) >= 0;
    av_packet_unref(p);
  }
  if (headed) ok = av_write_trailer(f) >= 0 && ok;
  avio_closep(&f->pb);
  avformat_free_context(f);
  av_dict_free(&o);
  av_packet_free(&p);
  if (!ok) unlink(path);
  return ok;
}

/* Some encoders name the very format by the tag that they choose, some containers want one of their own. */
static int mux(const char *path, const char *name, const stream *s, int first, int all_key) {
  if (strcmp(name, "apng") == 0) return first == 0 && !all_key && s->par->extradata_size && mux_apng(path, s);
  return (s->par->codec_tag && mux_as(path, name, s, first, all_key, 1)) || mux_as(path, name, s, first, all_key, 0);
}

static size_t find(const unsigned char *b, size_t n, const char *what, size_t m) {
  for (size_t i = n - m; i > 0; i--)
    if (memcmp(b + i, what, m) == 0) return i;
  return 0;
}

/* AVI's or Matroska's index becomes filling. */
static int drop_index(unsigned char *b, size_t n) {
  size_t at = find(b, n, "idx1", 4);
  if (at) {
    memcpy(b + at, "JUNK", 4);
    size_t avih = find(b, n, "avih", 4);
    if (avih) b[avih + 8 + 12] &= (unsigned char)~0x10;
    return 1;
  }
  at = find(b, n, "\x1c\x53\xbb\x6b", 4); /* Cues, whose size is of one byte more or less: an element of another, private id */
  if (!at || b[0] != 0x1a) return 0;
  b[at] = 0x1f, b[at + 1] = 0x77, b[at + 2] = 0x77, b[at + 3] = 0x77;
  return 1;
}

enum { WHOLE, CUT_AT_START, CUT_AT_END, NO_INDEX, ALL_KEY, TORN_AT_START, WAYS };
static const char *const way_names[] = {"whole", "cut at start", "cut at end", "no index", "all key", "torn at start"};

/* Writes a file of a kind of damage; 0 if there is none such. */
static int make_file(const char *path, const char *muxer, const stream *s, int way) {
  static const char *const loose[] = {"mpegts", "mpeg", "vob", "mpeg1video", "mpeg2video", "m4v", "h264", "hevc", "mjpeg", "dv", "obu"};
  int first = way == CUT_AT_START ? s->n * 4 / 10 + 2 : 0, torn = 0;
  if (first >= s->n - 1) return 0;
  if (!mux(path, muxer, s, first, way == ALL_KEY)) return 0;
  if (way == WHOLE || way == CUT_AT_START || way == ALL_KEY) return 1;
  size_t n;
  unsigned char *b = read_file(path, &n);
  int ok = n > 100;
  for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) torn |= strcmp(muxer, loose[i]) == 0;
  if (ok && way == NO_INDEX && (ok = drop_index(b, n))) write_file(path, b, n);
  if (ok && way == CUT_AT_END) write_file(path, b, n * 7 / 10);
  if (ok && way == TORN_AT_START && (ok = torn)) write_file(path, b + n * 4 / 10, n - n * 4 / 10);
  free(b);
  if (!ok) unlink(path);
  return ok;
}

/* --- what FFmpeg gives --- */

typedef struct truth {
  uint64_t hash[MOST];
  int w[MOST], h[MOST];
  int n;
  enum AVCodecID codec;
} truth;

static uint64_t hash_rgb(const uint8_t *p, size_t n) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u;
  return h;
}

static void note(truth *t, dgam_picture *pic, const AVFrame *f) {
  if (t->n == MOST) return;
  dgam_box box = {0, 0, f->width, f->height};
  const uint8_t *rgb;
  size_t stride, plane = (size_t)f->width * (size_t)f->height;
  t->w[t->n] = f->width, t->h[t->n] = f->height;
  t->hash[t->n] = 0;
  if (dgam_picture_rgb(pic, f, 0, 0, &box, &rgb, &stride, "truth") == DGAM_OK) {
    uint8_t *flat = malloc(3 * plane);
    for (int c = 0; c < 3; c++)
      for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++)
          flat[(size_t)c * plane + (size_t)(y * f->width + x)] = rgb[(size_t)(y - box.y) * stride + 3 * (size_t)(x - box.x) + (size_t)c];
    t->hash[t->n] = hash_rgb(flat, 3 * plane);
    free(flat);
  }
  t->n++;
}

static void find_truth(const char *path, truth *t) {
  AVFormatContext *f = NULL;
  AVFrame *frame = av_frame_alloc();
  AVPacket *p = av_packet_alloc();
  dgam_picture pic = {0};
  memset(t, 0, sizeof *t);
  if (avformat_open_input(&f, path, NULL, NULL) >= 0 && avformat_find_stream_info(f, NULL) >= 0) {
    int best = av_find_best_stream(f, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    const AVCodec *codec = best >= 0 ? avcodec_find_decoder(f->streams[best]->codecpar->codec_id) : NULL;
    AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;
    if (codec) t->codec = codec->id;
    if (c && avcodec_parameters_to_context(c, f->streams[best]->codecpar) >= 0) {
      c->thread_count = 1;
      for (int end = avcodec_open2(c, codec, NULL) < 0; !end;) {
        end = av_read_frame(f, p) < 0;
        if (!end && (p->stream_index != best || p->size == 0)) {
          av_packet_unref(p);
          continue;
        }
        avcodec_send_packet(c, end ? NULL : p);
        av_packet_unref(p);
        for (int r, errors = 0; (r = avcodec_receive_frame(c, frame)) != AVERROR(EAGAIN) && r != AVERROR_EOF && errors < 100;)
          if (r >= 0) note(t, &pic, frame);
          else errors++;
      }
    }
    avcodec_free_context(&c);
  }
  avformat_close_input(&f);
  dgam_picture_free(&pic);
  av_frame_free(&frame);
  av_packet_free(&p);
}

/* --- what we give --- */

typedef struct reading {
  const char *path, *index;
  const truth *t;
  int w, h, frames;
  int sure;         /* frames of which FFmpeg's picture is the measure; of the rest the first reading */
  int told;         /* frames that have a measure at all */
  uint64_t seen[MOST];
  char why[400];
} reading;

static int complain(reading *r, const char *what, int64_t frame) {
  if (!*r->why) snprintf(r->why, sizeof r->why, "%s, frame %lld%s%s", what, (long long)frame, frame < 0 ? ": " : "", frame < 0 ? dgam_error() : "");
  return 0;
}

/* Reads frames in the order given, all in one call or one by one. */
static int read_frames(reading *r, dgam_video *v, const int64_t *frames, size_t n, int together, const char *what) {
  size_t size = 3 * (size_t)r->w * (size_t)r->h;
  uint8_t *out = malloc((together ? n : 1) * size);
  int ok = 1;
  if (together && dgam_video_frames(v, frames, n, out) != DGAM_OK) ok = complain(r, what, -1);
  for (size_t i = 0; ok && i < n; i++) {
    int64_t k = frames[i];
    if (!together && dgam_video_frames(v, &k, 1, out) != DGAM_OK) {
      ok = complain(r, what, -1);
      break;
    }
    uint64_t h = hash_rgb(out + (together ? i * size : 0), size);
    if (!r->seen[k]) r->seen[k] = h;
    uint64_t want = k < r->sure && r->t->w[k] == r->w && r->t->h[k] == r->h ? r->t->hash[k] : r->seen[k];
    if (h != want && k < r->told) ok = complain(r, what, k);
  }
  free(out);
  return ok;
}

static int open_as_expected(reading *r, dgam_video **v, const char *what) {
  dgam_video_info info;
  dgam_video_options o = {.index = r->index};
  if (dgam_video_open(v, r->path, &o) != DGAM_OK) return complain(r, what, -1);
  dgam_video_get_info(*v, &info);
  r->w = info.width, r->h = info.height;
  if (info.frames == r->t->n && info.width == r->t->w[0] && info.height == r->t->h[0]) return 1;
  if (!*r->why)
    snprintf(r->why, sizeof r->why, "%s: %lld frames of %d x %d, expected %d of %d x %d", what, (long long)info.frames, info.width, info.height,
             r->t->n, r->t->w[0], r->t->h[0]);
  dgam_video_close(*v);
  return 0;
}

static int read_alone(reading *r, dgam_rng *g, int times, const char *what) {
  int ok = 1;
  for (int i = 0; ok && i < times; i++) {
    dgam_video *v;
    int64_t k = i == 0 ? r->t->n - 1 : (int64_t)dgam_rng_below(g, (uint64_t)r->t->n);
    if (!open_as_expected(r, &v, what)) return 0;
    ok = read_frames(r, v, &k, 1, 1, what);
    dgam_video_close(v);
  }
  return ok;
}

/* Every way of reaching frames. */
static int read_all(reading *r, int more) {
  dgam_rng g;
  dgam_video *v;
  int64_t order[MOST];
  int n = r->t->n, ok;
  dgam_rng_init(&g, 1, (uint64_t)n);
  if (!read_alone(r, &g, more ? 6 : 2, "alone")) return 0;
  if (!open_as_expected(r, &v, "opened")) return 0;
  for (int i = 0; i < n; i++) order[i] = n - 1 - i;
  ok = read_frames(r, v, order, (size_t)n, 0, "backwards");
  for (int i = 0; i < n; i++) order[i] = i;
  ok = ok && read_frames(r, v, order, (size_t)n, 1, "in order, in a used handle");
  for (int i = 0; i < n; i++) order[i] = (int64_t)dgam_rng_below(&g, (uint64_t)n);
  ok = ok && read_frames(r, v, order, (size_t)(more ? n : n / 2), 0, "at random");
  for (int stride = 2; ok && stride < 8; stride += 3) {
    size_t m = 0;
    for (int i = stride - 1; i < n; i += stride) order[m++] = i;
    ok = m == 0 || read_frames(r, v, order, m, 1, "strided");
  }
  if (ok && dgam_video_count(v) != DGAM_OK) ok = complain(r, "counted", -1);
  int64_t last = n - 1;
  ok = ok && read_frames(r, v, &last, 1, 1, "after counting");
  dgam_video_close(v);
  if (!ok || !r->index) return ok;
  return read_alone(r, &g, more ? 4 : 2, "with the index stored");
}

/* 1: right, 0: not, -1: not a file of this codec for FFmpeg or for us. */
static int check_file(const char *path, enum AVCodecID codec, int way, int more, char why[400]) {
  truth t;
  *why = 0;
  find_truth(path, &t);
  dgam_video *v;
  if (t.n && t.codec != codec && !(t.codec == AV_CODEC_ID_H263 && codec == AV_CODEC_ID_H263P)) return -1; /* the container knows it under the name of another */
  if (t.n == 0) { /* then we must not find any either */
    if (dgam_video_open(&v, path, NULL) != DGAM_OK) return -1;
    snprintf(why, 400, "opens, though FFmpeg finds no frame");
    dgam_video_close(v);
    return 0;
  }
  struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
  utimensat(AT_FDCWD, path, old, 0);
  reading r = {.path = path, .t = &t, .sure = way == CUT_AT_END ? t.n - 1 : t.n, .told = t.n};
  if (codec == AV_CODEC_ID_CFHD) r.told = r.sure; /* of half a picture its decoder shows memory that it never wrote (valgrind) */
  if (dgam_video_open(&v, path, NULL) != DGAM_OK) {
    if (strstr(dgam_error(), "this is not a video file") && way == WHOLE) return -1; /* a container that we do not take */
    snprintf(why, 400, "%s", dgam_error());
    return 0;
  }
  dgam_video_close(v);
  int ok = read_all(&r, more);
  if (ok) r.index = scratch, ok = read_all(&r, more);
  memcpy(why, r.why, 400);
  return ok;
}

static int is_plain(const AVCodec *c) {
  const AVCodecDescriptor *d = avcodec_descriptor_get(c->id);
  return d && d->props & AV_CODEC_PROP_INTRA_ONLY;
}

static int is_asked_for(const AVCodec *codec, const char *only) {
  if (!av_codec_is_encoder(codec) || codec->type != AVMEDIA_TYPE_VIDEO || codec->capabilities & AV_CODEC_CAP_HARDWARE) return 0;
  if (strncmp(codec->name, "a64", 3) == 0 || strstr(codec->name, "_omx") || strstr(codec->name, "_qsv")) return 0;
  return !only || strcmp(only, "all") == 0 || strcmp(only, codec->name) == 0;
}

static void every_codec_in_every_container(void **state) {
  (void)state;
  const char *only = getenv("DGAM_MATRIX");
  int files = 0, wrong = 0, refused = 0, encoders = 0, pairs = 0;
  void *at = NULL;
  av_log_set_level(AV_LOG_QUIET);
  for (const AVCodec *codec; (codec = av_codec_iterate(&at));) {
    if (!is_asked_for(codec, only)) continue;
    stream streams[2];
    int any = 0, made[2] = {encode(codec, 0, &streams[0]), encode(codec, 1, &streams[1])}, bad_here = 0, here = 0;
    for (size_t c = 0; c < sizeof containers / sizeof *containers; c++) {
      const char *muxer = muxer_of(containers[c], codec->id);
      const AVOutputFormat *format = muxer ? av_guess_format(muxer, NULL, NULL) : NULL;
      int global = format && format->flags & AVFMT_GLOBALHEADER;
      if (!format || !made[global]) continue;
      int taken = 0;
      for (int way = 0; way < WAYS; way++) {
        char path[600], why[400];
        snprintf(path, sizeof path, "%s/f.%.*s", scratch, (int)strcspn(format->extensions ? format->extensions : "", ","),
                 format->extensions ? format->extensions : "");
        if (!only && way != WHOLE && (pairs + way) % (is_plain(codec) ? 8 : 4)) continue;
        if (!only && way == WHOLE && is_plain(codec) && c > 4 && (pairs + (int)c) % 3) continue;
        if (!make_file(path, muxer, &streams[global], way)) continue;
        int ok = check_file(path, codec->id, way, only != NULL, why);
        if (ok < 0) {
          refused++;
          scratch_empty();
          if (way == WHOLE) break;
          continue;
        }
        taken = any = 1;
        files++, here++;
        if (!ok) {
          wrong++, bad_here++;
          print_message("%s in %s, %s: %s\n", codec->name, muxer, way_names[way], why);
        }
        scratch_empty();
      }
      pairs += taken;
    }
    encoders += any;
    if (only) print_message("%-14s %s%d files, %d wrong\n", codec->name, made[0] || made[1] ? "" : "cannot encode; ", here, bad_here);
    for (int i = 0; i < 2; i++) free_stream(&streams[i]);
  }
  print_message("%d files of %d encoders in %d pairs of encoder and container, %d wrong; %d not opened, by FFmpeg neither\n", files, encoders,
                pairs, wrong, refused);
  assert_int_equal(wrong, 0);
  assert_true(only || files > 150);
}

/* --- sizes are the decoder's --- */

/* A packet that holds two packets' bytes. */
static AVPacket *joined(const AVPacket *a, const AVPacket *b) {
  AVPacket *p = av_packet_alloc();
  assert_true(av_new_packet(p, a->size + b->size) >= 0);
  memcpy(p->data, a->data, (size_t)a->size);
  memcpy(p->data + a->size, b->data, (size_t)b->size);
  p->pts = p->dts = a->pts / 2;
  p->duration = 1, p->flags = AV_PKT_FLAG_KEY;
  return p;
}

/* Interlaced MJPEG of old capture cards: two fields of half the height in a packet. */
static void two_fields_in_a_packet(void **state) {
  (void)state;
  enum { W = 64, H = 96 };
  static const char *const muxers[] = {"avi", "matroska", "mov"};
  static uint8_t rgb[3 * W * H];
  AVCodecContext *c = start_encoder(avcodec_find_encoder_by_name("mjpeg"), W, H / 2, 0, 0);
  AVFrame *f = av_frame_alloc();
  stream fields = {0}, s = {0};
  f->width = W, f->height = H / 2, f->format = c->pix_fmt;
  assert_true(av_frame_get_buffer(f, 0) >= 0);
  struct SwsContext *sws = sws_getContext(W, H / 2, AV_PIX_FMT_RGB24, W, H / 2, f->format, SWS_BILINEAR, NULL, NULL, NULL);
  for (int k = 0; k < 2 * N; k++) {
    film_frame(rgb, W, H, k / 2);
    const uint8_t *from[4] = {rgb + 3 * W * (k % 2)};
    int line[4] = {6 * W};
    assert_true(av_frame_make_writable(f) >= 0 && sws_scale(sws, from, line, 0, H / 2, f->data, f->linesize) > 0);
    f->pts = k;
    assert_true(avcodec_send_frame(c, f) >= 0 && take_packets(c, &fields));
  }
  assert_int_equal(fields.n, 2 * N);
  for (int k = 0; k < N; k++) s.packets[s.n++] = joined(fields.packets[2 * k], fields.packets[2 * k + 1]);
  s.par = avcodec_parameters_alloc(), s.rate = c->framerate;
  avcodec_parameters_from_context(s.par, c);
  s.par->height = H;
  for (int m = 0; m < 3; m++) {
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("fields.bin"));
    assert_true(mux(path, muxers[m], &s, 0, 0));
    dgam_video *v;
    dgam_video_info info;
    int64_t order[5] = {29, 3, 17, 0, 4};
    int got[5];
    assert_ok(dgam_video_open(&v, path, NULL));
    dgam_video_get_info(v, &info);
    if (info.width != W || info.height != H || info.frames != N)
      fail_msg("%s: %lld frames of %d x %d, expected %d of %d x %d", muxers[m], (long long)info.frames, info.width, info.height, N, W, H);
    for (int i = 0; i < 5; i++) film_numbers(v, order + i, 1, W, H, got + i);
    for (int i = 0; i < 5; i++) assert_int_equal(got[i], order[i]);
    dgam_video_close(v);
  }
  sws_freeContext(sws);
  av_frame_free(&f);
  avcodec_free_context(&c);
  free_stream(&fields), free_stream(&s);
  scratch_empty();
}

/* H.264 whose parameter set crops, also on the left: the pixels are those of the uncropped film, shifted and not squeezed. */
static void crops_are_exact(void **state) {
  (void)state;
  enum { W = 160, H = 96, FRAMES = 5 };
  static const int crops[][4] = {{0, 0, 0, 0}, {6, 0, 20, 0}, {2, 4, 0, 8}, {34, 2, 36, 6}}; /* left, top, right, bottom */
  static uint8_t whole[3 * FRAMES * W * H], cropped[3 * FRAMES * W * H];
  for (size_t i = 0; i < sizeof crops / sizeof *crops; i++) {
    const int *r = crops[i], w = W - r[0] - r[2], h = H - r[1] - r[3];
    char options[128], path[512];
    snprintf(options, sizeof options, "preset=ultrafast:x264-params='crop-rect=%d,%d,%d,%d'", r[0], r[1], r[2], r[3]);
    snprintf(path, sizeof path, "%s", scratch_path(i % 2 ? "crop.mp4" : "crop.mkv"));
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.codec = "libx264", s.options = options;
    dgam_status status = film_write(path, &s, FRAMES);
    if (status == DGAM_EUNSUPPORTED) skip();
    assert_ok(status);
    dgam_video *v;
    dgam_video_info info;
    int64_t all[FRAMES] = {0, 1, 2, 3, 4};
    assert_ok(dgam_video_open(&v, path, NULL));
    dgam_video_get_info(v, &info);
    if (info.width != w || info.height != h) fail_msg("%s: %d x %d, expected %d x %d", options, info.width, info.height, w, h);
    assert_ok(dgam_video_frames(v, all, FRAMES, i ? cropped : whole));
    for (int k = 0; i && k < 3 * FRAMES; k++)
      for (int y = 0; y < h; y++)
        if (memcmp(cropped + (k * h + y) * w, whole + (k * H + y + r[1]) * W + r[0], (size_t)w) != 0)
          fail_msg("%s: frame %d, channel %d, row %d is not that of the uncropped film", options, k / 3, k % 3, y);
    dgam_video_close(v);
  }
  scratch_empty();
}

/* --- readings are alike --- */

/* Of a file that starts before a key picture: the same views the first time, with what is known of it stored, and from that. */
static void first_and_later_readings(void **state) {
  (void)state;
  static const struct {
    const char *encoder, *muxer;
  } kinds[] = {{"libvpx", "webm"}, {"libvpx-vp9", "webm"}, {"libaom-av1", "matroska"}, {"mpeg4", "avi"}, {"msmpeg4", "avi"}, {"flv", "flv"}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const AVCodec *codec = avcodec_find_encoder_by_name(kinds[i].encoder);
    stream s;
    char path[512];
    const AVOutputFormat *format = av_guess_format(kinds[i].muxer, NULL, NULL);
    if (!codec || !encode(codec, format->flags & AVFMT_GLOBALHEADER, &s)) continue;
    snprintf(path, sizeof path, "%s", scratch_path("f.bin"));
    if (!make_file(path, kinds[i].muxer, &s, CUT_AT_START)) fail_msg("%s does not go into %s", kinds[i].encoder, kinds[i].muxer);
    struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
    utimensat(AT_FDCWD, path, old, 0);
    dgam_sampling how = dgam_sampling_defaults();
    how.clip_len = 6, how.out_w = how.out_h = 32;
    size_t n = dgam_sampling_bytes(&how);
    uint8_t *first = malloc(n), *later = malloc(n);
    int64_t frames = 0;
    for (int turn = 0; turn < 4; turn++) {
      dgam_video *v;
      dgam_video_info info;
      assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = turn ? scratch : NULL}));
      dgam_video_get_info(v, &info);
      assert_ok(dgam_video_sample(v, &how, turn ? later : first));
      if (turn && (memcmp(first, later, n) != 0 || info.frames != frames))
        fail_msg("%s in %s: reading %d gives other views, or %lld frames and not %lld", kinds[i].encoder, kinds[i].muxer, turn + 1,
                 (long long)info.frames, (long long)frames);
      frames = info.frames;
      dgam_video_close(v);
    }
    free(first), free(later);
    free_stream(&s);
    scratch_empty();
  }
}

/* --- what is no video --- */

static void covers_and_animated_webp(void **state) {
  (void)state;
  dgam_video *v;
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path("song.mka"));
  stream s;
  assert_true(encode(avcodec_find_encoder_by_name("mjpeg"), 0, &s));
  AVFormatContext *f = NULL;
  assert_true(avformat_alloc_output_context2(&f, NULL, "matroska", path) >= 0);
  AVStream *sound = avformat_new_stream(f, NULL), *cover = avformat_new_stream(f, NULL);
  sound->codecpar->codec_type = AVMEDIA_TYPE_AUDIO, sound->codecpar->codec_id = AV_CODEC_ID_PCM_S16LE;
  sound->codecpar->sample_rate = 8000, sound->codecpar->format = AV_SAMPLE_FMT_S16, sound->codecpar->bits_per_coded_sample = 16;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(59, 24, 100)
  av_channel_layout_default(&sound->codecpar->ch_layout, 1);
#else
  sound->codecpar->channels = 1;
#endif
  cover->codecpar->codec_type = AVMEDIA_TYPE_ATTACHMENT, cover->codecpar->codec_id = AV_CODEC_ID_MJPEG;
  cover->codecpar->extradata = av_mallocz((size_t)s.packets[0]->size + AV_INPUT_BUFFER_PADDING_SIZE);
  cover->codecpar->extradata_size = s.packets[0]->size;
  memcpy(cover->codecpar->extradata, s.packets[0]->data, (size_t)s.packets[0]->size);
  av_dict_set(&cover->metadata, "filename", "cover.jpg", 0);
  av_dict_set(&cover->metadata, "mimetype", "image/jpeg", 0);
  assert_true(avio_open(&f->pb, path, AVIO_FLAG_WRITE) >= 0 && avformat_write_header(f, NULL) >= 0);
  AVPacket *p = av_packet_alloc();
  assert_true(av_new_packet(p, 1600) >= 0);
  memset(p->data, 0, 1600);
  p->pts = p->dts = 0;
  assert_true(av_interleaved_write_frame(f, p) >= 0 && av_write_trailer(f) >= 0);
  av_packet_free(&p);
  avio_closep(&f->pb);
  avformat_free_context(f);
  free_stream(&s);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EFORMAT, "there is no video in this file, only the picture of a cover");

  static const uint8_t webp[60] = {'R', 'I', 'F', 'F', 52, 0, 0, 0, 'W', 'E', 'B', 'P', 'V', 'P', '8', 'X', 10, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 7, 0, 0,
                                   'A', 'N', 'I', 'M', 6, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  snprintf(path, sizeof path, "%s", scratch_path("moving.webp"));
  write_file(path, webp, sizeof webp);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EUNSUPPORTED, "moving.webp: animated WebP is not supported");
  scratch_empty();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_fields_in_a_packet), cmocka_unit_test(crops_are_exact), cmocka_unit_test(first_and_later_readings),
      cmocka_unit_test(covers_and_animated_webp), cmocka_unit_test(every_codec_in_every_container)};
  return cmocka_run_group_tests_name("video_matrix", tests, scratch_make, scratch_remove);
}
