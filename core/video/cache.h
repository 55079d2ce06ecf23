/* cache.h - keeps decoded views on disk, so that a clip that is asked for again is read instead of decoded.
 *
 * An entry is a file in a folder: the views as dgam_video_views_of gives them, uint8, before random changes of pixels. Entries are
 * flat files, not parts of one HDF5 file: several threads and processes add to the folder at once, a kill must not cost what others
 * wrote, and single entries must be removable. An entry's name is a hash of everything that determines the views: the file (path,
 * inode, size, time of change; for a folder those of its files), the sampling, (seed, stream) if the sampling draws, and the versions
 * of FFmpeg. The entry holds all of that, and a hash of the pixels. Both are compared, so a damaged or foreign entry is not used. A
 * file that changed less than two seconds ago is not added, because a further change might not show in its time.
 *
 * Size: entries are added while the folder holds less than `limit` bytes. After that, entries last used before this cache was opened
 * are removed, oldest first. When none of those is left, nothing is added. So nothing that this run uses is thrown out for something
 * else that it uses, and over epochs as many hits remain as fit. Other processes' entries are counted only now and then, so the
 * folder may pass the limit by a little for a moment.
 *
 * Any number of threads may call load and save.
 */
#ifndef DGAM_VIDEO_CACHE_H
#define DGAM_VIDEO_CACHE_H

#include <stdint.h>

#include "base/status.h"
#include "video/decode.h"
#include "video/sample.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_clip_cache dgam_clip_cache;

/* Opens a folder, which must exist and be writable, else DGAM_EIO. Temporary files that a kill left an hour ago are removed. */
DGAM_API dgam_status dgam_clip_cache_open(dgam_clip_cache **out, const char *folder, uint64_t limit);
DGAM_API void dgam_clip_cache_close(dgam_clip_cache *c); /* NULL is fine */

/* Returns 1 and fills in views and info, or returns 0; the views may then hold anything. *key is for save, which frees it; it is NULL
 * if the file cannot be added. */
DGAM_API int dgam_clip_cache_load(dgam_clip_cache *c, const char *path, const dgam_sampling *s, dgam_video_info *info, uint8_t *views,
                                  char **key);

/* Adds what was decoded after load returned 0; info == NULL: only frees the key. Once an entry could not be written (disk full, no
 * permission), no more are tried; those that are there are still used. */
DGAM_API void dgam_clip_cache_save(dgam_clip_cache *c, const char *path, const dgam_sampling *s, const dgam_video_info *info,
                                   const uint8_t *views, char *key);

/* Returns 1, the first time after an entry could not be written, and reason and path in why[0 .. n-1]; else 0. */
DGAM_API int dgam_clip_cache_failure(dgam_clip_cache *c, char *why, size_t n);

/* Bytes in the folder, as far as is known. */
DGAM_API uint64_t dgam_clip_cache_bytes(dgam_clip_cache *c);

#ifdef __cplusplus
}
#endif
#endif
