/* facts.c - see facts.h */
#define _GNU_SOURCE /* asprintf */
#include "video/facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libavformat/avformat.h>

enum { EDGE = 4096, SETTLED = 2, A_DAY = 86400, AN_HOUR = 3600, TRIM_EVERY = 64 };

uint64_t dgam_facts_hash(uint64_t h, const void *data, size_t n) {
  const uint64_t k = 0x9E3779B97F4A7C15u;
  const uint8_t *p = data;
  size_t i = 0;
  uint64_t word;
  h = (h ^ n) * k;
  for (; i + 8 <= n; i += 8) {
    memcpy(&word, p + i, 8);
    h = (h ^ word) * k;
    h ^= h >> 32;
  }
  for (word = 0; i < n; i++) word = word << 8 | p[i];
  h = (h ^ word) * k;
  return h ^ h >> 29;
}

void dgam_facts_free(dgam_facts *f) {
  avcodec_parameters_free(&f->par);
  dgam_index_free(&f->index);
  free(f->places);
  memset(f, 0, sizeof *f);
}

/* --- names --- */

/* Key of a video. 0 if its edges cannot be read. */
static uint64_t key_of(const dgam_input *video, int64_t *changed) {
  struct stat st;
  if (fstat(video->fd, &st) != 0) return 0;
  *changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
  uint8_t edge[EDGE];
  size_t n = video->size < EDGE ? (size_t)video->size : EDGE;
  uint64_t about[4] = {video->size, (uint64_t)*changed, avcodec_version(), avformat_version()};
  uint64_t h = dgam_facts_hash(1, about, sizeof about);
  if (dgam_input_read(video, 0, edge, n) != DGAM_OK) return 0;
  h = dgam_facts_hash(h, edge, n);
  if (dgam_input_read(video, video->size - n, edge, n) != DGAM_OK) return 0;
  h = dgam_facts_hash(h, edge, n);
  return h ? h : 1;
}

static char *path_of(const char *folder, uint64_t key) {
  char *path;
  return asprintf(&path, "%s/%016llx.idx", folder, (unsigned long long)key) < 0 ? NULL : path;
}

/* --- the bytes of an entry: head, extradata, frame numbers, entries, places --- */

/* Numbers of codec parameters that decoders look at, in a fixed order. */
#define PARAMETERS(X)                                                                                                      \
  X(codec_type) X(codec_id) X(codec_tag) X(format) X(bit_rate) X(bits_per_coded_sample) X(bits_per_raw_sample) X(profile)  \
  X(level) X(width) X(height) X(sample_aspect_ratio.num) X(sample_aspect_ratio.den) X(field_order) X(color_range)          \
  X(color_primaries) X(color_trc) X(color_space) X(chroma_location) X(video_delay) X(extradata_size)
#define ONE(name) +1
enum { N_PARAMETERS = 0 PARAMETERS(ONE) };

typedef struct head {
  char magic[8];
  uint64_t bytes, check; /* of the whole entry; hash of what follows this field */
  uint64_t key, size;
  int64_t changed;
  int64_t parameters[N_PARAMETERS];
  int64_t stream, width, height, pixels, rotation, mirrored, promised, held, frames, counted, by_count;
  uint64_t content;
  double fps, seconds;
  int64_t packets, index_frames, solid, delay, intra, unsure, placed;
  char format[32], damage[160];
} head;

static const char magic[8] = "dgamidx4";

static uint64_t check_of(const uint8_t *bytes, size_t n) {
  size_t skip = offsetof(head, check) + sizeof(uint64_t);
  return dgam_facts_hash(2, bytes + skip, n - skip);
}

static uint8_t *append(uint8_t *to, const void *from, size_t n) {
  if (n) memcpy(to, from, n);
  return to + n;
}

static uint8_t *pack(const dgam_facts *f, uint64_t key, uint64_t size, int64_t changed, size_t *n) {
  const dgam_index *x = &f->index;
  const AVCodecParameters *par = f->par;
  head h = {.key = key, .size = size, .changed = changed, .stream = f->stream, .width = f->width, .height = f->height,
            .pixels = f->pixels, .rotation = f->rotation, .mirrored = f->mirrored, .promised = f->promised, .held = f->held,
            .frames = f->frames, .counted = f->counted,
            .by_count = f->by_count, .content = f->content, .fps = f->fps, .seconds = f->seconds,
            .packets = (int64_t)x->packets,
            .index_frames = (int64_t)x->frames, .solid = x->solid, .delay = x->delay, .intra = x->intra, .unsure = x->unsure,
            .placed = f->places != NULL};
  size_t extra = (size_t)par->extradata_size, i = 0;
#define PUT(name) h.parameters[i++] = (int64_t)par->name;
  PARAMETERS(PUT)
  memcpy(h.magic, magic, sizeof magic);
  memcpy(h.format, f->format, sizeof h.format);
  memcpy(h.damage, f->damage, sizeof h.damage);
  h.bytes = sizeof h + extra + x->packets * (sizeof *x->number + 1 + (f->places ? sizeof *f->places : 0));
  uint8_t *bytes = malloc(h.bytes), *to = bytes;
  if (!bytes) return NULL;
  to = append(to, &h, sizeof h);
  to = append(to, par->extradata, extra);
  to = append(to, x->number, x->packets * sizeof *x->number);
  to = append(to, x->entry, x->packets);
  if (f->places) append(to, f->places, x->packets * sizeof *f->places);
  h.check = check_of(bytes, h.bytes);
  memcpy(bytes, &h, sizeof h);
  *n = h.bytes;
  return bytes;
}

/* Takes the arrays of an entry over; 0 if they do not fit together. */
static int unpack_arrays(dgam_facts *f, const head *h, const uint8_t *from) {
  dgam_index *x = &f->index;
  size_t n = (size_t)h->packets;
  x->packets = n, x->solid = h->solid, x->delay = (int)h->delay, x->intra = h->intra != 0, x->unsure = h->unsure != 0;
  x->number = malloc((n + 1) * sizeof *x->number);
  x->entry = malloc(n + 1);
  if (!x->number || !x->entry) return 0;
  memcpy(x->number, from, n * sizeof *x->number), from += n * sizeof *x->number;
  memcpy(x->entry, from, n), from += n;
  if (h->placed) {
    if (!(f->places = malloc((n + 1) * sizeof *f->places))) return 0;
    memcpy(f->places, from, n * sizeof *f->places);
    for (size_t i = 0; i < n; i++) {
      const dgam_place *p = &f->places[i];
      if (p->size < 0 || p->at < 0 || (uint64_t)p->at > h->size || (uint64_t)p->size > h->size - (uint64_t)p->at) return 0;
    }
  }
  return dgam_index_invert(x, (size_t)h->index_frames) == DGAM_OK;
}

static int unpack(dgam_facts *f, const uint8_t *bytes, size_t n, uint64_t key, uint64_t size, int64_t changed) {
  head h;
  if (n < sizeof h) return 0;
  memcpy(&h, bytes, sizeof h);
  if (memcmp(h.magic, magic, sizeof magic) != 0 || h.bytes != n || h.check != check_of(bytes, n)) return 0;
  if (h.key != key || h.size != size || h.changed != changed) return 0;
  AVCodecParameters *par = f->par = avcodec_parameters_alloc();
  if (!par) return 0;
  size_t i = 0;
#define GET(name) par->name = h.parameters[i++];
  PARAMETERS(GET)
  int extra = par->extradata_size;
  par->extradata_size = 0;
  uint64_t each = sizeof *f->index.number + 1 + (h.placed ? sizeof *f->places : 0);
  if (extra < 0 || h.packets < 1 || h.packets >= INT32_MAX || h.bytes != sizeof h + (uint64_t)extra + (uint64_t)h.packets * each) return 0;
  if (extra) {
    if (!(par->extradata = av_mallocz((size_t)extra + AV_INPUT_BUFFER_PADDING_SIZE))) return 0;
    memcpy(par->extradata, bytes + sizeof h, (size_t)extra);
    par->extradata_size = extra;
  }
  f->stream = (int)h.stream, f->width = (int)h.width, f->height = (int)h.height;
  f->pixels = (int)h.pixels, f->rotation = (int)h.rotation, f->mirrored = h.mirrored != 0;
  f->fps = h.fps, f->seconds = h.seconds, f->promised = h.promised, f->held = h.held, f->frames = h.frames, f->content = h.content;
  f->counted = h.counted != 0, f->by_count = h.by_count != 0;
  memcpy(f->format, h.format, sizeof f->format);
  f->format[sizeof f->format - 1] = 0;
  memcpy(f->damage, h.damage, sizeof f->damage);
  f->damage[sizeof f->damage - 1] = 0;
  if (f->frames < 1 || f->width < 1 || f->height < 1 || f->stream < 0 || f->rotation < 0 || f->rotation > 270 || f->rotation % 90) return 0;
  return unpack_arrays(f, &h, bytes + sizeof h + extra);
}

/* --- on disk --- */

int dgam_facts_load(dgam_facts *f, const char *folder, const dgam_input *video) {
  int64_t changed;
  uint64_t key = key_of(video, &changed);
  char *path = key ? path_of(folder, key) : NULL;
  dgam_input in;
  if (!path || dgam_input_open(&in, path) != DGAM_OK) {
    free(path);
    return 0;
  }
  free(path);
  uint8_t *bytes = in.size < INT32_MAX ? malloc(in.size + 1) : NULL;
  int found = bytes && dgam_input_read(&in, 0, bytes, in.size) == DGAM_OK && unpack(f, bytes, in.size, key, video->size, changed);
  free(bytes);
  struct stat st; /* the time of an entry tells roughly when it was last of use */
  if (found && fstat(in.fd, &st) == 0 && time(NULL) - st.st_mtim.tv_sec > A_DAY) (void)futimens(in.fd, NULL);
  dgam_input_close(&in);
  if (!found) dgam_facts_free(f);
  return found;
}

typedef struct dgam_facts_file {
  time_t used;
  off_t bytes;
  char name[32];
} dgam_facts_file;

static int by_use(const void *a, const void *b) {
  const dgam_facts_file *p = a, *q = b;
  return p->used != q->used ? (p->used < q->used ? -1 : 1) : strcmp(p->name, q->name);
}

/* Removes what was not used for longest until three quarters of the limit are left, and what a killed process left. */
static void trim(const char *folder, size_t limit) {
  DIR *d = opendir(folder);
  if (!d) return;
  dgam_facts_file *files = NULL;
  size_t n = 0, room = 0;
  uint64_t sum = 0;
  time_t now = time(NULL);
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    size_t length = strlen(e->d_name);
    int whole = length == 20 && strcmp(e->d_name + 16, ".idx") == 0, part = length > 20 && strcmp(e->d_name + length - 4, ".tmp") == 0;
    if (!(whole || part) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (part && now - st.st_mtim.tv_sec > AN_HOUR) (void)unlinkat(dirfd(d), e->d_name, 0);
    if (part) continue;
    if (n == room) {
      room = room ? 2 * room : 256;
      dgam_facts_file *more = realloc(files, room * sizeof *files);
      if (!more) break;
      files = more;
    }
    files[n] = (dgam_facts_file){.used = st.st_mtim.tv_sec, .bytes = st.st_size};
    memcpy(files[n++].name, e->d_name, length + 1);
    sum += (uint64_t)st.st_size;
  }
  if (n && sum > limit) {
    qsort(files, n, sizeof *files, by_use);
    for (size_t i = 0; i < n && sum > limit / 4 * 3; i++) {
      (void)unlinkat(dirfd(d), files[i].name, 0);
      sum -= (uint64_t)files[i].bytes;
    }
  }
  free(files);
  closedir(d);
}

void dgam_facts_save(const dgam_facts *f, const char *folder, const dgam_input *video, size_t limit) {
  int64_t changed;
  uint64_t key = key_of(video, &changed);
  if (!key || (int64_t)time(NULL) - changed / 1000000000 < SETTLED) return;
  size_t n;
  uint8_t *bytes = pack(f, key, video->size, changed, &n);
  char *path = path_of(folder, key);
  if (bytes && path && n <= limit) {
    dgam_output out;
    if (dgam_output_begin(&out, path) == DGAM_OK) {
      out.lazy = 1;
      if (dgam_output_write(&out, bytes, n) == DGAM_OK) (void)dgam_output_commit(&out);
      else dgam_output_abort(&out);
    }
    if (key % TRIM_EVERY == 0 || n > limit / TRIM_EVERY) trim(folder, limit);
  }
  free(bytes);
  free(path);
}
