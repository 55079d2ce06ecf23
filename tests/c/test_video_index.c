/* Tests of core/video/reader and facts: files are gone through once, entries on disk are checked, and reading that fails
 * has a name. Every pread of the core comes through the one below. */
#include "video_util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/rng.h"
#include "video/decode.h"

static _Atomic long bytes_read;
static _Atomic long fail_after = -1; /* reads until the disk fails; -1: never */
static _Atomic long slow_us;         /* what a read takes */

ssize_t pread(int fd, void *to, size_t n, off_t at);
ssize_t pread(int fd, void *to, size_t n, off_t at) {
  if (atomic_load(&fail_after) >= 0 && atomic_fetch_sub(&fail_after, 1) <= 0) {
    atomic_store(&fail_after, 0);
    errno = EIO;
    return -1;
  }
  if (atomic_load(&slow_us)) usleep((useconds_t)atomic_load(&slow_us));
  ssize_t got = syscall(SYS_pread64, fd, to, n, at);
  if (got > 0) atomic_fetch_add(&bytes_read, got);
  return got;
}

enum { W = 160, H = 96, N = 60 };

static char folder[600];

static const struct {
  const char *name, *codec, *options;
  int placed; /* 1: packets lie in one piece */
} films[] = {{"a.avi", "mjpeg", NULL, 1},
             {"b.mp4", "mpeg4", "g=12:bf=2:b=800000", 1},
             {"c.mkv", "libx264", "g=12:bf=3:preset=veryfast", 1},
             {"d.mov", "libx264", "g=20:bf=2:preset=veryfast", 1},
             {"e.webm", "libvpx-vp9", "g=12:deadline=realtime:cpu-used=8:b=800000", 1},
             {"f.avi", "libx264", "g=12:bf=3:preset=veryfast", 1},
             {"g.ts", "mpeg2video", "g=12:bf=2:b=2000000", 0},
             {"h.ogg", "libtheora", NULL, 0},
             {"i.mkv", "ffv1", "g=1", 1},
             {"j.avi", "wmv2", "g=12:b=800000", 1}};

/* A path in the scratch folder whose file changed `seconds` ago. */
static void aged(const char *path, int seconds) {
  struct timespec t[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
  assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static int make(char path[512], size_t k, int first_frame) {
  snprintf(path, 512, "%s", scratch_path(films[k].name));
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  s.codec = films[k].codec, s.options = films[k].options, s.full_range = strcmp(s.codec, "mjpeg") == 0;
  dgam_encoder *e;
  dgam_status status = dgam_encoder_open(&e, path, &s);
  if (status == DGAM_EUNSUPPORTED) return 0;
  assert_ok(status);
  uint8_t *rgb = malloc(3 * W * H);
  for (int i = 0; i < N; i++) {
    film_frame(rgb, W, H, first_frame + i);
    assert_ok(dgam_encoder_rgb(e, rgb, 0));
  }
  free(rgb);
  assert_ok(dgam_encoder_finish(&e));
  aged(path, 60);
  return 1;
}

/* Opens with the index folder and looks at some frames. */
static void look(const char *path, int first_frame, dgam_video_info *info) {
  dgam_video *v;
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = folder}));
  dgam_video_get_info(v, info);
  assert_int_equal(info->frames, N);
  static uint8_t out[4 * 3 * W * H];
  int64_t frames[4] = {50, 3, N - 1, 0};
  assert_ok(dgam_video_frames(v, frames, 4, out));
  for (int i = 0; i < 4; i++) assert_int_equal(film_number(out + (size_t)i * 3 * W * H, W, H), first_frame + frames[i]);
  dgam_video_close(v);
}

static size_t entries(size_t *bytes) {
  size_t n = 0;
  if (bytes) *bytes = 0;
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    if (e->d_name[0] == '.' && !strstr(e->d_name, ".tmp")) continue;
    assert_null(strstr(e->d_name, ".tmp"));
    assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
    if (bytes) *bytes += (size_t)st.st_size;
    n++;
  }
  closedir(d);
  return n;
}

static void clear(void) {
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) unlinkat(dirfd(d), e->d_name, 0);
  closedir(d);
}

static void only_entry(char path[900]) {
  DIR *d = opendir(folder);
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') snprintf(path, 900, "%s/%s", folder, e->d_name);
  closedir(d);
}

static void second_opening_reads_nothing(void **state) {
  (void)state;
  for (size_t k = 0; k < sizeof films / sizeof *films; k++) {
    char path[512];
    clear();
    if (!make(path, k, 0)) continue;
    struct stat st;
    stat(path, &st);
    dgam_video *v;
    dgam_video_info first, second;
    atomic_store(&bytes_read, 0);
    look(path, 0, &first);
    assert_true(atomic_load(&bytes_read) >= st.st_size); /* all of it */
    size_t size;
    assert_int_equal(entries(&size), 1);
    atomic_store(&bytes_read, 0);
    assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = folder}));
    dgam_video_close(v);
    long limit = 2 * 4096 + (long)size; /* the video's edges and the entry */
    if (atomic_load(&bytes_read) > limit) fail_msg("%s: %ld bytes were read, at most %ld expected", path, bytes_read, limit);
    look(path, 0, &second);
    assert_memory_equal(&first, &second, sizeof first);
    if (films[k].placed && first.intra) { /* and frames cost their packets only */
      atomic_store(&bytes_read, 0);
      look(path, 0, &second);
      assert_true(atomic_load(&bytes_read) < limit + (long)st.st_size / 4);
    }
    /* the clock of a moved file stays, and so does its entry; a touched one gets another */
    aged(path, 30);
    look(path, 0, &second);
    assert_int_equal(entries(NULL), 2);
  }
}

/* Whatever is in the place of an entry: the same frames, and a whole entry again. */
static void damaged_entries_are_made_again(void **state) {
  (void)state;
  char path[512], entry[900];
  clear();
  assert_true(make(path, 2, 0));
  dgam_video_info first, again;
  look(path, 0, &first);
  only_entry(entry);
  size_t n, m;
  unsigned char *whole = read_file(entry, &n), *copy = malloc(n + 100);
  dgam_rng g;
  dgam_rng_init(&g, 1, 1);
  for (int trial = 0; trial < 300; trial++) {
    memset(copy, 0, n + 100);
    memcpy(copy, whole, n);
    size_t length = n, at = trial < 200 ? (size_t)trial * n / 200 : dgam_rng_below(&g, n);
    if (trial % 10 == 9) length = dgam_rng_below(&g, n + 100);
    else copy[at] ^= (unsigned char)(1 << dgam_rng_below(&g, 8));
    write_file(entry, copy, length);
    look(path, 0, &again);
    assert_memory_equal(&first, &again, sizeof first);
    unsigned char *now = read_file(entry, &m);
    assert_int_equal(m, n);
    assert_memory_equal(now, whole, n);
    free(now);
  }
  free(whole), free(copy);
  unlink(entry);
  assert_int_equal(mkdir(entry, 0700), 0); /* something that cannot be an entry */
  look(path, 0, &again);
  assert_int_equal(rmdir(entry), 0);
}

static void changed_files_are_noticed(void **state) {
  (void)state;
  char path[512];
  clear();
  for (size_t k = 0; k < 2; k++)
    for (int version = 0; version < 3; version++) {
      assert_true(make(path, k, 100 * version));
      aged(path, 100 - version);
      dgam_video_info info;
      look(path, 100 * version, &info);
      look(path, 100 * version, &info);
    }
  /* A file that may still be changing is not entered. */
  clear();
  dgam_video_info info;
  assert_true(make(path, 0, 0));
  aged(path, 0);
  look(path, 0, &info);
  assert_int_equal(entries(NULL), 0);
}

static void folder_has_a_size(void **state) {
  (void)state;
  char path[512];
  clear();
  assert_true(make(path, 0, 0));
  size_t size = 0, most = 0, n = 0;
  dgam_video_info info;
  look(path, 0, &info);
  entries(&size);
  for (int i = 0; i < 200; i++) {
    aged(path, 1000 + i);
    dgam_video *v;
    assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = folder, .index_bytes = 20 * size}));
    dgam_video_close(v);
    n = entries(&most);
    assert_true(most <= 20 * size);
  }
  assert_true(n >= 14);
  char left[900];
  snprintf(left, sizeof left, "%s/.0123456789abcdef.idx.host.1.1.tmp", folder); /* of a process that was killed */
  write_file(left, "x", 1);
  aged(left, 5000);
  for (int i = 0; i < 20; i++) {
    aged(path, 2000 + i);
    dgam_video *v;
    assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = folder, .index_bytes = 20 * size}));
    dgam_video_close(v);
  }
  assert_int_not_equal(access(left, F_OK), 0);
  /* A folder that is not there is no reason to fail. */
  dgam_video *v;
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = "/nowhere/at/all"}));
  dgam_video_close(v);
}

static char shared[4][512];

static void *open_all(void *unused) {
  (void)unused;
  for (int i = 0; i < 60; i++) {
    dgam_video *v;
    int64_t frame = i % N;
    uint8_t *out = malloc(3 * W * H);
    if (dgam_video_open(&v, shared[i % 4], &(dgam_video_options){.index = folder}) != DGAM_OK) return "open";
    if (dgam_video_frames(v, &frame, 1, out) != DGAM_OK) return "frames";
    if (film_number(out, W, H) != frame) return "wrong frame";
    dgam_video_close(v);
    free(out);
    if (i % 10 == 9) { /* and some break entries while others read them */
      char entry[900];
      only_entry(entry);
      int fd = open(entry, O_WRONLY | O_TRUNC);
      if (fd >= 0) close(fd);
    }
  }
  return NULL;
}

static void threads_share_a_folder(void **state) {
  (void)state;
  clear();
  for (size_t k = 0; k < 4; k++) assert_true(make(shared[k], k, 0));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, open_all, NULL), 0);
  for (int i = 0; i < 4; i++) {
    void *what;
    pthread_join(threads[i], &what);
    if (what) fail_msg("%s", (char *)what);
  }
  entries(NULL); /* no temporary file is left */
}

/* A disk that fails at any moment: an error that names file and reason, and nothing wrong is kept. */
static void failing_disks_are_named(void **state) {
  (void)state;
  for (size_t k = 0; k < sizeof films / sizeof *films; k++) {
    char path[512];
    clear();
    if (!make(path, k, 0)) continue;
    uint8_t *out = malloc(3 * W * H);
    int failures = 0;
    for (long after = 0; after < 400; after += 1 + after / 7) {
      dgam_video *v = NULL;
      int64_t frame = 40;
      atomic_store(&fail_after, after);
      dgam_status s = dgam_video_open(&v, path, &(dgam_video_options){.index = after % 2 ? folder : NULL});
      if (s == DGAM_OK) s = dgam_video_frames(v, &frame, 1, out);
      int hit = atomic_load(&fail_after) == 0;
      atomic_store(&fail_after, -1);
      if (s != DGAM_OK) {
        assert_true(hit);
        if (s != DGAM_EIO || !strstr(dgam_error(), path) || !strstr(dgam_error(), "Input/output error"))
          fail_msg("%s after %ld reads: %s: %s", path, after, dgam_status_name(s), dgam_error());
        failures++;
      }
      if (v && s == DGAM_OK) assert_int_equal(film_number(out, W, H), 40);
      dgam_video_close(v);
      dgam_video_info info;
      look(path, 0, &info);
      clear();
    }
    assert_true(failures >= 3);
    free(out);
  }
}

/* Counting has no limit on a film's length, only on the time without a frame; reading frames has one on the call. */
static void slow_files_are_counted(void **state) {
  (void)state;
  char path[512];
  dgam_video *v;
  dgam_video_info info;
  assert_true(make(path, 0, 0));
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.seconds = 2}));
  atomic_store(&slow_us, 50000); /* a packet a read, 60 of them */
  dgam_status counted = dgam_video_count(v);
  atomic_store(&slow_us, 0);
  assert_ok(counted);
  dgam_video_get_info(v, &info);
  assert_int_equal(info.frames, N);
  uint8_t *out = malloc((size_t)N * 3 * W * H);
  int64_t all[N];
  for (int i = 0; i < N; i++) all[i] = i;
  atomic_store(&slow_us, 50000);
  dgam_status read = dgam_video_frames(v, all, N, out);
  atomic_store(&slow_us, 0);
  assert_fails(read, DGAM_EINVAL, "gave up after 2 s");
  dgam_video_close(v);
  free(out);
  if (!make(path, 2, 0)) return; /* the first frame takes several packets */
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.seconds = 1}));
  atomic_store(&slow_us, 600000);
  counted = dgam_video_count(v);
  atomic_store(&slow_us, 0);
  assert_fails(counted, DGAM_EINVAL, "gave up after 1 s");
  dgam_video_close(v);
}

/* The file was opened once: its name may go away, but not its bytes. */
static void removed_and_cut_files(void **state) {
  (void)state;
  for (size_t k = 0; k < 3; k++) {
    char path[512];
    assert_true(make(path, k, 0));
    size_t n;
    free(read_file(path, &n));
    dgam_video *v;
    uint8_t *out = malloc(3 * W * H);
    assert_ok(dgam_video_open(&v, path, NULL));
    unlink(path);
    int64_t frame = 33, last = N - 1;
    assert_ok(dgam_video_frames(v, &frame, 1, out));
    assert_int_equal(film_number(out, W, H), 33);
    dgam_video_close(v);
    assert_fails(dgam_video_open(&v, path, NULL), DGAM_EIO, "No such file");

    assert_true(make(path, k, 0));
    assert_ok(dgam_video_open(&v, path, NULL));
    assert_int_equal(truncate(path, (off_t)n / 2), 0);
    assert_fails(dgam_video_frames(v, &last, 1, out), DGAM_EFORMAT, path);
    dgam_video_close(v);
    free(out);
  }
}

static int set_up(void **state) {
  if (scratch_make(state) != 0) return -1;
  snprintf(folder, sizeof folder, "%s/index", scratch);
  return mkdir(folder, 0700);
}

static int tear_down(void **state) {
  clear();
  rmdir(folder);
  return scratch_remove(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(second_opening_reads_nothing), cmocka_unit_test(damaged_entries_are_made_again),
      cmocka_unit_test(changed_files_are_noticed),    cmocka_unit_test(folder_has_a_size),
      cmocka_unit_test(threads_share_a_folder),       cmocka_unit_test(failing_disks_are_named),
      cmocka_unit_test(slow_files_are_counted),       cmocka_unit_test(removed_and_cut_files),
  };
  return cmocka_run_group_tests_name("video_index", tests, set_up, tear_down);
}
