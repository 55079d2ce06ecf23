/* enhance_gamma.c - gamma on pixel values; see enhance.h */
#include <math.h>

#include "light/enhance_frame.h"

enum { GAMMA, TRUNCATE };

static void brighten(const dgam_enhance *e, const dgam_frame *f, void *scratch) {
  (void)scratch;
  double gamma = dgam_option_of(e, GAMMA), add = dgam_option_of(e, TRUNCATE) != 0 ? 0 : 0.5;
  uint8_t map[256];
  for (int v = 0; v < 256; v++) map[v] = (uint8_t)(255 * pow(v / 255.0, 1 / gamma) + add);
  for (size_t c = 0; c < 3; c++)
    for (size_t y = 0; y < f->h; y++)
      for (size_t x = 0; x < f->w; x++) f->out[c][y * f->w + x] = map[f->in[c][(ptrdiff_t)y * f->stride + (ptrdiff_t)x]];
}

const dgam_enhancer dgam_enhancer_gamma = {
    .name = "gamma",
    .options = {[GAMMA] = {"gamma", DGAM_NUMBER, {1, {2.2}}, .above = 1}, /* above 1 brightens */
                [TRUNCATE] = {"truncate", DGAM_FLAG, {1, {0}}, .most = 1}}, /* cut off the fraction, as DarkLight does */
    .frame = brighten};
