/* fuzz_video.c - libFuzzer target: any bytes as a video file must give frames or an error, soon and without leaks.
 * Start it on small videos: build-fuzz/fuzz/fuzz_video -max_len=65536 -timeout=4 CORPUS VIDEOS */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "video/decode.h"
#include "video/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int fd = memfd_create("video", MFD_CLOEXEC);
  if (fd < 0) return 0;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  dgam_video *v;
  dgam_video_options limits = {.seconds = 1, .pixels = 1 << 18, .bytes = size % 2 ? 1 : 0};
  if (write(fd, data, size) == (ssize_t)size && dgam_video_open(&v, path, &limits) == DGAM_OK) {
    dgam_sampling s = dgam_sampling_defaults();
    s.clip_len = 5, s.out_w = s.out_h = 32, s.seed = size;
    uint8_t *out = malloc(dgam_sampling_bytes(&s));
    if (out) {
      (void)dgam_video_sample(v, &s, out);
      (void)dgam_video_count(v);
      s.stream = 1;
      (void)dgam_video_sample(v, &s, out);
    }
    free(out);
    dgam_video_close(v);
  }
  close(fd);
  return 0;
}
