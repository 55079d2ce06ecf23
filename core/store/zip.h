/* zip.h - finds the files in a zip archive: the subset torch.save writes, stored entries, zip64 included.
 *
 * Nothing is unpacked: an entry is a range of bytes of the archive. Checksums are ignored, because torch.save can be told
 * not to compute them.
 */
#ifndef DGAM_STORE_ZIP_H
#define DGAM_STORE_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "store/file.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_zip_entry {
  char *name;
  uint64_t offset; /* of its bytes in the archive */
  uint64_t size;
  int method; /* 0: stored; anything else cannot be read */
} dgam_zip_entry;

typedef struct dgam_zip {
  dgam_zip_entry *entries; /* sorted by name */
  size_t count;
} dgam_zip;

/* Reads the directory. DGAM_EFORMAT: not a zip archive, damaged, cut off. The struct is empty then. */
DGAM_API dgam_status dgam_zip_open(const dgam_input *in, dgam_zip *zip);

/* The entry of that name, or NULL. */
DGAM_API const dgam_zip_entry *dgam_zip_find(const dgam_zip *zip, const char *name);

DGAM_API void dgam_zip_close(dgam_zip *zip);

#ifdef __cplusplus
}
#endif
#endif
