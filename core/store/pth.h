/* pth.h - reads checkpoints that torch.save wrote: the zip format (PyTorch 1.6 and later) and the legacy one.
 *
 * Nothing in the file is executed (see pickle.h). All tensors are listed, however the file is built. A tensor's name is
 * the path to it, dictionary keys and 0-based list positions joined by '/': "state_dict/backbone.norm.weight",
 * "optimizer/state/0/exp_avg", or "conv1.weight" in a bare state dict. A file that is one tensor calls it "tensor".
 * Names are unique: {'a/b': t, 'a': {'b': t}} is DGAM_EFORMAT. Some tensors have no name: those whose key is of another
 * type, has a zero byte or is too long, and those inside objects that are no containers, such as a loss function beside
 * the weights. They are DGAM_EUNSUPPORTED, or left out with DGAM_PTH_SKIP_UNKNOWN.
 *
 * A reader belongs to one thread at a time.
 */
#ifndef DGAM_STORE_PTH_H
#define DGAM_STORE_PTH_H

#include "store/dtype.h"
#include "store/pickle.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_pth dgam_pth;

enum { DGAM_PTH_SKIP_UNKNOWN = 1 /* unknown globals become placeholders; default is to refuse the file */ };

/* Opens a checkpoint. DGAM_EIO, DGAM_EFORMAT (no checkpoint, damaged, cut off, refused), DGAM_EUNSUPPORTED,
 * DGAM_ENOMEM. */
DGAM_API dgam_status dgam_pth_open(const char *path, int flags, dgam_pth **out);
DGAM_API dgam_status dgam_pth_open_memory(const void *data, size_t size, int flags, dgam_pth **out);

DGAM_API size_t dgam_pth_count(const dgam_pth *p);
DGAM_API const dgam_tensor_info *dgam_pth_info(const dgam_pth *p, size_t i);

/* Tensor i, row-major and contiguous whatever its strides in the file, into `out` of exactly `bytes` bytes. */
DGAM_API dgam_status dgam_pth_read(dgam_pth *p, size_t i, void *out, size_t bytes);

/* Everything that was pickled, to reach what lies beside the tensors (epoch, options, class names). */
DGAM_API const dgam_pickle_value *dgam_pth_root(const dgam_pth *p);

/* Number of items in all its containers together, to limit a walk through it. */
DGAM_API size_t dgam_pth_items(const dgam_pth *p);

DGAM_API void dgam_pth_close(dgam_pth *p); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
