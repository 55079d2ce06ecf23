/* Tests of core/video/pool: results in order whatever the threads do, failures that stop nothing, and an end at once. */
#include "video_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <time.h>

#include "video/pool.h"

enum { FILES = 6 };
static char paths[FILES][512];

static int make_files(void **state) {
  if (scratch_make(state) != 0) return -1;
  for (int i = 0; i < FILES; i++) {
    char name[32];
    snprintf(name, sizeof name, "%d.avi", i);
    snprintf(paths[i], sizeof paths[i], "%s", scratch_path(name));
    dgam_encoder_spec s = dgam_encoder_defaults(160, 96, 25, 1);
    if (i % 2) s.codec = "mpeg4", s.options = "bf=2:g=8", s.full_range = 0;
    if (film_write(paths[i], &s, 20 + i) != DGAM_OK) return -1;
  }
  return 0;
}

static dgam_sampling small(void) {
  dgam_sampling s = dgam_sampling_defaults();
  s.clip_len = 4, s.interval = 3, s.out_w = s.out_h = 24, s.seed = 5;
  return s;
}

static void same_at_any_thread_count(void **state) {
  (void)state;
  dgam_sampling s = small();
  size_t bytes = dgam_sampling_bytes(&s);
  enum { JOBS = 40 };
  uint8_t *want = malloc(JOBS * bytes);
  for (int j = 0; j < JOBS; j++) {
    dgam_video *v;
    assert_ok(dgam_video_open(&v, paths[j % FILES], NULL));
    s.stream = (uint64_t)j;
    assert_ok(dgam_video_sample(v, &s, want + (size_t)j * bytes));
    dgam_video_close(v);
  }
  for (int threads = 1; threads <= 5; threads += 2) {
    dgam_pool *p;
    assert_ok(dgam_pool_create(&p, threads, NULL));
    int sent = 0;
    for (int j = 0; j < JOBS; j++) {
      for (; sent < JOBS && sent < j + 7; sent++) {
        s.stream = (uint64_t)sent;
        assert_ok(dgam_pool_submit(p, paths[sent % FILES], &s));
      }
      dgam_pool_result r;
      assert_ok(dgam_pool_next(p, &r));
      assert_int_equal(r.status, DGAM_OK);
      assert_int_equal(r.info.frames, 20 + j % FILES);
      assert_int_equal(r.bytes, bytes);
      assert_memory_equal(r.views, want + (size_t)j * bytes, bytes);
      dgam_pool_release(p, &r);
      assert_null(r.views);
    }
    assert_int_equal(dgam_pool_pending(p), 0);
    dgam_pool_result r;
    assert_fails(dgam_pool_next(p, &r), DGAM_EINVAL, "no decoding job");
    dgam_pool_destroy(p);
  }
  free(want);
}

static void failures_come_in_their_turn(void **state) {
  (void)state;
  dgam_sampling s = small();
  dgam_pool *p;
  assert_ok(dgam_pool_create(&p, 3, NULL));
  for (int j = 0; j < 12; j++) {
    assert_ok(dgam_pool_submit(p, j % 3 == 1 ? "/nowhere/x.avi" : paths[j % FILES], j % 4 ? &s : NULL));
  }
  for (int j = 0; j < 12; j++) {
    dgam_pool_result r;
    assert_ok(dgam_pool_next(p, &r));
    if (j % 3 == 1) {
      assert_int_equal(r.status, DGAM_EIO);
      assert_non_null(strstr(r.message, "/nowhere/x.avi"));
      assert_null(r.views);
    } else {
      assert_int_equal(r.status, DGAM_OK);
      assert_int_equal(r.message[0], 0);
      assert_int_equal(r.views != NULL, j % 4 != 0);
      assert_int_equal(r.info.counted, j % 4 == 0);
    }
    dgam_pool_release(p, &r);
  }
  /* the reason comes through, however long the path is */
  char path[5001];
  for (size_t n = 300; n <= 5000; n += 235) {
    for (size_t i = 0; i < n; i++) path[i] = i % 200 ? 'x' : '/';
    path[n] = 0;
    const char *reason = n < 4096 ? "open the video: No such file or directory" : "open the video: File name too long";
    dgam_pool_result r;
    assert_ok(dgam_pool_submit(p, path, &s));
    assert_ok(dgam_pool_next(p, &r));
    if (!strstr(r.message, reason)) fail_msg("'%s' for a path of %zu bytes, expected '%s'", r.message, n, reason);
    dgam_pool_release(p, &r);
  }
  s.clip_len = 0;
  assert_fails(dgam_pool_submit(p, paths[0], &s), DGAM_EINVAL, "clip_len");
  dgam_pool_destroy(p);
  assert_fails(dgam_pool_create(&p, 0, NULL), DGAM_EINVAL, "threads is 0");
  dgam_pool_destroy(NULL);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ends_at_once(void **state) {
  (void)state;
  dgam_sampling s = small();
  s.out_w = s.out_h = 2000, s.clip_len = 20; /* 240 MB a job: none of these gets far */
  dgam_pool *p;
  assert_ok(dgam_pool_create(&p, 2, NULL));
  for (int round = 0; round < 3; round++) {
    for (int j = 0; j < 50; j++) assert_ok(dgam_pool_submit(p, paths[j % FILES], &s));
    double start = now();
    dgam_pool_cancel(p);
    assert_true(now() - start < 1);
    assert_int_equal(dgam_pool_pending(p), 0);
  }
  /* and goes on afterwards */
  s = small();
  dgam_pool_result r;
  assert_ok(dgam_pool_submit(p, paths[0], &s));
  assert_ok(dgam_pool_next(p, &r));
  assert_int_equal(r.status, DGAM_OK);
  dgam_pool_release(p, &r);

  static volatile sig_atomic_t flag = 1;
  dgam_interrupt_watch(&flag);
  assert_ok(dgam_pool_submit(p, paths[0], &s));
  assert_fails(dgam_pool_next(p, &r), DGAM_EINTERRUPTED, "interrupted");
  dgam_interrupt_watch(NULL);
  for (int j = 0; j < 50; j++) assert_ok(dgam_pool_submit(p, paths[j % FILES], &s));
  double start = now();
  dgam_pool_destroy(p);
  assert_true(now() - start < 1);
}

static int tasks(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/task");
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

/* CPU seconds that the threads other than this one, those that are alive, have taken. */
static double cpu_of_others(void) {
  double ticks = 0;
  DIR *d = opendir("/proc/self/task");
  for (struct dirent *e; (e = readdir(d));) {
    char path[300];
    unsigned long user, system;
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
    FILE *f = atoi(e->d_name) > 0 && atoi(e->d_name) != getpid() ? fopen(path, "r") : NULL;
    if (!f) continue;
    if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
      ticks += (double)(user + system);
    fclose(f);
  }
  closedir(d);
  return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Nothing stops libavcodec inside a frame. A pool that is done with does not wait for it, and what it left is cleared away. */
static void a_huge_frame_holds_nobody_up(void **state) {
  (void)state;
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path("huge.avi"));
  enum { SIDE = 8000 };
  dgam_encoder_spec spec = dgam_encoder_defaults(SIDE, SIDE, 25, 1);
  spec.quality = 90;
  dgam_encoder *e;
  uint8_t *noise = malloc((size_t)3 * SIDE * SIDE);
  uint32_t x = 1;
  for (size_t i = 0; i < (size_t)3 * SIDE * SIDE; i++) noise[i] = (uint8_t)((x = 1664525 * x + 1013904223) >> 24);
  assert_ok(dgam_encoder_open(&e, path, &spec));
  assert_ok(dgam_encoder_rgb(e, noise, 0));
  assert_ok(dgam_encoder_finish(&e));
  free(noise);
  dgam_sampling s = small();
  dgam_pool *p;
  dgam_pool_result r;
  assert_ok(dgam_pool_create(&p, 1, NULL));
  assert_ok(dgam_pool_submit(p, path, &s));
  assert_ok(dgam_pool_next(p, &r));
  assert_int_equal(r.status, DGAM_OK);
  dgam_pool_release(p, &r);
  double whole = cpu_of_others(); /* what the frame takes, on however busy a machine */
  int before = tasks();
  assert_ok(dgam_pool_submit(p, path, &s));
  /* until it has been read and is being decoded */
  for (double start = now(); cpu_of_others() < 1.3 * whole && now() - start < 60;) nanosleep(&(struct timespec){0, 1000000}, NULL);
  dgam_pool_destroy(p);
  assert_int_equal(tasks(), before); /* the thread is still at its frame */
  for (double start = now(); tasks() >= before && now() - start < 60;) nanosleep(&(struct timespec){0, 10000000}, NULL);
  assert_int_equal(tasks(), before - 1);
}

/* A pass over many clips leaves no descriptor open. */
static void no_descriptor_is_left(void **state) {
  (void)state;
  dgam_sampling s = small();
  int before = open("/dev/null", O_RDONLY);
  close(before);
  dgam_pool *p;
  assert_ok(dgam_pool_create(&p, 2, NULL));
  for (int j = 0; j < 60; j++) {
    dgam_pool_result r;
    assert_ok(dgam_pool_submit(p, paths[j % FILES], &s));
    assert_ok(dgam_pool_next(p, &r));
    dgam_pool_release(p, &r);
  }
  dgam_pool_destroy(p);
  int after = open("/dev/null", O_RDONLY);
  close(after);
  assert_int_equal(before, after);
}

/* Bytes that are allocated. */
static size_t allocated(void) {
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

/* 2,400 clips leave nothing behind: sampled, only counted, and files that cannot be read. 64 KB is 36 bytes a clip; it is what the
 * threads' own lists of free blocks may still hold. */
static void no_memory_is_left(void **state) {
  (void)state;
  dgam_sampling s = small();
  dgam_pool *p;
  char damaged[512];
  snprintf(damaged, sizeof damaged, "%s", scratch_path("damaged.avi"));
  size_t size;
  unsigned char *bytes = read_file(paths[0], &size);
  write_file(damaged, bytes, size / 3);
  free(bytes);
  dgam_video_options options = {.index = scratch};
  assert_ok(dgam_pool_create(&p, 3, &options));
  size_t before = 0;
  for (int j = 0, sent = 0; j < 2400; j++) {
    for (; sent < 2400 && sent < j + 8; sent++) {
      s.stream = (uint64_t)sent;
      const char *path = sent % 10 == 7 ? damaged : sent % 10 == 8 ? "/nowhere/x.avi" : paths[sent % FILES];
      assert_ok(dgam_pool_submit(p, path, sent % 10 == 9 ? NULL : &s));
    }
    dgam_pool_result r;
    assert_ok(dgam_pool_next(p, &r));
    dgam_pool_release(p, &r);
    if (j == 799) before = allocated();
  }
  size_t after = allocated();
  dgam_pool_destroy(p);
  print_message("%zu KB after 800 clips, %zu KB after 2400\n", before >> 10, after >> 10);
  assert_true(after < before + (64 << 10));
}

/* Runs one job for each file, 4 threads; returns how many came from the cache. */
static int pass_with_cache(const char *folder, uint64_t limit, const dgam_sampling *s, uint8_t *out) {
  dgam_pool *p;
  dgam_clip_cache *cache;
  size_t bytes = dgam_sampling_bytes(s);
  int cached = 0;
  assert_ok(dgam_pool_create(&p, 4, NULL));
  assert_ok(dgam_clip_cache_open(&cache, folder, limit));
  dgam_pool_use_cache(p, cache);
  for (int i = 0; i < FILES; i++) assert_ok(dgam_pool_submit(p, paths[i], s));
  for (int i = 0; i < FILES; i++) {
    dgam_pool_result r;
    assert_ok(dgam_pool_next(p, &r));
    assert_int_equal(r.status, DGAM_OK);
    assert_int_equal(r.info.frames, 20 + i);
    memcpy(out + (size_t)i * bytes, r.views, bytes);
    cached += r.cached;
    dgam_pool_release(p, &r);
  }
  dgam_pool_destroy(p);
  return cached;
}

static void views_from_a_cache_are_the_same(void **state) {
  (void)state;
  char folder[512];
  snprintf(folder, sizeof folder, "%s", scratch_path("cache"));
  assert_int_equal(mkdir(folder, 0777), 0);
  const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
  for (int i = 0; i < FILES; i++) assert_int_equal(utimensat(AT_FDCWD, paths[i], old, 0), 0);
  dgam_sampling s = small();
  s.enhanced = 1, s.enhance = dgam_enhance_defaults("equalise");
  s.augment.brightness[0] = 0.5;
  size_t bytes = dgam_sampling_bytes(&s);
  uint8_t *first = malloc(FILES * bytes), *second = malloc(FILES * bytes);
  assert_int_equal(pass_with_cache(folder, 1 << 30, &s, first), 0);
  assert_int_equal(pass_with_cache(folder, 1 << 30, &s, second), FILES);
  assert_memory_equal(first, second, FILES * bytes);
  s.seed++;
  assert_int_equal(pass_with_cache(folder, bytes, &s, second), 0); /* an entry is larger than its views: none fits */
  dgam_clip_cache *cache;
  assert_fails(dgam_clip_cache_open(&cache, paths[0], 1), DGAM_EIO, "no such folder");
  free(second);
  free(first);
  DIR *d = opendir(folder);
  for (struct dirent *e; (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
  closedir(d);
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_at_any_thread_count), cmocka_unit_test(failures_come_in_their_turn),
      cmocka_unit_test(views_from_a_cache_are_the_same),
      cmocka_unit_test(ends_at_once),             cmocka_unit_test(no_descriptor_is_left),
      cmocka_unit_test(no_memory_is_left),        cmocka_unit_test(a_huge_frame_holds_nobody_up),
  };
  return cmocka_run_group_tests_name("video_pool", tests, make_files, scratch_remove);
}
