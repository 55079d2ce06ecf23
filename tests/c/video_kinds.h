/* video_kinds.h - the codecs, containers, rates, pixel formats and sizes that frame numbers are proven over, and that the
 * mutations of tests/fuzz start from. */
#ifndef VIDEO_KINDS_H
#define VIDEO_KINDS_H

#include "video_util.h"

typedef struct video_kind {
  const char *codec, *containers, *options;
  double fps;
  const char *pixels; /* NULL: 4:2:0, 8 bit */
  int w, h;           /* 0: the caller's */
} video_kind;

#define X264(more) "preset=veryfast:x264-params='keyint=12:" more "'"
#define X265(more) "preset=ultrafast:x265-params='log-level=none:pools=none:keyint=12:" more "'"
#define VP9 "g=12:deadline=realtime:cpu-used=8:b=800000"

static const video_kind video_kinds[] = {
    {"mjpeg", "avi mkv mov mp4 nut", NULL, 30, NULL, 0, 0},
    {"mjpeg", "avi mov", NULL, 25, "yuvj422p", 0, 0},
    {"mjpeg", "avi mkv", NULL, 25, "yuvj444p", 101, 75},
    {"mpeg4", "avi mp4 mkv mov nut", "g=12:bf=0:b=800000", 30, NULL, 0, 0},
    {"mpeg4", "avi mp4 mkv mov", "g=12:bf=2:b=800000", 25, NULL, 0, 0},
    {"mpeg4", "avi mp4 mkv", "g=250:bf=1:b=800000", 29.97, NULL, 0, 0},
    {"mpeg4", "avi mp4", "g=10:bf=2:b=800000:flags=+cgop:sc_threshold=1000000000", 12, NULL, 0, 0},
    {"mpeg4", "avi mp4", "g=12:bf=2:b=800000:flags=+ildct+ilme", 25, NULL, 0, 0},
    {"mpeg4", "avi mkv", "g=12:bf=2:b=800000:flags=+qpel", 25, NULL, 161, 97},
    {"mpeg2video", "avi mkv mpg ts", "g=12:bf=2:b=2000000", 25, NULL, 0, 0},
    {"mpeg2video", "avi ts mov", "g=12:bf=2:b=2000000:flags=+ildct+ilme", 25, "yuv422p", 0, 0},
    {"mpeg1video", "avi mpg mkv", "g=12:bf=2:b=2000000", 25, NULL, 0, 0},
    {"libx264", "avi mp4 mkv mov ts h264", "g=12:bf=3:preset=veryfast", 30, NULL, 0, 0},
    {"libx264", "avi mp4 mkv mov", "g=250:bf=0:preset=ultrafast", 60, NULL, 0, 0},
    {"libx264", "avi mp4 mkv", "g=10:preset=veryfast:x264-params='open-gop=1:bframes=3:b-adapt=0'", 29.97, NULL, 0, 0},
    {"libx264", "avi mp4", "g=12:preset=veryfast:x264-params='bframes=5:b-pyramid=strict:b-adapt=0:ref=4'", 30, NULL, 0, 0},
    {"libx264", "mp4 mkv avi", X264("interlaced=1:bframes=2"), 25, NULL, 0, 0},
    {"libx264", "mp4 avi", X264("intra-refresh=1"), 25, NULL, 0, 0},
    {"libx264", "mp4 mkv", X264("bframes=2"), 25, "yuv420p10le", 0, 0},
    {"libx264", "mp4 avi", X264("bframes=2"), 25, "yuv422p", 0, 0},
    {"libx264", "mkv", X264("bframes=2"), 25, "yuv444p10le", 0, 0},
    {"libx264", "mp4", X264("bframes=2"), 25, "gray", 162, 98},
    {"libx264", "mp4 mkv", X264("bframes=2"), 25, "yuv444p", 161, 99},
    {"libx265", "mp4 mkv mov", X265("bframes=3:open-gop=0"), 30, NULL, 0, 0},
    {"libx265", "mp4 mkv ts", X265("bframes=3:open-gop=1"), 30, NULL, 0, 0},
    {"libx265", "mp4 mkv", X265("bframes=2:open-gop=0"), 25, "yuv420p10le", 0, 0},
    {"libx265", "mp4", X265("bframes=2:open-gop=0"), 25, "yuv444p", 162, 98},
    {"libvpx", "webm mkv avi", "g=12:deadline=realtime:cpu-used=8:b=800000", 30, NULL, 0, 0},
    {"libvpx", "webm", "g=30:deadline=good:cpu-used=5:b=800000:auto-alt-ref=1:lag-in-frames=12", 30, NULL, 0, 0},
    {"libvpx", "webm", "g=12:deadline=realtime:cpu-used=8:b=800000:auto-alt-ref=0", 25, "yuva420p", 0, 0},
    {"libvpx-vp9", "webm mkv mp4", VP9, 30, NULL, 0, 0},
    {"libvpx-vp9", "webm mp4", "g=40:deadline=good:cpu-used=8:b=800000:auto-alt-ref=1:lag-in-frames=16", 24, NULL, 0, 0},
    {"libvpx-vp9", "webm", VP9 ":auto-alt-ref=0", 25, "yuva420p", 0, 0},
    {"libvpx-vp9", "webm mkv", VP9, 25, "yuv420p10le", 161, 97},
    {"libvpx-vp9", "webm", VP9, 25, "yuv444p", 0, 0},
    {"ffv1", "avi mkv", "g=1", 30, NULL, 0, 0},
    {"ffv1", "avi mkv", "g=10:level=1", 30, NULL, 0, 0},
    {"ffv1", "mkv mov", "g=5:level=3", 25, "yuv422p10le", 0, 0},
    {"ffv1", "mkv", "g=1", 25, "yuv411p", 0, 0},
    {"ffv1", "avi", "g=1", 25, "yuv410p", 0, 0},
    {"ffv1", "mkv", "g=1", 25, "yuv440p", 0, 0},
    {"ffv1", "mkv", "g=1", 25, "yuva444p", 33, 21},
    {"ffv1", "mkv avi", "g=1", 25, "gray", 0, 0},
    {"ffv1", "mkv", "g=1", 25, "gray10le", 0, 0},
    {"ffv1", "mkv", "g=1", 25, "bgra", 0, 0},
    {"huffyuv", "avi mkv", NULL, 30, "yuv422p", 0, 0},
    {"png", "avi mov", NULL, 30, "rgb24", 0, 0},
    {"png", "mov", NULL, 30, "rgba", 0, 0},
    {"rawvideo", "avi nut", NULL, 30, NULL, 0, 0},
    {"rawvideo", "nut", NULL, 30, "yuyv422", 0, 0},
    {"rawvideo", "avi", NULL, 15, "pal8", 0, 0},
    {"rawvideo", "mov", NULL, 15, "gray", 0, 0}, /* read with a palette */
    {"msmpeg4v2", "avi", "g=12:b=800000", 30, NULL, 0, 0},
    {"wmv2", "avi asf", "g=12:b=800000", 30, NULL, 0, 0},
    {"flv", "flv avi", "g=12:b=800000", 30, NULL, 0, 0},
    {"prores", "mov mkv", NULL, 30, "yuv422p10le", 0, 0},
    {"dvvideo", "avi mov dv", NULL, 29.97, "yuv411p", 720, 480},
    {"libtheora", "ogg", NULL, 30, NULL, 0, 0},
    {"gif", "gif", NULL, 10, "rgb8", 0, 0},
};

enum { VIDEO_KINDS = sizeof video_kinds / sizeof *video_kinds };

static inline dgam_encoder_spec video_kind_spec(const video_kind *k, int w, int h) {
  int drop = k->fps != (int)k->fps;
  dgam_encoder_spec s = dgam_encoder_defaults(k->w ? k->w : w, k->h ? k->h : h, drop ? 30000 : (int)k->fps, drop ? 1001 : 1);
  s.codec = k->codec;
  s.options = k->options;
  s.pixels = k->pixels;
  s.full_range = strcmp(k->codec, "mjpeg") == 0;
  return s;
}

/* Walks over kinds and their containers: *k and *c start at 0; 0 at the end. The ending goes to `ending` (room for 8). */
static inline int video_kind_next(size_t *k, size_t *c, const video_kind **kind, char ending[8]) {
  while (*k < VIDEO_KINDS) {
    const char *at = video_kinds[*k].containers;
    for (size_t i = 0; i < *c && at; i++) {
      at = strchr(at, ' ');
      if (at) at++;
    }
    if (at) {
      snprintf(ending, 8, "%.*s", (int)strcspn(at, " "), at);
      *kind = &video_kinds[*k];
      ++*c;
      return 1;
    }
    ++*k;
    *c = 0;
  }
  return 0;
}

/* libx265 keeps some memory of every encoder; LeakSanitizer asks here what is not ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libx265\n"; }

#endif
