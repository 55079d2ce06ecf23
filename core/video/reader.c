/* reader.c - see reader.h. Sections: giving up, the file, opening, packets. */
#include "video/reader.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <libavcodec/avcodec.h>
#include <libavutil/display.h>

#include "video/ffmpeg.h"

enum { IO_BUFFER = 1 << 15, HEAD = 64, LOOK_BEYOND = 64, COVER_ONLY = INT_MIN };

/* --- giving up --- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void dgam_reader_start_clock(dgam_reader *r) {
  r->resumes = dgam_resumes();
  r->deadline = now() + r->options.seconds;
}

static int too_late(dgam_reader *r) {
  if (now() <= r->deadline) return 0;
  if (dgam_resumes() == r->resumes) return 1;
  dgam_reader_start_clock(r); /* nobody can say how much of the time the process was stopped */
  return 0;
}

static int stopped(const dgam_reader *r) {
  return (r->options.stop && atomic_load_explicit(r->options.stop, memory_order_relaxed)) || dgam_interrupted();
}

dgam_status dgam_reader_check_time(dgam_reader *r) {
  if (stopped(r)) return dgam_fail_interrupted();
  if (too_late(r)) return dgam_fail(DGAM_EINVAL, "%s: gave up after %g s", r->path, r->options.seconds);
  return DGAM_OK;
}

/* --- the file, as FFmpeg reads it --- */

static int must_stop(void *reader) {
  dgam_reader *r = reader;
  return stopped(r) || too_late(r);
}

static int read_on(void *reader, uint8_t *to, int n) {
  dgam_reader *r = reader;
  if (must_stop(r)) return AVERROR_EXIT;
  int64_t left = (int64_t)r->input.size - r->at;
  if (left <= 0) return AVERROR_EOF;
  if (n > left) n = (int)left;
  dgam_status s = dgam_input_read(&r->input, (uint64_t)r->at, to, (size_t)n);
  if (s != DGAM_OK) {
    r->failed = s;
    snprintf(r->why, sizeof r->why, "%s", dgam_error());
    return AVERROR(EIO);
  }
  r->at += n;
  return n;
}

static int64_t seek(void *reader, int64_t offset, int whence) {
  dgam_reader *r = reader;
  whence &= ~AVSEEK_FORCE;
  if (whence == AVSEEK_SIZE) return (int64_t)r->input.size;
  return whence != SEEK_SET || offset < 0 ? AVERROR(EINVAL) : (r->at = offset); /* FFmpeg works out the others itself */
}

/* A video has no business to open further files. */
static int open_nothing(AVFormatContext *f, AVIOContext **io, const char *url, int flags, AVDictionary **options) {
  (void)f, (void)url, (void)flags, (void)options;
  *io = NULL;
  return AVERROR(EACCES);
}

/* Why FFmpeg stopped with `code`, if the reason lies below it: the file or the clock. */
static dgam_status check_reading(dgam_reader *r) {
  DGAM_TRY(dgam_reader_check_time(r));
  return r->failed == DGAM_OK ? DGAM_OK : dgam_fail(r->failed, "%s", r->why);
}

/* Containers and raw streams of video. Others that FFmpeg knows (text, playlists, devices) are not videos to us. */
static const char formats[] =
    "avi,mov,mp4,matroska,webm,mpeg,mpegts,mpegvideo,m4v,h264,hevc,vc1,mjpeg,asf,flv,ogg,nut,mxf,dv,gif,apng,ivf,rm,"
    "yuv4mpegpipe,obu,3gp,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe,ppm_pipe,pgm_pipe";

static void close_input(dgam_reader *r) {
  AVIOContext *io = r->file ? r->file->pb : NULL;
  avformat_close_input(&r->file);
  if (io) av_freep(&io->buffer);
  avio_context_free(&io);
}

static dgam_status open_input(dgam_reader *r) {
  AVDictionary *options = NULL;
  r->at = 0;
  r->next = 0;
  r->failed = DGAM_OK;
  uint8_t *buffer = av_malloc(IO_BUFFER);
  AVIOContext *io = buffer ? avio_alloc_context(buffer, IO_BUFFER, 0, r, read_on, NULL, seek) : NULL;
  r->file = io ? avformat_alloc_context() : NULL;
  if (!r->file) {
    if (io) av_freep(&io->buffer);
    else av_free(buffer);
    avio_context_free(&io);
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", r->path);
  }
  r->file->pb = io;
  r->file->io_open = open_nothing;
  r->file->interrupt_callback = (AVIOInterruptCB){must_stop, r};
  av_dict_set(&options, "format_whitelist", formats, 0);
  int bad = avformat_open_input(&r->file, r->path, NULL, &options); /* frees r->file on failure, but not io */
  av_dict_free(&options);
  if (bad >= 0) return DGAM_OK;
  av_freep(&io->buffer);
  avio_context_free(&io);
  DGAM_TRY(check_reading(r));
  if (bad == AVERROR_INVALIDDATA || bad == AVERROR(EINVAL) || bad == AVERROR_EOF || bad == AVERROR(EACCES))
    return dgam_fail(DGAM_EFORMAT, "%s: this is not a video file, or its beginning or index is missing; expected AVI, MP4, "
                     "MKV, MOV, WebM or the like", r->path);
  return dgam_ffmpeg_fail(bad, "%s: cannot open the video", r->path);
}

/* --- opening --- */

/* How the stream says that its pictures are to be shown. */
static void find_orientation(const AVStream *stream, int *rotation, int *mirrored) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  const AVPacketSideData *side = av_packet_side_data_get(stream->codecpar->coded_side_data,
                                                         stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const uint8_t *matrix = side && side->size >= 36 ? side->data : NULL;
#else
  size_t size = 0;
  const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (size < 36) matrix = NULL;
#endif
  *rotation = *mirrored = 0;
  if (matrix) dgam_ffmpeg_orientation(matrix, rotation, mirrored);
}

/* Decodes a little of each stream to learn what it is, within our limits. */
static dgam_status probe_streams(dgam_reader *r) {
  unsigned n = r->file->nb_streams;
  AVDictionary **options = calloc(n + 1, sizeof *options);
  if (!options) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %u streams", r->path, n);
  for (unsigned s = 0; s < n; s++) av_dict_set_int(&options[s], "max_pixels", (int64_t)r->options.pixels, 0);
  int bad = avformat_find_stream_info(r->file, options);
  for (unsigned s = 0; s < n; s++) av_dict_free(&options[s]);
  free(options);
  DGAM_TRY(check_reading(r));
  return bad < 0 ? dgam_fail(DGAM_EFORMAT, "%s: no stream in this file can be made out", r->path) : DGAM_OK;
}

/* Number of the stream that we read. Covers and thumbnails are no videos. */
static int find_stream(AVFormatContext *file) {
  int best = av_find_best_stream(file, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
  if (best < 0 || !(file->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC)) return best;
  for (unsigned s = 0; s < file->nb_streams; s++) {
    const AVStream *stream = file->streams[s];
    if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !(stream->disposition & AV_DISPOSITION_ATTACHED_PIC)) return (int)s;
  }
  return COVER_ONLY;
}

/* Opens the file with FFmpeg and finds the stream that we read. */
static dgam_status open_stream(dgam_reader *r) {
  DGAM_TRY(open_input(r));
  int named = 0; /* the container told codec and size, so nothing need be decoded to learn them */
  for (unsigned s = 0; s < r->file->nb_streams; s++) {
    const AVCodecParameters *par = r->file->streams[s]->codecpar;
    named |= par->codec_type == AVMEDIA_TYPE_VIDEO && par->codec_id != AV_CODEC_ID_NONE && par->width > 0 && par->height > 0;
  }
  if (!named) DGAM_TRY(probe_streams(r));
  r->facts.stream = find_stream(r->file);
  if (r->facts.stream < 0)
    return dgam_fail(DGAM_EFORMAT, "%s: there is no video in this file%s", r->path,
                     r->facts.stream == COVER_ONLY ? ", only the picture of a cover" : "");
  for (unsigned s = 0; s < r->file->nb_streams; s++)
    if ((int)s != r->facts.stream) r->file->streams[s]->discard = AVDISCARD_ALL;
  return DGAM_OK;
}

/* Reads on to the next packet of the stream; AVERROR_EOF at the end, also of a file that was cut off, which every container calls
 * otherwise. Whether reading the file itself failed, check_reading tells. */
static int read_packet(dgam_reader *r) {
  for (;;) {
    int bad = av_read_frame(r->file, r->packet);
    if (bad < 0 && bad != AVERROR(ENOMEM)) return AVERROR_EOF;
    if (bad < 0 || r->packet->stream_index == r->facts.stream) return bad;
    av_packet_unref(r->packet);
  }
}

static void drop_kept(dgam_reader *r) {
  for (size_t i = 0; i < r->n_kept; i++) av_packet_free(&r->kept[i]);
  free(r->kept);
  r->kept = NULL;
  r->n_kept = 0;
}

/* Holds r->packet as the next one, if no packet before it is missing and the limit allows. */
static dgam_status keep_packet(dgam_reader *r) {
  size_t i = r->facts.index.packets;
  if (r->n_kept != i) return DGAM_OK;
  r->bytes += (size_t)r->packet->size;
  if (r->bytes > r->options.bytes) {
    drop_kept(r);
    return DGAM_OK;
  }
  if (i == r->room) {
    size_t room = r->room ? 2 * r->room : 128;
    AVPacket **more = realloc(r->kept, room * sizeof *more);
    if (!more) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu packets", r->path, room);
    r->kept = more;
    r->room = room;
  }
  if (!(r->kept[i] = av_packet_clone(r->packet))) return dgam_fail(DGAM_ENOMEM, "%s: no memory for packet %zu", r->path, i);
  r->n_kept++;
  return DGAM_OK;
}

/* Reads bytes of the file into r->buffer, with the padding that FFmpeg wants. */
static dgam_status read_buffer(dgam_reader *r, int64_t at, int size) {
  size_t need = (size_t)size + AV_INPUT_BUFFER_PADDING_SIZE;
  if (!r->buffer || r->buffer->size < need || !av_buffer_is_writable(r->buffer)) {
    av_buffer_unref(&r->buffer);
    if (!(r->buffer = av_buffer_alloc(need + need / 4)))
      return dgam_fail(DGAM_ENOMEM, "%s: no memory for a packet of %d bytes", r->path, size);
  }
  DGAM_TRY(dgam_input_read(&r->input, (uint64_t)at, r->buffer->data, (size_t)size));
  memset(r->buffer->data + size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
  return DGAM_OK;
}

/* Where in the file r->packet is, byte for byte: where its container says or a little later. -1: nowhere. */
static int64_t find_packet(dgam_reader *r) {
  const AVPacket *p = r->packet;
  if (p->pos < 0 || p->side_data_elems || (uint64_t)p->pos > r->input.size || (uint64_t)p->size > r->input.size - (uint64_t)p->pos)
    return -1;
  uint8_t window[HEAD + LOOK_BEYOND];
  size_t left = r->input.size - (uint64_t)p->pos, n = left < sizeof window ? left : sizeof window;
  size_t head = p->size < HEAD ? (size_t)p->size : HEAD;
  if (dgam_input_read(&r->input, (uint64_t)p->pos, window, n) != DGAM_OK) return -1;
  for (size_t i = 0; i + head <= n; i++) {
    if (memcmp(window + i, p->data, head) != 0) continue;
    int64_t at = p->pos + (int64_t)i;
    if ((uint64_t)at + (uint64_t)p->size > r->input.size || read_buffer(r, at, p->size) != DGAM_OK) return -1;
    return memcmp(r->buffer->data, p->data, (size_t)p->size) == 0 ? at : -1;
  }
  return -1;
}

/* Notes where r->packet is, or, from the first packet on that is not in one piece, holds it. */
static dgam_status place_packet(dgam_reader *r, size_t *room) {
  dgam_facts *f = &r->facts;
  size_t i = f->index.packets;
  int64_t at = i == 0 || f->places ? find_packet(r) : -1;
  if (at < 0) {
    free(f->places);
    f->places = NULL;
    return keep_packet(r);
  }
  if (i == *room) {
    size_t more = *room ? 2 * *room : 256;
    dgam_place *places = realloc(f->places, more * sizeof *places);
    if (!places) return dgam_fail(DGAM_ENOMEM, "%s: no memory for %zu packets", r->path, more);
    f->places = places;
    *room = more;
  }
  f->places[i] = (dgam_place){at, r->packet->size, r->packet->flags};
  return DGAM_OK;
}

static dgam_status read_all(dgam_reader *r) {
  DGAM_TRY(dgam_index_begin(&r->facts.index, r->file->streams[r->facts.stream]->codecpar));
  int bad;
  size_t room = 0;
  while ((bad = read_packet(r)) >= 0) {
    dgam_status s = dgam_reader_check_time(r);
    if (s == DGAM_OK) s = place_packet(r, &room);
    if (s == DGAM_OK) s = dgam_index_add(&r->facts.index, r->packet);
    av_packet_unref(r->packet);
    DGAM_TRY(s);
  }
  DGAM_TRY(check_reading(r));
  if (bad != AVERROR_EOF) return dgam_ffmpeg_fail(bad, "%s: reading stopped after packet %zu", r->path, r->facts.index.packets);
  r->next = r->facts.index.packets;
  return DGAM_OK;
}

/* FFmpeg's decoder takes a WebP picture, but not a film of them. */
static int is_animated_webp(dgam_reader *r) {
  uint8_t b[21];
  return dgam_input_read(&r->input, 0, b, sizeof b) == DGAM_OK && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBPVP8X", 8) == 0 &&
         b[20] & 2;
}

static dgam_status learn(dgam_reader *r) {
  dgam_facts *f = &r->facts;
  if (is_animated_webp(r))
    return dgam_fail(DGAM_EUNSUPPORTED, "%s: animated WebP is not supported, expected a video file; ffmpeg or webpmux can take its "
                     "frames out", r->path);
  DGAM_TRY(open_stream(r));
  DGAM_TRY(read_all(r));
  const AVStream *stream = r->file->streams[f->stream];
  f->par = avcodec_parameters_alloc();
  if (!f->par || avcodec_parameters_copy(f->par, stream->codecpar) < 0)
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", r->path);
  DGAM_TRY(dgam_index_end(&f->index, f->par));
  find_orientation(stream, &f->rotation, &f->mirrored);
  AVRational rate = stream->avg_frame_rate.num > 0 && stream->avg_frame_rate.den > 0 ? stream->avg_frame_rate : stream->r_frame_rate;
  f->fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
  f->seconds = stream->duration > 0 ? (double)stream->duration * av_q2d(stream->time_base) : 0;
  f->promised = stream->nb_frames;
  f->held = f->frames = (int64_t)f->index.frames;
  snprintf(f->format, sizeof f->format, "%s", r->file->iformat->name);
  r->changed = 1;
  if (f->places) close_input(r);
  return f->frames ? DGAM_OK
                   : dgam_fail(DGAM_EFORMAT, "%s: there is no frame in this file (%s, %d x %d); it may be cut off", r->path,
                               avcodec_get_name(f->par->codec_id), f->par->width, f->par->height);
}

/* A folder of pictures. */
static dgam_status open_folder(dgam_reader *r) {
  dgam_facts *f = &r->facts;
  DGAM_TRY(dgam_folder_open(&r->folder, r->path));
  DGAM_TRY(dgam_index_pictures(&f->index, r->folder.count));
  f->held = f->frames = (int64_t)r->folder.count;
  snprintf(f->format, sizeof f->format, "folder");
  if (!(f->par = avcodec_parameters_alloc())) return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", r->path);
  f->par->codec_type = AVMEDIA_TYPE_VIDEO;
  f->par->codec_id = r->folder.codec;
  return DGAM_OK;
}

dgam_status dgam_reader_open(dgam_reader *r, const char *path, const dgam_video_options *options) {
  struct stat st;
  r->input.fd = -1;
  if (!path || !*path) return dgam_fail(DGAM_EINVAL, "video: the path is empty");
  if (options) r->options = *options;
  if (r->options.seconds <= 0) r->options.seconds = 60;
  if (r->options.pixels == 0) r->options.pixels = (size_t)1 << 26;
  if (r->options.bytes == 0) r->options.bytes = (size_t)1 << 26;
  if (r->options.index_bytes == 0) r->options.index_bytes = (size_t)1 << 28;
  const char *folder = r->options.index;
  r->options.index = folder ? strdup(folder) : NULL;
  dgam_reader_start_clock(r);
  if (!(r->path = strdup(path)) || !(r->packet = av_packet_alloc()) || (folder && !r->options.index))
    return dgam_fail(DGAM_ENOMEM, "%s: no memory to open it", path);
  if (stat(path, &st) != 0) return dgam_fail(DGAM_EIO, "%s: cannot open the video: %s", path, strerror(errno));
  if (S_ISDIR(st.st_mode)) return open_folder(r);
  if (!S_ISREG(st.st_mode)) return dgam_fail(DGAM_EFORMAT, "%s: this is a pipe or a device, expected a video file", path);
  if (st.st_size == 0) return dgam_fail(DGAM_EFORMAT, "%s: the file is empty, expected a video", path);
  DGAM_TRY(dgam_input_open(&r->input, path));
  if (r->options.index && dgam_facts_load(&r->facts, r->options.index, &r->input)) return DGAM_OK;
  return learn(r);
}

void dgam_reader_close(dgam_reader *r) {
  if (r->changed && r->options.index && r->input.fd >= 0 && r->facts.frames > 0)
    dgam_facts_save(&r->facts, r->options.index, &r->input, r->options.index_bytes);
  drop_kept(r);
  close_input(r);
  dgam_folder_free(&r->folder);
  dgam_facts_free(&r->facts);
  av_packet_free(&r->packet);
  av_buffer_unref(&r->buffer);
  dgam_input_close(&r->input);
  free((char *)r->options.index);
  free(r->path);
}

/* --- packets --- */

static dgam_status read_placed(dgam_reader *r, const dgam_place *place) {
  av_packet_unref(r->packet); /* lets go of the buffer */
  DGAM_TRY(read_buffer(r, place->at, place->size));
  if (!(r->packet->buf = av_buffer_ref(r->buffer))) return dgam_fail(DGAM_ENOMEM, "%s: no memory for a packet", r->path);
  r->packet->data = r->buffer->data;
  r->packet->size = place->size;
  r->packet->flags = place->flags;
  return DGAM_OK;
}

/* Reads the file on, or from its start, up to packet i. */
static dgam_status read_again(dgam_reader *r, size_t i) {
  if (!r->file || i < r->next) {
    close_input(r);
    DGAM_TRY(open_stream(r));
  }
  for (; r->next <= i; r->next++) {
    av_packet_unref(r->packet);
    int bad = read_packet(r);
    if (bad < 0) DGAM_TRY(check_reading(r));
    DGAM_TRY(dgam_reader_check_time(r));
    if (bad < 0) return dgam_ffmpeg_fail(bad, "%s: packet %zu can no longer be read", r->path, r->next);
  }
  return DGAM_OK;
}

dgam_status dgam_reader_packet(dgam_reader *r, size_t i, AVPacket **out) {
  *out = r->packet;
  if (r->facts.places) return read_placed(r, &r->facts.places[i]);
  if (r->folder.count) {
    av_packet_unref(r->packet);
    return dgam_folder_read(&r->folder, i, r->packet);
  }
  if (!r->kept) return read_again(r, i);
  *out = r->kept[i];
  return DGAM_OK;
}
