/* folder.h - a folder of pictures as a video: which files, in which order. Used by decode.c, not for other modules. */
#ifndef DGAM_VIDEO_FOLDER_H
#define DGAM_VIDEO_FOLDER_H

#include <libavcodec/avcodec.h>

#include "base/status.h"

typedef struct dgam_folder {
  char *path;
  char **names; /* sorted by the numbers in them, however those are padded: 7, 08, 09, 10, 011 */
  size_t count;
  enum AVCodecID codec; /* all pictures are of one kind: JPEG, PNG, BMP, TIFF, WebP, PPM or PGM */
} dgam_folder;

/* Lists the pictures of a folder. Pictures of one film have the same text before their number. If there are several such texts (flow,
 * masks, depth, thumbnails), the film is the one named img_00001.jpg and so on, as in MMAction2. DGAM_EFORMAT: no pictures, pictures of
 * several kinds, or several films of which none is named so. Other files are ignored. */
dgam_status dgam_folder_open(dgam_folder *f, const char *path);

/* The bytes of picture i. The packet must be empty. */
dgam_status dgam_folder_read(const dgam_folder *f, size_t i, AVPacket *packet);

void dgam_folder_free(dgam_folder *f); /* a zeroed one is fine */

#endif
