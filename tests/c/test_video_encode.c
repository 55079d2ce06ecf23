/* Tests of core/video/encode: files appear whole or not at all, and are the same bytes every time. */
#include "video_util.h"

#include <signal.h>
#include <sys/resource.h>

static void tables_follow_annex_k(void **state) {
  (void)state;
  uint16_t t[64];
  dgam_encoder_jpeg_table(50, 0, t);
  assert_int_equal(t[0], 8);
  assert_int_equal(t[1], 11);
  assert_int_equal(t[63], 99);
  dgam_encoder_jpeg_table(75, 0, t); /* libjpeg at 75: 8 6 5 8 12 20 26 31 */
  const uint16_t want[8] = {8, 6, 5, 8, 12, 20, 26, 31};
  assert_memory_equal(t, want, sizeof want);
  dgam_encoder_jpeg_table(100, 1, t);
  for (int i = 1; i < 64; i++) assert_int_equal(t[i], 1);
  dgam_encoder_jpeg_table(1, 1, t);
  for (int i = 1; i < 64; i++) assert_int_equal(t[i], 255);
}

/* The tables that stand in the file (marker DQT, zigzag order) are those of the quality asked for. */
static void file_holds_the_tables(void **state) {
  (void)state;
  static const uint8_t zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                     41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                     30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};
  const int qualities[] = {30, 70, 75, 85, 100};
  for (size_t i = 0; i < sizeof qualities / sizeof *qualities; i++) {
    dgam_encoder_spec s = dgam_encoder_defaults(64, 48, 30, 1);
    s.quality = qualities[i];
    assert_ok(film_write(scratch_path("tables.avi"), &s, 1));
    size_t n;
    unsigned char *b = read_file(scratch_path("tables.avi"), &n);
    int seen = 0;
    for (size_t at = 0; at + 69 < n; at++) {
      if (b[at] != 0xff || b[at + 1] != 0xdb) continue;
      size_t length = (size_t)b[at + 2] << 8 | b[at + 3];
      for (size_t t = at + 4; t + 65 <= at + 2 + length; t += 65, seen++) {
        uint16_t want[64];
        dgam_encoder_jpeg_table(qualities[i], b[t] & 15, want);
        for (int k = 0; k < 64; k++) assert_int_equal(b[t + 1 + (size_t)k], want[zigzag[k]]);
      }
      at += length;
    }
    assert_int_equal(seen, qualities[i] == 100 ? 1 : 2); /* at 100 both are all ones: written once */
    free(b);
  }
}

static void same_input_same_bytes(void **state) {
  (void)state;
  dgam_encoder_spec s = dgam_encoder_defaults(65, 49, 30000, 1001);
  s.quality = 75;
  assert_ok(film_write(scratch_path("a.avi"), &s, 12));
  assert_ok(film_write(scratch_path("b.avi"), &s, 12));
  size_t n, m;
  unsigned char *a = read_file(scratch_path("a.avi"), &n), *b = read_file(scratch_path("b.avi"), &m);
  assert_int_equal(n, m);
  assert_memory_equal(a, b, n);
  assert_memory_equal(a, "RIFF", 4);
  free(a);
  free(b);

  /* Lower quality, fewer bytes; planes instead of RGB are taken too. */
  s.quality = 20;
  assert_ok(film_write(scratch_path("c.avi"), &s, 12));
  free(read_file(scratch_path("c.avi"), &m));
  assert_true(m < n);
  static uint8_t y[65 * 49], u[33 * 25], v[33 * 25];
  dgam_encoder *e;
  assert_ok(dgam_encoder_open(&e, scratch_path("d.avi"), &s));
  assert_ok(dgam_encoder_yuv420(e, y, u, v));
  assert_ok(dgam_encoder_finish(&e));
  assert_null(e);
}

static void failures_leave_nothing(void **state) {
  (void)state;
  scratch_empty();
  dgam_encoder_spec s = dgam_encoder_defaults(32, 32, 30, 1);
  dgam_encoder *e;
  assert_fails(dgam_encoder_open(&e, scratch_path("no/such/folder.avi"), &s), DGAM_EIO, "no/such/folder.avi");
  assert_null(e);
  assert_fails(dgam_encoder_open(&e, scratch_path("x.nothing"), &s), DGAM_EINVAL, "container");
  s.width = 0;
  assert_fails(dgam_encoder_open(&e, scratch_path("x.avi"), &s), DGAM_EINVAL, "0 x 32");
  s.width = 32, s.quality = 0;
  assert_fails(dgam_encoder_open(&e, scratch_path("x.avi"), &s), DGAM_EINVAL, "quality is 0");
  s.quality = 80, s.codec = "nonsense";
  assert_fails(dgam_encoder_open(&e, scratch_path("x.avi"), &s), DGAM_EUNSUPPORTED, "nonsense");
  s.codec = "mpeg4", s.options = "no_such_option=3";
  assert_fails(dgam_encoder_open(&e, scratch_path("x.avi"), &s), DGAM_EINVAL, "no_such_option");
  s = dgam_encoder_defaults(32, 32, 30, 1);
  assert_ok(dgam_encoder_open(&e, scratch_path("x.avi"), &s));
  assert_fails(dgam_encoder_finish(&e), DGAM_EINVAL, "no frame");
  assert_null(e);
  uint8_t rgb[32 * 32 * 3] = {0};
  assert_ok(dgam_encoder_open(&e, scratch_path("x.avi"), &s));
  assert_ok(dgam_encoder_rgb(e, rgb, 0));
  assert_int_equal(scratch_count(), 1); /* only the temporary name */
  assert_int_equal(access(scratch_path("x.avi"), F_OK), -1);
  dgam_encoder_abandon(&e);
  dgam_encoder_abandon(&e);
  assert_int_equal(scratch_count(), 0);
}

/* A size limit on files stands in for a full disk: the write fails in the same place. */
static void a_full_disk_is_reported(void **state) {
  (void)state;
  scratch_empty();
  struct rlimit old, small = {20000, 20000};
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small.rlim_max = old.rlim_max;
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  dgam_encoder_spec s = dgam_encoder_defaults(256, 256, 30, 1);
  s.quality = 100;
  dgam_status got = film_write(scratch_path("big.avi"), &s, 40);
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, handler);
  assert_int_equal(got, DGAM_EIO);
  assert_non_null(strstr(dgam_error(), "big.avi"));
  assert_int_equal(scratch_count(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tables_follow_annex_k), cmocka_unit_test(file_holds_the_tables),
      cmocka_unit_test(same_input_same_bytes), cmocka_unit_test(failures_leave_nothing),
      cmocka_unit_test(a_full_disk_is_reported),
  };
  return cmocka_run_group_tests_name("video_encode", tests, scratch_make, scratch_remove);
}
