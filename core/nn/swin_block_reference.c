/* swin_block_reference.c - the Swin block as its formulas stand; see swin_block.h */
#include <math.h>
#include <stdlib.h>

#include "nn/swin_block.h"
#include "nn/window.h"

static void norm_row(const float *x, size_t c, const float *w, const float *b, double eps, double *y) {
  double mean = 0, var = 0;
  for (size_t i = 0; i < c; i++) mean += x[i];
  mean /= (double)c;
  for (size_t i = 0; i < c; i++) var += (x[i] - mean) * (x[i] - mean);
  double rstd = 1 / sqrt(var / (double)c + eps);
  for (size_t i = 0; i < c; i++) y[i] = (x[i] - mean) * rstd * w[i] + b[i];
}

static void linear_row(const double *x, size_t in, const float *w, const float *b, size_t out, double *y) {
  for (size_t o = 0; o < out; o++) {
    double s = b ? b[o] : 0;
    for (size_t i = 0; i < in; i++) s += x[i] * w[o * in + i];
    y[o] = s;
  }
}

/* Region of a position along one axis of the padded, rolled map: the slices of the official compute_mask. */
static int region(size_t pos, size_t padded, size_t size, size_t shift) {
  if (!shift) return 2;
  return pos < padded - size ? 0 : pos < padded - shift ? 1 : 2;
}

dgam_status dgam_swin_block_reference(const dgam_swin_block_desc *d, const dgam_swin_block_params *p, const float *x,
                                      const float *scale, float *y) {
  size_t dims[3] = {d->d, d->h, d->w}, size[3], shift[3], padded[3], full[3];
  size_t c = d->c, hd = c / d->heads, tokens = 1;
  for (int a = 0; a < 3; a++) {
    full[a] = d->window[a];
    size[a] = dims[a] <= d->window[a] ? dims[a] : d->window[a];
    shift[a] = dims[a] <= d->window[a] ? 0 : d->shift[a];
    padded[a] = (dims[a] + size[a] - 1) / size[a] * size[a];
    tokens *= size[a];
  }
  size_t l = dims[0] * dims[1] * dims[2];
  double *qkv = malloc(tokens * 3 * c * sizeof *qkv), *row = malloc((c + d->hidden) * sizeof *row);
  double *prob = malloc(tokens * sizeof *prob), *out = malloc(tokens * c * sizeof *out), *tmp = malloc(c * sizeof *tmp);
  long *source = malloc(tokens * sizeof *source);
  int *id = malloc(tokens * sizeof *id);
  if (!qkv || !row || !prob || !out || !tmp || !source || !id) {
    free(qkv), free(row), free(prob), free(out), free(tmp), free(source), free(id);
    return dgam_fail(DGAM_ENOMEM, "swin_block_reference: out of memory");
  }
  for (size_t s = 0; s < d->n; s++) {
    const float *xs = x + s * l * c;
    float *ys = y + s * l * c;
    for (size_t w0 = 0; w0 < padded[0]; w0 += size[0])
      for (size_t w1 = 0; w1 < padded[1]; w1 += size[1])
        for (size_t w2 = 0; w2 < padded[2]; w2 += size[2]) {
          for (size_t t = 0; t < tokens; t++) {
            size_t pos[3] = {w0 + t / (size[1] * size[2]), w1 + t / size[2] % size[1], w2 + t % size[2]}, from[3];
            id[t] = 0;
            for (int a = 0; a < 3; a++) {
              from[a] = (pos[a] + shift[a]) % padded[a];
              id[t] = id[t] * 3 + region(pos[a], padded[a], size[a], shift[a]);
            }
            int real = from[0] < dims[0] && from[1] < dims[1] && from[2] < dims[2];
            source[t] = real ? (long)((from[0] * dims[1] + from[1]) * dims[2] + from[2]) : -1;
            for (size_t i = 0; i < c; i++) row[i] = 0;
            if (real) norm_row(xs + (size_t)source[t] * c, c, p->norm1_w, p->norm1_b, d->eps, row);
            linear_row(row, c, p->qkv_w, p->qkv_b, 3 * c, qkv + t * 3 * c);
          }
          for (size_t h = 0; h < d->heads; h++)
            for (size_t i = 0; i < tokens; i++) {
              double most = -INFINITY, sum = 0;
              for (size_t j = 0; j < tokens; j++) {
                double dot = 0;
                for (size_t e = 0; e < hd; e++) dot += qkv[i * 3 * c + h * hd + e] * qkv[j * 3 * c + c + h * hd + e];
                long d0 = (long)(i / (full[1] * full[2])) - (long)(j / (full[1] * full[2])) + (long)full[0] - 1;
                long d1 = (long)(i / full[2] % full[1]) - (long)(j / full[2] % full[1]) + (long)full[1] - 1;
                long d2 = (long)(i % full[2]) - (long)(j % full[2]) + (long)full[2] - 1;
                size_t at = ((size_t)d0 * (2 * full[1] - 1) + (size_t)d1) * (2 * full[2] - 1) + (size_t)d2;
                prob[j] = dot / sqrt((double)hd) + p->table[at * d->heads + h] - (id[i] != id[j] ? 100 : 0);
                if (prob[j] > most) most = prob[j];
              }
              for (size_t j = 0; j < tokens; j++) sum += prob[j] = exp(prob[j] - most);
              for (size_t e = 0; e < hd; e++) {
                double v = 0;
                for (size_t j = 0; j < tokens; j++) v += prob[j] * qkv[j * 3 * c + 2 * c + h * hd + e];
                out[i * c + h * hd + e] = v / sum;
              }
            }
          for (size_t t = 0; t < tokens; t++) {
            if (source[t] < 0) continue;
            linear_row(out + t * c, c, p->proj_w, p->proj_b, c, tmp);
            for (size_t i = 0; i < c; i++)
              ys[(size_t)source[t] * c + i] =
                  (float)(xs[(size_t)source[t] * c + i] + (scale ? scale[s] : 1) * tmp[i]);
          }
        }
    for (size_t t = 0; t < l; t++) {
      norm_row(ys + t * c, c, p->norm2_w, p->norm2_b, d->eps, row);
      linear_row(row, c, p->fc1_w, p->fc1_b, d->hidden, row + c);
      for (size_t i = 0; i < d->hidden; i++) row[c + i] = 0.5 * row[c + i] * (1 + erf(row[c + i] * M_SQRT1_2));
      linear_row(row + c, d->hidden, p->fc2_w, p->fc2_b, c, tmp);
      for (size_t i = 0; i < c; i++) ys[t * c + i] = (float)(ys[t * c + i] + (scale ? scale[d->n + s] : 1) * tmp[i]);
    }
  }
  free(qkv), free(row), free(prob), free(out), free(tmp), free(source), free(id);
  return DGAM_OK;
}
