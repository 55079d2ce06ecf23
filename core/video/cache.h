/* cache.h - keeps decoded views on disk, so that a clip that is asked for again is read instead of decoded.
 *
 * An entry is a file in a folder: the views as dgam_video_views_of gives them, uint8, before random changes of pixels. Flat files
 * and not one HDF5 file, because several threads and processes add to the folder at once, a kill must not cost what others wrote,
 * and single entries must be removable. An entry's name is a hash of all that determines the views: the file (path, inode, size, time
 * of change; of a folder those of its files), the sampling, where it draws also (seed, stream), and the versions of FFmpeg. All of
 * that is kept in the entry and compared, as is a hash of the pixels: an entry that is damaged, or another's, is not used. A file that
 * changed less than two seconds ago is not entered, since a further change might not show in its time.
 *
 * Size: while the folder holds less than `limit` bytes, entries are added; then those go that were last used before this
 * cache was opened, oldest first; when none is left, nothing is added. What this run uses is thus never thrown out for something
 * else that it uses, which over epochs keeps as many hits as fit. Other processes' entries are counted every now and then, so the
 * limit may be passed by a little for a moment.
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

/* 1 and views and info filled in, or 0; the views may then hold anything. *key is for save, which frees it; NULL if the file cannot
 * be entered. */
DGAM_API int dgam_clip_cache_load(dgam_clip_cache *c, const char *path, const dgam_sampling *s, dgam_video_info *info, uint8_t *views,
                                  char **key);

/* Enters what was decoded after load gave 0; info == NULL: nothing, only frees the key. After an entry that could not be written
 * (disk full, no permission) none is tried any more; what is there is still used. */
DGAM_API void dgam_clip_cache_save(dgam_clip_cache *c, const char *path, const dgam_sampling *s, const dgam_video_info *info,
                                   const uint8_t *views, char *key);

/* 1 and the reason in why[0 .. n-1], with the path, the first time it is called after an entry could not be written; else 0. */
DGAM_API int dgam_clip_cache_failure(dgam_clip_cache *c, char *why, size_t n);

/* Bytes in the folder, as far as is known. */
DGAM_API uint64_t dgam_clip_cache_bytes(dgam_clip_cache *c);

#ifdef __cplusplus
}
#endif
#endif
