/* stats.h - what the gate sees of a clip: per frame mean, standard deviation and entropy of its 3 x H x W values.
 *
 * As the official code computes them: mean; unbiased standard deviation; Shannon entropy in nats of the histogram
 * torch.histc(255 (x - lo) / (hi - lo + 1e-10), bins 256, min 0, max 255), with lo and hi over channels and pixels together.
 * Values and the arithmetic up to the bin are float32. A value that is rounded to above 255 falls out of the histogram, as
 * in the official code. Sums are double.
 *
 * Order of the features: m1, s1, e1, m2, s2, e2, ... (3T per clip).
 */
#ifndef DGAM_LIGHT_STATS_H
#define DGAM_LIGHT_STATS_H

#include "light/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The float32 value that the statistics take for each pixel value: map (3,256), overwritten. Normalised domain:
 * (v - mean[c]) / std[c]; pixel domain: v / 255, and `norm` may be NULL. */
DGAM_API void dgam_stats_values(dgam_domain domain, const dgam_norm *norm, float *map);

/* Exact statistics of one frame from its counts: hist (3,256), map (3,256) of dgam_stats_values, out (3). */
DGAM_API void dgam_stats_frame(const uint32_t *hist, const float *map, double *out);

/* Statistics of a batch from counts hist (N,T,3,256) (dgam_histogram_clip): out (N,3T), overwritten. DGAM_EINVAL for a
 * bad norm; in the pixel domain norm may be NULL. One thread: the work is 3 x 256 entries per frame. */
DGAM_API dgam_status dgam_stats_from_histogram(const uint32_t *hist, size_t n, size_t t, dgam_domain domain,
                                               const dgam_norm *norm, float *out);

/* Statistics of one frame of floats, read as they are: value (c, i) is x[c*channel + i], i < count. The reference for
 * the above, and the only path for a clip that is not uint8. Two passes, one thread; out (3), overwritten. */
DGAM_API void dgam_stats_frame_float(const float *x, size_t channel, size_t count, double *out);

#ifdef __cplusplus
}
#endif
#endif
