/* folder.h - a folder of pictures as a video: which files, in which order. Used by decode.c, not for other modules. */
#ifndef DGAM_VIDEO_FOLDER_H
#define DGAM_VIDEO_FOLDER_H

#include <libavcodec/avcodec.h>

#include "base/status.h"

typedef struct dgam_folder {
  char *path;
  char **names; /* sorted as people count, however numbers are padded: 7, 08, 09, 10, 011 */
  size_t count;
  enum AVCodecID codec; /* all pictures are of one kind: JPEG, PNG, BMP, TIFF, WebP, PPM or PGM */
} dgam_folder;

/* Lists the pictures of a folder. Those of one film have one text before their number: where flow, masks, depth or thumbnails lie beside
 * frames that are named img_00001.jpg and so on, as MMAction2 has them, these are the film. DGAM_EFORMAT if there are no pictures,
 * pictures of several kinds, or of several films and none is named so; other files are ignored. */
dgam_status dgam_folder_open(dgam_folder *f, const char *path);

/* The bytes of picture i. The packet must be empty. */
dgam_status dgam_folder_read(const dgam_folder *f, size_t i, AVPacket *packet);

void dgam_folder_free(dgam_folder *f); /* a zeroed one is fine */

#endif
