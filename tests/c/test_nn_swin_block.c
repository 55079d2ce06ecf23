/* The Swin block against its naive form over a matrix of shapes, levels and thread counts; gradients against finite
 * differences; same bits from run to run and for any number of threads; nothing written outside what was asked for; an
 * interrupt in the middle is answered. */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "nn/swin_block.h"

typedef struct shape {
  size_t n, d, h, w, c, heads, hidden, window[3], shift[3];
  int biased, scaled;
} shape;

static const shape shapes[] = {
    {1, 4, 4, 4, 32, 1, 64, {2, 2, 2}, {0, 0, 0}, 1, 0},     /* whole windows */
    {2, 4, 6, 5, 24, 3, 96, {2, 3, 3}, {1, 1, 1}, 1, 0},     /* shifted, padded along W */
    {1, 3, 7, 5, 40, 2, 50, {2, 4, 3}, {1, 2, 1}, 1, 1},     /* odd everything; 20 dimensions a head */
    {1, 5, 3, 9, 16, 4, 33, {8, 7, 7}, {4, 3, 3}, 0, 0},     /* clipped along D and H, shifted along W; no qkv bias */
    {3, 1, 5, 6, 48, 6, 192, {8, 7, 7}, {4, 3, 3}, 1, 1},    /* T = 1, one clipped window a sample */
    {1, 1, 1, 1, 8, 1, 8, {1, 1, 1}, {0, 0, 0}, 1, 0},       /* a single token */
    {2, 1, 1, 1, 7, 7, 5, {8, 7, 7}, {4, 3, 3}, 1, 1},       /* a single token of a large window; heads of one number */
    {1, 9, 8, 7, 64, 2, 32, {8, 7, 7}, {4, 3, 3}, 1, 0},     /* the published window, padded along D and H */
    {5, 2, 4, 4, 16, 2, 16, {2, 4, 4}, {0, 0, 0}, 1, 1},     /* more samples than threads, drop path */
    {3, 4, 8, 8, 24, 2, 40, {2, 4, 4}, {1, 2, 2}, 1, 1},     /* small windows, three at a time and some left over */
    {19, 2, 3, 3, 20, 2, 36, {2, 3, 3}, {0, 0, 0}, 0, 1},    /* the same across samples, of which some are left out */
};
enum { SHAPES = sizeof shapes / sizeof *shapes, MEMBERS = 13 };

typedef struct setup {
  dgam_swin_block_desc d;
  dgam_swin_block_params p;
  dgam_swin_block_grads g;
  float *param[MEMBERS], *grad[MEMBERS];
  size_t size[MEMBERS], tokens;
  float *x, *y, *dy, *dx, *want, *scale;
} setup;

static void make(setup *s, const shape *a, dgam_keep keep) {
  dgam_rng r;
  dgam_rng_init(&r, 11, a->c);
  memset(s, 0, sizeof *s);
  s->d = (dgam_swin_block_desc){a->n, a->d, a->h, a->w, a->c, a->heads, a->hidden, {0}, {0}, DGAM_F32, 1e-5f, keep};
  memcpy(s->d.window, a->window, sizeof a->window);
  memcpy(s->d.shift, a->shift, sizeof a->shift);
  size_t rows = (2 * a->window[0] - 1) * (2 * a->window[1] - 1) * (2 * a->window[2] - 1), c = a->c, h = a->hidden;
  size_t sizes[MEMBERS] = {c, c, 3 * c * c, 3 * c, c * c, c, rows * a->heads, c, c, h * c, h, c * h, c};
  for (int i = 0; i < MEMBERS; i++) {
    s->size[i] = sizes[i];
    s->param[i] = randoms(&r, sizes[i], i == 6 ? 2 : sizes[i] > h + 3 * c ? 1.5 / sqrt((double)c) : 0.5);
    s->grad[i] = guarded(sizes[i] * 4);
    if (i == 0 || i == 7)
      for (size_t q = 0; q < c; q++) s->param[i][q] += 1;
  }
  if (!a->biased) {
    free(s->param[3]), free(s->grad[3]);
    s->param[3] = s->grad[3] = NULL;
  }
  memcpy(&s->p, s->param, sizeof s->param);
  memcpy(&s->g, s->grad, sizeof s->grad);
  s->tokens = a->n * a->d * a->h * a->w;
  s->x = randoms(&r, s->tokens * c, 2);
  s->dy = randoms(&r, s->tokens * c, 1);
  s->y = guarded(s->tokens * c * 4), s->dx = guarded(s->tokens * c * 4), s->want = guarded(s->tokens * c * 4);
  if (a->scaled) {
    s->scale = guarded(2 * a->n * 4);
    for (size_t i = 0; i < 2 * a->n; i++) s->scale[i] = i % 3 == 0 ? 0.f : i % 3 == 1 ? 1.f : 1.25f;
  }
}

static void drop(setup *s) {
  for (int i = 0; i < MEMBERS; i++) free(s->param[i]), free(s->grad[i]);
  free(s->x), free(s->y), free(s->dy), free(s->dx), free(s->want), free(s->scale);
}

/* Runs forward, and backward if something is kept; scratch and saved are guarded and start as garbage. */
static void run(setup *s) {
  size_t bytes, saved_bytes;
  assert_ok(dgam_swin_block_saved(&s->d, &saved_bytes));
  float *saved = saved_bytes ? guarded(saved_bytes) : NULL;
  for (int back = 0; back < (s->d.keep ? 2 : 1); back++) {
    assert_ok(dgam_swin_block_scratch(&s->d, back, &bytes));
    float *scratch = guarded(bytes);
    memset(scratch, 0xff, bytes); /* NaN where something is read before it is written */
    if (!back) {
      if (saved) memset(saved, 0xff, saved_bytes);
      memset(s->y, 0xff, s->tokens * s->d.c * 4);
      assert_ok(dgam_swin_block_forward(&s->d, &s->p, s->x, s->scale, s->y, saved, scratch));
    } else {
      memset(s->dx, 0xff, s->tokens * s->d.c * 4);
      for (int i = 0; i < MEMBERS; i++)
        if (s->grad[i]) memset(s->grad[i], 0xff, s->size[i] * 4);
      assert_ok(dgam_swin_block_backward(&s->d, &s->p, s->x, s->scale, saved, s->dy, s->dx, &s->g, scratch));
    }
    check_guard(scratch, bytes, "scratch");
    free(scratch);
  }
  if (saved) check_guard(saved, saved_bytes, "saved");
  check_guard(s->y, s->tokens * s->d.c * 4, "y");
  check_guard(s->dx, s->tokens * s->d.c * 4, "dx");
  for (int i = 0; i < MEMBERS; i++)
    if (s->grad[i]) check_guard(s->grad[i], s->size[i] * 4, "a gradient");
  free(saved);
}

static void forward_matches_reference(void **state) {
  (void)state;
  static const dgam_cpu levels[] = {DGAM_CPU_PLAIN, DGAM_CPU_AVX2, DGAM_CPU_AVX512};
  static const int threads[] = {1, 2, 5};
  for (int i = 0; i < SHAPES; i++)
    for (int l = 0; l < 3; l++)
      for (int t = 0; t < 3; t++) {
        setup s;
        dgam_cpu before = dgam_cpu_limit(levels[l]);
        dgam_set_threads(threads[t]);
        make(&s, &shapes[i], DGAM_KEEP_NONE);
        run(&s);
        assert_ok(dgam_swin_block_reference(&s.d, &s.p, s.x, s.scale, s.want));
        char what[64];
        snprintf(what, sizeof what, "shape %d, %s, %d threads", i, dgam_cpu_name(levels[l]), threads[t]);
        assert_close(s.y, s.want, s.tokens * s.d.c, 5e-5, what);
        drop(&s);
        dgam_cpu_limit(before);
        dgam_set_threads(0);
      }
}

/* The loss sum(y dy) in double through the reference. */
static double loss(const setup *s) {
  double sum = 0;
  assert_ok(dgam_swin_block_reference(&s->d, &s->p, s->x, s->scale, s->want));
  for (size_t i = 0; i < s->tokens * s->d.c; i++) sum += (double)s->want[i] * s->dy[i];
  return sum;
}

/* The derivative along a random direction of one buffer against the difference quotient. */
static void check_direction(setup *s, float *value, const float *grad, size_t n, const char *what) {
  dgam_rng r;
  dgam_rng_init(&r, 5, n);
  float *kept = malloc(n * sizeof *kept);
  double h = 2e-3, along = 0, size = 0;
  double *way = malloc(n * sizeof *way);
  memcpy(kept, value, n * sizeof *kept);
  for (size_t i = 0; i < n; i++) way[i] = dgam_rng_uniform(&r) < .5 ? -1 : 1;
  for (size_t i = 0; i < n; i++) along += way[i] * grad[i], size += (double)grad[i] * grad[i];
  for (size_t i = 0; i < n; i++) value[i] = (float)(kept[i] + h * way[i]);
  double up = loss(s);
  for (size_t i = 0; i < n; i++) value[i] = (float)(kept[i] - h * way[i]);
  double down = loss(s), slope = (up - down) / (2 * h);
  memcpy(value, kept, n * sizeof *kept);
  if (!(fabs(slope - along) <= 0.01 * sqrt(size) + 0.02 * fabs(along) + 0.02))
    fail_msg("%s: derivative is %g, difference quotient %g", what, along, slope);
  free(kept), free(way);
}

static void gradients_match_differences(void **state) {
  (void)state;
  static const char *names[MEMBERS] = {"norm1_w", "norm1_b", "qkv_w", "qkv_b", "proj_w", "proj_b", "table",
                                       "norm2_w", "norm2_b", "fc1_w", "fc1_b", "fc2_w",  "fc2_b"};
  for (int i = 0; i < SHAPES; i++) {
    if (i == 7) continue; /* its reference takes seconds; gradients_agree has it */
    setup s;
    make(&s, &shapes[i], i % 2 ? DGAM_KEEP_LEAN : DGAM_KEEP_ALL);
    run(&s);
    for (int m = 0; m < MEMBERS; m++)
      if (s.param[m]) {
        char what[64];
        snprintf(what, sizeof what, "shape %d, %s", i, names[m]);
        check_direction(&s, s.param[m], s.grad[m], s.size[m], what);
      }
    check_direction(&s, s.x, s.dx, s.tokens * s.d.c, "dx");
    drop(&s);
  }
}

/* Every level, number of threads and choice of what to keep gives the same gradients; levels within rounding, the
 * others to the bit. */
static void gradients_agree(void **state) {
  (void)state;
  for (int i = 0; i < SHAPES; i++) {
    setup one, other;
    make(&one, &shapes[i], DGAM_KEEP_LEAN);
    dgam_set_threads(1);
    run(&one);
    for (int way = 0; way < 5; way++) {
      dgam_cpu before = dgam_cpu_limit(way == 3 ? DGAM_CPU_PLAIN : way == 4 ? DGAM_CPU_AVX2 : DGAM_CPU_AVX512BF);
      make(&other, &shapes[i], way == 2 ? DGAM_KEEP_ALL : DGAM_KEEP_LEAN);
      dgam_set_threads(way == 0 ? 1 : way == 1 ? 3 : 2);
      run(&other);
      int exact = way < 2;
      for (int m = -2; m < MEMBERS; m++) {
        const float *a = m == -2 ? one.y : m == -1 ? one.dx : one.grad[m];
        const float *b = m == -2 ? other.y : m == -1 ? other.dx : other.grad[m];
        size_t n = m < 0 ? one.tokens * one.d.c : one.size[m];
        char what[64];
        snprintf(what, sizeof what, "shape %d, way %d, member %d", i, way, m);
        if (!a) continue;
        if (exact && memcmp(a, b, n * sizeof *a)) fail_msg("%s: not the same bits", what);
        double top = 1e-3;
        for (size_t q = 0; q < n; q++) top = fabs((double)a[q]) > top ? fabs((double)a[q]) : top;
        assert_close(b, a, n, 1e-4 * top, what);
      }
      drop(&other);
      dgam_cpu_limit(before);
    }
    dgam_set_threads(0);
    drop(&one);
  }
}

/* The same bits for any number of threads, at every level and with all that may be kept: shapes above, and some with
 * several tiles of rows, windows of several tiles, few large windows and many small ones. */
static void threads_change_no_bit(void **state) {
  (void)state;
  static const shape more[] = {
      {1, 8, 14, 14, 32, 2, 128, {8, 7, 7}, {0, 0, 0}, 1, 0}, /* four windows of 392 tokens, two tiles each */
      {2, 8, 7, 9, 24, 2, 96, {8, 7, 7}, {4, 3, 3}, 1, 1},    /* the same with padding and drop path */
      {1, 4, 12, 12, 32, 2, 512, {2, 4, 4}, {1, 2, 2}, 1, 0}, /* windows two at a time; a wide hidden layer */
      {5, 4, 8, 8, 48, 3, 96, {4, 4, 4}, {0, 2, 2}, 1, 1},    /* windows three at a time */
      {1, 2, 40, 41, 16, 1, 64, {2, 3, 3}, {1, 1, 1}, 0, 0},  /* many tiny windows, seventeen tiles of rows */
  };
  static const dgam_cpu levels[] = {DGAM_CPU_PLAIN, DGAM_CPU_AVX2, DGAM_CPU_AVX512BF};
  static const int threads[] = {2, 3, 5, 16};
  int all = SHAPES + sizeof more / sizeof *more;
  for (int i = 0; i < all; i++)
    for (int l = 0; l < 3; l++)
      for (int bf = 0; bf <= dgam_gemm_has_bf16(); bf++) {
        dgam_keep keep = (dgam_keep)((i + l) % 3);
        const shape *a = i < SHAPES ? &shapes[i] : &more[i - SHAPES];
        dgam_cpu before = dgam_cpu_limit(levels[l]);
        setup one;
        make(&one, a, keep);
        if (bf) one.d.type = DGAM_BF16;
        dgam_set_threads(1);
        run(&one);
        for (int t = 0; t < 4; t++) {
          setup other;
          make(&other, a, keep);
          other.d.type = one.d.type;
          dgam_set_threads(threads[t]);
          run(&other);
          char what[80];
          snprintf(what, sizeof what, "shape %d, %s, keep %d, bf16 %d, %d threads", i, dgam_cpu_name(levels[l]), (int)keep, bf,
                   threads[t]);
          size_t n = one.tokens * one.d.c * sizeof(float);
          if (memcmp(one.y, other.y, n)) fail_msg("%s: y is not the same", what);
          if (keep && memcmp(one.dx, other.dx, n)) fail_msg("%s: dx is not the same", what);
          for (int m = 0; keep && m < MEMBERS; m++)
            if (one.grad[m] && memcmp(one.grad[m], other.grad[m], one.size[m] * sizeof(float)))
              fail_msg("%s: gradient %d is not the same", what, m);
          drop(&other);
        }
        drop(&one);
        dgam_set_threads(0);
        dgam_cpu_limit(before);
      }
}

typedef struct alarm_clock {
  volatile sig_atomic_t flag;
  double after; /* seconds */
} alarm_clock;

static void *ring(void *arg) {
  alarm_clock *a = arg;
  struct timespec t = {(time_t)a->after, (long)(1e9 * (a->after - floor(a->after)))};
  nanosleep(&t, NULL);
  a->flag = 1;
  return NULL;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ctrl-C in the middle of a block of the size that Swin B has ends it there, not after it. */
static void an_interrupt_is_answered_inside(void **state) {
  (void)state;
  static const shape large = {1, 8, 14, 14, 512, 16, 2048, {8, 7, 7}, {4, 3, 3}, 1, 0};
  setup s;
  make(&s, &large, DGAM_KEEP_ALL);
  size_t bytes;
  assert_ok(dgam_swin_block_saved(&s.d, &bytes));
  void *saved = guarded(bytes);
  for (int back = 0; back < 2; back++) {
    assert_ok(dgam_swin_block_scratch(&s.d, back, &bytes));
    void *scratch = guarded(bytes);
    double whole = 0;
    for (int round = 0; round < 2; round++) {
      pthread_t thread;
      alarm_clock alarm = {0, whole / 4};
      if (round) {
        dgam_interrupt_watch(&alarm.flag);
        assert_int_equal(pthread_create(&thread, NULL, ring, &alarm), 0);
      }
      double start = seconds();
      dgam_status got = back ? dgam_swin_block_backward(&s.d, &s.p, s.x, NULL, saved, s.dy, s.dx, &s.g, scratch)
                             : dgam_swin_block_forward(&s.d, &s.p, s.x, NULL, s.y, saved, scratch);
      whole = seconds() - start;
      if (round) {
        pthread_join(thread, NULL);
        dgam_interrupt_watch(NULL);
      }
      if (got != (round ? DGAM_EINTERRUPTED : DGAM_OK))
        fail_msg("%s: status is %s", back ? "backward" : "forward", dgam_status_name(got));
    }
    check_guard(scratch, bytes, "scratch");
    free(scratch);
    if (!back) assert_ok(dgam_swin_block_scratch(&s.d, 0, &bytes));
    if (!back) { /* what was saved is complete again for backward */
      scratch = guarded(bytes);
      assert_ok(dgam_swin_block_forward(&s.d, &s.p, s.x, NULL, s.y, saved, scratch));
      free(scratch);
    }
  }
  free(saved);
  drop(&s);
}

/* Without parameter gradients dx is the same; a sample whose factors are 0 passes unchanged. */
static void only_dx(void **state) {
  (void)state;
  setup s;
  make(&s, &shapes[2], DGAM_KEEP_LEAN);
  s.scale[0] = s.scale[1] = 0;
  run(&s);
  assert_memory_equal(s.y, s.x, s.tokens * s.d.c * sizeof(float));
  assert_memory_equal(s.dx, s.dy, s.tokens * s.d.c * sizeof(float));
  s.scale[0] = s.scale[1] = 1;
  run(&s);
  size_t bytes, saved_bytes;
  float *dx = guarded(s.tokens * s.d.c * 4);
  assert_ok(dgam_swin_block_saved(&s.d, &saved_bytes));
  assert_ok(dgam_swin_block_scratch(&s.d, 0, &bytes));
  float *saved = guarded(saved_bytes), *scratch = guarded(bytes);
  assert_ok(dgam_swin_block_forward(&s.d, &s.p, s.x, s.scale, s.y, saved, scratch));
  free(scratch);
  assert_ok(dgam_swin_block_scratch(&s.d, 1, &bytes));
  scratch = guarded(bytes);
  assert_ok(dgam_swin_block_backward(&s.d, &s.p, s.x, s.scale, saved, s.dy, dx, NULL, scratch));
  assert_memory_equal(dx, s.dx, s.tokens * s.d.c * sizeof(float));
  free(scratch), free(saved), free(dx);
  drop(&s);
}

static void bf16_is_near_fp32(void **state) {
  (void)state;
  if (!dgam_gemm_has_bf16()) skip();
  for (int i = 0; i < SHAPES; i++) {
    setup exact, rough;
    make(&exact, &shapes[i], DGAM_KEEP_LEAN);
    run(&exact);
    for (int way = 0; way < 5; way++) { /* the best level keeping little and all, then the others */
      make(&rough, &shapes[i], way == 1 ? DGAM_KEEP_ALL : DGAM_KEEP_LEAN);
      rough.d.type = DGAM_BF16;
      dgam_cpu before = dgam_cpu_limit(way < 2 ? DGAM_CPU_AVX512BF : (dgam_cpu)(4 - way));
      run(&rough);
      dgam_cpu_limit(before);
      for (int m = -2; m < MEMBERS; m++) {
        const float *a = m == -2 ? exact.y : m == -1 ? exact.dx : exact.grad[m];
        const float *b = m == -2 ? rough.y : m == -1 ? rough.dx : rough.grad[m];
        size_t n = m < 0 ? exact.tokens * exact.d.c : exact.size[m];
        if (!a) continue;
        double off = 0, all = 1e-6;
        for (size_t q = 0; q < n; q++) off += ((double)a[q] - b[q]) * ((double)a[q] - b[q]), all += (double)a[q] * a[q];
        if (!(sqrt(off / all) < 0.03)) fail_msg("shape %d, way %d, member %d: bf16 is off by %g", i, way, m, sqrt(off / all));
      }
      drop(&rough);
    }
    drop(&exact);
  }
}

static void refuses_nonsense(void **state) {
  (void)state;
  size_t bytes;
  dgam_swin_block_desc good = {1, 2, 4, 4, 16, 2, 32, {2, 2, 2}, {1, 1, 1}, DGAM_F32, 1e-5f, DGAM_KEEP_NONE}, d;
#define BAD(change, word)                                                 \
  do {                                                                    \
    d = good;                                                             \
    change;                                                               \
    assert_fails(dgam_swin_block_scratch(&d, 0, &bytes), DGAM_EINVAL, word); \
  } while (0)
  BAD(d.heads = 3, "16 channels do not split into 3 heads");
  BAD(d.h = 0, "H is 0");
  BAD(d.window[2] = 0, "the window along W is 0");
  BAD(d.shift[0] = 2, "the shift along D is 2");
  BAD(d.hidden = 0, "hidden");
  BAD(d.c = (size_t)1 << 40, "too large");
  BAD(d.keep = (dgam_keep)3, "keep is 3");
#undef BAD
  setup s;
  make(&s, &shapes[0], DGAM_KEEP_LEAN);
  s.g.fc1_w = NULL;
  assert_fails(dgam_swin_block_backward(&s.d, &s.p, s.x, NULL, s.y, s.dy, s.dx, &s.g, s.y), DGAM_EINVAL, "a gradient is NULL");
  drop(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(forward_matches_reference), cmocka_unit_test(gradients_match_differences),
      cmocka_unit_test(gradients_agree),           cmocka_unit_test(threads_change_no_bit),
      cmocka_unit_test(only_dx),                   cmocka_unit_test(an_interrupt_is_answered_inside),
      cmocka_unit_test(bf16_is_near_fp32),         cmocka_unit_test(refuses_nonsense)};
  return cmocka_run_group_tests_name("nn_swin_block", tests, NULL, NULL);
}
