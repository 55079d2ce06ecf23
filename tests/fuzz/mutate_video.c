/* mutate_video.c - damaged videos through the decoder, the same ones on every run.
 *
 *     mutate_video [COUNT [FIRST]]      files FIRST .. FIRST + COUNT - 1 (1000 from 0)
 *
 * A small film is written in every codec, container and pixel format of tests/c/video_kinds.h; file i is one of them with
 * damage drawn from (i). Each must end in frames or an error, within LIMIT seconds of CPU time, without a crash, a leak
 * (both seen by a build with sanitizers) or more than MEMORY. Files run in child processes; one that fails is kept and
 * named, and the rest goes on. Status 1 if any failed. Every fourth file also finds an index folder.
 */
#define _GNU_SOURCE
#include "../c/video_kinds.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/rng.h"
#include "video/decode.h"
#include "video/sample.h"

enum { W = 64, H = 48, N = 12, BATCH = 100, MAX_SEEDS = 256, SANE = 4096 };
static const double LIMIT = 2;         /* seconds of CPU time a file */
static const double MEMORY = 2e9;      /* bytes a batch, sanitizers included */

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; } /* as malloc does */

const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }

typedef struct bytes {
  unsigned char *b;
  size_t n;
  char name[32];
} bytes;

static bytes seeds[MAX_SEEDS];
static size_t n_seeds;

/* What a child tells its parent. */
static struct {
  _Atomic long file;             /* under way; the end of the batch once all are done */
  _Atomic long opened, frames, refused, given_up;
  _Atomic long slowest, slowest_us;
} *shared;

static double cpu(clockid_t clock) {
  struct timespec t;
  return clock_gettime(clock, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec : 0;
}

static void make_seeds(void) {
  size_t k = 0, c = 0;
  const video_kind *kind;
  for (char ending[8]; n_seeds < MAX_SEEDS && video_kind_next(&k, &c, &kind, ending);) {
    bytes *s = &seeds[n_seeds];
    snprintf(s->name, sizeof s->name, "%zu.%s", k, ending);
    const char *path = scratch_path(s->name);
    dgam_encoder_spec spec = video_kind_spec(kind, W, H);
    if (film_write(path, &spec, kind->w > 200 ? 2 : N) != DGAM_OK) continue;
    s->b = read_file(path, &s->n);
    unlink(path);
    n_seeds++;
  }
}

/* --- damage --- */

static size_t below(dgam_rng *g, size_t n) { return (size_t)dgam_rng_below(g, n); }

/* Mostly where headers and indexes are. */
static size_t somewhere(dgam_rng *g, size_t n) {
  size_t edge = n < SANE / 4 ? n : SANE / 4;
  switch (below(g, 3)) {
    case 0: return below(g, edge);
    case 1: return n - 1 - below(g, edge);
    default: return below(g, n);
  }
}

static void mutate(dgam_rng *g, bytes *f) {
  static const uint32_t odd[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000, 0x7fff, 0xfffffff0};
  size_t at = somewhere(g, f->n), length = 1 + below(g, f->n / 4 + 1);
  if (length > f->n - at) length = f->n - at;
  switch (below(g, 8)) {
    case 0: case 1: /* bits and bytes */
      for (size_t i = (size_t)1 << below(g, 8); i; i--) f->b[somewhere(g, f->n)] ^= (unsigned char)(1 << below(g, 8));
      break;
    case 2:
      for (size_t i = (size_t)1 << below(g, 8); i; i--) f->b[below(g, f->n)] = (unsigned char)dgam_rng_u32(g);
      break;
    case 3: case 4: { /* a number in either byte order */
      uint32_t v = odd[below(g, sizeof odd / sizeof *odd)];
      for (size_t i = 0, width = (size_t)1 << below(g, 3), swap = below(g, 2); i < width && at + i < f->n; i++)
        f->b[at + i] = (unsigned char)(v >> (8 * (swap ? width - 1 - i : i)));
      break;
    }
    case 5: /* a part cut out, or the end */
      if (below(g, 2)) length = f->n - at;
      memmove(f->b + at, f->b + at + length, f->n - at - length);
      f->n -= length;
      break;
    case 6: /* zeros */
      memset(f->b + at, below(g, 2) ? 0 : 0xff, length);
      break;
    default: { /* a part of another file, or of this one, in its place */
      const bytes *other = &seeds[below(g, n_seeds)];
      size_t from = below(g, other->n), n = other->n - from < length ? other->n - from : length;
      memcpy(f->b + at, other->b + from, n);
    }
  }
  if (f->n == 0) f->n = 1;
}

static bytes make_file(long i) {
  const bytes *seed = &seeds[(size_t)i % n_seeds];
  bytes f = {.b = malloc(seed->n), .n = seed->n};
  if (!f.b) abort();
  memcpy(f.b, seed->b, seed->n);
  dgam_rng g;
  dgam_rng_init(&g, 2024, (uint64_t)i);
  for (size_t times = 1 + below(&g, 3); times; times--) mutate(&g, &f);
  return f;
}

/* --- one file --- */

static void note(dgam_status s) {
  if (s == DGAM_OK) return;
  if (!*dgam_error()) abort(); /* every failure has a message */
  atomic_fetch_add(&shared->refused, 1);
  if (strstr(dgam_error(), "gave up after")) atomic_fetch_add(&shared->given_up, 1);
}

static void decode(long i, const char *path) {
  dgam_video *v;
  dgam_video_options o = {.seconds = LIMIT / 4, .pixels = 1 << 20, .bytes = i % 3 ? 0 : 1, .index = i % 4 ? NULL : scratch};
  for (int again = 0; again <= (i % 4 == 0); again++) {
    dgam_status s = dgam_video_open(&v, path, &o);
    note(s);
    if (s != DGAM_OK) return;
    atomic_fetch_add(&shared->opened, 1);
    dgam_sampling sampling = dgam_sampling_defaults();
    sampling.clip_len = 5, sampling.out_w = sampling.out_h = 32, sampling.seed = (uint64_t)i;
    uint8_t *out = malloc(dgam_sampling_bytes(&sampling));
    note(dgam_video_sample(v, &sampling, out));
    s = dgam_video_count(v);
    note(s);
    dgam_video_info info;
    dgam_video_get_info(v, &info);
    if (s == DGAM_OK) atomic_fetch_add(&shared->frames, info.frames);
    sampling.stream = 1;
    note(dgam_video_sample(v, &sampling, out));
    free(out);
    dgam_video_close(v);
  }
}

static int run_files(long first, long end) {
  char path[600];
  snprintf(path, sizeof path, "%s", scratch_path("mutated"));
  for (long i = first; i < end; i++) {
    atomic_store(&shared->file, i);
    bytes f = make_file(i);
    write_file(path, f.b, f.n);
    free(f.b);
    struct timespec old[2] = {{1000000, 0}, {1000000 + i, 0}}; /* settled, so that it enters the index */
    utimensat(AT_FDCWD, path, old, 0);
    double start = cpu(CLOCK_PROCESS_CPUTIME_ID);
    decode(i, path);
    long us = (long)(1e6 * (cpu(CLOCK_PROCESS_CPUTIME_ID) - start));
    if (us > atomic_load(&shared->slowest_us)) atomic_store(&shared->slowest_us, us), atomic_store(&shared->slowest, i);
  }
  for (size_t k = 0; k < n_seeds; k++) free(seeds[k].b);
  atomic_store(&shared->file, end);
  return 0;
}

/* --- children --- */

static void keep(long i, const char *what) {
  char path[64];
  bytes f = make_file(i);
  snprintf(path, sizeof path, "mutated-%ld.%s", i, strchr(seeds[(size_t)i % n_seeds].name, '.') + 1);
  write_file(path, f.b, f.n);
  free(f.b);
  printf("file %ld (%s): %s; kept as %s\n", i, seeds[(size_t)i % n_seeds].name, what, path);
}

enum outcome { FINE, CRASH, HANG, LEAK, HUGE_MEMORY };

/* Runs files first .. end-1 in a child until one fails; *at is that file. */
static enum outcome run_child(long first, long end, long *at) {
  fflush(stdout);
  atomic_store(&shared->file, first);
  pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) exit(run_files(first, end)); /* leaks are looked for at exit */
  clockid_t clock;
  long file = -1;
  double start = 0;
  int status, waits = 0;
  struct rusage usage;
  if (clock_getcpuclockid(child, &clock) != 0) clock = CLOCK_MONOTONIC;
  while (wait4(child, &status, WNOHANG, &usage) == 0) {
    if (atomic_load(&shared->file) != file) file = atomic_load(&shared->file), start = cpu(clock), waits = 0;
    if (cpu(clock) - start > LIMIT * 1.5 || ++waits > 60000) { /* half a limit for writing the file and the leak check */
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      *at = file;
      return HANG;
    }
    nanosleep(&(struct timespec){0, 2000000}, NULL);
  }
  *at = atomic_load(&shared->file);
  if ((double)usage.ru_maxrss * 1024 > MEMORY) return HUGE_MEMORY;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return FINE;
  return *at == end ? LEAK : CRASH; /* what fails after the last file is the search for leaks */
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000, first = argc > 2 ? atol(argv[2]) : 0, bad[5] = {0};
  static const char *const words[] = {"", "crash", "hang", "leak", "too much memory"};
  if (count < 1 || first < 0 || scratch_make(NULL) != 0) {
    fprintf(stderr, "mutate_video: expected a count and a first number\n");
    return 2;
  }
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 2;
  make_seeds();
  for (long i = first; i < first + count;) {
    long end = i + BATCH < first + count ? i + BATCH : first + count, at;
    enum outcome o = run_child(i, end, &at);
    if (o == LEAK || o == HUGE_MEMORY) { /* of the batch: find the file */
      long before = bad[CRASH] + bad[HANG] + bad[LEAK] + bad[HUGE_MEMORY];
      for (long k = i; k < end; k++) {
        enum outcome one = run_child(k, k + 1, &at);
        if (one != FINE) keep(k, words[one]), bad[one]++;
      }
      if (bad[CRASH] + bad[HANG] + bad[LEAK] + bad[HUGE_MEMORY] == before) {
        printf("files %ld to %ld: %s, by none of them alone\n", i, end - 1, words[o]);
        bad[o]++;
      }
      i = end;
    } else if (o != FINE) {
      keep(at, words[o]);
      bad[o]++;
      i = at + 1;
    } else {
      i = end;
    }
  }
  double slowest = 1e-6 * (double)atomic_load(&shared->slowest_us);
  printf("%ld mutations of %zu films: %ld times opened, %ld frames, %ld errors (%ld ran out of time); %ld crashes, %ld hangs, "
         "%ld leaks, %ld with too much memory; the slowest took %.2f s (file %ld)\n", count, n_seeds, atomic_load(&shared->opened),
         atomic_load(&shared->frames), atomic_load(&shared->refused), atomic_load(&shared->given_up), bad[CRASH], bad[HANG],
         bad[LEAK], bad[HUGE_MEMORY], slowest, atomic_load(&shared->slowest));
  scratch_remove(NULL);
  return slowest > LIMIT || bad[CRASH] + bad[HANG] + bad[LEAK] + bad[HUGE_MEMORY] > 0;
}
