/* fuzz_safetensors.c - libFuzzer target: any bytes as a safetensors file must give tensors or an error.
 * Start it on the golden files: build-fuzz/fuzz/fuzz_safetensors -max_len=8192 CORPUS tests/golden/checkpoints */
#include <stdint.h>
#include <stdlib.h>

#include "store/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  dgam_safetensors *s;
  if (dgam_safetensors_open_memory(data, size, &s) != DGAM_OK) return 0;
  for (size_t i = 0; i < dgam_safetensors_count(s); i++) {
    const dgam_tensor_info *t = dgam_safetensors_info(s, i);
    size_t bytes = t->count * dgam_dtype_size(t->dtype); /* at most the file's size */
    void *out = malloc(bytes + 1);
    if (out) dgam_safetensors_read(s, i, out, bytes);
    free(out);
  }
  dgam_safetensors_close(s);
  return 0;
}
