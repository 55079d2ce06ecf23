/* Tests of core/store: .pth and .safetensors against files that PyTorch wrote, and against damaged ones. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "store/file.h"
#include "store/h5.h"
#include "store/pth.h"
#include "store/safetensors.h"

#define GOLDEN DGAM_TESTS "/golden/checkpoints/"

static float half_to_float(uint16_t h) {
  int e = h >> 10 & 31, m = h & 1023;
  double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
  return (float)(h >> 15 ? -v : v);
}

static float bf16_to_float(uint16_t b) {
  uint32_t u = (uint32_t)b << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

/* A tensor of the checkpoint must be what expected.h5 says; 16-bit floats are widened there. */
static void assert_expected(dgam_h5 *want, const char *name, const dgam_tensor_info *t, const void *data) {
  dgam_h5_info info;
  assert_ok(dgam_h5_stat(want, name, &info));
  assert_int_equal(info.kind, DGAM_H5_NUMBERS);
  assert_int_equal(t->ndim, info.array.ndim);
  for (int d = 0; d < t->ndim; d++) assert_int_equal(t->shape[d], info.array.shape[d]);
  dgam_dtype dtype = info.array.dtype;
  size_t bytes = t->count * dgam_dtype_size(dtype);
  void *ref = malloc(bytes + 1), *got = malloc(bytes + 1);
  assert_ok(dgam_h5_read(want, name, dtype, NULL, NULL, ref, bytes));
  if (t->dtype == DGAM_F16 || t->dtype == DGAM_BF16) {
    assert_int_equal(dtype, DGAM_F32);
    for (size_t i = 0; i < t->count; i++) {
      uint16_t h = ((const uint16_t *)data)[i];
      ((float *)got)[i] = t->dtype == DGAM_F16 ? half_to_float(h) : bf16_to_float(h);
    }
  } else {
    assert_int_equal(t->dtype, dtype);
    memcpy(got, data, bytes);
  }
  assert_memory_equal(got, ref, bytes);
  free(ref);
  free(got);
}

enum { EXPECTED = 12 }; /* tensors in expected.h5 */

static void pth_gives_what_was_saved(void **state) {
  (void)state;
  static const struct {
    const char *file, *prefix;
    size_t more; /* tensors beside the state dict */
  } cases[] = {{GOLDEN "mmcv_zip.pth", "state_dict/", 1},
               {GOLDEN "mmcv_legacy.pth", "state_dict/", 1},
               {GOLDEN "state_dict_zip.pth", "", 0}};
  dgam_h5 *want;
  assert_ok(dgam_h5_open(GOLDEN "expected.h5", &want));
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    dgam_pth *p;
    size_t seen = 0, more = 0;
    assert_ok(dgam_pth_open(cases[c].file, 0, &p));
    for (size_t i = 0; i < dgam_pth_count(p); i++) {
      const dgam_tensor_info *t = dgam_pth_info(p, i);
      size_t bytes = t->count * dgam_dtype_size(t->dtype), n = strlen(cases[c].prefix);
      void *data = malloc(bytes + 1);
      assert_ok(dgam_pth_read(p, i, data, bytes));
      if (strncmp(t->name, cases[c].prefix, n) == 0)
        assert_expected(want, t->name + n, t, data), seen++;
      else
        assert_string_equal(t->name, "optimizer/state/0/exp_avg"), more++;
      free(data);
    }
    assert_int_equal(seen, EXPECTED);
    assert_int_equal(more, cases[c].more);
    char byte;
    assert_fails(dgam_pth_read(p, 0, &byte, 1), DGAM_EINVAL, dgam_pth_info(p, 0)->name);
    if (more) {
      const dgam_pickle_value *optimizer = dgam_pickle_get(dgam_pth_root(p), "optimizer");
      const dgam_pickle_value *groups = dgam_pickle_get(optimizer, "param_groups");
      assert_int_equal(groups->kind, DGAM_PICKLE_LIST);
      const dgam_pickle_value *lr = dgam_pickle_get(groups->u.seq.items[0], "lr");
      assert_true(lr && lr->kind == DGAM_PICKLE_FLOAT && lr->u.f == 0.0003);
    }
    dgam_pth_close(p);
  }
  dgam_h5_close(want);
}

static void safetensors_gives_what_was_saved(void **state) {
  (void)state;
  dgam_h5 *want;
  dgam_safetensors *s;
  assert_ok(dgam_h5_open(GOLDEN "expected.h5", &want));
  assert_ok(dgam_safetensors_open(GOLDEN "model.safetensors", &s));
  assert_int_equal(dgam_safetensors_count(s), EXPECTED);
  assert_int_equal(dgam_safetensors_metadata_count(s), 1);
  assert_string_equal(dgam_safetensors_metadata(s, 0).value, "pt");
  for (size_t i = 0; i < EXPECTED; i++) {
    const dgam_tensor_info *t = dgam_safetensors_info(s, i);
    size_t bytes = t->count * dgam_dtype_size(t->dtype);
    void *data = malloc(bytes + 1);
    assert_ok(dgam_safetensors_read(s, i, data, bytes));
    assert_expected(want, t->name, t, data);
    free(data);
  }
  dgam_safetensors_close(s);
  dgam_h5_close(want);
}

static void safetensors_round_trip(void **state) {
  (void)state;
  char path[] = "/tmp/dgam_safetensors_XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  float a[6] = {1, 2, 3, 4, 5, 6};
  uint16_t b[3] = {0x3c00, 0, 0x7c00};
  dgam_tensor_info infos[] = {
      {.name = "b \"quoted\"\n\\ Stühle", .dtype = DGAM_F16, .ndim = 1, .shape = {3}, .count = 3},
      {.name = "a", .dtype = DGAM_F32, .ndim = 2, .shape = {2, 3}, .count = 6},
      {.name = "empty", .dtype = DGAM_I64, .ndim = 2, .shape = {0, 7}, .count = 0},
  };
  const void *data[] = {b, a, NULL};
  const dgam_text_pair pairs[] = {{"epoch", "3"}, {"note", "a \"b\""}};
  dgam_safetensors *s;
  for (size_t n = 0; n <= 3; n++) {
    assert_ok(dgam_safetensors_write(path, n, infos, data, n ? 2 : 0, pairs));
    assert_ok(dgam_safetensors_open(path, &s));
    assert_int_equal(dgam_safetensors_count(s), n);
    if (n == 3) {
      float got_a[6];
      uint16_t got_b[3];
      assert_string_equal(dgam_safetensors_info(s, 0)->name, "empty");
      assert_string_equal(dgam_safetensors_info(s, 1)->name, "a");
      assert_string_equal(dgam_safetensors_info(s, 2)->name, infos[0].name);
      assert_ok(dgam_safetensors_read(s, 1, got_a, sizeof got_a));
      assert_ok(dgam_safetensors_read(s, 2, got_b, sizeof got_b));
      assert_memory_equal(got_a, a, sizeof a);
      assert_memory_equal(got_b, b, sizeof b);
      assert_string_equal(dgam_safetensors_metadata(s, 1).value, "a \"b\"");
    }
    dgam_safetensors_close(s);
  }
  infos[2].name = "a";
  assert_fails(dgam_safetensors_write(path, 3, infos, data, 0, NULL), DGAM_EINVAL, "twice");
  static const char *const not_utf8[] = {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ab\xc3"};
  for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++) {
    infos[2].name = not_utf8[i];
    assert_fails(dgam_safetensors_write(path, 3, infos, data, 0, NULL), DGAM_EINVAL, "not UTF-8");
    assert_fails(dgam_safetensors_write(path, 0, NULL, NULL, 1, &(dgam_text_pair){"note", not_utf8[i]}), DGAM_EINVAL, "note");
  }
  char *much = malloc(100000001);
  memset(much, 'm', 100000000);
  much[100000000] = 0;
  assert_fails(dgam_safetensors_write(path, 0, NULL, NULL, 1, &(dgam_text_pair){"note", much}), DGAM_EINVAL, "room for");
  free(much);
  infos[2].name = "__metadata__";
  assert_fails(dgam_safetensors_write(path, 3, infos, data, 0, NULL), DGAM_EINVAL, "__metadata__");
  infos[2].count = 1, infos[2].name = "empty";
  assert_fails(dgam_safetensors_write(path, 3, infos, data, 0, NULL), DGAM_EINVAL, "empty");
  assert_ok(dgam_safetensors_open(path, &s)); /* the last good one is still there */
  assert_int_equal(dgam_safetensors_count(s), 3);
  dgam_safetensors_close(s);
  unlink(path);
}

static void bad_checkpoints_are_refused(void **state) {
  (void)state;
  dgam_pth *p;
  dgam_safetensors *s;
  unlink("/tmp/dgamlua_pwned");
  assert_fails(dgam_pth_open(GOLDEN "malicious_zip.pth", 0, &p), DGAM_EFORMAT, "posix.system");
  assert_fails(dgam_pth_open(GOLDEN "malicious_legacy.pth", 0, &p), DGAM_EFORMAT, "posix.system");
  assert_int_not_equal(access("/tmp/dgamlua_pwned", F_OK), 0);
  assert_ok(dgam_pth_open(GOLDEN "malicious_zip.pth", DGAM_PTH_SKIP_UNKNOWN, &p)); /* inert, not run */
  assert_int_equal(dgam_pth_count(p), EXPECTED);
  dgam_pth_close(p);
  assert_int_not_equal(access("/tmp/dgamlua_pwned", F_OK), 0);
  assert_fails(dgam_pth_open(GOLDEN "truncated_zip.pth", 0, &p), DGAM_EFORMAT, "cut off");
  assert_fails(dgam_pth_open(GOLDEN "truncated_legacy.pth", 0, &p), DGAM_EFORMAT, "cut off");
  assert_fails(dgam_pth_open(GOLDEN "missing.pth", 0, &p), DGAM_EIO, "missing.pth");
  assert_fails(dgam_pth_open(GOLDEN, 0, &p), DGAM_EIO, "not a regular file");
  assert_fails(dgam_pth_open(GOLDEN "expected.h5", 0, &p), DGAM_EFORMAT, "no checkpoint");
  assert_fails(dgam_pth_open_memory("", 0, 0, &p), DGAM_EFORMAT, "empty");
  assert_fails(dgam_safetensors_open(GOLDEN "state_dict_zip.pth", &s), DGAM_EFORMAT, "no safetensors");
  assert_fails(dgam_safetensors_open_memory("", 0, &s), DGAM_EFORMAT, "0 bytes");
}

/* Headers that must not be taken, each with the word its message must have. */
static void bad_headers_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *json, *data, *word;
  } cases[] = {
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "abcd", NULL},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "abcde", "cut off"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "abc", "cut off"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "abcd", "shape (2)"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "abcd", "damaged"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", "", "damaged"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,0]}}", "", "too large"},
      {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", "abcd", "F8_E4M3"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
       "offsets\":[1,3]}}",
       "abc", "begins at byte 1"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
       "offsets\":[2,4]}}",
       "abcd", "twice"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", "a", "too long"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", "a", "data_offsets"},
      {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "a", "a second dtype"},
      {"{\"a\":{\"shape\":[2],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "a", "a second shape"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", "a", "whole number"},
      {"{\"a\\ud83d\":{}}", "", "\\u"},
      {"{\"a", "", "without an end"},
      {"{} x", "", "behind"},
      {"[]", "", "'{' expected"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unsigned char file[512];
    size_t n = strlen(cases[i].json), m = strlen(cases[i].data);
    memset(file, 0, 8);
    file[0] = (unsigned char)n;
    memcpy(file + 8, cases[i].json, n);
    memcpy(file + 8 + n, cases[i].data, m);
    dgam_safetensors *s = NULL;
    dgam_status got = dgam_safetensors_open_memory(file, 8 + n + m, &s);
    if (!cases[i].word)
      assert_int_equal(got, DGAM_OK);
    else if (got == DGAM_OK || !strstr(dgam_error(), cases[i].word))
      fail_msg("%s: status %s, message \"%s\", expected \"%s\"", cases[i].json, dgam_status_name(got), dgam_error(),
               cases[i].word);
    if (got == DGAM_OK) dgam_safetensors_close(s);
  }
}

/* Pickles that are valid for the machine but ask for too much. */
static void greedy_pickles_are_refused(void **state) {
  (void)state;
#define LEGACY  "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."
#define STORAGE "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0kX\x03\0\0\0cpuK\x04tQ"
#define REBUILD \
  "\x80\x02"    \
  "ctorch._utils\n_rebuild_tensor_v2\n"
  static const struct {
    const char *pickle;
    size_t n;
    const char *word;
  } cases[] = {
#define CASE(text, word) {text, sizeof text - 1, word}
      CASE(LEGACY "\x80\x02}.\x80\x02].", NULL),
      CASE(LEGACY REBUILD STORAGE "K\x01K\x04\x85K\x01\x85\x89}tR.\x80\x02](X\x01\0\0\0ke.",
           "storage of 4"), /* one too far */
      CASE(LEGACY REBUILD STORAGE "K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85K\x00\x85\x89}tR.", "storage of 4"),
      CASE(LEGACY REBUILD STORAGE "K\x00(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftK\x00K\x00\x86\x89}tR.", "storage of 4"),
      CASE(LEGACY REBUILD STORAGE "K\x00J\xff\xff\xff\xff\x85K\x01\x85\x89}tR.", "negative"),
      CASE(LEGACY REBUILD "(NK\x00K\x04\x85K\x01\x85\x89}tR.", "without storage"),
      CASE(LEGACY REBUILD STORAGE "K\x00K\x04\x85K\x01\x85\x89}tR.\x80\x02].", "missing"), /* no such storage behind */
      CASE(LEGACY REBUILD STORAGE
           "K\x00K\x04\x85K\x01\x85\x89}tR.\x80\x02](X\x01\0\0\0ke.\xff\xff\xff\xff\xff\xff\xff\xff",
           "18446744073709551615"),
      CASE(LEGACY "\x80\x02]q\x00h\x00"
                  "a.\x80\x02].",
           "nested"), /* a list inside itself */
      CASE(LEGACY "\x80\x02X\xff\xff\xff\xff"
                  "abc.",
           "longer than the rest"),
      CASE(LEGACY "\x80\x02Nr\xff\xff\xff\xff.", "memo index"),
      CASE(LEGACY "\x80\x02h\x05.", "memo index"),
      CASE(LEGACY "\x80\x02R.", "too few"),
      CASE(LEGACY "\x80\x02(.", "mark"),
      CASE(LEGACY "\x80\x02u.", "mark"),
      CASE(LEGACY "\x80\x02(NNNu.", "too few"),
      CASE(LEGACY "\x80\x02](NNu.", "no dictionary"),
      CASE(LEGACY "\x80\x02}(Nu.", "no dictionary"),
      CASE(LEGACY "\x80\x02V.", "0x56"),
      CASE(LEGACY "\x80\x02"
                  "cos\nsystem\n(tR.",
           "os.system"),
      CASE(LEGACY "\x80\x04\x8c\x08"
                  "builtins\x8c\x04"
                  "eval\x93.",
           "builtins.eval"),
      CASE(LEGACY "\x80\x02"
                  "ctorch\nComplexFloatStorage\n.",
           "ComplexFloatStorage"),
      CASE("\x80\x02K\x01.", "magic"),
      CASE("\x80\x02", "ends"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    dgam_pth *p = NULL;
    dgam_status got = dgam_pth_open_memory(cases[i].pickle, cases[i].n, 0, &p);
    if (cases[i].word ? got == DGAM_OK || !strstr(dgam_error(), cases[i].word) : got != DGAM_OK)
      fail_msg("case %zu: status %s, message \"%s\", expected \"%s\"", i, dgam_status_name(got), dgam_error(),
               cases[i].word ? cases[i].word : "success");
    if (got == DGAM_OK) dgam_pth_close(p);
  }
}

/* A list that holds the one before twice, 40 levels deep, must end in an error, not in 2^40 steps. */
static void shared_containers_do_not_explode(void **state) {
  (void)state;
  char pickle[1024];
  size_t n = sizeof LEGACY - 1;
  memcpy(pickle, LEGACY, n);
  memcpy(pickle + n, "\x80\x02]q\0", 5);
  n += 5;
  for (char i = 0; i < 40; i++) {
    const char level[9] = {']', 'q', (char)(i + 1), '(', 'h', i, 'h', i, 'e'};
    memcpy(pickle + n, level, sizeof level);
    n += sizeof level;
  }
  pickle[n++] = '.';
  dgam_pth *p;
  assert_int_equal(dgam_pth_open_memory(pickle, n, 0, &p), DGAM_EFORMAT);
}

/* A list of one tensor of 16 MB (2^22 elements of stride 0 over a storage of 4) again and again: one is fine, 1,000 are
 * 16 GB. */
static void shared_tensors_do_not_explode(void **state) {
  (void)state;
  static const char tensor[] = REBUILD STORAGE "K\x00J\0\0\x40\0\x85K\0\x85\x89}tRq\x05";
  static const char behind[] = "e.\x80\x02](X\x01\0\0\0ke.\4\0\0\0\0\0\0\0abcdefghijklmnop";
  static char pickle[4096];
  for (int copies = 0; copies <= 1000; copies += 1000) {
    size_t n = sizeof LEGACY - 1;
    memcpy(pickle, LEGACY "\x80\x02](", n + 4);
    n += 4;
    memcpy(pickle + n, tensor + 2, sizeof tensor - 3);
    n += sizeof tensor - 3;
    for (int i = 0; i < copies; i++, n += 2) memcpy(pickle + n, "h\x05", 2);
    memcpy(pickle + n, behind, sizeof behind - 1);
    n += sizeof behind - 1;
    dgam_pth *p = NULL;
    dgam_status got = dgam_pth_open_memory(pickle, n, 0, &p);
    if (copies) {
      assert_int_equal(got, DGAM_EFORMAT);
      assert_non_null(strstr(dgam_error(), "bytes together"));
    } else {
      assert_ok(got);
      assert_int_equal(dgam_pth_count(p), 1);
      dgam_pth_close(p);
    }
  }
}

static float first_of(dgam_pth *p, const char *name, size_t count) {
  for (size_t i = 0; i < dgam_pth_count(p); i++) {
    const dgam_tensor_info *t = dgam_pth_info(p, i);
    if (strcmp(t->name, name) != 0) continue;
    float *x = malloc(count * sizeof *x), first;
    assert_int_equal(t->count, count);
    assert_ok(dgam_pth_read(p, i, x, count * sizeof *x));
    first = x[0];
    free(x);
    return first;
  }
  fail_msg("there is no tensor '%s'", name);
  return 0;
}

/* Objects that are not known, beside the weights or around them: refused with what to do, or weights without the object. */
static void weights_beside_objects_are_read(void **state) {
  (void)state;
  static const struct {
    const char *file, *object, *name;
    size_t count;
    float first;
  } cases[] = {
      {GOLDEN "crit_legacy.pth", "torch.nn.modules.loss.CrossEntropyLoss", "state_dict/fc.bias", 5, 0x1.eda8040000000p-6f},
      {GOLDEN "crit_legacy.pth", "CrossEntropyLoss", "state_dict/conv.weight", 216, -0x1.04ee240000000p-1f},
      {GOLDEN "wrapped_subclass.pth", "train_utils.StateDict", "state_dict/fc.bias", 2, 1},
      {GOLDEN "wrapped_subclass_legacy.pth", "train_utils.StateDict", "state_dict/conv.weight", 6, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    dgam_pth *p = NULL;
    assert_fails(dgam_pth_open(cases[i].file, 0, &p), DGAM_EFORMAT, cases[i].object);
    assert_non_null(strstr(dgam_error(), "--skip-unknown"));
    assert_ok(dgam_pth_open(cases[i].file, DGAM_PTH_SKIP_UNKNOWN, &p));
    assert_int_equal(dgam_pth_count(p), 2);
    assert_true(first_of(p, cases[i].name, cases[i].count) == cases[i].first);
    const dgam_pickle_value *log = dgam_pickle_get(dgam_pth_root(p), "log"); /* a subclass of list */
    assert_true(!log || (log->kind == DGAM_PICKLE_LIST && log->u.seq.n == 2 && log->u.seq.items[1]->u.f == 0.25));
    dgam_pth_close(p);
  }
}

/* {KEY: tensor, ...}, each tensor the one element of a storage of its own, in the legacy format. */
static size_t dictionary(char *out, const char *const *keys, const size_t *lengths, size_t n) {
#define ADD(text)                         \
  do {                                    \
    memcpy(at, text, sizeof(text) - 1);   \
    at += sizeof(text) - 1;               \
  } while (0)
  char *at = out;
  ADD(LEGACY "\x80\x02}(");
  for (size_t i = 0; i < n; i++) {
    memcpy(at, keys[i], lengths[i]);
    at += lengths[i];
    ADD("ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0");
    *at++ = (char)('0' + i);
    ADD("X\x03\0\0\0cpuK\x01tQK\0K\x01\x85K\x01\x85\x89}tR");
  }
  ADD("u.\x80\x02](");
  for (size_t i = 0; i < n; i++) {
    ADD("X\x01\0\0\0");
    *at++ = (char)('0' + i);
  }
  ADD("e.");
  for (size_t i = 0; i < n; i++) {
    ADD("\1\0\0\0\0\0\0\0\0\0\x80");
    *at++ = (char)0x3f; /* 1.0f */
  }
#undef ADD
  return (size_t)(at - out);
}

/* Two tensors never go by one name, and none is dropped for its key. */
static void names_are_unique_and_whole(void **state) {
  (void)state;
  static char pickle[8192], large[1100 + 5] = "X\x4c\x04\0\0";
  memset(large + 5, 'n', 1100);
#define KEY(text) text, sizeof text - 1
  const struct {
    const char *a;
    size_t na;
    const char *b;
    size_t nb;
    const char *word; /* of the refusal; NULL: both are read */
    int skipped;      /* tensors that are left if what has no name may be left out; -1: not even then */
  } cases[] = {
      {KEY("X\1\0\0\0a"), KEY("X\1\0\0\0b"), NULL, 2},
      {KEY("X\1\0\0\0a"), KEY("X\3\0\0\0a/b"), NULL, 2},
      {KEY("X\1\0\0\0" "1"), KEY("K\1"), "two tensors called '1': ['1'] and [1]", -1},
      {KEY("X\1\0\0\0a"), KEY("X\1\0\0\0a"), "two tensors called 'a': ['a'] and ['a']", -1},
      {KEY("X\1\0\0\0a"), KEY("X\3\0\0\0a\0x"), "zero byte", 1},
      {KEY("X\1\0\0\0a"), KEY("C\1b"), "neither text nor a whole number", 1},
      {KEY("X\1\0\0\0a"), KEY("K\1K\2\x86"), "neither text nor a whole number", 1},
      {KEY("X\1\0\0\0a"), KEY("N"), "neither text nor a whole number", 1},
      {KEY("X\1\0\0\0a"), large, sizeof large, "too long", 1},
  };
#undef KEY
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = dictionary(pickle, (const char *[]){cases[i].a, cases[i].b}, (size_t[]){cases[i].na, cases[i].nb}, 2);
    for (int skip = 0; skip < 2; skip++) {
      dgam_pth *p = NULL;
      dgam_status got = dgam_pth_open_memory(pickle, n, skip ? DGAM_PTH_SKIP_UNKNOWN : 0, &p);
      if (cases[i].word && (!skip || cases[i].skipped < 0)) {
        if (got == DGAM_OK || !strstr(dgam_error(), cases[i].word))
          fail_msg("case %zu: status %s, message \"%s\", expected \"%s\"", i, dgam_status_name(got), dgam_error(),
                   cases[i].word);
      } else {
        assert_ok(got);
        assert_int_equal(dgam_pth_count(p), cases[i].skipped);
      }
      if (got == DGAM_OK) dgam_pth_close(p);
    }
  }
  dgam_pth *p;
  assert_fails(dgam_pth_open(GOLDEN "collide.pth", 0, &p), DGAM_EFORMAT, "called 'a/b': ['a/b'] and ['a']['b']");
}

/* A loss curve beside the weights, however long; a text of any length may be a key of what is no tensor. */
static void long_lists_are_read(void **state) {
  (void)state;
  static const size_t lengths[] = {262144, 262145, 4300000};
  static const char tensor[] = "X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" STORAGE "K\x00K\x04\x85K\x01\x85\x89}tR";
  static const char behind[] = "u.\x80\x02](X\x01\0\0\0ke.\4\0\0\0\0\0\0\0abcdefghijklmnop";
  for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++) {
    char *pickle = malloc(9 * lengths[c] + 4096), *at = pickle;
    memcpy(at, LEGACY "\x80\x02}(X\xd0\7\0\0", sizeof LEGACY - 1 + 9);
    at += sizeof LEGACY - 1 + 9;
    memset(at, 'k', 2000);
    memcpy(at + 2000, "](", 2);
    at += 2002;
    for (size_t i = 0; i < lengths[c]; i++, at += 9) memcpy(at, "G\x3f\xf0\0\0\0\0\0\0", 9);
    *at++ = 'e';
    memcpy(at, tensor, sizeof tensor - 1);
    at += sizeof tensor - 1;
    memcpy(at, behind, sizeof behind - 1);
    at += sizeof behind - 1;
    dgam_pth *p;
    assert_ok(dgam_pth_open_memory(pickle, (size_t)(at - pickle), 0, &p));
    assert_int_equal(dgam_pth_count(p), 1);
    assert_string_equal(dgam_pth_info(p, 0)->name, "w");
    assert_int_equal(dgam_pth_root(p)->u.seq.items[1]->u.seq.n, lengths[c]);
    dgam_pth_close(p);
    free(pickle);
  }
}

typedef dgam_status (*read_all_fn)(const unsigned char *data, size_t n);

static dgam_status read_pth(const unsigned char *data, size_t n) {
  dgam_pth *p;
  DGAM_TRY(dgam_pth_open_memory(data, n, DGAM_PTH_SKIP_UNKNOWN, &p));
  for (size_t i = 0; i < dgam_pth_count(p); i++) {
    const dgam_tensor_info *t = dgam_pth_info(p, i);
    size_t bytes = t->count * dgam_dtype_size(t->dtype);
    void *out = malloc(bytes + 1);
    dgam_pth_read(p, i, out, bytes);
    free(out);
  }
  dgam_pth_close(p);
  return DGAM_OK;
}

static dgam_status read_safetensors(const unsigned char *data, size_t n) {
  dgam_safetensors *s;
  DGAM_TRY(dgam_safetensors_open_memory(data, n, &s));
  for (size_t i = 0; i < dgam_safetensors_count(s); i++) {
    const dgam_tensor_info *t = dgam_safetensors_info(s, i);
    size_t bytes = t->count * dgam_dtype_size(t->dtype);
    void *out = malloc(bytes + 1);
    dgam_safetensors_read(s, i, out, bytes);
    free(out);
  }
  dgam_safetensors_close(s);
  return DGAM_OK;
}

/* The same mutations on every run: bytes changed, copied, inserted, cut. Under AddressSanitizer any wrong step shows.
 */
static void mutate(const char *path, read_all_fn read_all, int rounds) {
  dgam_input in;
  assert_ok(dgam_input_open(&in, path));
  size_t n = (size_t)in.size, whole = 0;
  unsigned char *original = malloc(n), *data = malloc(n + 64);
  assert_ok(dgam_input_read(&in, 0, original, n));
  dgam_input_close(&in);
  assert_ok(read_all(original, n));
  for (int round = 0; round < rounds; round++) {
    dgam_rng r;
    dgam_rng_init(&r, 20240817, (uint64_t)round);
    size_t m = n;
    memcpy(data, original, n);
    for (uint64_t k = 1 + dgam_rng_below(&r, 6); k > 0; k--) {
      size_t at = (size_t)dgam_rng_below(&r, m), from = (size_t)dgam_rng_below(&r, m),
             len = 1 + (size_t)dgam_rng_below(&r, 16);
      switch (dgam_rng_below(&r, 5)) {
        case 0:
          data[at] = (unsigned char)dgam_rng_below(&r, 256);
          break;
        case 1:
          data[at] ^= (unsigned char)(1u << dgam_rng_below(&r, 8));
          break;
        case 2:
          data[at] = dgam_rng_below(&r, 2) ? 0xff : 0;
          break;
        case 3:
          memmove(data + at, data + from, len < m - at && len < m - from ? len : 1);
          break;
        default:
          if (dgam_rng_below(&r, 8) == 0 && at > 16) m = at;
      }
    }
    unsigned char *exact = malloc(m); /* of the right size, so that reading past the end is seen */
    memcpy(exact, data, m);
    whole += read_all(exact, m) == DGAM_OK;
    free(exact);
  }
  assert_true(whole < (size_t)rounds);
  free(original);
  free(data);
}

static void mutations_never_crash(void **state) {
  (void)state;
  enum { ROUNDS = 3000 };
  mutate(GOLDEN "mmcv_zip.pth", read_pth, ROUNDS);
  mutate(GOLDEN "mmcv_legacy.pth", read_pth, ROUNDS);
  mutate(GOLDEN "malicious_legacy.pth", read_pth, ROUNDS);
  mutate(GOLDEN "wrapped_subclass.pth", read_pth, ROUNDS);
  mutate(GOLDEN "wrapped_subclass_legacy.pth", read_pth, ROUNDS);
  mutate(GOLDEN "crit_legacy.pth", read_pth, ROUNDS);
  mutate(GOLDEN "model.safetensors", read_safetensors, ROUNDS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pth_gives_what_was_saved),      cmocka_unit_test(safetensors_gives_what_was_saved),
      cmocka_unit_test(safetensors_round_trip),        cmocka_unit_test(bad_checkpoints_are_refused),
      cmocka_unit_test(bad_headers_are_refused),       cmocka_unit_test(greedy_pickles_are_refused),
      cmocka_unit_test(shared_tensors_do_not_explode), cmocka_unit_test(shared_containers_do_not_explode),
      cmocka_unit_test(weights_beside_objects_are_read), cmocka_unit_test(names_are_unique_and_whole),
      cmocka_unit_test(long_lists_are_read),           cmocka_unit_test(mutations_never_crash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
