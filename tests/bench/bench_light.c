/* bench_light.c - what the light kernels cost for one clip of 3 x 32 x 224 x 224, minimum of several runs.
 * Prints one JSON object a line: name, value, unit, threads, experts, cpu. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "light/gamma.h"
#include "light/histogram.h"
#include "light/stats.h"
#include "level.h"

enum { T = 32, H = 224, W = 224, PIXELS = 3 * T * H * W, MOST = 16 };

static uint8_t *pixels;
static float *out, *grad, weights[MOST], gammas[MOST];
static uint32_t hist[T * 768];
static float table[T * 768], stats[3 * T], dweights[MOST], dgammas[MOST];
static double sums[T * 768];
static dgam_clip clip;
static dgam_gic gic;
static dgam_layout layout;
static int bf16;

static void must(dgam_status s) {
  if (s == DGAM_OK) return;
  fprintf(stderr, "bench_light: %s\n", dgam_error());
  exit(1);
}

static void count(void) { must(dgam_histogram_clip(&clip, hist)); }
static void statistics(void) { must(dgam_stats_from_histogram(hist, 1, T, DGAM_NORMALISED, &gic.norm, stats)); }
static void tables(void) { must(dgam_gic_table(&gic, hist, 1, T, table)); }
static void apply(void) { must(dgam_gic_apply(&clip, table, layout, bf16, out)); }
static void agc(void) { count(), statistics(), tables(), apply(); }
static void naive(void) { must(dgam_gic_naive(&gic, &clip, out)); }
static void backward(void) {
  must(dgam_gic_scatter(&clip, grad, layout, bf16, sums));
  must(dgam_gic_table_backward(&gic, hist, 1, T, sums, dweights, dgammas));
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void run(const char *name, void (*work)(void), int times) {
  double best = 1e30;
  for (int i = 0; i < times; i++) {
    double start = now(), took;
    work();
    took = now() - start;
    if (took < best) best = took;
  }
  printf("{\"name\": \"%s\", \"value\": %.4f, \"unit\": \"ms\", \"threads\": %d, \"experts\": %zu, \"cpu\": \"%s\"}\n", name,
         best, dgam_threads(), gic.experts, dgam_cpu_name(dgam_cpu_level()));
}

int main(void) {
  pixels = malloc(PIXELS), out = malloc(PIXELS * sizeof *out), grad = malloc(PIXELS * sizeof *grad);
  if (!pixels || !out || !grad) return perror("bench_light"), 1;
  dgam_rng r;
  dgam_rng_init(&r, 1, 0);
  for (size_t i = 0; i < PIXELS; i++) {
    double u = dgam_rng_uniform(&r);
    pixels[i] = (uint8_t)(u * u * u * 96);
    grad[i] = (float)u;
  }
  for (int e = 0; e < MOST; e++) weights[e] = 1.0f / MOST, gammas[e] = 1.0f + 0.25f * (float)e;
  clip = dgam_clip_ncthw(pixels, 1, T, H, W);
  gic = (dgam_gic){DGAM_NORMALISED, {{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}}, 5, weights, gammas, 0};
  dgam_cpu best = dgam_cpu_level();
  for (int threads = 1; threads <= 2; threads++)
    for (int level = 0; level < 2; level++) {
      dgam_set_threads(threads);
      dgam_cpu_limit(level ? best : DGAM_CPU_PLAIN);
      layout = DGAM_LAYOUT_PATCHES, bf16 = 0, gic.experts = 5;
      run("light_histogram", count, 20);
      run("light_stats", statistics, 20);
      run("light_table", tables, 20);
      run("light_patches", apply, 20);
      bf16 = 1;
      run("light_patches_bf16", apply, 20);
      bf16 = 0, layout = DGAM_LAYOUT_CLIP;
      run("light_clip", apply, 20);
      layout = DGAM_LAYOUT_PATCHES;
      run("light_backward", backward, 20);
      for (size_t e = 0; e < 3; e++) {
        gic.experts = e == 0 ? 1 : e == 1 ? 5 : 16;
        run("light_agc", agc, 20);
      }
    }
  gic.experts = 5;
  run("light_naive", naive, 1);
  free(pixels), free(out), free(grad);
  return 0;
}
