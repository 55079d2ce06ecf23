/* versions.h - versions of the libraries that this process runs on, as the libraries report them (not those of the build). */
#ifndef DGL_VERSIONS_H
#define DGL_VERSIONS_H

typedef struct dgl_versions {
  char onednn[32];     /* "2.6.3" */
  char onednn_isa[32]; /* the instructions that its kernels may use: "avx2", "avx512_core_bf16" */
  char ffmpeg[64];     /* "5.1.6-0+deb12u1", or libavformat's number where FFmpeg has no release name */
  char hdf5[32];       /* "1.10.8" */
} dgl_versions;

/* Fills all of *out. Cannot fail; a version that cannot be found is "unknown". */
void dgl_versions_get(dgl_versions *out);

#endif
