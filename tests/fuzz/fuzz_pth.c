/* fuzz_pth.c - libFuzzer target: any bytes as a checkpoint of torch.save must give tensors or an error.
 * Start it on the golden files: build-fuzz/fuzz/fuzz_pth -max_len=8192 CORPUS tests/golden/checkpoints */
#include <stdint.h>
#include <stdlib.h>

#include "store/pth.h"

enum { LARGE = 1 << 24 }; /* a stride of 0 makes large tensors out of small files; reading those only takes time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (int flags = 0; flags <= DGAM_PTH_SKIP_UNKNOWN; flags++) {
    dgam_pth *p;
    if (dgam_pth_open_memory(data, size, flags, &p) != DGAM_OK) continue;
    for (size_t i = 0; i < dgam_pth_count(p); i++) {
      const dgam_tensor_info *t = dgam_pth_info(p, i);
      size_t bytes = t->count * dgam_dtype_size(t->dtype);
      if (bytes > LARGE) continue;
      void *out = malloc(bytes + 1);
      if (out) dgam_pth_read(p, i, out, bytes);
      free(out);
    }
    dgam_pth_close(p);
  }
  return 0;
}
