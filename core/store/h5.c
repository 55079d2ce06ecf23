/* h5.c - see h5.h */
#include "store/h5.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/file.h"
#include "store/h5_sink.h"

enum {
  CHUNK = 256 * 1024,
  COPY_PIECE = 1 << 16,
  SPARSE_MAX = 64 << 20, /* bytes that may be read however small the file is: elements nobody wrote are zeros */
  DENSEST = 1100         /* bytes that one byte of a file may become: deflate makes at most 1032 of it */
};

struct dgam_h5 {
  hid_t file;
  char *path;   /* for messages: as the caller gave it */
  hid_t inside; /* how paths are followed: see own_links */
  int writing;
  dgam_output output; /* while writing, */
  dgam_h5_sink sink;  /* which goes through this */
};

/* --- errors --- */

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *ctx) {
  char *text = ctx;
  if (n == 0 && e->desc) snprintf(text, 256, ": %.250s", e->desc);
  return 0;
}

/* A failure with HDF5's own reason at its end. `name`: the object, or NULL. */
static dgam_status fail(const dgam_h5 *f, dgam_status code, const char *name, const char *what) {
  char reason[256] = "";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
  if (name) return dgam_fail(code, "'%s': %s '%.256s'%s", f->path, what, name, reason);
  return dgam_fail(code, "'%s': %s%s", f->path, what, reason);
}

static dgam_status no_memory(const dgam_h5 *f) {
  return dgam_fail(DGAM_ENOMEM, "no memory for '%s'", f->path);
}

/* HDF5 prints its errors unless told not to, thread by thread. */
static void quiet(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5Eclear2(H5E_DEFAULT);
}

/* The outcome of a step that writes: a full disk counts, whatever HDF5 thinks of the step. */
static dgam_status settle(const dgam_h5 *f, dgam_status s) {
  if (!f->sink.reason) return s;
  return dgam_fail(DGAM_EIO, "cannot write '%s': %s", f->path, strerror(f->sink.reason));
}

static const char *object_path(const char *name) {
  return *name ? name : "/";
}

/* --- files --- */

static hid_t access_list(void) {
  hid_t list = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 10 && H5_VERS_RELEASE >= 7)
  H5Pset_file_locking(list, 0, 1);
#endif
  return list;
}

static herr_t refuse_link(const char *file, const char *group, const char *to_file, const char *to_object,
                          unsigned *flags, hid_t access, void *ctx) {
  (void)file, (void)group, (void)to_file, (void)to_object, (void)flags, (void)access, (void)ctx;
  return -1;
}

/* An access list of datasets (or groups: class H5P_GROUP_ACCESS) that ends at links into other files. */
static hid_t own_links(hid_t class) {
  hid_t list = H5Pcreate(class);
  H5Pset_elink_cb(list, refuse_link, NULL);
  return list;
}

static dgam_status new_handle(const char *path, dgam_h5 **out) {
  dgam_h5 *f = calloc(1, sizeof *f);
  if (f) f->path = strdup(path);
  if (!f || !f->path) {
    free(f);
    return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", path);
  }
  f->file = -1;
  f->inside = own_links(H5P_DATASET_ACCESS);
  f->output = DGAM_OUTPUT_NONE;
  f->sink = (dgam_h5_sink){.fd = -1};
  *out = f;
  return DGAM_OK;
}

/* HDF5's signature stands at byte 0, 512, 1024, 2048 ... */
static dgam_status check_signature(const char *path) {
  static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  unsigned char head[8], first[8] = {0};
  dgam_input in;
  DGAM_TRY(dgam_input_open(&in, path));
  uint64_t size = in.size;
  dgam_status s = DGAM_OK;
  int found = 0;
  for (uint64_t at = 0; s == DGAM_OK && !found && at + 8 <= size; at = at ? at * 2 : 512) {
    s = dgam_input_read(&in, at, head, 8);
    if (at == 0) memcpy(first, head, 8);
    found = s == DGAM_OK && memcmp(head, signature, 8) == 0;
  }
  dgam_input_close(&in);
  if (s != DGAM_OK || found) return s;
  if (size < 8) return dgam_fail(DGAM_EFORMAT, "'%s' is not an HDF5 file: it has %d bytes", path, (int)size);
  return dgam_fail(DGAM_EFORMAT, "'%s' is not an HDF5 file: it begins with bytes %02x %02x %02x %02x", path, first[0],
                   first[1], first[2], first[3]);
}

dgam_status dgam_h5_open(const char *path, dgam_h5 **out) {
  dgam_h5 *f = NULL;
  quiet();
  DGAM_TRY(check_signature(path));
  DGAM_TRY(new_handle(path, &f));
  hid_t access = access_list();
  f->file = H5Fopen(path, H5F_ACC_RDONLY, access);
  dgam_status s = f->file < 0 ? fail(f, DGAM_EFORMAT, NULL, "the HDF5 file is damaged or cut off") : DGAM_OK;
  H5Pclose(access);
  if (s == DGAM_OK)
    *out = f;
  else
    dgam_h5_close(f);
  return s;
}

/* Creates (flags H5F_ACC_TRUNC) or opens (H5F_ACC_RDWR) the temporary file. */
static dgam_status open_output(dgam_h5 *f, unsigned flags) {
  hid_t access = access_list();
  f->sink.fd = f->output.fd;
  herr_t e = dgam_h5_sink_use(access, &f->sink);
  if (e >= 0)
    f->file = flags == H5F_ACC_TRUNC ? H5Fcreate(f->output.temp, flags, H5P_DEFAULT, access)
                                     : H5Fopen(f->output.temp, flags, access);
  dgam_status s = DGAM_OK;
  if (f->file < 0)
    s = flags == H5F_ACC_TRUNC ? fail(f, DGAM_EIO, NULL, "cannot create the file")
                               : fail(f, DGAM_EFORMAT, NULL, "the HDF5 file is damaged or cut off");
  H5Pclose(access);
  return settle(f, s);
}

dgam_status dgam_h5_create(const char *path, dgam_h5 **out) {
  dgam_h5 *f = NULL;
  quiet();
  DGAM_TRY(new_handle(path, &f));
  dgam_status s = dgam_output_begin(&f->output, path);
  if (s == DGAM_OK) {
    f->writing = 1;
    s = open_output(f, H5F_ACC_TRUNC);
  }
  if (s == DGAM_OK)
    *out = f;
  else
    dgam_h5_close(f);
  return s;
}

static dgam_status copy_into(dgam_output *output, const char *path) {
  unsigned char piece[COPY_PIECE];
  dgam_input in;
  DGAM_TRY(dgam_input_open(&in, path));
  dgam_status s = DGAM_OK;
  for (uint64_t at = 0; at < in.size && s == DGAM_OK; at += COPY_PIECE) {
    size_t n = in.size - at < COPY_PIECE ? (size_t)(in.size - at) : COPY_PIECE;
    s = dgam_input_read(&in, at, piece, n);
    if (s == DGAM_OK) s = dgam_output_write(output, piece, n);
  }
  dgam_input_close(&in);
  return s;
}

dgam_status dgam_h5_update(const char *path, dgam_h5 **out) {
  dgam_h5 *f = NULL;
  quiet();
  DGAM_TRY(check_signature(path));
  DGAM_TRY(new_handle(path, &f));
  dgam_status s = dgam_output_begin(&f->output, path);
  if (s == DGAM_OK) {
    f->writing = 1;
    s = copy_into(&f->output, path);
  }
  if (s == DGAM_OK) s = open_output(f, H5F_ACC_RDWR);
  if (s == DGAM_OK)
    *out = f;
  else
    dgam_h5_close(f);
  return s;
}

dgam_status dgam_h5_commit(dgam_h5 *f) {
  quiet();
  dgam_status s = DGAM_OK;
  if (!f->writing) s = dgam_fail(DGAM_EINVAL, "'%s' was opened to read; there is nothing to commit", f->path);
  if (s == DGAM_OK) {
    if (H5Fclose(f->file) < 0) s = fail(f, DGAM_EIO, NULL, "cannot write the file");
    f->file = -1;
    s = settle(f, s);
  }
  if (s == DGAM_OK) s = dgam_output_commit(&f->output);
  dgam_h5_close(f);
  return s;
}

void dgam_h5_close(dgam_h5 *f) {
  if (!f) return;
  quiet();
  if (f->file >= 0) H5Fclose(f->file);
  H5Pclose(f->inside);
  if (f->writing) dgam_output_abort(&f->output);
  dgam_h5_sink_free(&f->sink);
  free(f->path);
  free(f);
}

const char *dgam_h5_path(const dgam_h5 *f) {
  return f->path;
}

static dgam_status check_writing(const dgam_h5 *f) {
  if (f->writing) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "'%s' was opened to read; open it with update to write", f->path);
}

/* --- types --- */

/* A new 2-byte float type. */
static hid_t float16_type(size_t mantissa, size_t exponent, size_t bias) {
  hid_t t = H5Tcopy(H5T_IEEE_F32LE);
  if (t < 0) return t;
  if (H5Tset_fields(t, 15, mantissa, exponent, 0, mantissa) < 0 || H5Tset_size(t, 2) < 0 || H5Tset_ebias(t, bias) < 0) {
    H5Tclose(t);
    return -1;
  }
  return t;
}

static hid_t bool_type(void) {
  signed char no = 0, yes = 1;
  hid_t t = H5Tenum_create(H5T_STD_I8LE);
  H5Tenum_insert(t, "FALSE", &no);
  H5Tenum_insert(t, "TRUE", &yes);
  return t;
}

/* A new type for elements in memory and in files, which is the same on a little-endian machine. */
static hid_t type_of(dgam_dtype dtype) {
  switch (dtype) {
    case DGAM_U8:
      return H5Tcopy(H5T_STD_U8LE);
    case DGAM_I8:
      return H5Tcopy(H5T_STD_I8LE);
    case DGAM_I16:
      return H5Tcopy(H5T_STD_I16LE);
    case DGAM_I32:
      return H5Tcopy(H5T_STD_I32LE);
    case DGAM_I64:
      return H5Tcopy(H5T_STD_I64LE);
    case DGAM_F32:
      return H5Tcopy(H5T_IEEE_F32LE);
    case DGAM_F64:
      return H5Tcopy(H5T_IEEE_F64LE);
    case DGAM_F16:
      return float16_type(10, 5, 15);
    case DGAM_BF16:
      return float16_type(7, 8, 127);
    case DGAM_BOOL:
      return bool_type();
    default:
      return -1;
  }
}

static hid_t text_type(void) {
  hid_t t = H5Tcopy(H5T_C_S1);
  H5Tset_size(t, H5T_VARIABLE);
  H5Tset_cset(t, H5T_CSET_UTF8);
  return t;
}

static int is_bool(hid_t type) {
  if (H5Tget_nmembers(type) != 2 || H5Tget_size(type) != 1) return 0;
  char *a = H5Tget_member_name(type, 0), *b = H5Tget_member_name(type, 1);
  int yes =
      a && b &&
      ((strcmp(a, "FALSE") == 0 && strcmp(b, "TRUE") == 0) || (strcmp(b, "FALSE") == 0 && strcmp(a, "TRUE") == 0));
  signed char value = 0;
  if (yes)
    yes = H5Tenum_valueof(type, "TRUE", &value) >= 0 && value == 1 && H5Tenum_valueof(type, "FALSE", &value) >= 0 &&
          !value;
  H5free_memory(a);
  H5free_memory(b);
  return yes;
}

static dgam_dtype dtype_of(hid_t type) {
  size_t size = H5Tget_size(type);
  size_t sign, exponent_at, exponent, mantissa_at, mantissa;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: {
      int is_signed = H5Tget_sign(type) == H5T_SGN_2;
      if (size == 1) return is_signed ? DGAM_I8 : DGAM_U8;
      if (size == 2) return is_signed ? DGAM_I16 : DGAM_I32;
      if (size == 4) return is_signed ? DGAM_I32 : DGAM_I64;
      return size == 8 ? DGAM_I64 : DGAM_NODTYPE;
    }
    case H5T_FLOAT:
      if (size == 4) return DGAM_F32;
      if (size != 2) return DGAM_F64;
      if (H5Tget_fields(type, &sign, &exponent_at, &exponent, &mantissa_at, &mantissa) < 0) return DGAM_NODTYPE;
      return exponent == 8 ? DGAM_BF16 : DGAM_F16;
    case H5T_ENUM:
      return is_bool(type) ? DGAM_BOOL : DGAM_I64;
    default:
      return DGAM_NODTYPE;
  }
}

/* --- objects --- */

/* 1 if every link on the way to the object is there and it can be opened. */
static int exists(const dgam_h5 *f, const char *name) {
  if (strcmp(object_path(name), "/") == 0) return 1;
  char *path = strdup(name);
  if (!path) return 0;
  int yes = 1;
  for (char *p = path + (*path == '/'); yes && *p; p++) {
    if (*p != '/') continue;
    *p = 0;
    yes = H5Lexists(f->file, path, f->inside) > 0 && H5Oexists_by_name(f->file, path, f->inside) > 0;
    *p = '/';
  }
  yes = yes && H5Lexists(f->file, path, f->inside) > 0 && H5Oexists_by_name(f->file, path, f->inside) > 0;
  free(path);
  quiet();
  return yes;
}

static dgam_status read_shape(const dgam_h5 *f, const char *name, hid_t space, dgam_tensor_info *out) {
  hsize_t dims[H5S_MAX_RANK];
  out->ndim = 0, out->count = 0;
  H5S_class_t class = H5Sget_simple_extent_type(space);
  if (class == H5S_NULL) {
    out->ndim = 1; /* "no data": an empty list */
    out->shape[0] = 0;
    return DGAM_OK;
  }
  int ndim = H5Sget_simple_extent_ndims(space);
  if (ndim > DGAM_MAXDIM)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s': '%.256s' has %d dimensions, at most %d are supported", f->path, name,
                     ndim, DGAM_MAXDIM);
  if (ndim < 0 || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
    return fail(f, DGAM_EFORMAT, name, "cannot read the shape of");
  out->ndim = ndim;
  for (int d = 0; d < ndim; d++) out->shape[d] = (size_t)dims[d];
  if (dgam_shape_overflow(ndim, out->shape, out->dtype, &out->count, NULL))
    return dgam_fail(DGAM_EFORMAT, "'%s': '%.256s' has a shape whose size overflows", f->path, name);
  return DGAM_OK;
}

/* What an open dataset or attribute holds, from its type and space; closes both. */
static dgam_status describe(const dgam_h5 *f, const char *name, hid_t type, hid_t space, dgam_h5_info *out) {
  out->array.dtype = DGAM_NODTYPE;
  dgam_status s = DGAM_OK;
  if (type < 0 || space < 0) {
    s = fail(f, DGAM_EFORMAT, name, "cannot read type and shape of");
  } else {
    out->array.dtype = dtype_of(type);
    out->kind = H5Tget_class(type) == H5T_STRING   ? DGAM_H5_TEXT
                : out->array.dtype == DGAM_NODTYPE ? DGAM_H5_OTHER
                                                   : DGAM_H5_NUMBERS;
    if (out->kind != DGAM_H5_OTHER) s = read_shape(f, name, space, &out->array);
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  return s;
}

/* Where in the file an open object is. */
static herr_t identify(hid_t object, unsigned char id[16]) {
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info;
  herr_t e = H5Oget_info3(object, &info, H5O_INFO_BASIC);
  if (e >= 0) memcpy(id, &info.token, sizeof info.token);
#else
  H5O_info_t info;
  herr_t e = H5Oget_info2(object, &info, H5O_INFO_BASIC);
  if (e >= 0) memcpy(id, &info.addr, sizeof info.addr);
#endif
  return e;
}

dgam_status dgam_h5_stat(dgam_h5 *f, const char *name, dgam_h5_info *out) {
  quiet();
  *out = (dgam_h5_info){.kind = DGAM_H5_NONE, .array.dtype = DGAM_NODTYPE};
  if (!exists(f, name)) return DGAM_OK;
  hid_t object = H5Oopen(f->file, object_path(name), f->inside);
  if (object < 0) return fail(f, DGAM_EFORMAT, name, "cannot open");
  dgam_status s = DGAM_OK;
  H5I_type_t type = H5Iget_type(object);
  if (type == H5I_GROUP)
    out->kind = DGAM_H5_GROUP;
  else if (type == H5I_DATASET)
    s = describe(f, name, H5Dget_type(object), H5Dget_space(object), out);
  else
    out->kind = DGAM_H5_OTHER;
  if (s == DGAM_OK && identify(object, out->id) < 0) s = fail(f, DGAM_EFORMAT, name, "cannot tell where it is:");
  H5Oclose(object);
  return s;
}

/* Refuses data that are in other files: a file from elsewhere is not to say what is read from this machine. */
static dgam_status check_own_data(const dgam_h5 *f, const char *name, hid_t dataset) {
  hid_t create = H5Dget_create_plist(dataset);
  if (create < 0) return fail(f, DGAM_EFORMAT, name, "cannot read the properties of");
  const char *what = H5Pget_layout(create) == H5D_VIRTUAL ? "a virtual dataset, made of others"
                     : H5Pget_external_count(create) > 0  ? "kept in another file"
                                                          : NULL;
  H5Pclose(create);
  if (!what) return DGAM_OK;
  return dgam_fail(DGAM_EUNSUPPORTED, "'%s': '%.256s' is %s, which is not followed; expected data in the file itself",
                   f->path, name, what);
}

dgam_status dgam_h5_check_size(dgam_h5 *f, const char *name, uint64_t bytes) {
  hsize_t size = 0;
  if (f->writing || bytes <= SPARSE_MAX) return DGAM_OK; /* what is being written need not be in the file yet */
  if (H5Fget_filesize(f->file, &size) < 0) return fail(f, DGAM_EIO, NULL, "cannot tell the size");
  if ((bytes - SPARSE_MAX) / DENSEST <= size) return DGAM_OK;
  return dgam_fail(DGAM_EFORMAT, "'%s': %.256s would take %llu bytes, more than a file of %llu bytes can hold", f->path,
                   name, (unsigned long long)bytes, (unsigned long long)size);
}

/* The opened dataset of the wanted kind and what it holds. */
static dgam_status open_dataset(dgam_h5 *f, const char *name, dgam_h5_kind kind, hid_t *dataset, dgam_h5_info *info) {
  DGAM_TRY(dgam_h5_stat(f, name, info));
  if (info->kind == DGAM_H5_NONE) return dgam_fail(DGAM_EINVAL, "'%s' has no '%.256s'", f->path, name);
  if (info->kind == DGAM_H5_GROUP) return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is a group, not data", f->path, name);
  if (info->kind == DGAM_H5_OTHER)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s': '%.256s' holds neither numbers nor text", f->path, name);
  if (info->kind != kind)
    return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' holds %s", f->path, name,
                     kind == DGAM_H5_TEXT ? "numbers, text was asked for" : "text, numbers were asked for");
  *dataset = H5Dopen2(f->file, name, f->inside);
  if (*dataset < 0) return fail(f, DGAM_EFORMAT, name, "cannot open");
  dgam_status s = check_own_data(f, name, *dataset);
  if (s != DGAM_OK) H5Dclose(*dataset);
  return s;
}

/* --- lists --- */

void dgam_h5_free_texts(dgam_h5_texts *t) {
  for (size_t i = 0; i < t->count; i++) free(t->items[i]);
  free(t->items);
  *t = (dgam_h5_texts){0};
}

/* Appends a copy of n bytes; 1 if memory runs out. Arrays grow at powers of two. */
static int add_text(dgam_h5_texts *t, const char *s, size_t n) {
  if ((t->count & (t->count - 1)) == 0) {
    char **bigger = realloc(t->items, (t->count ? t->count * 2 : 1) * sizeof *bigger);
    if (!bigger) return 1;
    t->items = bigger;
  }
  t->items[t->count] = strndup(s, n);
  return t->items[t->count] ? (t->count++, 0) : 1;
}

static herr_t add_link(hid_t group, const char *name, const H5L_info_t *info, void *ctx) {
  (void)group, (void)info;
  return add_text(ctx, name, strlen(name)) ? -1 : 0;
}

static herr_t add_attr(hid_t object, const char *name, const H5A_info_t *info, void *ctx) {
  (void)object, (void)info;
  return add_text(ctx, name, strlen(name)) ? -1 : 0;
}

static dgam_status list_with(dgam_h5 *f, const char *name, dgam_h5_texts *out, int attrs) {
  quiet();
  *out = (dgam_h5_texts){0};
  if (!exists(f, name)) return dgam_fail(DGAM_EINVAL, "'%s' has no '%.256s'", f->path, name);
  hid_t object = H5Oopen(f->file, object_path(name), f->inside);
  if (object < 0) return fail(f, DGAM_EFORMAT, name, "cannot open");
  dgam_status s = DGAM_OK;
  if (!attrs && H5Iget_type(object) != H5I_GROUP)
    s = dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is not a group", f->path, name);
  else if ((attrs ? H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, add_attr, out)
                  : H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, add_link, out)) < 0)
    s = fail(f, DGAM_EFORMAT, name, "cannot list");
  H5Oclose(object);
  if (s != DGAM_OK) dgam_h5_free_texts(out);
  return s;
}

dgam_status dgam_h5_list(dgam_h5 *f, const char *group, dgam_h5_texts *out) {
  return list_with(f, group, out, 0);
}
dgam_status dgam_h5_list_attrs(dgam_h5 *f, const char *object, dgam_h5_texts *out) {
  return list_with(f, object, out, 1);
}

/* Links are UTF-8 and make the groups they need. */
static hid_t link_list(void) {
  hid_t list = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(list, 1);
  H5Pset_char_encoding(list, H5T_CSET_UTF8);
  return list;
}

dgam_status dgam_h5_make_group(dgam_h5 *f, const char *name) {
  dgam_h5_info info;
  DGAM_TRY(check_writing(f));
  DGAM_TRY(dgam_h5_stat(f, name, &info));
  if (info.kind == DGAM_H5_GROUP) return DGAM_OK;
  if (info.kind != DGAM_H5_NONE)
    return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is there and not a group", f->path, name);
  hid_t links = link_list(), inside = own_links(H5P_GROUP_ACCESS);
  hid_t group = H5Gcreate2(f->file, name, links, H5P_DEFAULT, inside);
  dgam_status s = group < 0 ? fail(f, DGAM_EINVAL, name, "cannot make group") : DGAM_OK;
  if (group >= 0) H5Gclose(group);
  H5Pclose(inside);
  H5Pclose(links);
  return settle(f, s);
}

/* --- numbers --- */

/* Refuses what an integer cannot hold instead of clipping it. */
static H5T_conv_ret_t on_exception(H5T_conv_except_t type, hid_t from, hid_t to, void *src, void *dst, void *ctx) {
  (void)to, (void)dst, (void)ctx;
  if (type == H5T_CONV_EXCEPT_PRECISION) return H5T_CONV_UNHANDLED;
  if (type != H5T_CONV_EXCEPT_TRUNCATE) return H5T_CONV_ABORT;
  float f = 0; /* a fraction is cut off; NaN comes as one, too */
  double d = 0;
  if (H5Tget_size(from) == sizeof f)
    memcpy(&f, src, sizeof f);
  else if (H5Tget_size(from) == sizeof d)
    memcpy(&d, src, sizeof d);
  return isnan(f) || isnan(d) ? H5T_CONV_ABORT : H5T_CONV_UNHANDLED;
}

static hid_t transfer_list(dgam_dtype dtype) {
  hid_t list = H5Pcreate(H5P_DATASET_XFER);
  if (dtype <= DGAM_I64) H5Pset_type_conv_cb(list, on_exception, NULL);
  return list;
}

/* Chooses the slab in the dataset's space and makes the space of the same shape in memory. */
static dgam_status select_slab(dgam_h5 *f, const char *name, const dgam_tensor_info *array, const size_t *start,
                               const size_t *count, hid_t space, hid_t *memory, size_t *elements) {
  hsize_t from[DGAM_MAXDIM], n[DGAM_MAXDIM];
  *elements = array->count;
  if (!start) {
    *memory = H5Scopy(space);
    return *memory < 0 ? fail(f, DGAM_EFORMAT, name, "cannot read the shape of") : DGAM_OK;
  }
  if (array->ndim == 0)
    return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is a single value and has no slabs", f->path, name);
  *elements = 1;
  for (int d = 0; d < array->ndim; d++) {
    if (count[d] > array->shape[d] || start[d] > array->shape[d] - count[d]) {
      char a[128], b[128], c[128];
      return dgam_fail(DGAM_EINVAL, "'%s': slab of shape %s at %s (from 0) is outside '%.256s' of shape %s", f->path,
                       dgam_shape_text(array->ndim, count, a, sizeof a),
                       dgam_shape_text(array->ndim, start, b, sizeof b), name,
                       dgam_shape_text(array->ndim, array->shape, c, sizeof c));
    }
    from[d] = start[d], n[d] = count[d];
    *elements *= count[d]; /* no overflow: not above the dataset's */
  }
  *memory = H5Screate_simple(array->ndim, n, NULL);
  if (*memory < 0 || (*elements && H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, n, NULL) < 0))
    return fail(f, DGAM_EINVAL, name, "cannot choose a slab of");
  return DGAM_OK;
}

/* Moves a slab between memory and an open dataset. bytes: what the caller has room for, or SIZE_MAX when writing. */
static dgam_status move(dgam_h5 *f, const char *name, hid_t dataset, const dgam_tensor_info *array, dgam_dtype dtype,
                        const size_t *start, const size_t *count, void *out, const void *in, size_t bytes) {
  hid_t space = H5Dget_space(dataset), memory = -1, type = type_of(dtype),
        transfer = transfer_list(in ? array->dtype : dtype);
  size_t n = 0;
  dgam_status s;
  if (space < 0 || type < 0 || transfer < 0)
    s = dgam_fail(DGAM_EINVAL, "'%s': '%.256s' cannot be moved as %s", f->path, name, dgam_dtype_name(dtype));
  else
    s = select_slab(f, name, array, start, count, space, &memory, &n);
  if (s == DGAM_OK && out && n * dgam_dtype_size(dtype) != bytes)
    s = dgam_fail(DGAM_EINVAL, "'%s': %zu elements of '%.256s' as %s take %zu bytes, room for %zu given", f->path, n,
                  name, dgam_dtype_name(dtype), n * dgam_dtype_size(dtype), bytes);
  if (s == DGAM_OK && n && out && H5Dread(dataset, type, memory, space, transfer, out) < 0) {
    char what[64];
    snprintf(what, sizeof what, "cannot read, as %s,", dgam_dtype_name(dtype));
    s = fail(f, DGAM_EFORMAT, name, what);
  }
  if (s == DGAM_OK && n && in && H5Dwrite(dataset, type, memory, space, transfer, in) < 0)
    s = fail(f, DGAM_EIO, name, "cannot write");
  if (space >= 0) H5Sclose(space);
  if (memory >= 0) H5Sclose(memory);
  if (type >= 0) H5Tclose(type);
  if (transfer >= 0) H5Pclose(transfer);
  return s;
}

dgam_status dgam_h5_read(dgam_h5 *f, const char *name, dgam_dtype dtype, const size_t *start, const size_t *count,
                         void *out, size_t bytes) {
  hid_t dataset = -1;
  dgam_h5_info info;
  DGAM_TRY(open_dataset(f, name, DGAM_H5_NUMBERS, &dataset, &info));
  dgam_status s;
  if (dtype == DGAM_BOOL && info.array.dtype != DGAM_BOOL)
    s = dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is %s and cannot be read as bool", f->path, name,
                  dgam_dtype_name(info.array.dtype));
  else
    s = move(f, name, dataset, &info.array, dtype, start, count, out, NULL, bytes);
  H5Dclose(dataset);
  if (s == DGAM_OK && dtype == DGAM_BOOL) /* a byte that is neither 0 nor 1 is no bool for anyone who reads it as one */
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)out)[i] = ((unsigned char *)out)[i] != 0;
  return s;
}

/* Properties of a new dataset: no time stamps; chunks, shuffle and deflate if asked for. */
static dgam_status creation_list(const dgam_h5 *f, const char *name, dgam_dtype dtype, int ndim, const size_t *shape,
                                 size_t elements, int deflate, hid_t *out) {
  if (deflate < 0 || deflate > 9)
    return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is to be deflated at level %d, expected 0 to 9", f->path, name,
                     deflate);
  *out = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(*out, 0);
  if (!deflate || ndim == 0 || elements == 0) return DGAM_OK;
  hsize_t chunk[DGAM_MAXDIM];
  size_t size = dgam_dtype_size(dtype);
  for (int d = 0; d < ndim; d++) chunk[d] = shape[d], size *= shape[d];
  for (int d = 0; d < ndim; d++) /* cut the slowest dimensions first: a chunk is a run of rows */
    while (size > CHUNK && chunk[d] > 1) {
      size = size / chunk[d] * ((chunk[d] + 1) / 2);
      chunk[d] = (chunk[d] + 1) / 2;
    }
  if (H5Pset_chunk(*out, ndim, chunk) < 0 || H5Pset_shuffle(*out) < 0 || H5Pset_deflate(*out, (unsigned)deflate) < 0) {
    H5Pclose(*out);
    return fail(f, DGAM_EUNSUPPORTED, name, "this HDF5 cannot deflate");
  }
  return DGAM_OK;
}

/* Makes a dataset; the type and space given are closed. */
static dgam_status make_dataset(dgam_h5 *f, const char *name, hid_t type, hid_t space, hid_t create, hid_t *out) {
  hid_t links = link_list();
  *out = H5Dcreate2(f->file, name, type, space, links, create, f->inside);
  dgam_status s = *out < 0 ? fail(f, DGAM_EIO, name, "cannot make dataset") : DGAM_OK;
  H5Pclose(links);
  H5Tclose(type);
  H5Sclose(space);
  return settle(f, s);
}

static dgam_status check_new(dgam_h5 *f, const char *name) {
  DGAM_TRY(check_writing(f));
  quiet();
  if (exists(f, name)) return dgam_fail(DGAM_EINVAL, "'%s' already has a '%.256s'", f->path, name);
  return DGAM_OK;
}

dgam_status dgam_h5_write(dgam_h5 *f, const char *name, dgam_dtype dtype, int ndim, const size_t *shape,
                          const void *data, const dgam_h5_options *options) {
  dgam_tensor_info array = {.dtype = dtype, .ndim = ndim};
  hsize_t dims[DGAM_MAXDIM];
  hid_t create = -1, dataset = -1;
  DGAM_TRY(check_new(f, name));
  if (!dgam_dtype_size(dtype) || ndim < 0 || ndim > DGAM_MAXDIM ||
      dgam_shape_overflow(ndim, shape, dtype, &array.count, NULL))
    return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' has type %s and %d dimensions", f->path, name, dgam_dtype_name(dtype),
                     ndim);
  for (int d = 0; d < ndim; d++) dims[d] = array.shape[d] = shape[d];
  DGAM_TRY(creation_list(f, name, dtype, ndim, shape, array.count, options ? options->deflate : 0, &create));
  dgam_status s = make_dataset(f, name, type_of(dtype),
                               ndim ? H5Screate_simple(ndim, dims, NULL) : H5Screate(H5S_SCALAR), create, &dataset);
  H5Pclose(create);
  if (s != DGAM_OK) return s;
  if (data) s = move(f, name, dataset, &array, dtype, NULL, NULL, NULL, data, 0);
  if (H5Dclose(dataset) < 0 && s == DGAM_OK) s = fail(f, DGAM_EIO, name, "cannot write");
  return settle(f, s);
}

dgam_status dgam_h5_write_slab(dgam_h5 *f, const char *name, dgam_dtype dtype, const size_t *start, const size_t *count,
                               const void *data) {
  hid_t dataset = -1;
  dgam_h5_info info;
  DGAM_TRY(check_writing(f));
  DGAM_TRY(open_dataset(f, name, DGAM_H5_NUMBERS, &dataset, &info));
  dgam_status s;
  if ((dtype == DGAM_BOOL) != (info.array.dtype == DGAM_BOOL))
    s = dgam_fail(DGAM_EINVAL, "'%s': '%.256s' is %s and cannot take %s", f->path, name,
                  dgam_dtype_name(info.array.dtype), dgam_dtype_name(dtype));
  else
    s = move(f, name, dataset, &info.array, dtype, start, count, NULL, data, 0);
  if (H5Dclose(dataset) < 0 && s == DGAM_OK) s = fail(f, DGAM_EIO, name, "cannot write");
  return settle(f, s);
}

/* --- text --- */

static dgam_status check_texts(const dgam_h5 *f, const char *name, int ndim, size_t count) {
  if (ndim == 1 || (ndim == 0 && count == 1)) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "'%s': '%.256s' has %zu values in %d dimensions", f->path, name, count, ndim);
}

static hid_t list_space(int ndim, size_t count) {
  hsize_t n = count;
  return ndim ? H5Screate_simple(1, &n, NULL) : H5Screate(H5S_SCALAR);
}

dgam_status dgam_h5_write_texts(dgam_h5 *f, const char *name, int ndim, size_t count, const char *const *texts) {
  hid_t create = -1, dataset = -1;
  DGAM_TRY(check_new(f, name));
  DGAM_TRY(check_texts(f, name, ndim, count));
  DGAM_TRY(creation_list(f, name, DGAM_U8, 0, NULL, count, 0, &create));
  dgam_status s = make_dataset(f, name, text_type(), list_space(ndim, count), create, &dataset);
  H5Pclose(create);
  if (s != DGAM_OK) return s;
  hid_t type = text_type();
  if (count && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) < 0)
    s = fail(f, DGAM_EIO, name, "cannot write");
  H5Tclose(type);
  if (H5Dclose(dataset) < 0 && s == DGAM_OK) s = fail(f, DGAM_EIO, name, "cannot write");
  return settle(f, s);
}

/* Text of a dataset (attr 0) or an attribute (attr 1) of n values into *out. */
static dgam_status fetch_texts(dgam_h5 *f, const char *name, hid_t object, int attr, size_t n, dgam_h5_texts *out) {
  hid_t stored = attr ? H5Aget_type(object) : H5Dget_type(object);
  hid_t space = attr ? H5Aget_space(object) : H5Dget_space(object);
  int variable = H5Tis_variable_str(stored) > 0;
  size_t width = variable ? sizeof(char *) : H5Tget_size(stored), bytes = 0;
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, variable ? H5T_VARIABLE : width);
  H5Tset_cset(type, H5Tget_cset(stored));
  H5Tset_strpad(type, H5Tget_strpad(stored));
  dgam_status s = DGAM_OK;
  int huge = __builtin_mul_overflow(n, width, &bytes);
  if (!attr && !huge) s = dgam_h5_check_size(f, name, bytes);
  char *block = huge || s != DGAM_OK ? NULL : calloc(bytes + 1, 1);
  if (!block)
    s = s == DGAM_OK ? no_memory(f) : s;
  else if (n && (attr ? H5Aread(object, type, block) : H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block)) < 0)
    s = fail(f, DGAM_EFORMAT, name, "cannot read");
  int blank = H5Tget_strpad(stored) == H5T_STR_SPACEPAD;
  for (size_t i = 0; s == DGAM_OK && i < n; i++) {
    const char *text = variable ? ((char **)(void *)block)[i] : block + i * width;
    size_t length = !text ? 0 : variable ? strlen(text) : strnlen(text, width);
    while (blank && !variable && length && text[length - 1] == ' ') length--;
    if (add_text(out, text ? text : "", length)) s = no_memory(f);
  }
  if (block && variable && n) H5Dvlen_reclaim(type, space, H5P_DEFAULT, block);
  free(block);
  H5Tclose(type);
  H5Tclose(stored);
  H5Sclose(space);
  if (s != DGAM_OK) dgam_h5_free_texts(out);
  return s;
}

dgam_status dgam_h5_read_texts(dgam_h5 *f, const char *name, dgam_h5_texts *out) {
  hid_t dataset = -1;
  dgam_h5_info info;
  *out = (dgam_h5_texts){0};
  DGAM_TRY(open_dataset(f, name, DGAM_H5_TEXT, &dataset, &info));
  dgam_status s = fetch_texts(f, name, dataset, 0, info.array.count, out);
  H5Dclose(dataset);
  return s;
}

/* --- attributes --- */

void dgam_h5_free_value(dgam_h5_value *v) {
  free(v->ints);
  free(v->floats);
  dgam_h5_free_texts(&v->texts);
  *v = (dgam_h5_value){.kind = DGAM_H5_NOTHING};
}

static dgam_status fetch_numbers(const dgam_h5 *f, const char *name, hid_t attr, dgam_dtype dtype, dgam_h5_value *out) {
  int is_float = dtype == DGAM_F16 || dtype == DGAM_BF16 || dtype == DGAM_F32 || dtype == DGAM_F64;
  void *block = calloc(out->count + 1, 8);
  if (!block) return no_memory(f);
  out->kind = is_float ? DGAM_H5_FLOATS : dtype == DGAM_BOOL ? DGAM_H5_BOOLS : DGAM_H5_INTS;
  if (is_float)
    out->floats = block;
  else
    out->ints = block;
  if (out->count && H5Aread(attr, is_float ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, block) < 0) {
    dgam_status s = fail(f, DGAM_EFORMAT, name, "cannot read attribute");
    dgam_h5_free_value(out);
    return s;
  }
  return DGAM_OK;
}

static dgam_status open_object(dgam_h5 *f, const char *object, hid_t *out) {
  quiet();
  if (!exists(f, object)) return dgam_fail(DGAM_EINVAL, "'%s' has no '%.256s'", f->path, object);
  *out = H5Oopen(f->file, object_path(object), f->inside);
  return *out < 0 ? fail(f, DGAM_EFORMAT, object, "cannot open") : DGAM_OK;
}

dgam_status dgam_h5_read_attr(dgam_h5 *f, const char *object, const char *name, dgam_h5_value *out) {
  hid_t holder = -1, attr = -1;
  dgam_h5_info info = {.kind = DGAM_H5_NONE};
  *out = (dgam_h5_value){.kind = DGAM_H5_NOTHING};
  DGAM_TRY(open_object(f, object, &holder));
  dgam_status s = DGAM_OK;
  if (H5Aexists(holder, name) > 0) {
    attr = H5Aopen(holder, name, H5P_DEFAULT);
    if (attr < 0)
      s = fail(f, DGAM_EFORMAT, name, "cannot open attribute");
    else
      s = describe(f, name, H5Aget_type(attr), H5Aget_space(attr), &info);
    out->ndim = info.array.ndim, out->count = info.array.count;
    if (s == DGAM_OK && info.kind == DGAM_H5_NUMBERS)
      s = fetch_numbers(f, name, attr, info.array.dtype, out);
    else if (s == DGAM_OK && info.kind == DGAM_H5_TEXT) {
      out->kind = DGAM_H5_TEXTS;
      s = fetch_texts(f, name, attr, 1, out->count, &out->texts);
    } else if (s == DGAM_OK)
      s = dgam_fail(DGAM_EUNSUPPORTED, "'%s': attribute '%.256s' holds neither numbers nor text", f->path, name);
    if (s != DGAM_OK) out->kind = DGAM_H5_NOTHING;
  }
  if (attr >= 0) H5Aclose(attr);
  H5Oclose(holder);
  return s;
}

/* Writes an attribute of any type; `type` is closed. */
static dgam_status put_attr(dgam_h5 *f, const char *object, const char *name, hid_t type, int ndim, size_t count,
                            const void *data) {
  hid_t holder = -1;
  dgam_status s = check_writing(f);
  if (s == DGAM_OK) s = check_texts(f, name, ndim, count);
  if (s == DGAM_OK) s = open_object(f, object, &holder);
  if (s == DGAM_OK) {
    hid_t space = list_space(ndim, count), create = H5Pcreate(H5P_ATTRIBUTE_CREATE);
    H5Pset_char_encoding(create, H5T_CSET_UTF8);
    if (H5Aexists(holder, name) > 0) H5Adelete(holder, name);
    hid_t attr = H5Acreate2(holder, name, type, space, create, H5P_DEFAULT);
    if (attr < 0 || (count && H5Awrite(attr, type, data) < 0)) s = fail(f, DGAM_EIO, name, "cannot write attribute");
    if (attr >= 0 && H5Aclose(attr) < 0 && s == DGAM_OK) s = fail(f, DGAM_EIO, name, "cannot write attribute");
    H5Pclose(create);
    H5Sclose(space);
    H5Oclose(holder);
  }
  H5Tclose(type);
  return settle(f, s);
}

dgam_status dgam_h5_write_attr(dgam_h5 *f, const char *object, const char *name, dgam_dtype dtype, int ndim,
                               size_t count, const void *data) {
  if (dtype != DGAM_I64 && dtype != DGAM_F64 && dtype != DGAM_BOOL)
    return dgam_fail(DGAM_EINVAL, "'%s': attribute '%.256s' has type %s, expected int64, float64 or bool", f->path,
                     name, dgam_dtype_name(dtype));
  return put_attr(f, object, name, type_of(dtype), ndim, count, data);
}

dgam_status dgam_h5_write_attr_texts(dgam_h5 *f, const char *object, const char *name, int ndim, size_t count,
                                     const char *const *texts) {
  return put_attr(f, object, name, text_type(), ndim, count, texts);
}
