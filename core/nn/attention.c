/* attention.c - see attention.h */
#include "nn/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kernels.h"

static dgam_status check(const dgam_attention_job *j, int backward) {
  if (j->tokens < 1 || j->tokens > 65536 || j->hd < 1 || j->hd > 4096)
    return dgam_fail(DGAM_EINVAL, "window_attention: %zu tokens of %zu dimensions, expected 1 to 65536 of 1 to 4096",
                     j->tokens, j->hd);
  if (j->padded != DGAM_ROUND16(j->tokens))
    return dgam_fail(DGAM_EINVAL, "window_attention: bias rows are %zu long, expected %zu", j->padded, DGAM_ROUND16(j->tokens));
  if (j->ld < j->hd || j->ldo < j->hd)
    return dgam_fail(DGAM_EINVAL, "window_attention: row strides are %zu and %zu, expected at least %zu", j->ld,
                     j->ldo, j->hd);
  if (!j->q || !j->k || !j->v || !j->bias || (backward ? !j->dout || !j->dq || !j->dk || !j->dv || !j->lse : !j->out))
    return dgam_fail(DGAM_EINVAL, "window_attention: a buffer is missing");
  return DGAM_OK;
}

dgam_status dgam_attention_forward(const dgam_attention_job *j) {
  DGAM_TRY(check(j, 0));
  dgam_nn_kernels_get()->attention(j);
  return DGAM_OK;
}

dgam_status dgam_attention_backward(const dgam_attention_job *j) {
  DGAM_TRY(check(j, 1));
  dgam_nn_kernels_get()->attention_grad(j);
  return DGAM_OK;
}

/* P of query i in double; returns the row's log-sum-exp. */
static double probabilities(const dgam_attention_job *j, size_t i, double *p) {
  const float *q = (const float *)j->q + i * j->ld, *k = j->k;
  double most = -INFINITY, sum = 0;
  for (size_t t = 0; t < j->tokens; t++) {
    double s = 0;
    for (size_t d = 0; d < j->hd; d++) s += (double)q[d] * k[t * j->ld + d];
    p[t] = s * j->scale + j->bias[i * j->padded + t] - (j->region && j->region[i] != j->region[t] ? 100 : 0);
    if (p[t] > most) most = p[t];
  }
  for (size_t t = 0; t < j->tokens; t++) sum += p[t] = exp(p[t] - most);
  for (size_t t = 0; t < j->tokens; t++) p[t] /= sum;
  return most + log(sum);
}

dgam_status dgam_attention_forward_reference(const dgam_attention_job *j) {
  DGAM_TRY(check(j, 0));
  if (j->bf) return dgam_fail(DGAM_EUNSUPPORTED, "window_attention: the reference is fp32 only");
  double *p = malloc(j->tokens * sizeof *p);
  if (!p) return dgam_fail(DGAM_ENOMEM, "window_attention: out of memory");
  for (size_t i = 0; i < j->tokens; i++) {
    double lse = probabilities(j, i, p);
    if (j->lse) j->lse[i] = (float)lse;
    for (size_t d = 0; d < j->hd; d++) {
      double o = 0;
      for (size_t t = 0; t < j->tokens; t++) o += p[t] * ((const float *)j->v)[t * j->ld + d];
      ((float *)j->out)[i * j->ldo + d] = (float)o;
    }
  }
  free(p);
  return DGAM_OK;
}

dgam_status dgam_attention_backward_reference(const dgam_attention_job *j) {
  DGAM_TRY(check(j, 1));
  if (j->bf) return dgam_fail(DGAM_EUNSUPPORTED, "window_attention: the reference is fp32 only");
  size_t tokens = j->tokens, hd = j->hd, ld = j->ld;
  const float *q = j->q, *k = j->k, *v = j->v, *go = j->dout;
  double *p = malloc(2 * tokens * sizeof *p), *sum = calloc(3 * tokens * hd, sizeof *sum);
  if (!p || !sum) {
    free(p), free(sum);
    return dgam_fail(DGAM_ENOMEM, "window_attention: out of memory");
  }
  double *ds = p + tokens, *dq = sum, *dk = dq + tokens * hd, *dv = dk + tokens * hd;
  for (size_t i = 0; i < tokens; i++) {
    double dot = 0;
    probabilities(j, i, p);
    for (size_t t = 0; t < tokens; t++) {
      ds[t] = 0;
      for (size_t d = 0; d < hd; d++) ds[t] += (double)go[i * j->ldo + d] * v[t * ld + d];
      dot += p[t] * ds[t];
    }
    for (size_t t = 0; t < tokens; t++) {
      ds[t] = p[t] * (ds[t] - dot);
      if (j->dbias) j->dbias[i * j->padded + t] += (float)ds[t];
      for (size_t d = 0; d < hd; d++) {
        dq[i * hd + d] += j->scale * ds[t] * k[t * ld + d];
        dk[t * hd + d] += j->scale * ds[t] * q[i * ld + d];
        dv[t * hd + d] += p[t] * go[i * j->ldo + d];
      }
    }
  }
  for (size_t i = 0; i < tokens; i++)
    for (size_t d = 0; d < hd; d++) {
      ((float *)j->dq)[i * ld + d] = (float)dq[i * hd + d];
      ((float *)j->dk)[i * ld + d] = (float)dk[i * hd + d];
      ((float *)j->dv)[i * ld + d] = (float)dv[i * hd + d];
    }
  free(p), free(sum);
  return DGAM_OK;
}
