/* sample.c - see sample.h */
#include "video/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

dgam_sampling dgam_sampling_defaults(void) {
  return (dgam_sampling){.clips_rule = DGAM_CLIPS_TRAIN, .clip_len = 32, .interval = 2, .clips = 1, .window = 64, .positions = 10,
                         .crop = DGAM_CROP_RANDOM, .short_side = 256, .out_w = 224, .out_h = 224,
                         .area = {0.08, 1}, .ratio = {3.0 / 4, 4.0 / 3}, .flip = 0.5, .augment = dgam_augment_none()};
}

static dgam_status check_int(const char *name, int64_t value, int64_t lo, int64_t hi) {
  if (value >= lo && value <= hi) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "%s is %lld, expected %lld to %lld", name, (long long)value, (long long)lo, (long long)hi);
}

static int crops_of(const dgam_sampling *s) { return s->crop == DGAM_CROP_THREE ? 3 : s->crop == DGAM_CROP_TEN ? 10 : 1; }

static int positions_of(const dgam_sampling *s) { return s->clips_rule == DGAM_CLIPS_DENSE_TEST ? s->positions : 1; }

/* Of numbers that are in range each by itself: neither the views nor their bytes are too many to count. */
static dgam_status check_product(const dgam_sampling *s) {
  int64_t most_views = 1 << 20, most_bytes = (int64_t)1 << 40, frame = (int64_t)3 * s->out_h * s->out_w;
  int64_t views = (int64_t)s->clips * positions_of(s) * crops_of(s);
  if (views > most_views)
    return dgam_fail(DGAM_EINVAL, "clips x positions x crops are %d x %d x %d, expected at most %lld in all", s->clips,
                     positions_of(s), crops_of(s), (long long)most_views);
  if (views * s->clip_len > most_bytes / frame)
    return dgam_fail(DGAM_EINVAL, "%lld views of 3 x %d x %d x %d bytes are asked for, expected at most %lld bytes in all",
                     (long long)views, s->clip_len, s->out_h, s->out_w, (long long)most_bytes);
  return DGAM_OK;
}

dgam_status dgam_sampling_check(const dgam_sampling *s) {
  DGAM_TRY(check_int("clip_len", s->clip_len, 1, 1 << 20));
  DGAM_TRY(check_int("interval", s->interval, 1, 1 << 20));
  DGAM_TRY(check_int("clips", s->clips, 1, 1 << 16));
  DGAM_TRY(check_int("width", s->out_w, 1, 8192));
  DGAM_TRY(check_int("height", s->out_h, 1, 8192));
  if (s->clips_rule == DGAM_CLIPS_DENSE || s->clips_rule == DGAM_CLIPS_DENSE_TEST) {
    DGAM_TRY(check_int("window", s->window, 1, 1 << 30));
    DGAM_TRY(check_int("positions", s->positions, 1, 1 << 16));
  }
  DGAM_TRY(check_product(s));
  if (s->crop == DGAM_CROP_CENTRE || s->crop == DGAM_CROP_THREE || s->crop == DGAM_CROP_TEN)
    DGAM_TRY(check_int("short_side", s->short_side, s->out_w > s->out_h ? s->out_w : s->out_h, 8192));
  if (s->crop == DGAM_CROP_RANDOM) {
    if (!(s->area[0] > 0 && s->area[0] <= s->area[1] && s->area[1] <= 1))
      return dgam_fail(DGAM_EINVAL, "area is %g to %g, expected shares in ascending order, above 0, at most 1", s->area[0], s->area[1]);
    if (!(s->ratio[0] > 0 && s->ratio[0] <= s->ratio[1] && s->ratio[1] < 1e3))
      return dgam_fail(DGAM_EINVAL, "ratio is %g to %g, expected width / height in ascending order, above 0", s->ratio[0], s->ratio[1]);
    if (!(s->flip >= 0 && s->flip <= 1)) return dgam_fail(DGAM_EINVAL, "flip is %g, expected a probability", s->flip);
  }
  if (s->enhanced) DGAM_TRY(dgam_enhance_check(&s->enhance, (size_t)s->out_h, (size_t)s->out_w));
  return dgam_augment_check(&s->augment);
}

static int clips_of(const dgam_sampling *s) { return s->clips * positions_of(s); }

int dgam_sampling_views(const dgam_sampling *s) { return clips_of(s) * crops_of(s); }

size_t dgam_sampling_bytes(const dgam_sampling *s) {
  return (size_t)dgam_sampling_views(s) * 3 * (size_t)s->clip_len * (size_t)s->out_h * (size_t)s->out_w;
}

/* --- time --- */

static int ascending(const void *a, const void *b) {
  const int64_t *p = a, *q = b;
  return (*p > *q) - (*p < *q);
}

static void train_starts(const dgam_sampling *s, int64_t n, dgam_rng *rng, int64_t *starts) {
  int64_t span = (int64_t)s->clip_len * s->interval, range = n - span + 1, clips = s->clips, each = range > 0 ? range / clips : 0;
  int draws = n > span && n > clips;
  double step = range > 0 ? (double)range / (double)clips : 0;
  for (int64_t i = 0; i < clips; i++) {
    if (each > 0)
      starts[i] = i * each + (int64_t)dgam_rng_below(rng, (uint64_t)each);
    else
      starts[i] = draws ? (int64_t)dgam_rng_below(rng, (uint64_t)range) : (int64_t)nearbyint((double)i * step);
  }
  if (each == 0) qsort(starts, (size_t)clips, sizeof *starts, ascending);
}

dgam_status dgam_sample_starts(const dgam_sampling *s, int64_t n, dgam_rng *rng, int64_t *starts) {
  DGAM_TRY(check_int("frames", n, 1, INT32_MAX));
  int64_t span = (int64_t)s->clip_len * s->interval, clips = s->clips;
  switch (s->clips_rule) {
    case DGAM_CLIPS_TRAIN: train_starts(s, n, rng, starts); break;
    case DGAM_CLIPS_TEST: {
      double avg = (double)(n - span + 1) / (double)clips;
      for (int64_t i = 0; i < clips; i++) starts[i] = n < span ? 0 : (int64_t)((double)i * avg + avg / 2);
      break;
    }
    case DGAM_CLIPS_TEST_1X: {
      if (s->clip_len == 1) {
        double avg = (double)n / (double)clips;
        for (int64_t i = 0; i < clips; i++) starts[i] = (int64_t)((double)i * avg + avg / 2);
        break;
      }
      int64_t most = n - ((int64_t)s->clip_len - 1) * s->interval - 1;
      if (most < 0) most = 0;
      for (int64_t i = 0; i < clips; i++)
        starts[i] = clips == 1 ? most / 2 : (int64_t)nearbyint((double)i * ((double)most / (double)(clips - 1)));
      break;
    }
    case DGAM_CLIPS_DENSE: {
      int64_t places = n - s->window > 0 ? 1 + n - s->window : 1, step = s->window / clips;
      int64_t start = places == 1 ? 0 : (int64_t)dgam_rng_below(rng, (uint64_t)(places - 1));
      for (int64_t i = 0; i < clips; i++) starts[i] = (start + i * step) % n;
      break;
    }
    case DGAM_CLIPS_DENSE_TEST: {
      int64_t places = n - s->window > 0 ? 1 + n - s->window : 1, step = s->window / clips;
      double apart = s->positions == 1 ? 0 : (double)(places - 1) / (double)(s->positions - 1); /* as numpy.linspace rounds */
      for (int64_t p = 0; p < s->positions; p++) {
        int64_t start = p > 0 && p == s->positions - 1 ? places - 1 : (int64_t)((double)p * apart);
        for (int64_t i = 0; i < clips; i++) starts[p * clips + i] = (start + i * step) % n;
      }
      break;
    }
  }
  return DGAM_OK;
}

/* --- space --- */

/* A crop: rectangle of the picture, what it is resized to and the window of that; see dgam_view. */
typedef struct crop {
  int x, y;
  dgam_resize_spec r;
} crop;

static crop window(const dgam_sampling *s, int w, int h, int rw, int rh, int ox, int oy, int flip) {
  return (crop){0, 0, {w, h, rw, rh, ox, oy, s->out_w, s->out_h, flip}};
}

static crop random_crop(const dgam_sampling *s, int w, int h, dgam_rng *rng) {
  double total = (double)w * h, lo = log(s->ratio[0]), hi = log(s->ratio[1]);
  int side = w < h ? w : h, cw = side, ch = side, x = (w - side) / 2, y = (h - side) / 2;
  for (int i = 0; i < 10; i++) {
    double ratio = exp(lo + (hi - lo) * dgam_rng_uniform(rng));
    double area = total * (s->area[0] + (s->area[1] - s->area[0]) * dgam_rng_uniform(rng));
    int tw = (int)nearbyint(sqrt(area * ratio)), th = (int)nearbyint(sqrt(area / ratio));
    if (tw < 1 || th < 1 || tw > w || th > h) continue;
    cw = tw, ch = th;
    x = (int)dgam_rng_below(rng, (uint64_t)(w - cw + 1));
    y = (int)dgam_rng_below(rng, (uint64_t)(h - ch + 1));
    break;
  }
  int flip = dgam_rng_uniform(rng) < s->flip;
  return (crop){x, y, {cw, ch, s->out_w, s->out_h, 0, 0, s->out_w, s->out_h, flip}};
}

/* Fills crops[] (room for 10). */
static void crops_for(const dgam_sampling *s, int w, int h, dgam_rng *rng, crop *crops) {
  if (s->crop == DGAM_CROP_RANDOM) {
    crops[0] = random_crop(s, w, h, rng);
    return;
  }
  if (s->crop == DGAM_CROP_NONE) {
    crops[0] = window(s, w, h, s->out_w, s->out_h, 0, 0, 0);
    return;
  }
  double scale = (double)s->short_side / (w < h ? w : h);
  int rw = (int)(w * scale + 0.5), rh = (int)(h * scale + 0.5);
  if (rw < s->out_w) rw = s->out_w; /* rounding */
  if (rh < s->out_h) rh = s->out_h;
  int over_w = rw - s->out_w, over_h = rh - s->out_h;
  switch (s->crop) {
    case DGAM_CROP_THREE: {
      int wide = over_w >= over_h, step = (wide ? over_w : over_h) / 2, other = (wide ? over_h : over_w) / 2;
      const int at[3] = {0, 2 * step, step};
      for (int i = 0; i < 3; i++)
        crops[i] = window(s, w, h, rw, rh, wide ? at[i] : other, wide ? other : at[i], 0);
      break;
    }
    case DGAM_CROP_TEN: {
      int sw = over_w / 4, sh = over_h / 4;
      const int x[5] = {0, 4, 0, 4, 2}, y[5] = {0, 0, 4, 4, 2};
      for (int i = 0; i < 10; i++) crops[i] = window(s, w, h, rw, rh, x[i / 2] * sw, y[i / 2] * sh, i % 2);
      break;
    }
    default: crops[0] = window(s, w, h, rw, rh, over_w / 2, over_h / 2, 0);
  }
}

dgam_status dgam_sample_views(const dgam_sampling *s, const dgam_video_info *info, int64_t *frames, dgam_view *views, uint8_t *out) {
  DGAM_TRY(dgam_sampling_check(s));
  dgam_rng rng;
  dgam_rng_init(&rng, s->seed, s->stream);
  size_t clips = (size_t)clips_of(s), n_crops = (size_t)crops_of(s), length = (size_t)s->clip_len;
  size_t plane = (size_t)s->out_w * (size_t)s->out_h;
  crop crops[10];
  crops_for(s, info->width, info->height, &rng, crops);
  int64_t *starts = malloc(clips * sizeof *starts);
  if (!starts) return dgam_fail(DGAM_ENOMEM, "no memory for %zu clips", clips);
  dgam_status status = dgam_sample_starts(s, info->frames, &rng, starts);
  for (size_t i = 0; status == DGAM_OK && i < clips; i++) {
    int64_t *numbers = frames + i * length;
    for (size_t t = 0; t < length; t++) numbers[t] = (starts[i] + (int64_t)t * s->interval) % info->frames;
    for (size_t c = 0; c < n_crops; c++) {
      size_t v = i * n_crops + c;
      views[v] = (dgam_view){.frames = numbers, .count = length, .x = crops[c].x, .y = crops[c].y, .resize = crops[c].r,
                             .out = out + v * 3 * length * plane, .plane = s->frames_first ? plane : length * plane,
                             .frame = s->frames_first ? 3 * plane : plane};
    }
  }
  free(starts);
  return status;
}

static dgam_status enhance_views(const dgam_sampling *s, uint8_t *out, const atomic_int *stop) {
  size_t h = (size_t)s->out_h, w = (size_t)s->out_w, length = (size_t)s->clip_len, bytes = 3 * length * h * w;
  size_t plane = s->frames_first ? h * w : length * h * w, frame = s->frames_first ? 3 * h * w : h * w;
  dgam_arena arena;
  DGAM_TRY(dgam_arena_init(&arena, dgam_enhance_alone_scratch(&s->enhance, h, w)));
  dgam_status status = DGAM_OK;
  for (size_t i = 0; status == DGAM_OK && i < (size_t)dgam_sampling_views(s) * length; i++) {
    if (stop && atomic_load(stop)) status = dgam_fail_interrupted();
    else status = dgam_enhance_alone(&s->enhance, out + i / length * bytes + i % length * frame, 1, plane, frame, h, w, arena.base);
  }
  dgam_arena_free(&arena);
  return status;
}

/* Frames that the packets promise may turn out not to come out of the decoder. What is drawn is then drawn anew, by their true number,
 * as a later reading, which knows it, will draw it. */
static dgam_status fill_views(dgam_video *v, const dgam_sampling *s, int64_t *frames, dgam_view *views, uint8_t *out) {
  dgam_video_info info, after;
  dgam_status status;
  do {
    dgam_video_get_info(v, &info);
    DGAM_TRY(dgam_sample_views(s, &info, frames, views, out));
    status = dgam_video_views(v, views, (size_t)dgam_sampling_views(s));
    dgam_video_get_info(v, &after);
  } while (after.frames != info.frames && after.frames > 0 && (status == DGAM_OK || status == DGAM_EFORMAT));
  return status;
}

dgam_status dgam_video_views_of(dgam_video *v, const dgam_sampling *s, uint8_t *out, const atomic_int *stop) {
  DGAM_TRY(dgam_sampling_check(s));
  size_t n = (size_t)dgam_sampling_views(s);
  int64_t *frames = malloc((size_t)clips_of(s) * (size_t)s->clip_len * sizeof *frames);
  dgam_view *views = malloc(n * sizeof *views);
  dgam_status status = frames && views ? fill_views(v, s, frames, views, out) : dgam_fail(DGAM_ENOMEM, "no memory for %zu views", n);
  if (status == DGAM_OK && s->enhanced) status = enhance_views(s, out, stop);
  free(frames);
  free(views);
  return status;
}

int dgam_sampling_changes(const dgam_sampling *s, dgam_change changes[DGAM_CHANGES]) {
  static const uint64_t own = 0x617567; /* other numbers than frames and crops are drawn from */
  dgam_rng rng;
  dgam_rng_init(&rng, s->seed, dgam_rng_mix(s->changes ? s->changes : s->stream, own));
  return dgam_augment_draw(&s->augment, s->out_w, s->out_h, &rng, changes);
}

dgam_status dgam_sampling_augment(const dgam_sampling *s, uint8_t *out) {
  if (!dgam_augment_any(&s->augment)) return DGAM_OK;
  dgam_change changes[DGAM_CHANGES];
  int n = dgam_sampling_changes(s, changes);
  size_t length = (size_t)s->clip_len, picture = (size_t)s->out_w * (size_t)s->out_h;
  void *scratch = malloc(dgam_change_scratch(s->out_w, s->out_h));
  dgam_status status = scratch ? DGAM_OK : dgam_fail(DGAM_ENOMEM, "no memory to change a clip of %d x %d", s->out_w, s->out_h);
  for (int v = 0; v < dgam_sampling_views(s); v++)
    for (int i = 0; status == DGAM_OK && i < n; i++) {
      dgam_pixels clip = {.data = out + (size_t)v * 3 * length * picture, .frames = length, .w = s->out_w, .h = s->out_h};
      clip.plane = s->frames_first ? picture : length * picture;
      clip.frame = s->frames_first ? 3 * picture : picture;
      status = dgam_change_run(&changes[i], &clip, scratch);
    }
  free(scratch);
  return status;
}

dgam_status dgam_video_sample(dgam_video *v, const dgam_sampling *s, uint8_t *out) {
  DGAM_TRY(dgam_video_views_of(v, s, out, NULL));
  return dgam_sampling_augment(s, out);
}

int dgam_sampling_draws(const dgam_sampling *s) {
  return s->crop == DGAM_CROP_RANDOM || s->clips_rule == DGAM_CLIPS_TRAIN || s->clips_rule == DGAM_CLIPS_DENSE;
}
