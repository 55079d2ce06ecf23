/* decode.c - see decode.h. Sections: opening, running the decoder, reaching frames, going through a file, views. */
#include "video/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>

#include "video/ffmpeg.h"
#include "video/picture.h"
#include "video/reader.h"
#include "video/whole.h"

struct dgam_video {
  dgam_reader reader;     /* packets */
  dgam_facts *facts;      /* of the reader: what is known of the file */
  const char *path;
  AVCodecContext *decoder;
  AVFrame *frame;
  int fresh;              /* the decoder was given nothing yet */
  int clearing;           /* the packet in hand may be half a picture: what it leaves out is 0, not what lay in memory */
  int64_t began, fed;     /* packets: it began with, and takes next; fed -1: it must be restarted */
  int draining;           /* it was told that no packet follows */
  int64_t first, last;    /* lowest frame number that is whole since the restart; last one that came out, or first - 1 */
  int64_t skipped;        /* highest frame number whose packet was fed with leave to skip it */
  int judging;            /* the decoder has what it needs, so that an error from now on is the file's */
  int64_t faults, latest; /* packets that gave errors while judging, and are followed by a sound frame; those since then */
  int64_t faulty;         /* the last of them */
  int width, height;      /* upright; 0: no frame was seen yet */
  dgam_picture picture;   /* conversion to RGB */
};

/* --- opening --- */

/* Decoders use pictures again, so that half a picture would show what was decoded before. */
static int get_buffer(AVCodecContext *decoder, AVFrame *f, int flags) {
  const dgam_video *v = decoder->opaque;
  int bad = avcodec_default_get_buffer2(decoder, f, flags);
  for (int i = 0; bad >= 0 && v->clearing && i < AV_NUM_DATA_POINTERS && f->buf[i]; i++) memset(f->buf[i]->data, 0, f->buf[i]->size);
  return bad;
}

static dgam_status start_decoder(dgam_video *v) {
  const AVCodecParameters *par = v->facts->par;
  const AVCodec *codec = avcodec_find_decoder(par->codec_id);
  if (!codec) return dgam_fail(DGAM_EUNSUPPORTED, "%s: this FFmpeg cannot decode %s", v->path, avcodec_get_name(par->codec_id));
  v->decoder = avcodec_alloc_context3(codec);
  if (!v->frame) v->frame = av_frame_alloc();
  if (!v->decoder || !v->frame) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a decoder", v->path);
  int r = avcodec_parameters_to_context(v->decoder, par);
  if (v->decoder->has_b_frames < v->facts->index.delay) v->decoder->has_b_frames = v->facts->index.delay;
  v->decoder->thread_count = 1;
  v->decoder->flags |= AV_CODEC_FLAG_UNALIGNED; /* crops on the left as the file says, to the pixel */
  v->decoder->opaque = v;
  v->decoder->get_buffer2 = get_buffer;
  v->fresh = 1;
  v->decoder->max_pixels = (int64_t)v->reader.options.pixels;
  if (r >= 0) r = avcodec_open2(v->decoder, codec, NULL);
  return r < 0 ? dgam_ffmpeg_fail(r, "%s: the %s decoder does not start", v->path, codec->name) : DGAM_OK;
}

static dgam_status check_size(const dgam_video *v, int w, int h) {
  if (w < 1 || h < 1)
    return dgam_fail(DGAM_EFORMAT, "%s: frames are %d x %d, expected at least 1 x 1", v->path, w, h);
  if ((size_t)w * (size_t)h > v->reader.options.pixels)
    return dgam_fail(DGAM_EINVAL, "%s: frames of %d x %d are over the limit of %zu pixels", v->path, w, h, v->reader.options.pixels);
  return DGAM_OK;
}

/* How the decoded frame is to be shown. A file says it for all of its frames; a picture of a folder for itself, in its EXIF data,
 * which FFmpeg 8 gives as a matrix and earlier ones as text. */
static void find_orientation(const dgam_video *v, int *rotation, int *mirrored) {
  static const int turns[] = {0, 0, 180, 180, 90, 90, 270, 270};
  int folder = v->reader.folder.count > 0;
  *rotation = folder ? 0 : v->facts->rotation;
  *mirrored = folder ? 0 : v->facts->mirrored;
  if (!folder) return;
  const AVFrameSideData *side = av_frame_get_side_data(v->frame, AV_FRAME_DATA_DISPLAYMATRIX);
  const AVDictionaryEntry *exif = av_dict_get(v->frame->metadata, "Orientation", NULL, 0);
  if (side && side->size >= 36) {
    dgam_ffmpeg_orientation(side->data, rotation, mirrored);
  } else if (exif) {
    long n = strtol(exif->value, NULL, 10); /* 1 to 8 */
    if (n < 1 || n > 8) return;
    *rotation = turns[n - 1];
    *mirrored = n == 2 || n == 4 || n == 5 || n == 7;
  }
}

static void set_size(dgam_video *v) {
  const dgam_facts *f = v->facts;
  v->width = f->rotation % 180 ? f->height : f->width;
  v->height = f->rotation % 180 ? f->width : f->height;
}

/* Of the first frame. Containers and parsers may say another size than the decoder gives. */
static void take_size(dgam_video *v) {
  dgam_facts *f = v->facts;
  find_orientation(v, &f->rotation, &f->mirrored);
  f->width = v->frame->width;
  f->height = v->frame->height;
  f->pixels = v->frame->format;
  set_size(v);
}

static dgam_status look(dgam_video *v);

static dgam_status open_video(dgam_video *v, const char *path, const dgam_video_options *options) {
  DGAM_TRY(dgam_reader_open(&v->reader, path, options));
  const dgam_facts *f = v->facts = &v->reader.facts;
  v->path = v->reader.path;
  set_size(v);
  if (!v->width && f->par->width > 0 && f->par->height > 0) DGAM_TRY(check_size(v, f->par->width, f->par->height));
  DGAM_TRY(start_decoder(v));
  if (!v->width) DGAM_TRY(look(v));
  return check_size(v, v->width, v->height);
}

dgam_status dgam_video_open(dgam_video **out, const char *path, const dgam_video_options *options) {
  *out = NULL;
  dgam_ffmpeg_quiet();
  dgam_video *v = calloc(1, sizeof *v);
  if (!v) return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", path);
  v->fed = -1;
  dgam_status s = open_video(v, path, options);
  if (s != DGAM_OK) {
    v->reader.changed = 0; /* not known in full */
    dgam_video_close(v);
    return s;
  }
  *out = v;
  return DGAM_OK;
}

void dgam_video_close(dgam_video *v) {
  if (!v) return;
  dgam_picture_free(&v->picture);
  avcodec_free_context(&v->decoder);
  dgam_reader_close(&v->reader);
  av_frame_free(&v->frame);
  free(v);
}

void dgam_video_get_info(const dgam_video *v, dgam_video_info *info) {
  const dgam_facts *f = v->facts;
  memset(info, 0, sizeof *info);
  info->width = v->width;
  info->height = v->height;
  info->rotation = f->rotation;
  info->mirrored = f->mirrored;
  info->frames = f->frames;
  info->fps = f->fps > 0 ? f->fps : f->seconds > 0 ? (double)f->frames / f->seconds : 0;
  info->intra = f->index.intra;
  info->counted = f->counted;
  info->content = f->content;
  memcpy(info->damage, f->damage, sizeof info->damage);
  const char *pixels = av_get_pix_fmt_name(f->pixels);
  snprintf(info->codec, sizeof info->codec, "%s", avcodec_get_name(f->par->codec_id));
  snprintf(info->pixels, sizeof info->pixels, "%s", pixels ? pixels : "");
  snprintf(info->format, sizeof info->format, "%s", f->format);
}

/* --- running the decoder --- */

/* The last picture may be torn. Where pictures stand by themselves, it is never shown by a decoder that knows others. */
static int is_last_alone(const dgam_index *x, int64_t packet) {
  return x->intra && packet == (int64_t)x->packets - 1 && x->entry[packet];
}

/* Begins with packet `at`, in the state of a decoder that was given nothing before. A flush leaves some decoders their last pictures, and
 * all of them tables and palettes, so it is enough only where a picture stands by itself and brings them. */
static dgam_status restart(dgam_video *v, int64_t at, int64_t first) {
  const dgam_index *x = &v->facts->index;
  v->fed = -1;
  if (x->entry[at] == DGAM_ENTRY_OF_ANY && !x->unsure && !is_last_alone(x, at) && v->decoder) {
    avcodec_flush_buffers(v->decoder);
  } else if (!v->decoder || !v->fresh) {
    avcodec_free_context(&v->decoder);
    DGAM_TRY(start_decoder(v));
  }
  v->began = v->fed = at;
  v->draining = 0;
  v->first = first;
  v->last = v->skipped = first - 1;
  return DGAM_OK;
}

/* A stream that may be taken up and left off at any byte, so that errors at its edges are no damage. */
static int has_loose_ends(const dgam_facts *f) {
  static const char *const formats[] = {"mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "vc1", "mjpeg", "obu", "dv"};
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (strcmp(f->format, formats[i]) == 0) return 1;
  return 0;
}

/* Notes an error at a packet. */
static void blame(dgam_video *v, int64_t packet) {
  if (!v->judging || packet == v->faulty) return;
  v->faulty = packet;
  v->latest++;
}

static int has_key_flag(const AVFrame *f) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
  return (f->flags & AV_FRAME_FLAG_KEY) != 0;
#else
  return f->key_frame != 0;
#endif
}

/* Looks at the frame that came out. Before the first key picture is there frames may lean on what the file never had. */
static void judge_frame(dgam_video *v) {
  int wrong = v->frame->decode_error_flags || v->frame->flags & AV_FRAME_FLAG_CORRUPT;
  int key = has_key_flag(v->frame);
  if (wrong) {
    blame(v, v->frame->pts);
    return;
  }
  if (key) v->judging = 1;
  if (v->frame->pts > v->faulty) v->faults += v->latest, v->latest = 0;
}

/* Whether the decoder leaves out just the pictures that no other leans on, when told to, and the index knows what comes out all the
 * same. */
static int may_skip(const dgam_facts *f) {
  switch (f->par->codec_id) {
    case AV_CODEC_ID_H264: case AV_CODEC_ID_HEVC: case AV_CODEC_ID_MPEG1VIDEO: case AV_CODEC_ID_MPEG2VIDEO: case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_VP8:
      return !f->index.unsure;
    default: return 0;
  }
}

/* Feeds the packet that is next, or the end of the file. What a damaged packet loses shows in what comes out. The packet
 * goes into *hash unless that is NULL. */
static dgam_status feed(dgam_video *v, int skip, uint64_t *hash) {
  DGAM_TRY(dgam_reader_check_time(&v->reader));
  AVPacket *p = NULL;
  int64_t i = v->fed, packets = (int64_t)v->facts->index.packets;
  skip = skip && may_skip(v->facts);
  if (i < packets) {
    DGAM_TRY(dgam_reader_packet(&v->reader, (size_t)i, &p));
    v->fed++;
    if (hash) *hash = dgam_facts_hash(*hash, p->data, (size_t)p->size);
    if (p->size == 0) return DGAM_OK; /* would mean the end to the decoder */
    p->pts = i;                       /* a frame tells by its pts which packet it came from */
    p->dts = AV_NOPTS_VALUE;
    if (skip && v->facts->index.number[i] > v->skipped) v->skipped = v->facts->index.number[i];
  } else {
    v->draining = 1;
  }
  v->fresh = 0;
  v->clearing = p && (p->flags & AV_PKT_FLAG_CORRUPT || i == packets - 1);
  v->decoder->skip_frame = skip ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
  int bad = avcodec_send_packet(v->decoder, p);
  if (bad == AVERROR(ENOMEM)) return dgam_fail(DGAM_ENOMEM, "%s: no memory to decode packet %lld", v->path, (long long)i);
  if (p && (p->flags & AV_PKT_FLAG_CORRUPT || (bad < 0 && !dgam_packet_is_headers(v->facts->par, p)))) {
    if (p->flags & AV_PKT_FLAG_KEY && !has_loose_ends(v->facts)) v->judging = 1; /* a key picture needs nothing before it */
    blame(v, i);
  }
  return DGAM_OK;
}

/* The next frame the decoder has ready: 1 and v->frame, 0 if it wants another packet, -1 at the end. */
static int receive(dgam_video *v) {
  for (int errors = 0; errors < 100; errors++) { /* after an error inside a frame the decoder goes on */
    int r = avcodec_receive_frame(v->decoder, v->frame);
    if (r == AVERROR(EAGAIN)) return v->draining ? -1 : 0;
    if (r == AVERROR_EOF) return -1;
    if (r < 0) {
      blame(v, v->fed - 1);
      continue;
    }
    judge_frame(v);
    if (!v->width) take_size(v);
    return 1;
  }
  return v->draining ? -1 : 0;
}

/* Decodes on to the next frame: *got = 1 and v->frame, or -1 at the end. */
static dgam_status next_frame(dgam_video *v, uint64_t *hash, int *got) {
  while ((*got = receive(v)) == 0) DGAM_TRY(feed(v, 0, hash));
  return DGAM_OK;
}

/* --- reaching frames --- */

/* Called for each wanted frame, which is in v->frame. */
typedef dgam_status (*frame_fn)(dgam_video *v, int64_t number, void *ctx);

static dgam_status take_nothing(dgam_video *v, int64_t number, void *unused) {
  (void)v, (void)number, (void)unused;
  return DGAM_OK;
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
  int64_t i = w < x->solid ? x->packet[w] : 0;
  while (i > 0 && !(x->entry[i] && x->number[i] >= 0 && x->number[i] <= w)) i--;
  return i;
}

/* Number of the frame in v->frame by the index, -1 if its packet is not known or gives none. */
static int64_t number_by_index(const dgam_video *v) {
  int64_t id = v->frame->pts;
  return id >= 0 && id < (int64_t)v->facts->index.packets ? v->facts->index.number[id] : -1;
}

/* Delivers frames wanted[0 .. n-1] (ascending, no repeats) by the index. As soon as the decoder puts out something else
 * than the index says, *misfit is the frame it should have been and the rest is not delivered; otherwise -1. */
static dgam_status run_by_index(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx, int64_t *misfit) {
  const dgam_index *x = &v->facts->index;
  int64_t skipped = v->skipped; /* by earlier calls, which did not know what this one wants */
  for (size_t k = 0; k < n; k++) {
    int64_t w = wanted[k], entry = entry_for(x, w);
    int other = (w >= x->solid || is_last_alone(x, entry)) && v->began != entry; /* it began elsewhere, which might show */
    if (v->fed < entry || other || w <= v->last || w <= skipped || w < v->first) {
      DGAM_TRY(restart(v, entry, x->entry[entry] ? x->number[entry] : 0));
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

/* Delivers frames by counting from the start of the file. */
static dgam_status run_by_count(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx) {
  int64_t count = 0;
  size_t k = 0;
  int got;
  DGAM_TRY(restart(v, 0, 0));
  for (; k < n; count++) {
    DGAM_TRY(next_frame(v, NULL, &got));
    if (got < 0) break;
    if (wanted[k] != count) continue;
    DGAM_TRY(fn(v, count, ctx));
    k++;
  }
  v->fed = -1;
  return k == n ? DGAM_OK
                : dgam_fail(DGAM_EFORMAT, "%s: frame %lld did not come out of the decoder again, the last is %lld of %lld", v->path,
                            (long long)wanted[k], (long long)count - 1, (long long)v->facts->frames);
}

static dgam_status count_all(dgam_video *v);

static dgam_status run(dgam_video *v, const int64_t *wanted, size_t n, frame_fn fn, void *ctx) {
  dgam_facts *f = v->facts;
  for (int again = 0; !f->by_count; again++) {
    int64_t misfit;
    DGAM_TRY(run_by_index(v, wanted, n, fn, ctx, &misfit));
    if (misfit < 0) return DGAM_OK;
    if (v->reader.folder.count)
      return dgam_fail(DGAM_EFORMAT, "%s/%s: the picture cannot be decoded", v->path, v->reader.folder.names[misfit]);
    if (!again) DGAM_TRY(count_all(v));
    else f->by_count = v->reader.changed = 1;
    if (wanted[n - 1] >= f->frames)
      return dgam_fail(DGAM_EFORMAT, "%s: frame %lld does not come out of the decoder, the last is %lld of %lld expected; the file "
                       "is damaged or cut off", v->path, (long long)wanted[n - 1], (long long)f->frames - 1, (long long)f->held);
  }
  return run_by_count(v, wanted, n, fn, ctx);
}

/* --- going through a file --- */

/* What came out from the first packet to the last. */
typedef struct tally {
  int64_t *from;   /* frame -> packet, -1: not known */
  uint64_t *hash;  /* of its pixels */
  uint8_t *key;    /* the decoder calls it a key picture */
  size_t n, room;
  int hashed;      /* hash is wanted */
} tally;

static void free_tally(tally *t) {
  free(t->from);
  free(t->hash);
  free(t->key);
}

static uint64_t hash_picture(const AVFrame *f) {
  const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
  int about[3] = {f->format, f->width, f->height};
  uint64_t h = dgam_facts_hash(1, about, sizeof about);
  for (int p = 0; d && p < AV_NUM_DATA_POINTERS && f->data[p]; p++) {
    if (p == 1 && d->flags & AV_PIX_FMT_FLAG_PAL) {
      h = dgam_facts_hash(h, f->data[p], 1024);
      break;
    }
    int chroma = p == 1 || p == 2, rows = chroma ? AV_CEIL_RSHIFT(f->height, d->log2_chroma_h) : f->height;
    int bytes = av_image_get_linesize(f->format, f->width, p);
    for (int y = 0; y < rows && bytes > 0; y++) h = dgam_facts_hash(h, f->data[p] + (ptrdiff_t)y * f->linesize[p], (size_t)bytes);
  }
  return h;
}

static dgam_status put_down(dgam_video *v, tally *t) {
  if (t->n == t->room) {
    size_t room = t->room ? 2 * t->room : 256;
    int64_t *from = realloc(t->from, room * sizeof *from);
    if (from) t->from = from;
    uint64_t *hash = from ? realloc(t->hash, room * sizeof *hash) : NULL;
    if (hash) t->hash = hash;
    uint8_t *key = hash ? realloc(t->key, room) : NULL;
    if (!key) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu frames", v->path, room);
    t->key = key;
    t->room = room;
  }
  t->from[t->n] = v->frame->pts;
  t->hash[t->n] = t->hashed ? hash_picture(v->frame) : 0;
  t->key[t->n++] = has_key_flag(v->frame) || v->frame->pict_type == AV_PICTURE_TYPE_I;
  return DGAM_OK;
}

/* Decodes everything, which a long film is given the time for. */
static dgam_status go_through(dgam_video *v, tally *t) {
  dgam_facts *f = v->facts;
  uint64_t hash = 1;
  int got;
  t->n = 0;
  v->judging = 0, v->faults = v->latest = 0, v->faulty = -1;
  DGAM_TRY(restart(v, 0, 0));
  for (;;) {
    DGAM_TRY(next_frame(v, &hash, &got));
    if (got < 0) break;
    DGAM_TRY(put_down(v, t));
    dgam_reader_start_clock(&v->reader);
  }
  v->fed = -1;
  f->content = hash;
  f->frames = (int64_t)t->n;
  f->counted = 1;
  v->reader.changed = 1;
  return DGAM_OK;
}

static int fits(const dgam_index *x, const tally *t) {
  if (t->n != x->frames) return 0;
  for (size_t k = 0; k < t->n; k++)
    if (t->from[k] != x->packet[k]) return 0;
  return 1;
}

/* Up to which frame, at most `end`, a new decoder that begins at packet i gives them as they came out from the start: the first that
 * differs. */
static dgam_status try_entry(dgam_video *v, size_t i, int64_t end, const tally *t, int64_t *differs) {
  int64_t first = v->facts->index.number[i];
  int got;
  DGAM_TRY(restart(v, (int64_t)i, first));
  for (*differs = first; *differs < end;) {
    DGAM_TRY(next_frame(v, NULL, &got));
    int64_t number = got > 0 ? number_by_index(v) : -1;
    if (got > 0 && number >= 0 && number < first) continue;
    if (number != *differs || hash_picture(v->frame) != t->hash[number]) break;
    ++*differs;
    dgam_reader_start_clock(&v->reader);
  }
  v->fed = -1;
  return DGAM_OK;
}

/* Leaves of the entries those that are proven: from the last to the first, each up to the next; what the last one does not give is the
 * torn end. Packets that can only be read from the start of the file are none. */
static dgam_status try_entries(dgam_video *v, const tally *t) {
  dgam_index *x = &v->facts->index;
  int64_t end = (int64_t)x->frames;
  int can_go_back = v->facts->places || v->reader.kept;
  v->judging = 0;
  for (size_t i = x->packets; i-- > 0;) {
    int64_t number = x->number[i];
    int candidate = can_go_back && number >= 0 && number < end && (x->entry[i] || t->key[number]);
    x->entry[i] = 0;
    if (!candidate) continue;
    int64_t differs;
    DGAM_TRY(try_entry(v, i, end, t, &differs));
    if (end == (int64_t)x->frames && differs > number) end = x->solid = differs;
    x->entry[i] = differs == end ? DGAM_ENTRY : DGAM_NO_ENTRY;
    if (x->entry[i]) end = number;
  }
  return DGAM_OK;
}

/* Puts down what decoding everything found wrong, the plainest reason first. */
static void find_damage(dgam_video *v) {
  dgam_facts *f = v->facts;
  char why[128];
  size_t room = sizeof f->damage;
  int loose = has_loose_ends(f);
  int64_t faults = v->faults + (loose ? 0 : v->latest);
  memset(f->damage, 0, room);
  if (v->reader.folder.count) return; /* a picture that cannot be decoded is an error */
  int promised_more = f->promised == 0 || f->promised > (int64_t)f->index.packets; /* else all is there, whatever the sizes say */
  if (promised_more && !dgam_whole_file(&v->reader.input, f->format, why, sizeof why))
    snprintf(f->damage, room, "%s; %lld frames come out", why, (long long)f->frames);
  else if (faults)
    snprintf(f->damage, room, "errors in %lld of %zu coded frames", (long long)faults, f->index.packets);
  else if (!loose && f->frames < f->held && (f->index.intra || !f->index.unsure))
    snprintf(f->damage, room, "%lld of %lld frames come out", (long long)f->frames, (long long)f->held);
}

/* Puts right what was told from the packets alone, by what came out. */
static dgam_status settle(dgam_video *v, tally *t) {
  dgam_index *x = &v->facts->index;
  if (!fits(x, t) && !dgam_index_rebuild(x, t->from, t->n)) {
    v->facts->by_count = 1;
    return DGAM_OK;
  }
  x->unsure = 1; /* its order is known now, but not what a decoder does that is told to skip */
  if (!t->hashed) {
    t->hashed = 1;
    DGAM_TRY(go_through(v, t));
    if (!fits(x, t)) return dgam_fail(DGAM_EFORMAT, "%s: frames come out otherwise each time", v->path);
  }
  return try_entries(v, t);
}

static dgam_status count_with(dgam_video *v, tally *t) {
  dgam_facts *f = v->facts;
  int settled = f->by_count || (f->index.unsure && f->counted);
  t->hashed = f->index.unsure && !settled;
  DGAM_TRY(go_through(v, t));
  int as_told = fits(&f->index, t);
  if (v->reader.folder.count && !as_told) {
    int64_t lost = (int64_t)v->reader.folder.count - f->frames;
    f->frames = (int64_t)v->reader.folder.count;
    return dgam_fail(DGAM_EFORMAT, "%s: %lld of %zu pictures cannot be decoded", v->path, (long long)lost, v->reader.folder.count);
  }
  find_damage(v);
  if (f->frames == 0)
    return dgam_fail(DGAM_EFORMAT, "%s: none of the %zu frames can be decoded (%s); the file is damaged", v->path,
                     f->index.packets, avcodec_get_name(f->par->codec_id));
  return f->by_count || (as_told && !t->hashed) ? DGAM_OK : settle(v, t);
}

static dgam_status count_all(dgam_video *v) {
  tally t = {0};
  dgam_status s = count_with(v, &t);
  free_tally(&t);
  if (s != DGAM_OK) v->fed = -1;
  return s;
}

dgam_status dgam_video_count(dgam_video *v) {
  dgam_reader_start_clock(&v->reader);
  return count_all(v);
}

/* Whether the last packet is known to be whole: Matroska's reader drops half a block, MP4 and AVI say how many packets there are and
 * where they end. */
static int ends_are_told(const dgam_video *v) {
  const dgam_facts *f = v->facts;
  char why[128];
  if (strncmp(f->format, "matroska,", 9) == 0) return 1;
  if (strncmp(f->format, "mov,", 4) != 0 && strcmp(f->format, "avi") != 0) return 0;
  return f->promised == (int64_t)f->index.packets && dgam_whole_file(&v->reader.input, f->format, why, sizeof why);
}

/* Whether what comes out from the last entry on is what the index says. */
static dgam_status look_at_end(dgam_video *v, int64_t *misfit) {
  const dgam_index *x = &v->facts->index;
  int64_t last = (int64_t)x->frames - 1, entry = entry_for(x, last), first = x->entry[entry] ? x->number[entry] : 0;
  size_t n = (size_t)(last - first) + 1;
  int got = -1;
  int64_t *wanted = malloc(n * sizeof *wanted);
  if (!wanted) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu frame numbers", v->path, n);
  for (size_t i = 0; i < n; i++) wanted[i] = first + (int64_t)i;
  v->judging = 1, v->faults = v->latest = 0, v->faulty = -1;
  dgam_status s = run_by_index(v, wanted, n, take_nothing, NULL, misfit);
  free(wanted);
  DGAM_TRY(s);
  if (*misfit >= 0) return DGAM_OK;
  DGAM_TRY(next_frame(v, NULL, &got));
  v->fed = -1;
  if (got > 0 || v->faults + v->latest > 0) *misfit = last;
  return DGAM_OK;
}

/* Learns what only decoding tells: size and pixels of a frame, and whether the index is right where streams that were cut are odd. */
static dgam_status look(dgam_video *v) {
  static const int64_t first[2] = {0, 1};
  const dgam_facts *f = v->facts;
  int folder = v->reader.folder.count > 0;
  int64_t misfit = 0;
  if (!f->index.unsure) {
    DGAM_TRY(run_by_index(v, first, f->frames > 1 && !folder ? 2 : 1, take_nothing, NULL, &misfit));
    if (misfit >= 0 && folder)
      return dgam_fail(DGAM_EFORMAT, "%s/%s: the picture cannot be decoded", v->path, v->reader.folder.names[misfit]);
    if (misfit < 0 && !folder && !ends_are_told(v)) DGAM_TRY(look_at_end(v, &misfit));
  }
  if (misfit < 0) return DGAM_OK;
  v->facts->index.unsure = 1;
  return count_all(v);
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
  int rotation, mirrored;
  find_orientation(v, &rotation, &mirrored);
  int w = rotation % 180 ? v->frame->height : v->frame->width, h = rotation % 180 ? v->frame->width : v->frame->height;
  int odd = w != v->width || h != v->height;
  dgam_box box = odd ? (dgam_box){0, 0, w, h} : j->box;
  const uint8_t *rgb;
  size_t stride;
  DGAM_TRY(dgam_picture_rgb(&v->picture, v->frame, rotation, mirrored, &box, &rgb, &stride, v->path));
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
    if (view->frames[t] < 0 || view->frames[t] >= v->facts->frames)
      return dgam_fail(DGAM_EINVAL, "%s: frame %lld is wanted, the video has frames 0 to %lld", v->path,
                       (long long)view->frames[t], (long long)v->facts->frames - 1);
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
  dgam_reader_start_clock(&v->reader);
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
