/* Tests of core/store: files, SHA-256 and HDF5. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/file.h"
#include "store/h5.h"

static char folder[64];

static char *in_folder(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/dgam_store_XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

/* Removes the folder and says how many files it held. */
static int count_files(int also_remove) {
  int n = 0;
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    n++;
    if (also_remove) unlink(in_folder(e->d_name));
  }
  if (d) closedir(d);
  return n;
}

static int remove_folder(void **state) {
  (void)state;
  count_files(1);
  return rmdir(folder);
}

static void put(const char *name, const char *text) {
  assert_ok(dgam_file_write(in_folder(name), text, strlen(text)));
}

static void assert_text(const char *name, const char *want) {
  char got[256] = "";
  dgam_input in;
  assert_ok(dgam_input_open(&in, in_folder(name)));
  assert_true(in.size < sizeof got);
  assert_ok(dgam_input_read(&in, 0, got, (size_t)in.size));
  dgam_input_close(&in);
  assert_string_equal(got, want);
}

/* --- files --- */

static void sha256_known_answers(void **state) { /* FIPS 180-4 examples */
  (void)state;
  static const struct {
    const char *text, *digest;
  } cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  unsigned char digest[32];
  char text[65];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_ok(dgam_sha256(cases[i].text, strlen(cases[i].text), digest));
    dgam_sha256_text(digest, text);
    assert_string_equal(text, cases[i].digest);
  }
  char *million = malloc(1000000);
  memset(million, 'a', 1000000);
  assert_ok(dgam_file_write(in_folder("million"), million, 1000000));
  assert_ok(dgam_sha256_file(in_folder("million"), digest));
  dgam_sha256_text(digest, text);
  assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(million);
}

static void files_are_replaced_whole_or_not_at_all(void **state) {
  (void)state;
  put("a", "old");
  dgam_output out;
  assert_ok(dgam_output_begin(&out, in_folder("a")));
  assert_ok(dgam_output_write(&out, "half", 4));
  assert_text("a", "old");
  dgam_output_abort(&out);
  assert_text("a", "old");
  put("a", "new");
  assert_text("a", "new");
  assert_int_equal(count_files(0), 1);
  chmod(in_folder("a"), 0640);
  char target[512];
  snprintf(target, sizeof target, "%s", in_folder("a"));
  assert_int_equal(symlink(target, in_folder("link")), 0);
  put("link", "through the link");
  assert_text("a", "through the link");
  struct stat st;
  assert_int_equal(lstat(in_folder("link"), &st), 0);
  assert_true(S_ISLNK(st.st_mode));
  assert_int_equal(stat(target, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0640);
  assert_fails(dgam_file_write("/dev/null", "x", 1), DGAM_EIO, "/dev/null");
  assert_fails(dgam_file_write(in_folder("none/b"), "x", 1), DGAM_EIO, "none/b");
  dgam_input in;
  assert_fails(dgam_input_open(&in, in_folder("nothing")), DGAM_EIO, "nothing");
  assert_fails(dgam_input_open(&in, folder), DGAM_EIO, "not a regular file");
}

/* --- HDF5 --- */

static const dgam_dtype all_types[] = {DGAM_U8,  DGAM_I8,  DGAM_I16, DGAM_I32,  DGAM_I64,
                                       DGAM_F16, DGAM_F32, DGAM_F64, DGAM_BOOL, DGAM_BF16};
enum { NTYPES = sizeof all_types / sizeof *all_types, N = 24 };

/* Bytes of N values 0, 1, 0, 1 ... of a type, the same in every type. */
static void zeros_and_ones(dgam_dtype dtype, unsigned char *out) {
  memset(out, 0, N * dgam_dtype_size(dtype));
  for (int i = 1; i < N; i += 2) {
    switch (dtype) {
      case DGAM_F16:
        ((uint16_t *)(void *)out)[i] = 0x3c00;
        break;
      case DGAM_BF16:
        ((uint16_t *)(void *)out)[i] = 0x3f80;
        break;
      case DGAM_F32:
        ((float *)(void *)out)[i] = 1;
        break;
      case DGAM_F64:
        ((double *)(void *)out)[i] = 1;
        break;
      default:
        out[(size_t)i * dgam_dtype_size(dtype)] = 1;
    }
  }
}

/* What a killed process leaves goes, at once; what is being written stays, here and in another process. */
static void temporary_files_of_the_dead_are_removed(void **state) {
  (void)state;
  dgam_output here;
  int pipe_fd[2], status;
  char byte, host[64] = "", name[128];
  assert_int_equal(pipe(pipe_fd), 0);
  pid_t child = fork();
  if (child == 0) {
    dgam_output left, one;
    int bad = dgam_output_begin(&left, in_folder("killed.h5")) != DGAM_OK;
    bad |= dgam_output_begin(&one, in_folder("killed too")) != DGAM_OK || dgam_output_write(&one, "half", 4) != DGAM_OK;
    if (write(pipe_fd[1], "x", 1) != 1 || bad) _exit(1);
    for (;;) pause();
  }
  assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
  close(pipe_fd[0]);
  close(pipe_fd[1]);
  assert_ok(dgam_output_begin(&here, in_folder("mine")));
  put("not.temporary.1.tmp", "x");
  put(".almost.1.2.tmp", "x"); /* no host */
  put(".x.another-host.1.2.tmp", "x");
  assert_int_equal(count_files(0), 6);
  dgam_output_clean(folder);
  assert_int_equal(count_files(0), 6);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  dgam_output_clean(folder);
  assert_int_equal(count_files(0), 4);
  assert_ok(dgam_output_write(&here, "whole", 5));
  assert_ok(dgam_output_commit(&here));
  assert_text("mine", "whole");
  gethostname(host, sizeof host - 1);
  snprintf(name, sizeof name, ".old.%s.1.2.tmp", host); /* the number of a process that lives: another one's now */
  put(name, "x");
  struct timespec old[2] = {{.tv_sec = time(NULL) - 2 * 24 * 3600}, {.tv_sec = time(NULL) - 2 * 24 * 3600}};
  assert_int_equal(utimensat(AT_FDCWD, in_folder(".x.another-host.1.2.tmp"), old, 0), 0);
  dgam_output_clean(folder);
  assert_int_equal(count_files(0), 3);
  dgam_output_clean(in_folder("no such folder"));
}

static void every_type_comes_back(void **state) {
  (void)state;
  static const size_t shape[3] = {2, 3, 4};
  _Alignas(8) unsigned char data[N * 8], got[N * 8];
  dgam_h5 *f;
  assert_ok(dgam_h5_create(in_folder("types.h5"), &f));
  for (int i = 0; i < NTYPES; i++) {
    char name[64];
    zeros_and_ones(all_types[i], data);
    snprintf(name, sizeof name, "plain/%s", dgam_dtype_name(all_types[i]));
    assert_ok(dgam_h5_write(f, name, all_types[i], 3, shape, data, NULL));
    snprintf(name, sizeof name, "deep/er/%s", dgam_dtype_name(all_types[i]));
    assert_ok(dgam_h5_write(f, name, all_types[i], 3, shape, data, &(dgam_h5_options){.deflate = 4}));
    snprintf(name, sizeof name, "scalar/%s", dgam_dtype_name(all_types[i]));
    assert_ok(dgam_h5_write(f, name, all_types[i], 0, NULL, data, NULL));
    snprintf(name, sizeof name, "empty/%s", dgam_dtype_name(all_types[i]));
    assert_ok(dgam_h5_write(f, name, all_types[i], 2, (size_t[]){0, 3}, NULL, &(dgam_h5_options){.deflate = 9}));
  }
  assert_int_not_equal(access(in_folder("types.h5"), F_OK), 0); /* not there before the commit */
  assert_ok(dgam_h5_commit(f));
  assert_ok(dgam_h5_open(in_folder("types.h5"), &f));
  for (int i = 0; i < NTYPES; i++) {
    char name[64];
    dgam_dtype type = all_types[i];
    size_t size = dgam_dtype_size(type);
    dgam_h5_info info;
    for (int deep = 0; deep < 2; deep++) {
      snprintf(name, sizeof name, "%s/%s", deep ? "deep/er" : "plain", dgam_dtype_name(type));
      assert_ok(dgam_h5_stat(f, name, &info));
      assert_int_equal(info.kind, DGAM_H5_NUMBERS);
      assert_int_equal(info.array.dtype, type);
      assert_int_equal(info.array.ndim, 3);
      assert_int_equal(info.array.count, N);
      zeros_and_ones(type, data);
      assert_ok(dgam_h5_read(f, name, type, NULL, NULL, got, N * size));
      assert_memory_equal(got, data, N * size);
      assert_ok(dgam_h5_read(f, name, type, (size_t[]){1, 0, 1}, (size_t[]){1, 3, 3}, got, 9 * size));
      for (size_t r = 0; r < 3; r++) assert_memory_equal(got + r * 3 * size, data + (12 + r * 4 + 1) * size, 3 * size);
      double wide[N];
      assert_ok(dgam_h5_read(f, name, DGAM_F64, NULL, NULL, wide, sizeof wide));
      for (int k = 0; k < N; k++) assert_true(wide[k] == k % 2);
    }
    snprintf(name, sizeof name, "scalar/%s", dgam_dtype_name(type));
    assert_ok(dgam_h5_stat(f, name, &info));
    assert_int_equal(info.array.ndim, 0);
    assert_int_equal(info.array.count, 1);
    assert_ok(dgam_h5_read(f, name, type, NULL, NULL, got, size));
    snprintf(name, sizeof name, "empty/%s", dgam_dtype_name(type));
    assert_ok(dgam_h5_stat(f, name, &info));
    assert_int_equal(info.array.count, 0);
    assert_int_equal(info.array.shape[1], 3);
    assert_ok(dgam_h5_read(f, name, type, NULL, NULL, got, 0));
  }
  dgam_h5_close(f);
}

static void slabs_are_written_and_checked(void **state) {
  (void)state;
  dgam_h5 *f;
  float row[4] = {1, 2, 3, 4}, got[12];
  const size_t shape[2] = {3, 4};
  assert_ok(dgam_h5_create(in_folder("slab.h5"), &f));
  assert_ok(dgam_h5_write(f, "logits", DGAM_F32, 2, shape, NULL, &(dgam_h5_options){.deflate = 1}));
  assert_ok(dgam_h5_write_slab(f, "logits", DGAM_F32, (size_t[]){1, 0}, (size_t[]){1, 4}, row));
  assert_ok(dgam_h5_read(f, "logits", DGAM_F32, NULL, NULL, got, sizeof got));
  const float want[12] = {0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0};
  assert_close(got, want, 12, 0, "logits");
  assert_fails(dgam_h5_write_slab(f, "logits", DGAM_F32, (size_t[]){3, 0}, (size_t[]){1, 4}, row), DGAM_EINVAL,
               "outside");
  assert_fails(dgam_h5_read(f, "logits", DGAM_F32, (size_t[]){0, SIZE_MAX}, (size_t[]){1, 2}, got, 8), DGAM_EINVAL,
               "outside");
  assert_fails(dgam_h5_read(f, "logits", DGAM_F32, NULL, NULL, got, 5), DGAM_EINVAL, "room for 5");
  assert_fails(dgam_h5_read(f, "logits", DGAM_BOOL, NULL, NULL, got, 12), DGAM_EINVAL, "bool");
  assert_fails(dgam_h5_read(f, "nothing", DGAM_F32, NULL, NULL, got, 4), DGAM_EINVAL, "nothing");
  assert_fails(dgam_h5_write(f, "logits", DGAM_F32, 2, shape, NULL, NULL), DGAM_EINVAL, "already");
  assert_fails(dgam_h5_write(f, "logits/below", DGAM_F32, 2, shape, NULL, NULL), DGAM_EIO, "logits/below");
  assert_fails(dgam_h5_write(f, "huge", DGAM_F32, 2, (size_t[]){SIZE_MAX, 2}, NULL, NULL), DGAM_EINVAL, "huge");
  assert_fails(dgam_h5_write(f, "bad", DGAM_F32, 2, shape, NULL, &(dgam_h5_options){.deflate = 10}), DGAM_EINVAL,
               "level 10");
  /* values that do not fit are refused, not clipped */
  const double big[2] = {1, 300};
  unsigned char small[2];
  assert_ok(dgam_h5_write(f, "big", DGAM_F64, 1, (size_t[]){2}, big, NULL));
  assert_int_equal(dgam_h5_read(f, "big", DGAM_U8, NULL, NULL, small, 2), DGAM_EFORMAT);
  const double nan_here[1] = {NAN};
  int64_t whole;
  assert_ok(dgam_h5_write(f, "nan", DGAM_F64, 1, (size_t[]){1}, nan_here, NULL));
  assert_int_equal(dgam_h5_read(f, "nan", DGAM_I64, NULL, NULL, &whole, 8), DGAM_EFORMAT);
  assert_ok(dgam_h5_commit(f));
  assert_ok(dgam_h5_open(in_folder("slab.h5"), &f));
  assert_fails(dgam_h5_write(f, "more", DGAM_F32, 2, shape, NULL, NULL), DGAM_EINVAL, "to read");
  assert_fails(dgam_h5_commit(f), DGAM_EINVAL, "to read");
}

static void texts_attributes_and_lists(void **state) {
  (void)state;
  dgam_h5 *f;
  dgam_h5_value v;
  dgam_h5_texts t;
  const char *names[] = {"Walking", "", "Stühle"};
  const char *json = "{\"lr\":0.0003}";
  assert_ok(dgam_h5_create(in_folder("text.h5"), &f));
  assert_ok(dgam_h5_write_texts(f, "classes", 1, 3, names));
  assert_ok(dgam_h5_write_texts(f, "note", 0, 1, &json));
  assert_ok(dgam_h5_make_group(f, "g/h"));
  assert_ok(dgam_h5_make_group(f, "g/h"));
  assert_fails(dgam_h5_make_group(f, "note"), DGAM_EINVAL, "not a group");
  assert_ok(dgam_h5_write_attr_texts(f, "", "config", 0, 1, &json));
  assert_ok(dgam_h5_write_attr(f, "g", "seed", DGAM_I64, 0, 1, (int64_t[]){-7}));
  assert_ok(dgam_h5_write_attr(f, "g", "seed", DGAM_I64, 0, 1, (int64_t[]){8}));
  assert_ok(dgam_h5_write_attr(f, "classes", "gammas", DGAM_F64, 1, 3, (double[]){1, 1.5, 2}));
  assert_ok(dgam_h5_write_attr(f, "/", "done", DGAM_BOOL, 0, 1, (unsigned char[]){1}));
  assert_ok(dgam_h5_commit(f));
  assert_ok(dgam_h5_update(in_folder("text.h5"), &f));
  assert_ok(dgam_h5_write_attr(f, "/", "later", DGAM_F64, 1, 0, NULL));
  assert_ok(dgam_h5_commit(f));
  assert_ok(dgam_h5_open(in_folder("text.h5"), &f));
  assert_ok(dgam_h5_read_texts(f, "classes", &t));
  assert_int_equal(t.count, 3);
  for (int i = 0; i < 3; i++) assert_string_equal(t.items[i], names[i]);
  dgam_h5_free_texts(&t);
  assert_ok(dgam_h5_read_texts(f, "note", &t));
  assert_string_equal(t.items[0], json);
  dgam_h5_free_texts(&t);
  assert_ok(dgam_h5_list(f, "", &t));
  assert_int_equal(t.count, 3);
  assert_string_equal(t.items[0], "classes");
  assert_string_equal(t.items[2], "note");
  dgam_h5_free_texts(&t);
  assert_ok(dgam_h5_list_attrs(f, "/", &t));
  assert_int_equal(t.count, 3);
  assert_string_equal(t.items[1], "done");
  dgam_h5_free_texts(&t);
  assert_ok(dgam_h5_read_attr(f, "/", "config", &v));
  assert_int_equal(v.kind, DGAM_H5_TEXTS);
  assert_string_equal(v.texts.items[0], json);
  dgam_h5_free_value(&v);
  assert_ok(dgam_h5_read_attr(f, "g", "seed", &v));
  assert_int_equal(v.kind, DGAM_H5_INTS);
  assert_int_equal(v.ints[0], 8);
  dgam_h5_free_value(&v);
  assert_ok(dgam_h5_read_attr(f, "classes", "gammas", &v));
  assert_true(v.kind == DGAM_H5_FLOATS && v.ndim == 1 && v.count == 3 && v.floats[1] == 1.5);
  dgam_h5_free_value(&v);
  assert_ok(dgam_h5_read_attr(f, "", "done", &v));
  assert_true(v.kind == DGAM_H5_BOOLS && v.ndim == 0 && v.ints[0] == 1);
  dgam_h5_free_value(&v);
  assert_ok(dgam_h5_read_attr(f, "", "later", &v));
  assert_true(v.kind == DGAM_H5_FLOATS && v.ndim == 1 && v.count == 0);
  dgam_h5_free_value(&v);
  assert_ok(dgam_h5_read_attr(f, "", "nothing", &v));
  assert_int_equal(v.kind, DGAM_H5_NOTHING);
  assert_fails(dgam_h5_read_attr(f, "no/object", "x", &v), DGAM_EINVAL, "no/object");
  assert_fails(dgam_h5_list(f, "note", &t), DGAM_EINVAL, "not a group");
  float x;
  assert_fails(dgam_h5_read(f, "note", DGAM_F32, NULL, NULL, &x, 4), DGAM_EINVAL, "text");
  assert_fails(dgam_h5_read(f, "g", DGAM_F32, NULL, NULL, &x, 4), DGAM_EINVAL, "group");
  dgam_h5_close(f);
}

static void same_writes_give_the_same_bytes(void **state) {
  (void)state;
  unsigned char first[32], second[32];
  for (int i = 0; i < 2; i++) {
    dgam_h5 *f;
    double x[100] = {1, 2, 3};
    assert_ok(dgam_h5_create(in_folder("same.h5"), &f));
    assert_ok(dgam_h5_write(f, "a/b", DGAM_F64, 1, (size_t[]){100}, x, &(dgam_h5_options){.deflate = 4}));
    assert_ok(dgam_h5_write_attr(f, "a", "n", DGAM_I64, 0, 1, (int64_t[]){5}));
    assert_ok(dgam_h5_commit(f));
    assert_ok(dgam_sha256_file(in_folder("same.h5"), i ? second : first));
    if (i == 0) sleep(1);
  }
  assert_memory_equal(first, second, 32);
}

static void damaged_files_are_named(void **state) {
  (void)state;
  dgam_h5 *f;
  assert_fails(dgam_h5_open(in_folder("missing.h5"), &f), DGAM_EIO, "missing.h5");
  put("empty.h5", "");
  assert_fails(dgam_h5_open(in_folder("empty.h5"), &f), DGAM_EFORMAT, "empty.h5");
  put("text.h5", "these are no numbers");
  assert_fails(dgam_h5_open(in_folder("text.h5"), &f), DGAM_EFORMAT, "not an HDF5 file");
  assert_fails(dgam_h5_update(in_folder("text.h5"), &f), DGAM_EFORMAT, "not an HDF5 file");
  assert_fails(dgam_h5_open(folder, &f), DGAM_EIO, "not a regular file");
  assert_fails(dgam_h5_create(in_folder("none/x.h5"), &f), DGAM_EIO, "none/x.h5");
  dgam_input in;
  assert_ok(dgam_input_open(&in, DGAM_TESTS "/golden/checkpoints/expected.h5"));
  unsigned char *all = malloc((size_t)in.size);
  assert_ok(dgam_input_read(&in, 0, all, (size_t)in.size));
  for (size_t cut = 8; cut < in.size; cut += in.size / 16) {
    assert_ok(dgam_file_write(in_folder("cut.h5"), all, cut));
    assert_fails(dgam_h5_open(in_folder("cut.h5"), &f), DGAM_EFORMAT, "cut.h5");
  }
  free(all);
  dgam_input_close(&in);
}

/* A limit on file size stands for a full disk: write() fails in the same way, at the same places. */
static void a_full_disk_keeps_the_old_file(void **state) {
  (void)state;
  enum { MANY = 1 << 18 };
  float *data = calloc(MANY, sizeof *data);
  dgam_h5 *f;
  put("kept.h5", "the old one");
  struct rlimit old, tight;
  getrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_IGN);
  for (size_t limit = 0; limit < MANY * sizeof *data; limit = limit ? limit * 4 : 100) {
    tight = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    dgam_status s = dgam_h5_create(in_folder("kept.h5"), &f);
    if (s == DGAM_OK) {
      char name[32];
      for (int i = 0; i < 20 && s == DGAM_OK; i++) {
        snprintf(name, sizeof name, "group%d/tensor", i);
        s = dgam_h5_write(f, name, DGAM_F32, 1, (size_t[]){MANY / 16}, data,
                          i % 2 ? &(dgam_h5_options){.deflate = 1} : NULL);
      }
      if (s == DGAM_OK)
        s = dgam_h5_commit(f);
      else
        dgam_h5_close(f);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(s, DGAM_EIO);
    assert_non_null(strstr(dgam_error(), "kept.h5"));
    assert_text("kept.h5", "the old one");
    assert_int_equal(count_files(0), 1);
  }
  free(data);
  assert_int_equal(H5close(), 0); /* nothing is left that could not be written */
}

static void big_endian_and_odd_types_are_read(void **state) {
  (void)state;
  hid_t file = H5Fcreate(in_folder("odd.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  hsize_t two = 2;
  hid_t space = H5Screate_simple(1, &two, NULL), nothing = H5Screate(H5S_NULL);
  const uint16_t words[2] = {1, 65535};
  const uint64_t longs[2] = {1, UINT64_MAX};
  const char fixed[2][4] = {"ab  ", "abcd"};
  hid_t d = H5Dcreate2(file, "be16", H5T_STD_U16BE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(d, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, words);
  H5Dclose(d);
  d = H5Dcreate2(file, "u64", H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(d, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, longs);
  H5Dclose(d);
  hid_t text = H5Tcopy(H5T_FORTRAN_S1), pair = H5Tcreate(H5T_COMPOUND, 8);
  H5Tset_size(text, 4);
  H5Tinsert(pair, "x", 0, H5T_NATIVE_FLOAT);
  d = H5Dcreate2(file, "fixed", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(d, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, fixed);
  H5Dclose(d);
  H5Dclose(H5Dcreate2(file, "compound", pair, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(file, "null", H5T_NATIVE_FLOAT, nothing, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Lcreate_soft("/gone", file, "dangling", H5P_DEFAULT, H5P_DEFAULT);
  H5Tclose(text);
  H5Tclose(pair);
  H5Sclose(space);
  H5Sclose(nothing);
  H5Fclose(file);

  dgam_h5 *f;
  dgam_h5_info info;
  dgam_h5_texts t;
  int32_t got[2];
  int64_t wide[2];
  assert_ok(dgam_h5_open(in_folder("odd.h5"), &f));
  assert_ok(dgam_h5_stat(f, "be16", &info));
  assert_int_equal(info.array.dtype, DGAM_I32);
  assert_ok(dgam_h5_read(f, "be16", DGAM_I32, NULL, NULL, got, sizeof got));
  assert_true(got[0] == 1 && got[1] == 65535);
  assert_int_equal(dgam_h5_read(f, "u64", DGAM_I64, NULL, NULL, wide, sizeof wide), DGAM_EFORMAT);
  assert_ok(dgam_h5_read(f, "u64", DGAM_I64, (size_t[]){0}, (size_t[]){1}, wide, 8));
  assert_int_equal(wide[0], 1);
  assert_ok(dgam_h5_read_texts(f, "fixed", &t));
  assert_string_equal(t.items[0], "ab");
  assert_string_equal(t.items[1], "abcd");
  dgam_h5_free_texts(&t);
  assert_fails(dgam_h5_read(f, "compound", DGAM_F32, NULL, NULL, got, 8), DGAM_EUNSUPPORTED, "compound");
  assert_ok(dgam_h5_read(f, "null", DGAM_F32, NULL, NULL, got, 0));
  assert_ok(dgam_h5_stat(f, "dangling", &info));
  assert_int_equal(info.kind, DGAM_H5_NONE);
  assert_ok(dgam_h5_stat(f, "dangling/below", &info));
  assert_int_equal(info.kind, DGAM_H5_NONE);
  dgam_h5_close(f);
}

static void other_files_and_nothing_at_all_are_refused(void **state) {
  (void)state;
  put("secret", "12345678");
  hid_t file = H5Fcreate(in_folder("far.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  hsize_t eight = 8, huge = (hsize_t)1 << 33, chunk = 1024;
  hid_t space = H5Screate_simple(1, &eight, NULL), wide = H5Screate_simple(1, &huge, NULL), text = H5Tcopy(H5T_C_S1);
  H5Tset_size(text, 1);
  hid_t outside = H5Pcreate(H5P_DATASET_CREATE), made = H5Pcreate(H5P_DATASET_CREATE),
        sparse = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(outside, in_folder("secret"), 0, 8);
  H5Pset_virtual(made, space, in_folder("other.h5"), "x", space);
  H5Pset_chunk(sparse, 1, &chunk);
  H5Dclose(H5Dcreate2(file, "outside", H5T_STD_U8LE, space, H5P_DEFAULT, outside, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(file, "text", text, space, H5P_DEFAULT, outside, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(file, "made", H5T_STD_U8LE, space, H5P_DEFAULT, made, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(file, "sparse", H5T_IEEE_F32LE, wide, H5P_DEFAULT, sparse, H5P_DEFAULT));
  H5Lcreate_external(in_folder("other.h5"), "/", file, "link", H5P_DEFAULT, H5P_DEFAULT);
  H5Pclose(outside);
  H5Pclose(made);
  H5Pclose(sparse);
  H5Tclose(text);
  H5Sclose(space);
  H5Sclose(wide);
  H5Fclose(file);
  file = H5Fcreate(in_folder("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  space = H5Screate_simple(1, &eight, NULL);
  H5Dclose(H5Dcreate2(file, "x", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(space);
  H5Fclose(file);

  dgam_h5 *f;
  dgam_h5_info info;
  dgam_h5_texts t;
  unsigned char got[8];
  float part[4];
  assert_ok(dgam_h5_open(in_folder("far.h5"), &f));
  assert_fails(dgam_h5_read(f, "outside", DGAM_U8, NULL, NULL, got, 8), DGAM_EUNSUPPORTED, "another file");
  assert_fails(dgam_h5_read_texts(f, "text", &t), DGAM_EUNSUPPORTED, "another file");
  assert_fails(dgam_h5_read(f, "made", DGAM_U8, NULL, NULL, got, 8), DGAM_EUNSUPPORTED, "virtual");
  assert_fails(dgam_h5_check_size(f, "'sparse'", (uint64_t)4 << 33), DGAM_EFORMAT, "'sparse' would take 34359738368");
  assert_ok(dgam_h5_check_size(f, "'sparse'", 1 << 20));
  assert_ok(
      dgam_h5_read(f, "sparse", DGAM_F32, (size_t[]){1000}, (size_t[]){4}, part, sizeof part)); /* of that, a part */
  assert_true(part[0] == 0 && part[3] == 0);
  for (int i = 0; i < 2; i++) {
    assert_ok(dgam_h5_stat(f, i ? "link/x" : "link", &info));
    assert_int_equal(info.kind, DGAM_H5_NONE);
  }
  assert_fails(dgam_h5_read(f, "link/x", DGAM_U8, NULL, NULL, got, 8), DGAM_EINVAL, "link/x");
  dgam_h5_close(f);
  assert_ok(dgam_h5_update(in_folder("far.h5"), &f));
  assert_int_equal(dgam_h5_write(f, "link/y", DGAM_U8, 1, (size_t[]){8}, got, NULL), DGAM_EIO);
  assert_int_equal(dgam_h5_make_group(f, "link/z"), DGAM_EINVAL);
  dgam_h5_close(f);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(sha256_known_answers),           IN_FOLDER(files_are_replaced_whole_or_not_at_all),
      IN_FOLDER(temporary_files_of_the_dead_are_removed),
      IN_FOLDER(every_type_comes_back),          IN_FOLDER(slabs_are_written_and_checked),
      IN_FOLDER(texts_attributes_and_lists),     IN_FOLDER(same_writes_give_the_same_bytes),
      IN_FOLDER(damaged_files_are_named),        IN_FOLDER(big_endian_and_odd_types_are_read),
      IN_FOLDER(a_full_disk_keeps_the_old_file), IN_FOLDER(other_files_and_nothing_at_all_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
