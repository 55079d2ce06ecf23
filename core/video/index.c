/* index.c - see index.h */
#include "video/index.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/mem.h>

/* Frames that a decoder may hold back: H.264 and HEVC have room for 16 in all. */
enum { MOST_DELAY = 15 };

/* --- building --- */

dgam_status dgam_index_begin(dgam_index *x, const AVCodecParameters *par) {
  memset(x, 0, sizeof *x);
  DGAM_TRY(dgam_peek_begin(&x->peek, par));
  x->intra = x->peek.intra;
  x->unsure = !x->peek.known;
  return DGAM_OK;
}

dgam_status dgam_index_add(dgam_index *x, const AVPacket *packet) {
  if (x->packets == x->room) {
    size_t room = x->room ? 2 * x->room : 256;
    void *note = room < INT32_MAX ? realloc(x->note, room * sizeof *x->note) : NULL;
    if (!note) return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu packets", room);
    x->note = note;
    x->room = room;
  }
  dgam_note *n = &x->note[x->packets++];
  DGAM_TRY(dgam_peek_packet(&x->peek, packet, n));
  x->unsure |= n->odd;
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
    if (x->note[i].kind != DGAM_HIDDEN) keys[n++] = (dgam_index_key){x->note[i].order, (int32_t)i};
  qsort(keys, n, sizeof *keys, by_order);
  for (size_t k = 0; k < n; k++) {
    if (k && keys[k].order == keys[k - 1].order) x->unsure = 1; /* two fields in two packets, or damage */
    x->number[keys[k].packet] = next++;
  }
  return next;
}

static int32_t number_by_count(dgam_index *x, dgam_index_key *keys) {
  int32_t next = 0;
  for (size_t begin = 0, end; begin < x->packets; begin = end) {
    for (end = begin + 1; end < x->packets && x->note[end].kind != DGAM_KEY_RESETS_ORDER; end++) {}
    next = number_sequence(x, begin, end, next, keys);
  }
  return next;
}

static int32_t number_mpeg(dgam_index *x) {
  int32_t next = 0, waiting = -1;
  int references = 0;
  for (size_t i = 0; i < x->packets; i++) {
    int kind = x->note[i].kind;
    if (kind == DGAM_HIDDEN) continue;
    if (kind == DGAM_B_PICTURE) {
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

static int32_t number_packets(dgam_index *x) {
  int32_t next = 0;
  for (size_t i = 0; i < x->packets; i++)
    if (x->note[i].kind != DGAM_HIDDEN) x->number[i] = next++;
  return next;
}

/* B pictures that come out before their I picture lean on what came earlier; they have lower numbers than it, so the
 * picture is still an entry for the frames from its own number on. A palette, tables or headers in a packet hold for those after
 * it, so from there on only packets that bring their own are entries. */
static void find_entries(dgam_index *x) {
  unsigned kept = 0, all = 0;
  int started = 0;
  for (size_t i = 0; i < x->packets; i++) all |= x->note[i].changes;
  for (size_t i = 0; i < x->packets; i++) {
    const dgam_note *n = &x->note[i];
    kept |= n->changes;
    int key = x->peek.order == DGAM_BY_COUNT ? n->kind == DGAM_KEY_RESETS_ORDER : n->kind == DGAM_KEY;
    x->entry[i] = !key || (n->brings & kept) != kept           ? DGAM_NO_ENTRY
                  : x->intra && (n->brings & all) == all ? DGAM_ENTRY_OF_ANY
                                                               : DGAM_ENTRY;
    if (!started && n->kind != DGAM_HIDDEN) {
      started = 1;
      if (!key) x->unsure = 1; /* what a decoder makes of pictures that lean on others, which it never had, it alone knows */
    }
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
  if (x->solid < 0 || x->solid > (int64_t)frames) return dgam_fail(DGAM_EFORMAT, "index: out of range");
  x->frames = frames;
  return DGAM_OK;
}

int dgam_index_rebuild(dgam_index *x, const int64_t *from, size_t frames) {
  if (frames > x->packets) return 0;
  int32_t *number = malloc((x->packets + 1) * sizeof *number), *packet = malloc((x->packets + 1) * sizeof *packet);
  int fits = number && packet;
  for (size_t i = 0; fits && i < x->packets; i++) number[i] = -1;
  for (size_t k = 0; fits && k < frames; k++) {
    fits = from[k] >= 0 && (size_t)from[k] < x->packets && number[from[k]] < 0;
    if (fits) number[from[k]] = (int32_t)k, packet[k] = (int32_t)from[k];
  }
  if (!fits) {
    free(number);
    free(packet);
    return 0;
  }
  free(x->number);
  free(x->packet);
  x->number = number;
  x->packet = packet;
  x->frames = frames;
  x->solid = (int64_t)frames;
  return 1;
}

/* How many frames may have to wait for one that comes later in the file. */
static void find_delay(dgam_index *x) {
  int32_t decoded = 0;
  for (size_t i = 0; i < x->packets; i++) {
    if (x->number[i] < 0) continue;
    if (decoded - x->number[i] > x->delay) x->delay = decoded - x->number[i];
    decoded++;
  }
  if (x->delay > MOST_DELAY) x->delay = 0, x->unsure = 1; /* no standard allows it, and H.264's decoder would abort */
}

static dgam_status give_headers(const dgam_index *x, AVCodecParameters *par) {
  if (!par || par->extradata_size > 0 || !x->peek.n_headers) return DGAM_OK;
  av_freep(&par->extradata);
  par->extradata = av_mallocz(x->peek.n_headers + AV_INPUT_BUFFER_PADDING_SIZE);
  if (!par->extradata) return dgam_fail(DGAM_ENOMEM, "no memory for %zu bytes of headers", x->peek.n_headers);
  memcpy(par->extradata, x->peek.headers, x->peek.n_headers);
  par->extradata_size = (int)x->peek.n_headers;
  return DGAM_OK;
}

dgam_status dgam_index_end(dgam_index *x, AVCodecParameters *par) {
  size_t n = x->packets;
  x->number = malloc((n + 1) * sizeof *x->number);
  x->entry = malloc(n + 1);
  dgam_index_key *keys = malloc((n + 1) * sizeof *keys);
  if (!x->number || !x->entry || !keys) {
    free(keys);
    return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu packets", n);
  }
  for (size_t i = 0; i < n; i++) x->number[i] = -1;
  int32_t frames = x->peek.order == DGAM_BY_COUNT    ? number_by_count(x, keys)
                   : x->peek.order == DGAM_LIKE_MPEG ? number_mpeg(x)
                                                     : number_packets(x);
  free(keys);
  find_delay(x);
  x->solid = frames;
  DGAM_TRY(dgam_index_invert(x, (size_t)frames));
  find_entries(x);
  free(x->note);
  x->note = NULL;
  DGAM_TRY(give_headers(x, par));
  dgam_peek_end(&x->peek);
  return DGAM_OK;
}

dgam_status dgam_index_pictures(dgam_index *x, size_t n) {
  memset(x, 0, sizeof *x);
  x->intra = 1;
  x->note = n < INT32_MAX ? calloc(n + 1, sizeof *x->note) : NULL;
  if (!x->note) return dgam_fail(DGAM_ENOMEM, "no memory for an index of %zu pictures", n);
  for (size_t i = 0; i < n; i++) x->note[i].kind = DGAM_KEY;
  x->packets = n;
  return dgam_index_end(x, NULL);
}

void dgam_index_free(dgam_index *x) {
  free(x->number);
  free(x->entry);
  free(x->packet);
  free(x->note);
  dgam_peek_end(&x->peek);
  memset(x, 0, sizeof *x);
}
