/* versions.c - see versions.h */
#include "lua/versions.h"

#include <dnnl.h>
#include <hdf5.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <stdio.h>

static const char *isa_name(dnnl_cpu_isa_t isa) {
  static const struct { dnnl_cpu_isa_t isa; const char *name; } names[] = { /* those of both 2.x and 3.x */
      {dnnl_cpu_isa_sse41, "sse41"}, {dnnl_cpu_isa_avx, "avx"}, {dnnl_cpu_isa_avx2, "avx2"},
      {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"}, {dnnl_cpu_isa_avx512_core, "avx512_core"},
      {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"}, {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
      {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].isa == isa) return names[i].name;
  return "unknown";
}

void dgl_versions_get(dgl_versions *out) {
  const dnnl_version_t *v = dnnl_version();
  snprintf(out->onednn, sizeof out->onednn, "%d.%d.%d", v->major, v->minor, v->patch);
  snprintf(out->onednn_isa, sizeof out->onednn_isa, "%s", isa_name(dnnl_get_effective_cpu_isa()));
  const char *ffmpeg = av_version_info();
  unsigned av = avformat_version();
  if (ffmpeg && *ffmpeg)
    snprintf(out->ffmpeg, sizeof out->ffmpeg, "%s", ffmpeg);
  else
    snprintf(out->ffmpeg, sizeof out->ffmpeg, "libavformat %u.%u.%u", av >> 16, av >> 8 & 255, av & 255);
  unsigned major, minor, release;
  if (H5get_libversion(&major, &minor, &release) >= 0)
    snprintf(out->hdf5, sizeof out->hdf5, "%u.%u.%u", major, minor, release);
  else
    snprintf(out->hdf5, sizeof out->hdf5, "unknown");
}
