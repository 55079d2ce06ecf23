/* reader.h - the packets of a video file by number; used by decode.c, not for other modules.
 *
 * Opening goes over all packets and works out in which order frames will come out (index.h), or takes that from an entry
 * made earlier (facts.h). Most containers hold each packet in one piece. Then its place is noted, FFmpeg's reader is closed, and
 * packets are read by offset. Packets of other containers are held in memory up to a limit. Beyond it the file is read again
 * from its start for each call.
 *
 * The file is opened once. Everything FFmpeg reads comes through that descriptor, and it cannot open anything else.
 */
#ifndef DGAM_VIDEO_READER_H
#define DGAM_VIDEO_READER_H

#include <libavformat/avformat.h>

#include "video/decode.h"
#include "video/facts.h"
#include "video/folder.h"

typedef struct dgam_reader {
  char *path;
  dgam_video_options options; /* defaults filled in */
  double deadline;            /* of the running call, on the monotonic clock */
  int resumes;                /* dgam_resumes() when the clock was started */
  dgam_facts facts;
  int changed;                /* facts are not what is on disk */

  dgam_folder folder;         /* instead of a file; count 0: it is a file */
  dgam_input input;           /* the file */
  dgam_status failed;         /* how reading it failed last */
  char why[DGAM_ERROR_ROOM];
  int64_t at;                 /* where FFmpeg reads next */
  AVFormatContext *file;
  size_t next;                /* packet that `file` would give next */
  AVPacket *packet;           /* the last one read */
  AVBufferRef *buffer;        /* its bytes, if read by offset */
  AVPacket **kept;            /* packets held in memory; NULL: none */
  size_t n_kept, room, bytes;
} dgam_reader;

/* Fills a zeroed reader, which must be closed even after a failure. Frames are counted from the packets. If facts.index.unsure
 * is set, the caller must decode to know. */
dgam_status dgam_reader_open(dgam_reader *r, const char *path, const dgam_video_options *options);

/* Packet i of facts.index; it belongs to r until the next call. */
dgam_status dgam_reader_packet(dgam_reader *r, size_t i, AVPacket **out);

/* Limits the time of a call, or of one frame: start the clock, then ask in every loop. DGAM_EINTERRUPTED, or DGAM_EINVAL (too long). */
void dgam_reader_start_clock(dgam_reader *r);
dgam_status dgam_reader_check_time(dgam_reader *r);

/* Also stores what was found out, if it is new and complete. */
void dgam_reader_close(dgam_reader *r);

#endif
