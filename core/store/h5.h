/* h5.h - HDF5 files (C API 1.10 to 1.14) with messages that name file and object.
 *
 * Writing: dgam_h5_create and dgam_h5_update work on a temporary file beside the target. dgam_h5_commit flushes and syncs
 * it and gives it the target's name in one step. Closing without a commit, a failure, or a crash leaves the old file as it
 * was (see file.h). Files carry no time stamps: the same writes give the same bytes.
 *
 * Types in the file: integers and floats little-endian; float16 as IEEE half; bfloat16 as a 16-bit float with 8 bits of
 * exponent, which h5py widens to float32 and HDF5 converts to any other float; bool as h5py's enumeration
 * {FALSE = 0, TRUE = 1} of int8; text as UTF-8 of variable length. Read and converted: everything of these classes,
 * of either byte order. uint16, uint32 and uint64 are reported as int32, int64 and int64; a value that does not fit is
 * an error. Text may be of fixed or variable length.
 *
 * Objects are named by their path, "state_dict/head.weight"; "" and "/" are the root. Groups on the way are made.
 * HDF5's file locks are not used: a committed file never changes, so readers need no lock, and network file systems work.
 * A handle belongs to one thread at a time. Handles in different threads are fine if HDF5 was built thread-safe, as in
 * Debian.
 *
 * Other files are not read: an external link counts as a link to nothing, and external storage and virtual datasets are
 * DGAM_EUNSUPPORTED.
 *
 * Errors everywhere: DGAM_EINVAL (name, type, shape or slab is wrong), DGAM_EFORMAT (not HDF5, damaged, cut off),
 * DGAM_EIO (open, write, disk full), DGAM_EUNSUPPORTED (a type that no tensor has), DGAM_ENOMEM.
 */
#ifndef DGAM_STORE_H5_H
#define DGAM_STORE_H5_H

#include "store/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_h5 dgam_h5;

DGAM_API dgam_status dgam_h5_open(const char *path, dgam_h5 **out);   /* to read */
DGAM_API dgam_status dgam_h5_create(const char *path, dgam_h5 **out); /* a new file, empty */
DGAM_API dgam_status dgam_h5_update(const char *path, dgam_h5 **out); /* a copy of an existing file, to add to */

/* Makes what was written durable under the file's name. Afterwards the handle is gone, also after a failure. */
DGAM_API dgam_status dgam_h5_commit(dgam_h5 *f);

/* Closes; what was not committed is thrown away. NULL is fine. The thread's error message stays as it was. */
DGAM_API void dgam_h5_close(dgam_h5 *f);

DGAM_API const char *dgam_h5_path(const dgam_h5 *f);

typedef enum dgam_h5_kind { DGAM_H5_NONE, DGAM_H5_GROUP, DGAM_H5_NUMBERS, DGAM_H5_TEXT, DGAM_H5_OTHER } dgam_h5_kind;

typedef struct dgam_h5_info {
  dgam_h5_kind kind;      /* NONE: there is no such object; OTHER: neither group, numbers nor text */
  dgam_tensor_info array; /* NUMBERS and TEXT: shape (TEXT: no dtype); name is not set */
  unsigned char id[16];   /* except NONE: the same for an object however it is reached, so that a loop of links shows */
} dgam_h5_info;

DGAM_API dgam_status dgam_h5_stat(dgam_h5 *f, const char *name, dgam_h5_info *out);

/* A list of texts that the caller gives back with dgam_h5_free_texts. */
typedef struct dgam_h5_texts {
  char **items;
  size_t count;
} dgam_h5_texts;

DGAM_API void dgam_h5_free_texts(dgam_h5_texts *t);

DGAM_API dgam_status dgam_h5_list(dgam_h5 *f, const char *group, dgam_h5_texts *out); /* members, sorted by name */
DGAM_API dgam_status dgam_h5_list_attrs(dgam_h5 *f, const char *object, dgam_h5_texts *out); /* attributes, sorted */
DGAM_API dgam_status dgam_h5_make_group(dgam_h5 *f, const char *name);                       /* fine if it is there */

/* DGAM_EFORMAT if a file of this size cannot hold so many bytes of elements; `name` says of what ("'x'", "all tensors").
 * A few bytes can describe terabytes that nobody wrote, so call this before memory is taken for a read. */
DGAM_API dgam_status dgam_h5_check_size(dgam_h5 *f, const char *name, uint64_t bytes);

/* Reads numbers as `dtype` into `out` of exactly `bytes` bytes, row-major. start, count: the slab, one number per
 * dimension, 0-based; both NULL: everything. Only bool can be read as bool. */
DGAM_API dgam_status dgam_h5_read(dgam_h5 *f, const char *name, dgam_dtype dtype, const size_t *start,
                                  const size_t *count, void *out, size_t bytes);

typedef struct dgam_h5_options {
  int deflate; /* 0: as it is; 1..9: bytes shuffled and deflated, in chunks of about 256 KB */
} dgam_h5_options;

/* Makes a dataset and fills it; data NULL: only makes it, filled with zeros. options may be NULL. */
DGAM_API dgam_status dgam_h5_write(dgam_h5 *f, const char *name, dgam_dtype dtype, int ndim, const size_t *shape,
                                   const void *data, const dgam_h5_options *options);

/* Overwrites a slab of a dataset that is there. */
DGAM_API dgam_status dgam_h5_write_slab(dgam_h5 *f, const char *name, dgam_dtype dtype, const size_t *start,
                                        const size_t *count, const void *data);

/* Texts; ndim 0 (count must be 1) or 1. They cannot hold zero bytes. Reading flattens. */
DGAM_API dgam_status dgam_h5_write_texts(dgam_h5 *f, const char *name, int ndim, size_t count,
                                         const char *const *texts);
DGAM_API dgam_status dgam_h5_read_texts(dgam_h5 *f, const char *name, dgam_h5_texts *out);

/* An attribute: `count` integers, floats, bools (in ints) or texts. */
typedef struct dgam_h5_value {
  enum { DGAM_H5_NOTHING, DGAM_H5_INTS, DGAM_H5_FLOATS, DGAM_H5_BOOLS, DGAM_H5_TEXTS } kind; /* NOTHING: not there */
  int ndim;                                                                                  /* 0: one value */
  size_t count;
  int64_t *ints;
  double *floats;
  dgam_h5_texts texts;
} dgam_h5_value;

DGAM_API dgam_status dgam_h5_read_attr(dgam_h5 *f, const char *object, const char *name, dgam_h5_value *out);
DGAM_API void dgam_h5_free_value(dgam_h5_value *v);

/* Sets an attribute, replacing an old one. ndim 0 (count 1) or 1; dtype DGAM_I64, DGAM_F64 or DGAM_BOOL (one byte
 * each). */
DGAM_API dgam_status dgam_h5_write_attr(dgam_h5 *f, const char *object, const char *name, dgam_dtype dtype, int ndim,
                                        size_t count, const void *data);
DGAM_API dgam_status dgam_h5_write_attr_texts(dgam_h5 *f, const char *object, const char *name, int ndim, size_t count,
                                              const char *const *texts);

#ifdef __cplusplus
}
#endif
#endif
