/* The small DGAM run of the official code (tests/golden/dgam_tiny.h5): every stage forward, and all gradients backward
 * from the loss, through the C core alone; fp32 on every instruction set, with and without recompute, and bf16. */
#include "nn_golden.h"

#include "base/arena.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "nn/gate.h"
#include "nn/heads.h"
#include "nn/norm.h"
#include "nn/patch.h"
#include "nn/swin_block.h"

enum { N = 4, D = 16, H0 = 9, W0 = 11, H1 = 5, W1 = 6, C0 = 24, C1 = 48, K = 12, E = 5 };
#define L0 ((size_t)D * H0 * W0)
#define L1 ((size_t)D * H1 * W1)

static hid_t file;
static float *kept[256]; /* everything read, freed at the end of a test */
static size_t keeps;

static float *keep(float *x) {
  assert_true(keeps < sizeof kept / sizeof *kept);
  return kept[keeps++] = x;
}
static float *get(const char *name) { return keep(golden(file, name, NULL)); }
static float *make(size_t n) { return keep(calloc(n + 16, sizeof(float))); }
static float *weight(const char *key) {
  char name[256];
  snprintf(name, sizeof name, "state_dict/%s", key);
  return get(name);
}
static float *block_weight(const char *layer, const char *key) {
  char name[256];
  snprintf(name, sizeof name, "state_dict/backbone.%s.%s", layer, key);
  return get(name);
}
static void check_grad(const char *layer, const char *key, const float *got, double tolerance) {
  char name[256];
  size_t n;
  snprintf(name, sizeof name, "grad/backbone.%s%s%s", layer, *layer ? "." : "", key);
  float *want = keep(golden(file, name, &n));
  assert_close_relative(got, want, n, tolerance, name);
}

static void *aligned(size_t bytes) { return keep(aligned_alloc(64, (bytes + 127) / 64 * 64)); }

typedef struct block {
  const char *layer;
  dgam_swin_block_desc d;
  dgam_swin_block_params p;
  const float *x;
  float *y;
  void *saved;
} block;

static void block_make(block *b, const char *layer, size_t h, size_t w, size_t c, int shifted, dgam_keep how,
                       dgam_dtype type) {
  *b = (block){.layer = layer};
  b->d = (dgam_swin_block_desc){N, D, h, w, c, c == C0 ? 3 : 6, 4 * c, {8, 7, 7}, {0, 0, 0}, type, 1e-5f, how};
  if (shifted) b->d.shift[0] = 4, b->d.shift[1] = b->d.shift[2] = 3;
  b->p = (dgam_swin_block_params){
      block_weight(layer, "norm1.weight"),     block_weight(layer, "norm1.bias"),
      block_weight(layer, "attn.qkv.weight"),  block_weight(layer, "attn.qkv.bias"),
      block_weight(layer, "attn.proj.weight"), block_weight(layer, "attn.proj.bias"),
      block_weight(layer, "attn.relative_position_bias_table"),
      block_weight(layer, "norm2.weight"),     block_weight(layer, "norm2.bias"),
      block_weight(layer, "mlp.fc1.weight"),   block_weight(layer, "mlp.fc1.bias"),
      block_weight(layer, "mlp.fc2.weight"),   block_weight(layer, "mlp.fc2.bias")};
}

static float *block_forward(block *b, const float *x) {
  size_t bytes;
  b->x = x;
  b->y = make(b->d.n * b->d.d * b->d.h * b->d.w * b->d.c);
  assert_ok(dgam_swin_block_saved(&b->d, &bytes));
  b->saved = bytes ? aligned(bytes) : NULL;
  assert_ok(dgam_swin_block_scratch(&b->d, 0, &bytes));
  assert_ok(dgam_swin_block_forward(&b->d, &b->p, x, NULL, b->y, b->saved, aligned(bytes)));
  return b->y;
}

static float *block_backward(block *b, const float *dy, double tolerance) {
  size_t c = b->d.c, bytes;
  float *dx = make(b->d.n * b->d.d * b->d.h * b->d.w * c);
  dgam_swin_block_grads g = {make(c),         make(c), make(3 * c * c), make(3 * c),     make(c * c),
                             make(c),         make((size_t)15 * 13 * 13 * b->d.heads),
                             make(c),         make(c), make(4 * c * c), make(4 * c),     make(4 * c * c), make(c)};
  assert_ok(dgam_swin_block_scratch(&b->d, 1, &bytes));
  assert_ok(dgam_swin_block_backward(&b->d, &b->p, b->x, NULL, b->saved, dy, dx, &g, aligned(bytes)));
  check_grad(b->layer, "norm1.weight", g.norm1_w, tolerance);
  check_grad(b->layer, "norm1.bias", g.norm1_b, tolerance);
  check_grad(b->layer, "attn.qkv.weight", g.qkv_w, tolerance);
  check_grad(b->layer, "attn.qkv.bias", g.qkv_b, tolerance);
  check_grad(b->layer, "attn.proj.weight", g.proj_w, tolerance);
  check_grad(b->layer, "attn.proj.bias", g.proj_b, tolerance);
  check_grad(b->layer, "attn.relative_position_bias_table", g.table, tolerance);
  check_grad(b->layer, "norm2.weight", g.norm2_w, tolerance);
  check_grad(b->layer, "norm2.bias", g.norm2_b, tolerance);
  check_grad(b->layer, "mlp.fc1.weight", g.fc1_w, tolerance);
  check_grad(b->layer, "mlp.fc1.bias", g.fc1_b, tolerance);
  check_grad(b->layer, "mlp.fc2.weight", g.fc2_w, tolerance);
  check_grad(b->layer, "mlp.fc2.bias", g.fc2_b, tolerance);
  return dx;
}

/* A stage compared with the file's (N, C, D, H, W) or (N, D, H, W, C) activation. */
static void check_stage(const float *got, const char *name, size_t c, size_t l, int last, double tolerance) {
  float *want = golden(file, name, NULL);
  keep(want = last ? want : channels_last(want, N, c, l));
  assert_close(got, want, N * c * l, tolerance, name);
}

/* Whole model, forward and backward. `exact`: tolerance of activations; `slope`: of gradients, relative. */
static void run(dgam_keep how, dgam_dtype type, double exact, double slope) {
  size_t scratch, saved;
  keeps = 0;
  file = H5Fopen(DGAM_TESTS "/golden/dgam_tiny.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);

  const float *clip = get("enhanced");
  dgam_patch_embed_desc pe = {N, 3, 32, 36, 44, {2, 4, 4}, C0, 0, 1, 1e-5f, type};
  assert_ok(dgam_patch_embed_sizes(&pe, &scratch, &saved));
  const float *pe_w = weight("backbone.patch_embed.proj.weight"), *pe_b = weight("backbone.patch_embed.proj.bias");
  const float *pe_nw = weight("backbone.patch_embed.norm.weight"), *pe_nb = weight("backbone.patch_embed.norm.bias");
  float *x0 = make(N * L0 * C0), *pe_saved = make(saved);
  void *pe_scratch = aligned(scratch);
  assert_ok(dgam_patch_embed_forward(&pe, clip, pe_w, pe_b, pe_nw, pe_nb, x0, pe_saved, pe_scratch));
  check_stage(x0, "activation/patch_embed", C0, L0, 0, exact);

  block b[4];
  block_make(&b[0], "layers.0.blocks.0", H0, W0, C0, 0, how, type);
  block_make(&b[1], "layers.0.blocks.1", H0, W0, C0, 1, how, type);
  block_make(&b[2], "layers.1.blocks.0", H1, W1, C1, 0, how, type);
  block_make(&b[3], "layers.1.blocks.1", H1, W1, C1, 1, how, type);
  float *x1 = block_forward(&b[0], x0), *x2 = block_forward(&b[1], x1);
  check_stage(x1, "activation/layer0_block0", C0, L0, 1, exact);
  check_stage(x2, "activation/layer0_block1", C0, L0, 1, exact);

  dgam_patch_merge_desc pm = {N, D, H0, W0, C0, C1, 1e-5f, type};
  assert_ok(dgam_patch_merge_sizes(&pm, &scratch, &saved));
  const float *pm_nw = weight("backbone.layers.0.downsample.norm.weight");
  const float *pm_nb = weight("backbone.layers.0.downsample.norm.bias");
  const float *pm_w = weight("backbone.layers.0.downsample.reduction.weight");
  float *x3 = make(N * L1 * C1), *pm_saved = make(saved);
  void *pm_scratch = aligned(scratch);
  assert_ok(dgam_patch_merge_forward(&pm, x2, pm_nw, pm_nb, pm_w, x3, pm_saved, pm_scratch));
  check_stage(x3, "activation/layer0", C1, L1, 0, exact);

  float *x4 = block_forward(&b[2], x3), *x5 = block_forward(&b[3], x4);
  check_stage(x4, "activation/layer1_block0", C1, L1, 1, exact);
  check_stage(x5, "activation/layer1_block1", C1, L1, 1, exact);

  const float *nw = weight("backbone.norm.weight"), *nb = weight("backbone.norm.bias");
  float *x6 = make(N * L1 * C1), *mean = make(N * L1), *rstd = make(N * L1);
  assert_ok(dgam_layernorm_forward(N * L1, C1, x5, nw, nb, 1e-5f, x6, mean, rstd));
  check_stage(x6, "backbone", C1, L1, 0, exact);

  static const char *heads[E] = {"fc_cls", "fc_cls_15", "fc_cls_20", "fc_cls_25", "fc_cls_30"};
  float *hw = make((size_t)E * K * C1), *hb = make((size_t)E * K), *pooled = make(N * C1), *logits = make(N * K);
  for (size_t e = 0; e < E; e++) {
    char key[64];
    snprintf(key, sizeof key, "cls_head.%s.weight", heads[e]);
    memcpy(hw + e * K * C1, weight(key), K * C1 * sizeof *hw);
    snprintf(key, sizeof key, "cls_head.%s.bias", heads[e]);
    memcpy(hb + e * K, weight(key), K * sizeof *hb);
  }
  const float *findex = get("gate/index"), *flabels = get("labels");
  int64_t index[N];
  for (int i = 0; i < N; i++) index[i] = (int64_t)findex[i];
  dgam_heads_desc hd = {N, L1, C1, E, K};
  assert_ok(dgam_heads_forward(&hd, x6, hw, hb, index, NULL, pooled, logits));
  assert_close(pooled, get("pooled"), N * C1, exact, "pooled");
  assert_close(logits, get("logits"), N * K, exact, "logits");

  /* Cross entropy, mean over the samples. */
  float dlogits[N * K];
  double loss = 0;
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int k = 0; k < K; k++) sum += exp(logits[i * K + k]);
    int label = (int)flabels[i];
    loss -= (logits[i * K + label] - log(sum)) / N;
    for (int k = 0; k < K; k++) dlogits[i * K + k] = (float)((exp(logits[i * K + k]) / sum - (k == label)) / N);
  }
  assert_true(fabs(loss - get("loss")[0]) < exact);

  if (how != DGAM_KEEP_NONE) {
    float *dx6 = make(N * L1 * C1), *dhw = make((size_t)E * K * C1), *dhb = make((size_t)E * K);
    assert_ok(dgam_heads_backward(&hd, pooled, hw, index, NULL, dlogits, dx6, dhw, dhb));
    assert_close_relative(dhw + 1 * K * C1, get("grad/cls_head.fc_cls_15.weight"), K * C1, slope, "fc_cls_15");
    assert_close_relative(dhw + 3 * K * C1, get("grad/cls_head.fc_cls_25.weight"), K * C1, slope, "fc_cls_25");
    assert_close_relative(dhw + 4 * K * C1, get("grad/cls_head.fc_cls_30.weight"), K * C1, slope, "fc_cls_30");
    float *dx5 = make(N * L1 * C1), *dnw = make(C1), *dnb = make(C1);
    assert_ok(dgam_layernorm_backward(N * L1, C1, x5, nw, mean, rstd, dx6, dx5, dnw, dnb,
                                      make(dgam_layernorm_scratch(N * L1, C1))));
    check_grad("", "norm.weight", dnw, slope);
    check_grad("", "norm.bias", dnb, slope);
    float *dx4 = block_backward(&b[3], dx5, slope), *dx3 = block_backward(&b[2], dx4, slope);
    float *dx2 = make(N * L0 * C0), *dmw = make(4 * C0), *dmb = make(4 * C0), *dr = make(4 * C0 * C1);
    assert_ok(dgam_patch_merge_backward(&pm, x2, pm_nw, pm_nb, pm_w, pm_saved, dx3, dx2, dmw, dmb, dr, pm_scratch));
    check_grad("layers.0.downsample", "norm.weight", dmw, slope);
    check_grad("layers.0.downsample", "norm.bias", dmb, slope);
    check_grad("layers.0.downsample", "reduction.weight", dr, slope);
    float *dx1 = block_backward(&b[1], dx2, slope), *dx0 = block_backward(&b[0], dx1, slope);
    float *dclip = make((size_t)N * 3 * 32 * 36 * 44), *dpw = make(C0 * 96), *dpb = make(C0), *dpnw = make(C0),
          *dpnb = make(C0);
    assert_ok(dgam_patch_embed_backward(&pe, clip, pe_w, pe_nw, pe_saved, dx0, dclip, dpw, dpb, dpnw, dpnb,
                                        pe_scratch));
    check_grad("patch_embed", "norm.weight", dpnw, slope);
    check_grad("patch_embed", "norm.bias", dpnb, slope);
    check_grad("patch_embed", "proj.weight", dpw, slope);
    check_grad("patch_embed", "proj.bias", dpb, slope);
    assert_close_relative(dclip, get("grad_enhanced"), (size_t)N * 3 * 32 * 36 * 44, slope, "grad_enhanced");
  }
  H5Fclose(file);
  while (keeps) free(kept[--keeps]);
}

static void fp32_matches(void **state) {
  (void)state;
  run(DGAM_KEEP_NONE, DGAM_F32, 1e-4, 0);
  run(DGAM_KEEP_LEAN, DGAM_F32, 1e-4, 1e-3);
  run(DGAM_KEEP_ALL, DGAM_F32, 1e-4, 1e-3);
}

static void every_level_matches(void **state) {
  (void)state;
  dgam_cpu before = dgam_cpu_limit(DGAM_CPU_PLAIN);
  run(DGAM_KEEP_LEAN, DGAM_F32, 1e-4, 1e-3);
  dgam_cpu_limit(DGAM_CPU_AVX2);
  run(DGAM_KEEP_ALL, DGAM_F32, 1e-4, 1e-3);
  dgam_cpu_limit(before);
}

/* bf16 carries 8 bits: activations of size about 4 within 1%, gradients of small sums looser. */
static void bf16_is_near(void **state) {
  (void)state;
  if (!dgam_gemm_has_bf16()) skip();
  run(DGAM_KEEP_NONE, DGAM_BF16, 6e-2, 0);
  run(DGAM_KEEP_LEAN, DGAM_BF16, 6e-2, 6e-2);
  run(DGAM_KEEP_ALL, DGAM_BF16, 6e-2, 6e-2);
}

static void gate_matches(void **state) {
  (void)state;
  keeps = 0;
  file = H5Fopen(DGAM_TESTS "/golden/dgam_tiny.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  dgam_gate_layer l[3];
  for (int i = 0; i < 3; i++) {
    char key[96];
#define PART(format) (snprintf(key, sizeof key, "backbone.my_MoE.gating." format, i + 1), weight(key))
    l[i] = (dgam_gate_layer){.w = PART("linear%d.weight"), .b = PART("linear%d.bias")};
    if (i == 2) break;
    l[i].norm_w = PART("batchnorm%d.weight");
    l[i].norm_b = PART("batchnorm%d.bias");
    l[i].norm_mean = PART("batchnorm%d.running_mean");
    l[i].norm_var = PART("batchnorm%d.running_var");
  }
  size_t widths[4] = {96, 128, 256, 5};
  float lambda[4 * 5];
  assert_ok(dgam_gate_forward(4, widths, l, 1e-5f, get("gate/stats"), lambda, make(384)));
  assert_close(lambda, get("gate/lambda"), 20, 1e-5, "lambda");
  H5Fclose(file);
  while (keeps) free(kept[--keeps]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(fp32_matches), cmocka_unit_test(every_level_matches),
                                     cmocka_unit_test(bf16_is_near), cmocka_unit_test(gate_matches)};
  return cmocka_run_group_tests_name("nn_golden", tests, NULL, NULL);
}
