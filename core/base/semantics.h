/* semantics.h - what the kernels compute, as one number a family.
 *
 * A stored trial is found again as long as what determines its result is the same. Neither the build nor the program's version
 * tells that of the kernels. Another compiler gives another build, yet the same results up to rounding. A corrected constant
 * changes results within one version. So each family has a number, which is raised when its results change beyond rounding.
 * tests/lua/semantics_spec.lua holds values of every family. It fails when a value moves and its family's number does not.
 *
 *   base     random numbers (base/rng)
 *   light    histograms, frame statistics, gamma correction, enhancers
 *   camera   the camera model (light/camera)
 *   nn       all of nn: gate, heads, Swin blocks, their gradients, AdamW
 *   scene    what the built-in dataset looks like
 *   store    tensors and numbers read from HDF5, .pth and safetensors
 *   video    frames as decoded, which of them a clip has, resizing and changes of the pixels
 */
#ifndef DGAM_BASE_SEMANTICS_H
#define DGAM_BASE_SEMANTICS_H

/* X(family, number) */
#define DGAM_SEMANTICS(X) \
  X(base, 1)              \
  X(light, 1)             \
  X(camera, 1)            \
  X(nn, 1)                \
  X(scene, 1)             \
  X(store, 1)             \
  X(video, 1)

#endif
