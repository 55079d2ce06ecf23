/* safetensors.h - reads and writes the .safetensors format: 8 bytes length of the header (little-endian), a JSON object
 * name -> {dtype, shape, data_offsets} with an optional "__metadata__" of strings, then the data.
 *
 * As in the format's own implementation, a file is accepted only if the tensors fill the data exactly, without holes or
 * overlaps. So a file that opens is whole. Types F8, U16, U32, U64, C64 and sub-byte ones are DGAM_EUNSUPPORTED.
 * A reader belongs to one thread at a time.
 */
#ifndef DGAM_STORE_SAFETENSORS_H
#define DGAM_STORE_SAFETENSORS_H

#include "store/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_safetensors dgam_safetensors;

typedef struct dgam_text_pair {
  const char *key, *value;
} dgam_text_pair;

/* DGAM_EIO, DGAM_EFORMAT (damaged, cut off, another format), DGAM_EUNSUPPORTED, DGAM_ENOMEM. */
DGAM_API dgam_status dgam_safetensors_open(const char *path, dgam_safetensors **out);
DGAM_API dgam_status dgam_safetensors_open_memory(const void *data, size_t size, dgam_safetensors **out);

/* Tensors in the order of their data. */
DGAM_API size_t dgam_safetensors_count(const dgam_safetensors *s);
DGAM_API const dgam_tensor_info *dgam_safetensors_info(const dgam_safetensors *s, size_t i);
DGAM_API size_t dgam_safetensors_metadata_count(const dgam_safetensors *s);
DGAM_API dgam_text_pair dgam_safetensors_metadata(const dgam_safetensors *s, size_t i);

/* Tensor i into `out` of exactly `bytes` bytes. */
DGAM_API dgam_status dgam_safetensors_read(dgam_safetensors *s, size_t i, void *out, size_t bytes);
DGAM_API void dgam_safetensors_close(dgam_safetensors *s); /* NULL is fine */

/* Writes n tensors (info and contiguous data), replacing `path` in one step (see file.h). Data is sorted, wider types
 * first, then by name, so the same tensors give the same bytes. DGAM_EINVAL: names that are not unique or are
 * "__metadata__", names or metadata that are not UTF-8, a header above the format's 100 MB. */
DGAM_API dgam_status dgam_safetensors_write(const char *path, size_t n, const dgam_tensor_info *infos,
                                            const void *const *data, size_t npairs, const dgam_text_pair *metadata);

#ifdef __cplusplus
}
#endif
#endif
