/* All headers of the core in one file: no two may claim one name. Those that end in _impl.h are parts of a .c file and are
 * left out, and so is video/ffmpeg.h, which needs FFmpeg's. */
#include "base/arena.h"
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/semantics.h"
#include "base/status.h"
#include "base/vec.h"
#include "light/camera.h"
#include "light/clip.h"
#include "light/curve.h"
#include "light/enhance.h"
#include "light/enhance_frame.h"
#include "light/gamma.h"
#include "light/gamma_kernels.h"
#include "light/histogram.h"
#include "light/stats.h"
#include "nn/adamw.h"
#include "nn/attention.h"
#include "nn/gate.h"
#include "nn/gemm.h"
#include "nn/heads.h"
#include "nn/kernels.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/patch.h"
#include "nn/swin_block.h"
#include "nn/window.h"
#include "scene/clip.h"
#include "scene/internal.h"
#include "scene/pose.h"
#include "scene/scene.h"
#include "scene/tables.h"
#include "store/dtype.h"
#include "store/file.h"
#include "store/grow.h"
#include "store/h5.h"
#include "store/h5_sink.h"
#include "store/lease.h"
#include "store/pickle.h"
#include "store/pth.h"
#include "store/safetensors.h"
#include "store/zip.h"
#include "video/augment.h"
#include "video/cache.h"
#include "video/decode.h"
#include "video/encode.h"
#include "video/facts.h"
#include "video/folder.h"
#include "video/index.h"
#include "video/peek.h"
#include "video/picture.h"
#include "video/pool.h"
#include "video/reader.h"
#include "video/resize.h"
#include "video/resize_rows.h"
#include "video/sample.h"
#include "video/whole.h"

#include "test.h"

#include <glob.h>

/* This file names every header there is. */
static void every_header_is_here(void **state) {
  (void)state;
  FILE *f = fopen(DGAM_TESTS "/c/test_headers.c", "r");
  assert_non_null(f);
  static char text[1 << 16];
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  glob_t found;
  assert_int_equal(glob(DGAM_TESTS "/../core/*/*.h", 0, NULL, &found), 0);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    const char *path = strstr(found.gl_pathv[i], "/core/") + 6;
    size_t n = strlen(path);
    char line[128];
    snprintf(line, sizeof line, "#include \"%s\"\n", path);
    if (strcmp(path + n - 7, "_impl.h") == 0 || strcmp(path, "video/ffmpeg.h") == 0) continue;
    if (!strstr(text, line)) fail_msg("core/%s is not included here", path);
  }
  globfree(&found);
}

/* One type of elements: what the readers of files call float32 is what the kernels do. */
static void types_are_one(void **state) {
  (void)state;
  dgam_tensor_info stored = {.dtype = DGAM_BF16};
  dgam_gemm_desc product = {.in = stored.dtype};
  assert_int_equal(product.in, dgam_dtype_named("bfloat16"));
  assert_int_equal(dgam_dtype_size(product.in), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_header_is_here), cmocka_unit_test(types_are_one)};
  return cmocka_run_group_tests_name("headers", tests, NULL, NULL);
}
