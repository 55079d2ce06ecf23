/* decode.c - see decode.h. Sections: reading packets, opening, running the decoder, views. */
#include "video/decode.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/pixdesc.h>

#include "video/ffmpeg.h"
#include "video/folder.h"
#include "video/index.h"
#include "video/picture.h"

struct dgam_video {
  char *path;
  dgam_video_limits limits;
  double deadline;        /* of the running call, on the monotonic clock */

  AVFormatContext *file;
  int stream;
  dgam_folder folder;     /* instead of `file` for a folder of pictures; count 0: not one */
  AVPacket *packet;       /* the last one read */
  AVPacket **kept;        /* all packets of the stream; NULL: too many bytes, they are read again */
  size_t room, bytes;     /* of `kept` */
  size_t next;            /* packet that the file would give next, when they are not kept */
  dgam_index index;

  AVCodecContext *decoder;
  AVFrame *frame;
  int64_t fed;            /* packet the decoder takes next; -1: it must be restarted */
  int draining;           /* it was told that no packet follows */
  int64_t first, last;    /* lowest frame number that is whole since the restart; last one that came out, or first - 1 */
  int64_t skipped;        /* highest frame number whose packet was fed with leave to skip it */
  int64_t frames;         /* frame count */
  int counted;            /* `frames` comes from decoding */
  uint64_t content;       /* hash of all packets, once counted */
  int by_count;           /* the index does not fit the decoder: count from the start */

  int width, height;      /* upright */
  int rotation;
  enum AVPixelFormat pixels;
  dgam_picture picture;   /* conversion to RGB */
};

/* --- giving up --- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void start_clock(dgam_video *v) { v->deadline = now() + v->limits.seconds; }

static int stopped(const dgam_video *v) {
  return (v->limits.stop && atomic_load_explicit(v->limits.stop, memory_order_relaxed)) || dgam_interrupted();
}

/* FFmpeg asks this while it waits for the file. */
static int must_stop(void *video) {
  const dgam_video *v = video;
  return stopped(v) || now() > v->deadline;
}

/* The status to hand on once must_stop() said so; DGAM_OK otherwise. */
static dgam_status check_time(const dgam_video *v) {
  if (stopped(v)) return dgam_fail_interrupted();
  if (now() > v->deadline) return dgam_fail(DGAM_EINVAL, "%s: gave up after %g s", v->path, v->limits.seconds);
  return DGAM_OK;
}

/* --- reading packets --- */

/* Containers and raw streams of video. Others that FFmpeg knows (text, playlists, devices) are not videos to us, and some
 * would open further files. */
static const char formats[] =
    "avi,mov,mp4,matroska,webm,mpeg,mpegts,mpegvideo,m4v,h264,hevc,vc1,mjpeg,asf,flv,ogg,nut,mxf,dv,gif,ivf,rm,"
    "yuv4mpegpipe,obu,3gp,image2,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe,ppm_pipe,pgm_pipe";

static dgam_status open_input(dgam_video *v) {
  AVDictionary *options = NULL;
  size_t n = strlen(v->path) + 6;
  char *url = malloc(n);
  v->file = avformat_alloc_context();
  if (!url || !v->file) {
    free(url);
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", v->path);
  }
  snprintf(url, n, "file:%s", v->path);
  v->file->interrupt_callback = (AVIOInterruptCB){must_stop, v};
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  av_dict_set(&options, "format_whitelist", formats, 0);
  av_dict_set(&options, "pattern_type", "none", 0); /* a % in a picture's name is just a % */
  int r = avformat_open_input(&v->file, url, NULL, &options);
  av_dict_free(&options);
  free(url);
  if (r >= 0) return DGAM_OK;
  DGAM_TRY(check_time(v));
  if (r == AVERROR_INVALIDDATA || r == AVERROR(EINVAL) || r == AVERROR_EOF)
    return dgam_fail(DGAM_EFORMAT, "%s: this is not a video file, or its beginning or index is missing; expected AVI, MP4, "
                     "MKV, MOV, WebM or the like", v->path);
  return dgam_ffmpeg_fail(r, "%s: cannot open the video", v->path);
}

/* Reads on to the next packet of the stream; AVERROR_EOF at the end, also of a file that was cut off. */
static int read_packet(dgam_video *v) {
  for (;;) {
    int r = av_read_frame(v->file, v->packet);
    if (r == AVERROR_INVALIDDATA) return AVERROR_EOF;
    if (r < 0 || v->packet->stream_index == v->stream) return r;
    av_packet_unref(v->packet);
  }
}

static void drop_kept(dgam_video *v) {
  for (size_t i = 0; v->kept && i < v->index.packets; i++) av_packet_free(&v->kept[i]);
  free(v->kept);
  v->kept = NULL;
}

/* Takes over v->packet as packet number index.packets, before it enters the index. */
static dgam_status keep_packet(dgam_video *v) {
  size_t i = v->index.packets;
  v->bytes += (size_t)v->packet->size;
  if (v->bytes > v->limits.bytes) {
    drop_kept(v);
    return DGAM_OK;
  }
  if (i == v->room) {
    AVPacket **more = realloc(v->kept, 2 * v->room * sizeof *more);
    if (!more) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu packets", v->path, 2 * v->room);
    v->kept = more;
    v->room *= 2;
  }
  v->kept[i] = av_packet_clone(v->packet);
  return v->kept[i] ? DGAM_OK : dgam_fail(DGAM_ENOMEM, "%s: no memory for packet %zu", v->path, i);
}

static dgam_status read_all(dgam_video *v) {
  v->room = 128;
  if (!(v->kept = malloc(v->room * sizeof *v->kept))) return dgam_fail(DGAM_ENOMEM, "%s: no memory for packets", v->path);
  DGAM_TRY(dgam_index_begin(&v->index, v->file->streams[v->stream]->codecpar));
  int r;
  while ((r = read_packet(v)) >= 0) {
    dgam_status s = check_time(v);
    if (s == DGAM_OK && v->kept) s = keep_packet(v);
    if (s == DGAM_OK && (s = dgam_index_add(&v->index, v->packet)) != DGAM_OK && v->kept)
      av_packet_free(&v->kept[v->index.packets]); /* not counted, so drop_kept would miss it */
    av_packet_unref(v->packet);
    DGAM_TRY(s);
  }
  DGAM_TRY(check_time(v));
  if (r != AVERROR_EOF) return dgam_ffmpeg_fail(r, "%s: reading stopped after packet %zu", v->path, v->index.packets);
  v->next = v->index.packets;
  return dgam_index_end(&v->index);
}

/* Packet i, owned by v. Without kept packets the file is read on, or from its start, up to packet i. */
static dgam_status get_packet(dgam_video *v, size_t i, AVPacket **out) {
  *out = v->kept ? v->kept[i] : v->packet;
  if (v->kept) return DGAM_OK;
  if (v->folder.count) {
    av_packet_unref(v->packet);
    return dgam_folder_read(&v->folder, i, v->packet);
  }
  if (i < v->next) {
    avformat_close_input(&v->file);
    DGAM_TRY(open_input(v));
    for (unsigned s = 0; s < v->file->nb_streams; s++)
      if ((int)s != v->stream) v->file->streams[s]->discard = AVDISCARD_ALL;
    v->next = 0;
  }
  for (; v->next <= i; v->next++) {
    av_packet_unref(v->packet);
    int r = read_packet(v);
    DGAM_TRY(check_time(v));
    if (r < 0) return dgam_ffmpeg_fail(r, "%s: packet %zu can no longer be read", v->path, v->next);
  }
  return DGAM_OK;
}

/* --- opening --- */

static int stream_rotation(const AVStream *stream) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  const AVPacketSideData *side = av_packet_side_data_get(stream->codecpar->coded_side_data,
                                                         stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const uint8_t *matrix = side && side->size >= 36 ? side->data : NULL;
#else
  size_t size = 0;
  const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (size < 36) matrix = NULL;
#endif
  double degrees = matrix ? -av_display_rotation_get((const int32_t *)matrix) : 0;
  if (!isfinite(degrees)) return 0;
  return ((int)lrint(degrees / 90) * 90 % 360 + 360) % 360;
}

static dgam_status start_decoder(dgam_video *v, const AVCodecParameters *par) {
  const AVCodec *codec = avcodec_find_decoder(par->codec_id);
  if (!codec)
    return dgam_fail(DGAM_EUNSUPPORTED, "%s: this FFmpeg cannot decode %s", v->path, avcodec_get_name(par->codec_id));
  v->decoder = avcodec_alloc_context3(codec);
  v->frame = av_frame_alloc();
  if (!v->decoder || !v->frame) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a decoder", v->path);
  int r = avcodec_parameters_to_context(v->decoder, par);
  if (v->decoder->has_b_frames < v->index.delay) v->decoder->has_b_frames = v->index.delay;
  v->decoder->thread_count = 1;
  v->decoder->max_pixels = (int64_t)v->limits.pixels;
  if (r >= 0) r = avcodec_open2(v->decoder, codec, NULL);
  return r < 0 ? dgam_ffmpeg_fail(r, "%s: the %s decoder does not start", v->path, codec->name) : DGAM_OK;
}

static dgam_status check_file(const char *path, int *folder) {
  struct stat st;
  if (!path || !*path) return dgam_fail(DGAM_EINVAL, "video: the path is empty");
  if (stat(path, &st) != 0) return dgam_fail(DGAM_EIO, "%s: cannot open the video: %s", path, strerror(errno));
  *folder = S_ISDIR(st.st_mode);
  if (S_ISREG(st.st_mode) && st.st_size == 0) return dgam_fail(DGAM_EFORMAT, "%s: the file is empty, expected a video", path);
  return DGAM_OK;
}

static dgam_status find_stream(dgam_video *v) {
  int named = 0; /* the container told codec and size, so nothing need be decoded to learn them */
  for (unsigned s = 0; s < v->file->nb_streams; s++) {
    const AVCodecParameters *par = v->file->streams[s]->codecpar;
    named |= par->codec_type == AVMEDIA_TYPE_VIDEO && par->codec_id != AV_CODEC_ID_NONE && par->width > 0 && par->height > 0;
  }
  if (!named) {
    int r = avformat_find_stream_info(v->file, NULL);
    DGAM_TRY(check_time(v));
    if (r < 0) return dgam_fail(DGAM_EFORMAT, "%s: no stream in this file can be made out", v->path);
  }
  v->stream = av_find_best_stream(v->file, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
  if (v->stream < 0) return dgam_fail(DGAM_EFORMAT, "%s: there is no video in this file", v->path);
  for (unsigned s = 0; s < v->file->nb_streams; s++)
    if ((int)s != v->stream) v->file->streams[s]->discard = AVDISCARD_ALL;
  return DGAM_OK;
}

/* Called for each wanted frame, which is in v->frame. */
typedef dgam_status (*frame_fn)(dgam_video *v, int64_t number, void *ctx);
static dgam_status run(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx);

static dgam_status check_size(const dgam_video *v, int w, int h) {
  if (w < 1 || h < 1)
    return dgam_fail(DGAM_EFORMAT, "%s: frames are %d x %d, expected at least 1 x 1", v->path, w, h);
  if ((size_t)w * (size_t)h > v->limits.pixels)
    return dgam_fail(DGAM_EINVAL, "%s: frames of %d x %d are over the limit of %zu pixels", v->path, w, h, v->limits.pixels);
  return DGAM_OK;
}

static dgam_status open_video(dgam_video *v) {
  DGAM_TRY(open_input(v));
  DGAM_TRY(find_stream(v));
  DGAM_TRY(read_all(v));
  const AVStream *stream = v->file->streams[v->stream];
  const AVCodecParameters *par = stream->codecpar;
  int w = v->index.width ? v->index.width : par->width, h = v->index.height ? v->index.height : par->height;
  if (v->index.frames == 0)
    return dgam_fail(DGAM_EFORMAT, "%s: there is no frame in this file (%s, %d x %d); it may be cut off", v->path,
                     avcodec_get_name(par->codec_id), w, h);
  DGAM_TRY(check_size(v, w, h));
  v->rotation = stream_rotation(stream);
  v->width = v->rotation % 180 ? h : w;
  v->height = v->rotation % 180 ? w : h;
  v->frames = (int64_t)v->index.frames;
  v->pixels = par->format;
  DGAM_TRY(start_decoder(v, par));
  if (v->index.unsure) DGAM_TRY(dgam_video_count(v));
  return DGAM_OK;
}

static dgam_status take_size(dgam_video *v, int64_t number, void *unused) {
  (void)number, (void)unused;
  v->width = v->frame->width;
  v->height = v->frame->height;
  return check_size(v, v->width, v->height);
}

/* A folder of pictures: its first one tells the size. */
static dgam_status open_folder(dgam_video *v) {
  DGAM_TRY(dgam_folder_open(&v->folder, v->path));
  DGAM_TRY(dgam_index_pictures(&v->index, v->folder.count));
  v->frames = (int64_t)v->folder.count;
  v->pixels = AV_PIX_FMT_NONE;
  AVCodecParameters *par = avcodec_parameters_alloc();
  if (!par) return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", v->path);
  par->codec_type = AVMEDIA_TYPE_VIDEO;
  par->codec_id = v->folder.codec;
  dgam_status s = start_decoder(v, par);
  avcodec_parameters_free(&par);
  DGAM_TRY(s);
  int64_t first = 0;
  return run(v, &first, 1, take_size, NULL);
}

dgam_status dgam_video_open(dgam_video **out, const char *path, const dgam_video_limits *limits) {
  *out = NULL;
  int folder = 0;
  DGAM_TRY(check_file(path, &folder));
  dgam_ffmpeg_quiet();
  dgam_video *v = calloc(1, sizeof *v);
  if (!v || !(v->path = strdup(path))) {
    free(v);
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", path);
  }
  if (limits) v->limits = *limits;
  if (v->limits.seconds <= 0) v->limits.seconds = 60;
  if (v->limits.pixels == 0) v->limits.pixels = (size_t)1 << 26;
  if (v->limits.bytes == 0) v->limits.bytes = (size_t)1 << 26;
  v->fed = -1;
  start_clock(v);
  dgam_status s = (v->packet = av_packet_alloc()) ? DGAM_OK : dgam_fail(DGAM_ENOMEM, "%s: no memory for a packet", path);
  if (s == DGAM_OK) s = folder ? open_folder(v) : open_video(v);
  if (s != DGAM_OK) {
    dgam_video_close(v);
    return s;
  }
  *out = v;
  return DGAM_OK;
}

void dgam_video_close(dgam_video *v) {
  if (!v) return;
  drop_kept(v);
  dgam_index_free(&v->index);
  dgam_folder_free(&v->folder);
  dgam_picture_free(&v->picture);
  avcodec_free_context(&v->decoder);
  avformat_close_input(&v->file);
  av_packet_free(&v->packet);
  av_frame_free(&v->frame);
  free(v->path);
  free(v);
}

static double frame_rate(const dgam_video *v) {
  if (!v->file) return 0;
  const AVStream *s = v->file->streams[v->stream];
  AVRational r = s->avg_frame_rate.num > 0 && s->avg_frame_rate.den > 0 ? s->avg_frame_rate : s->r_frame_rate;
  if (r.num > 0 && r.den > 0) return av_q2d(r);
  double seconds = s->duration > 0 ? (double)s->duration * av_q2d(s->time_base) : 0;
  return seconds > 0 ? (double)v->frames / seconds : 0;
}

void dgam_video_get_info(const dgam_video *v, dgam_video_info *info) {
  memset(info, 0, sizeof *info);
  info->width = v->width;
  info->height = v->height;
  info->rotation = v->rotation;
  info->frames = v->frames;
  info->fps = frame_rate(v);
  info->intra = v->index.intra;
  info->counted = v->counted;
  info->content = v->content;
  const char *pixels = v->pixels == AV_PIX_FMT_NONE ? NULL : av_get_pix_fmt_name(v->pixels);
  snprintf(info->codec, sizeof info->codec, "%s", avcodec_get_name(v->decoder->codec_id));
  snprintf(info->pixels, sizeof info->pixels, "%s", pixels ? pixels : "");
  snprintf(info->format, sizeof info->format, "%s", v->file ? v->file->iformat->name : "folder");
}

/* --- running the decoder --- */

/* One more packet into a hash: 8 bytes at a time, each step a multiplication and a fold. Not against forgers. */
static uint64_t hash_packet(uint64_t h, const AVPacket *p) {
  const uint64_t k = 0x9E3779B97F4A7C15u;
  size_t n = (size_t)p->size, i = 0;
  uint64_t word;
  h = (h ^ n) * k;
  for (; i + 8 <= n; i += 8) {
    memcpy(&word, p->data + i, 8);
    h = (h ^ word) * k;
    h ^= h >> 32;
  }
  for (word = 0; i < n; i++) word = word << 8 | p->data[i];
  h = (h ^ word) * k;
  return h ^ h >> 29;
}

static void restart(dgam_video *v, int64_t at, int64_t first) {
  avcodec_flush_buffers(v->decoder);
  v->fed = at;
  v->draining = 0;
  v->first = first;
  v->last = v->skipped = first - 1;
}

/* Feeds the packet that is next, or the end of the file. What a damaged packet loses shows in what comes out. The packet
 * goes into *hash unless that is NULL. */
static dgam_status feed(dgam_video *v, int skip, uint64_t *hash) {
  DGAM_TRY(check_time(v));
  AVPacket *p = NULL;
  int64_t i = v->fed;
  if (i < (int64_t)v->index.packets) {
    DGAM_TRY(get_packet(v, (size_t)i, &p));
    v->fed++;
    if (hash) *hash = hash_packet(*hash, p);
    if (p->size == 0) return DGAM_OK; /* would mean the end to the decoder */
    p->pts = i;                       /* a frame tells by its pts which packet it came from */
    p->dts = AV_NOPTS_VALUE;
    if (skip && v->index.number[i] > v->skipped) v->skipped = v->index.number[i];
  } else {
    v->draining = 1;
  }
  v->decoder->skip_frame = skip ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
  if (avcodec_send_packet(v->decoder, p) == AVERROR(ENOMEM))
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to decode packet %lld", v->path, (long long)i);
  return DGAM_OK;
}

/* The next frame the decoder has ready: 1 and v->frame, 0 if it wants another packet, -1 at the end. */
static int receive(dgam_video *v) {
  for (int errors = 0; errors < 100; errors++) { /* after an error inside a frame the decoder goes on */
    int r = avcodec_receive_frame(v->decoder, v->frame);
    if (r == AVERROR(EAGAIN)) return v->draining ? -1 : 0;
    if (r == AVERROR_EOF) return -1;
    if (r < 0) continue;
    if (v->pixels == AV_PIX_FMT_NONE) v->pixels = v->frame->format;
    return 1;
  }
  return v->draining ? -1 : 0;
}

static int is_wanted(const int64_t *wanted, size_t n, int64_t number) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (wanted[mid] < number) lo = mid + 1;
    else hi = mid;
  }
  return lo < n && wanted[lo] == number;
}

/* Where decoding may start to reach frame w. */
static int64_t entry_for(const dgam_index *x, int64_t w) {
  int64_t i = x->packet[w];
  while (i > 0 && !(x->entry[i] && x->number[i] <= w)) i--;
  return i;
}

/* Number of the frame in v->frame by the index, -1 if its packet is not known or gives none. */
static int64_t number_by_index(const dgam_video *v) {
  int64_t id = v->frame->pts;
  return id >= 0 && id < (int64_t)v->index.packets ? v->index.number[id] : -1;
}

/* Delivers frames wanted[0 .. n-1] (ascending, no repeats) by the index. As soon as the decoder puts out something else
 * than the index says, *misfit is the frame it should have been and the rest is not delivered; otherwise -1. */
static dgam_status run_by_index(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx, int64_t *misfit) {
  const dgam_index *x = &v->index;
  int64_t skipped = v->skipped; /* by earlier calls, which did not know what this one wants */
  for (size_t k = 0; k < n; k++) {
    int64_t w = wanted[k], entry = entry_for(x, w);
    if (v->fed < entry || w <= v->last || w <= skipped || w < v->first) {
      restart(v, entry, x->number[entry]);
      skipped = v->skipped;
    }
    for (;;) {
      int got = receive(v);
      if (got == 0) {
        int64_t next = v->fed;
        DGAM_TRY(feed(v, next < (int64_t)x->packets && !is_wanted(wanted, n, x->number[next]), NULL));
        continue;
      }
      int64_t number = got > 0 ? number_by_index(v) : -1;
      if (got > 0 && number >= 0 && number < v->first) continue; /* leans on frames before the entry */
      if (number <= v->last || number > w) {
        *misfit = w;
        v->fed = -1;
        return DGAM_OK;
      }
      v->last = number;
      if (number == w) break;
    }
    DGAM_TRY(fn(v, w, ctx));
  }
  *misfit = -1;
  return DGAM_OK;
}

/* Delivers frames by counting from the start of the file; n = 0 decodes it whole. *fits: all came out as the index says. */
static dgam_status run_by_count(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx, int *fits) {
  int64_t count = 0;
  int got;
  size_t k = 0, whole = n == 0;
  uint64_t hash = 1;
  *fits = 1;
  restart(v, 0, 0);
  for (; (whole || k < n) && (got = receive(v)) >= 0;) {
    if (got == 0) {
      DGAM_TRY(feed(v, 0, &hash));
      continue;
    }
    if (number_by_index(v) != count) *fits = 0;
    if (k < n && wanted[k] == count) {
      DGAM_TRY(fn(v, count, ctx));
      k++;
    }
    count++;
  }
  v->fed = -1;
  if (!whole && k == n) return DGAM_OK;
  v->content = hash;
  if (count != (int64_t)v->index.frames) *fits = 0;
  v->frames = count;
  v->counted = 1;
  if (k < n)
    return dgam_fail(DGAM_EFORMAT, "%s: frame %lld does not come out of the decoder, the last is %lld of %zu expected; the file "
                     "is damaged or cut off", v->path, (long long)wanted[k], (long long)count - 1, v->index.frames);
  return DGAM_OK;
}

static dgam_status run(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx) {
  int fits;
  int64_t misfit;
  if (!v->by_count) {
    DGAM_TRY(run_by_index(v, wanted, n, fn, ctx, &misfit));
    if (misfit < 0) return DGAM_OK;
    if (v->folder.count)
      return dgam_fail(DGAM_EFORMAT, "%s/%s: the picture cannot be decoded", v->path, v->folder.names[misfit]);
    v->by_count = 1;
  }
  return run_by_count(v, wanted, n, fn, ctx, &fits);
}

dgam_status dgam_video_count(dgam_video *v) {
  int fits;
  start_clock(v);
  DGAM_TRY(run_by_count(v, NULL, 0, NULL, NULL, &fits));
  if (v->folder.count && !fits) {
    int64_t lost = (int64_t)v->folder.count - v->frames;
    v->frames = (int64_t)v->folder.count;
    return dgam_fail(DGAM_EFORMAT, "%s: %lld of %zu pictures cannot be decoded", v->path, (long long)lost, v->folder.count);
  }
  v->by_count = !fits;
  if (v->frames == 0)
    return dgam_fail(DGAM_EFORMAT, "%s: none of the %zu frames can be decoded (%s); the file is damaged", v->path,
                     v->index.packets, avcodec_get_name(v->decoder->codec_id));
  return DGAM_OK;
}

/* --- views --- */

/* One place where a frame is needed. */
typedef struct use {
  int64_t number;
  size_t view, t;
} use;

typedef struct job {
  const dgam_view *views;
  dgam_resize **plans; /* one a view */
  use *uses;           /* by number */
  size_t n_views, n_uses;
  dgam_box box;        /* what all views need of the picture */
} job;

static int by_number(const void *a, const void *b) {
  const use *p = a, *q = b;
  return p->number != q->number ? (p->number < q->number ? -1 : 1) : 0;
}

/* A frame whose size is not that of the file (some containers lie, some streams change) gives its proportional share. */
static dgam_status resize_odd(const dgam_video *v, const dgam_view *view, const uint8_t *rgb, size_t stride, int w, int h,
                              uint8_t *out) {
  dgam_resize_spec s = view->resize;
  int x = (int)((int64_t)view->x * w / v->width), y = (int)((int64_t)view->y * h / v->height);
  s.w = (int)((int64_t)s.w * w / v->width);
  s.h = (int)((int64_t)s.h * h / v->height);
  if (s.w < 1) s.w = 1;
  if (s.h < 1) s.h = 1;
  if (x > w - s.w) x = w - s.w;
  if (y > h - s.h) y = h - s.h;
  dgam_resize *plan;
  DGAM_TRY(dgam_resize_create(&plan, &s));
  dgam_resize_run(plan, rgb + (size_t)y * stride + 3 * (size_t)x, stride, out, view->plane);
  dgam_resize_destroy(plan);
  return DGAM_OK;
}

static dgam_status deliver(dgam_video *v, int64_t number, void *ctx) {
  const job *j = ctx;
  int w = v->rotation % 180 ? v->frame->height : v->frame->width, h = v->rotation % 180 ? v->frame->width : v->frame->height;
  int odd = w != v->width || h != v->height;
  dgam_box box = odd ? (dgam_box){0, 0, w, h} : j->box;
  const uint8_t *rgb;
  size_t stride;
  DGAM_TRY(dgam_picture_rgb(&v->picture, v->frame, v->rotation, &box, &rgb, &stride, v->path));
  size_t lo = 0, hi = j->n_uses;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (j->uses[mid].number < number) lo = mid + 1;
    else hi = mid;
  }
  for (; lo < j->n_uses && j->uses[lo].number == number; lo++) {
    const dgam_view *view = &j->views[j->uses[lo].view];
    uint8_t *out = view->out + j->uses[lo].t * view->frame;
    if (odd)
      DGAM_TRY(resize_odd(v, view, rgb, stride, w, h, out));
    else
      dgam_resize_run(j->plans[j->uses[lo].view], rgb + (ptrdiff_t)(view->y - box.y) * (ptrdiff_t)stride + 3 * (view->x - box.x),
                      stride, out, view->plane);
  }
  return DGAM_OK;
}

static dgam_status check_view(const dgam_video *v, const dgam_view *view) {
  const dgam_resize_spec *s = &view->resize;
  if (view->x < 0 || view->y < 0 || s->w < 1 || s->h < 1 || view->x > v->width - s->w || view->y > v->height - s->h)
    return dgam_fail(DGAM_EINVAL, "%s: rectangle %d x %d at (%d, %d) leaves the picture of %d x %d", v->path, s->w, s->h,
                     view->x, view->y, v->width, v->height);
  for (size_t t = 0; t < view->count; t++)
    if (view->frames[t] < 0 || view->frames[t] >= v->frames)
      return dgam_fail(DGAM_EINVAL, "%s: frame %lld is wanted, the video has frames 0 to %lld", v->path,
                       (long long)view->frames[t], (long long)v->frames - 1);
  return DGAM_OK;
}

static dgam_status plan_views(dgam_video *v, job *j) {
  size_t at = 0;
  int right = 0, bottom = 0;
  j->box = (dgam_box){v->width, v->height, 0, 0};
  for (size_t i = 0; i < j->n_views; i++) {
    const dgam_view *view = &j->views[i];
    DGAM_TRY(dgam_resize_create(&j->plans[i], &view->resize));
    int x0, x1, y0, y1;
    dgam_resize_columns(j->plans[i], &x0, &x1);
    dgam_resize_rows(j->plans[i], &y0, &y1);
    if (view->x + x0 < j->box.x) j->box.x = view->x + x0;
    if (view->y + y0 < j->box.y) j->box.y = view->y + y0;
    if (view->x + x1 + 1 > right) right = view->x + x1 + 1;
    if (view->y + y1 + 1 > bottom) bottom = view->y + y1 + 1;
    for (size_t t = 0; t < view->count; t++) j->uses[at++] = (use){view->frames[t], i, t};
  }
  j->box.w = right - j->box.x;
  j->box.h = bottom - j->box.y;
  qsort(j->uses, j->n_uses, sizeof *j->uses, by_number);
  return DGAM_OK;
}

static dgam_status run_job(dgam_video *v, job *j) {
  DGAM_TRY(plan_views(v, j));
  int64_t *wanted = malloc(j->n_uses * sizeof *wanted);
  if (!wanted) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu frame numbers", v->path, j->n_uses);
  size_t n = 0;
  for (size_t i = 0; i < j->n_uses; i++)
    if (n == 0 || wanted[n - 1] != j->uses[i].number) wanted[n++] = j->uses[i].number;
  dgam_status s = run(v, wanted, n, deliver, j);
  free(wanted);
  if (s != DGAM_OK) v->fed = -1;
  return s;
}

dgam_status dgam_video_views(dgam_video *v, const dgam_view *views, size_t n) {
  job j = {.views = views, .n_views = n};
  for (size_t i = 0; i < n; i++) {
    DGAM_TRY(check_view(v, &views[i]));
    j.n_uses += views[i].count;
  }
  if (j.n_uses == 0) return DGAM_OK;
  start_clock(v);
  j.plans = calloc(n, sizeof *j.plans);
  j.uses = malloc(j.n_uses * sizeof *j.uses);
  dgam_status s = j.plans && j.uses ? run_job(v, &j) : dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu views", v->path, n);
  for (size_t i = 0; j.plans && i < n; i++) dgam_resize_destroy(j.plans[i]);
  free(j.plans);
  free(j.uses);
  return s;
}

dgam_status dgam_video_frames(dgam_video *v, const int64_t *frames, size_t n, uint8_t *out) {
  size_t plane = (size_t)v->width * (size_t)v->height;
  dgam_view whole = {.frames = frames, .count = n, .out = out, .plane = plane, .frame = 3 * plane,
                     .resize = {v->width, v->height, v->width, v->height, 0, 0, v->width, v->height, 0}};
  return dgam_video_views(v, &whole, 1);
}
