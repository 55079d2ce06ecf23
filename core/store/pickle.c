/* pickle.c - see pickle.h */
#include "store/pickle.h"
#include "store/grow.h"

#include <stdlib.h>
#include <string.h>

typedef dgam_pickle_value value;

enum {
  BUFFER = 1 << 16,      /* bytes read at a time */
  BLOCK = 1 << 16,       /* bytes allocated at a time for values */
  MAX_VALUES = 1 << 22,  /* and one more for every two bytes: a real checkpoint has some ten thousand and its curves */
  MAX_ITEMS = 1 << 24,   /* in all containers together, and two more for every byte: a few can ask for many copies */
  EXPANDED_MAX = 1 << 24 /* elements that a tensor may have beyond those of its storage (stride 0) */
};

typedef struct block {
  struct block *next;
  size_t used, size;
} block; /* its bytes follow */

typedef struct list { /* growing array of values, for the stack and the memo */
  value **items;
  size_t n, cap;
} list;

struct dgam_pickle {
  block *blocks;  /* memory of all values */
  value **arrays; /* the containers whose item arrays are to be freed, linked through their order of creation */
  size_t narrays, arrays_cap;
  size_t nvalues, nitems;
  const dgam_pickle_storage **storages;
  size_t nstorages, storages_cap;
  /* the machine */
  const dgam_input *in;
  uint64_t start, pos, end; /* pos: next byte to put into the buffer */
  size_t have, next;        /* bytes in the buffer, next one to hand out */
  int skip_unknown;
  list stack, memo;
  size_t *marks, nmarks, marks_cap;
  unsigned char buffer[BUFFER];
};

/* --- memory --- */

static dgam_status no_memory(const dgam_pickle *p) {
  return dgam_fail(DGAM_ENOMEM, "no memory for the pickle of '%s'", p->in->name);
}

static void *take(dgam_pickle *p, size_t n) {
  n = (n + 7) & ~(size_t)7;
  block *b = p->blocks;
  if (!b || b->size - b->used < n) {
    size_t size = n > BLOCK ? n : BLOCK;
    b = malloc(sizeof *b + size);
    if (!b) return NULL;
    *b = (block){.next = p->blocks, .size = size};
    p->blocks = b;
  }
  void *at = (unsigned char *)(b + 1) + b->used;
  b->used += n;
  return at;
}

/* Its items, once it has some, are freed with the pickle. */
static dgam_status register_container(dgam_pickle *p, value *v) {
  if (dgam_grow(&p->arrays, p->narrays, &p->arrays_cap, sizeof *p->arrays)) return no_memory(p);
  p->arrays[p->narrays++] = v;
  return DGAM_OK;
}

static dgam_status make(dgam_pickle *p, dgam_pickle_kind kind, value **out) {
  uint64_t most = MAX_VALUES + (p->end - p->start) / 2;
  if (++p->nvalues > most)
    return dgam_fail(DGAM_EFORMAT, "the pickle of '%s' has more than %llu values, the limit for its %llu bytes",
                     p->in->name, (unsigned long long)most, (unsigned long long)(p->end - p->start));
  value *v = take(p, sizeof *v);
  if (!v) return no_memory(p);
  *v = (value){.kind = kind};
  if (kind == DGAM_PICKLE_TUPLE || kind == DGAM_PICKLE_LIST || kind == DGAM_PICKLE_DICT)
    DGAM_TRY(register_container(p, v));
  *out = v;
  return DGAM_OK;
}

static dgam_status append(dgam_pickle *p, value *seq, value *item) {
  uint64_t most = MAX_ITEMS + 2 * (p->end - p->start);
  if (++p->nitems > most)
    return dgam_fail(DGAM_EFORMAT, "the pickle of '%s' has more than %llu items, the limit for its %llu bytes",
                     p->in->name, (unsigned long long)most, (unsigned long long)(p->end - p->start));
  if (dgam_grow(&seq->u.seq.items, seq->u.seq.n, &seq->u.seq.cap, sizeof item)) return no_memory(p);
  seq->u.seq.items[seq->u.seq.n++] = item;
  return DGAM_OK;
}

/* --- input --- */

static uint64_t position(const dgam_pickle *p) {
  return p->pos - (p->have - p->next);
}

static dgam_status bad(const dgam_pickle *p, const char *what) {
  return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: %s at byte %llu of its pickle", p->in->name, what,
                   (unsigned long long)(position(p) - p->start));
}

static dgam_status bytes(dgam_pickle *p, void *out, size_t n) {
  unsigned char *to = out;
  while (n) {
    if (p->next == p->have) {
      uint64_t left = p->end - p->pos;
      if (left == 0) return bad(p, "the data ends");
      size_t k = left < BUFFER ? (size_t)left : BUFFER;
      DGAM_TRY(dgam_input_read(p->in, p->pos, p->buffer, k));
      p->pos += k, p->have = k, p->next = 0;
    }
    size_t k = p->have - p->next < n ? p->have - p->next : n;
    memcpy(to, p->buffer + p->next, k);
    to += k, n -= k, p->next += k;
  }
  return DGAM_OK;
}

/* A little-endian number of n bytes. */
static dgam_status number(dgam_pickle *p, int n, uint64_t *out) {
  unsigned char b[8];
  DGAM_TRY(bytes(p, b, (size_t)n));
  *out = 0;
  for (int i = n - 1; i >= 0; i--) *out = *out << 8 | b[i];
  return DGAM_OK;
}

static dgam_status text(dgam_pickle *p, uint64_t n, const char **out) {
  if (n > p->end - position(p)) return bad(p, "a text longer than the rest of the data");
  char *s = take(p, (size_t)n + 1);
  if (!s) return no_memory(p);
  DGAM_TRY(bytes(p, s, (size_t)n));
  s[n] = 0;
  *out = s;
  return DGAM_OK;
}

/* A line without its end, at most size - 1 bytes. */
static dgam_status line(dgam_pickle *p, char *out, size_t size) {
  for (size_t n = 0; n < size; n++) {
    DGAM_TRY(bytes(p, out + n, 1));
    if (out[n] == '\n') {
      out[n] = 0;
      return DGAM_OK;
    }
  }
  return bad(p, "a name longer than expected");
}

/* --- stack, marks, memo --- */

static dgam_status push(dgam_pickle *p, value *v) {
  if (dgam_grow(&p->stack.items, p->stack.n, &p->stack.cap, sizeof v)) return no_memory(p);
  p->stack.items[p->stack.n++] = v;
  return DGAM_OK;
}

static size_t floor_of_stack(const dgam_pickle *p) {
  return p->nmarks ? p->marks[p->nmarks - 1] : 0;
}

static dgam_status pop(dgam_pickle *p, value **out) {
  if (p->stack.n <= floor_of_stack(p)) return bad(p, "too few values");
  *out = p->stack.items[--p->stack.n];
  return DGAM_OK;
}

static dgam_status top(dgam_pickle *p, value **out) {
  if (p->stack.n <= floor_of_stack(p)) return bad(p, "too few values");
  *out = p->stack.items[p->stack.n - 1];
  return DGAM_OK;
}

/* Ends the current mark: the values above it are items[*from ...] of the stack, which the caller cuts off there. */
static dgam_status unmark(dgam_pickle *p, size_t *from) {
  if (!p->nmarks) return bad(p, "no mark");
  *from = p->marks[--p->nmarks];
  return DGAM_OK;
}

static dgam_status memo_put(dgam_pickle *p, uint64_t index) {
  value *v = NULL;
  DGAM_TRY(top(p, &v));
  if (index > position(p) - p->start) return bad(p, "a memo index that no pickler uses");
  while (p->memo.n <= index) {
    if (dgam_grow(&p->memo.items, p->memo.n, &p->memo.cap, sizeof v)) return no_memory(p);
    p->memo.items[p->memo.n++] = NULL;
  }
  p->memo.items[index] = v;
  return DGAM_OK;
}

static dgam_status memo_get(dgam_pickle *p, uint64_t index) {
  if (index >= p->memo.n || !p->memo.items[index]) return bad(p, "an unknown memo index");
  return push(p, p->memo.items[index]);
}

static dgam_status push_new(dgam_pickle *p, dgam_pickle_kind kind, value **out) {
  DGAM_TRY(make(p, kind, out));
  return push(p, *out);
}

static dgam_status push_int(dgam_pickle *p, dgam_pickle_kind kind, int64_t i) {
  value *v = NULL;
  DGAM_TRY(push_new(p, kind, &v));
  v->u.i = i;
  return DGAM_OK;
}

static dgam_status push_text(dgam_pickle *p, dgam_pickle_kind kind, uint64_t n) {
  const char *s = NULL;
  value *v = NULL;
  DGAM_TRY(text(p, n, &s));
  DGAM_TRY(push_new(p, kind, &v));
  v->u.text.s = s;
  v->u.text.n = (size_t)n;
  return DGAM_OK;
}

/* Pops everything above `from` into a new sequence and pushes it. */
static dgam_status collect(dgam_pickle *p, dgam_pickle_kind kind, size_t from) {
  value *v = NULL;
  DGAM_TRY(make(p, kind, &v));
  for (size_t i = from; i < p->stack.n; i++) DGAM_TRY(append(p, v, p->stack.items[i]));
  p->stack.n = from;
  return push(p, v);
}

/* --- globals: all that may be named, and what stands for it --- */

enum {
  G_ORDERED_DICT,
  G_DEFAULT_DICT,
  G_COUNTER,
  G_SEQUENCE,
  G_TENSOR,
  G_TENSOR_V2,
  G_PARAMETER,
  G_FROM_TYPE,
  G_CLASS,
  G_STORAGE,
  G_UNSUPPORTED,
  G_INERT
};

static const struct {
  const char *name;
  int what;
  dgam_dtype dtype;
} globals[] = {
    {"collections OrderedDict", G_ORDERED_DICT, DGAM_NODTYPE},
    {"collections defaultdict", G_DEFAULT_DICT, DGAM_NODTYPE},
    {"collections Counter", G_COUNTER, DGAM_NODTYPE},
    {"torch Size", G_SEQUENCE, DGAM_NODTYPE},
    {"__builtin__ set", G_SEQUENCE, DGAM_NODTYPE},
    {"builtins set", G_SEQUENCE, DGAM_NODTYPE},
    {"__builtin__ list", G_SEQUENCE, DGAM_NODTYPE},
    {"builtins list", G_SEQUENCE, DGAM_NODTYPE},
    {"__builtin__ dict", G_ORDERED_DICT, DGAM_NODTYPE},
    {"builtins dict", G_ORDERED_DICT, DGAM_NODTYPE},
    {"torch._utils _rebuild_tensor", G_TENSOR, DGAM_NODTYPE},
    {"torch._utils _rebuild_tensor_v2", G_TENSOR_V2, DGAM_NODTYPE},
    {"torch._utils _rebuild_parameter", G_PARAMETER, DGAM_NODTYPE},
    {"torch._utils _rebuild_parameter_with_state", G_PARAMETER, DGAM_NODTYPE},
    {"torch._tensor _rebuild_from_type_v2", G_FROM_TYPE, DGAM_NODTYPE},
    {"torch Tensor", G_CLASS, DGAM_NODTYPE},
    {"torch.nn.parameter Parameter", G_CLASS, DGAM_NODTYPE},
    {"torch ByteStorage", G_STORAGE, DGAM_U8},
    {"torch CharStorage", G_STORAGE, DGAM_I8},
    {"torch ShortStorage", G_STORAGE, DGAM_I16},
    {"torch IntStorage", G_STORAGE, DGAM_I32},
    {"torch LongStorage", G_STORAGE, DGAM_I64},
    {"torch HalfStorage", G_STORAGE, DGAM_F16},
    {"torch FloatStorage", G_STORAGE, DGAM_F32},
    {"torch DoubleStorage", G_STORAGE, DGAM_F64},
    {"torch BoolStorage", G_STORAGE, DGAM_BOOL},
    {"torch BFloat16Storage", G_STORAGE, DGAM_BF16},
    {"torch ComplexFloatStorage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch ComplexDoubleStorage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch QInt8Storage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch QUInt8Storage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch QInt32Storage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch UntypedStorage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch.storage UntypedStorage", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch._utils _rebuild_tensor_v3", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch._utils _rebuild_qtensor", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch._utils _rebuild_sparse_tensor", G_UNSUPPORTED, DGAM_NODTYPE},
    {"torch device", G_INERT, DGAM_NODTYPE},
    {"numpy dtype", G_INERT, DGAM_NODTYPE},
    {"numpy ndarray", G_INERT, DGAM_NODTYPE},
    {"numpy.core.multiarray scalar", G_INERT, DGAM_NODTYPE},
    {"numpy.core.multiarray _reconstruct", G_INERT, DGAM_NODTYPE},
    {"numpy._core.multiarray scalar", G_INERT, DGAM_NODTYPE},
    {"numpy._core.multiarray _reconstruct", G_INERT, DGAM_NODTYPE},
    {"_codecs encode", G_INERT, DGAM_NODTYPE},
};
enum { NGLOBALS = sizeof globals / sizeof *globals };

static const char *const dtypes[] = {"float16", "half",  "bfloat16", "float32", "float", "float64", "double", "uint8",
                                     "int8",    "int16", "short",    "int32",   "int",   "int64",   "long",   "bool"};

static dgam_status push_global(dgam_pickle *p, const char *module, const char *name) {
  char full[512];
  size_t m = strlen(module), n = strlen(name);
  value *v = NULL;
  if (m + n + 2 > sizeof full) return bad(p, "a name longer than expected");
  memcpy(full, module, m);
  full[m] = ' ';
  memcpy(full + m + 1, name, n + 1);
  for (int i = 0; i < NGLOBALS; i++)
    if (strcmp(full, globals[i].name) == 0) {
      if (globals[i].what == G_UNSUPPORTED)
        return dgam_fail(DGAM_EUNSUPPORTED, "'%s' has a tensor made by '%s', a kind that is not supported", p->in->name,
                         full);
      DGAM_TRY(push_new(p, globals[i].what == G_INERT ? DGAM_PICKLE_OPAQUE : DGAM_PICKLE_GLOBAL, &v));
      v->u.text.s = globals[i].name;
      v->u.text.n = m + n + 1;
      v->global = i;
      return DGAM_OK;
    }
  if (strcmp(module, "torch") == 0) /* torch.float32 and friends, in optimiser options */
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
      if (strcmp(name, dtypes[i]) == 0) {
        DGAM_TRY(push_new(p, DGAM_PICKLE_STRING, &v));
        v->u.text.s = dtypes[i];
        v->u.text.n = n;
        return DGAM_OK;
      }
  if (p->skip_unknown) return push_new(p, DGAM_PICKLE_OPAQUE, &v);
  full[m] = '.';
  return dgam_fail(DGAM_EFORMAT,
                   "'%s' refused: its pickle names '%s', which is no part of a tensor; running it could do anything. "
                   "--skip-unknown (in Lua unknown = \"skip\") reads what is beside it and runs nothing",
                   p->in->name, full);
}

static int is_sequence(const value *v) {
  return v->kind == DGAM_PICKLE_TUPLE || v->kind == DGAM_PICKLE_LIST;
}

/* Item i of an argument tuple if it has the kind asked for, else NULL. */
static value *argument(const value *args, size_t i, dgam_pickle_kind kind) {
  if (!is_sequence(args) || i >= args->u.seq.n) return NULL;
  value *v = args->u.seq.items[i];
  return v->kind == kind ? v : NULL;
}

/* _rebuild_tensor(storage, offset, size, stride, ...) */
static dgam_status build_tensor(dgam_pickle *p, const value *args, value **out) {
  const value *storage = argument(args, 0, DGAM_PICKLE_STORAGE), *offset = argument(args, 1, DGAM_PICKLE_INT);
  if (!storage || !offset || args->u.seq.n < 4 || !is_sequence(args->u.seq.items[2]) ||
      !is_sequence(args->u.seq.items[3]))
    return bad(p, "a tensor without storage, offset, size and stride");
  const value *size = args->u.seq.items[2], *stride = args->u.seq.items[3];
  size_t ndim = size->u.seq.n;
  if (stride->u.seq.n != ndim) return bad(p, "a tensor with as many sizes as strides expected");
  if (ndim > DGAM_MAXDIM)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s' has a tensor of %zu dimensions, at most %d are supported", p->in->name,
                     ndim, DGAM_MAXDIM);
  dgam_pickle_tensor *t = take(p, sizeof *t);
  if (!t) return no_memory(p);
  const dgam_pickle_storage *s = storage->u.storage;
  *t = (dgam_pickle_tensor){.storage = s, .ndim = (int)ndim};
  uint64_t last = 0; /* the highest element it touches, from its offset */
  int outside = offset->u.i < 0;
  for (size_t d = 0; d < ndim; d++) {
    const value *n = argument(size, d, DGAM_PICKLE_INT), *step = argument(stride, d, DGAM_PICKLE_INT);
    if (!n || !step || n->u.i < 0 || step->u.i < 0) return bad(p, "a tensor with a negative size or stride");
    t->shape[d] = (size_t)n->u.i;
    t->stride[d] = (uint64_t)step->u.i;
    uint64_t reach;
    if (n->u.i > 0)
      outside |= __builtin_mul_overflow((uint64_t)n->u.i - 1, t->stride[d], &reach) ||
                 __builtin_add_overflow(last, reach, &last);
  }
  if (dgam_shape_overflow(t->ndim, t->shape, s->dtype, &t->count, NULL)) outside = 1;
  if (!outside && t->count) {
    uint64_t begin = (uint64_t)offset->u.i, end;
    outside = __builtin_add_overflow(begin, last, &end) || end >= s->view_numel;
    t->offset = s->view_offset + begin;
  }
  if (outside || t->count > s->numel + EXPANDED_MAX) {
    char shape[128];
    return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: a tensor of shape %s at element %lld of a storage of %llu",
                     p->in->name, dgam_shape_text(t->ndim, t->shape, shape, sizeof shape), (long long)offset->u.i,
                     (unsigned long long)s->view_numel);
  }
  DGAM_TRY(make(p, DGAM_PICKLE_TENSOR, out));
  (*out)->u.tensor = t;
  return DGAM_OK;
}

/* A dictionary out of a list of pairs. */
static dgam_status build_dict(dgam_pickle *p, const value *args, value **out) {
  DGAM_TRY(make(p, DGAM_PICKLE_DICT, out));
  const value *pairs = args->u.seq.n ? args->u.seq.items[args->u.seq.n - 1] : NULL;
  if (!pairs) return DGAM_OK;
  if (pairs->kind == DGAM_PICKLE_DICT) {
    for (size_t i = 0; i < pairs->u.seq.n; i++) DGAM_TRY(append(p, *out, pairs->u.seq.items[i]));
    return DGAM_OK;
  }
  if (!is_sequence(pairs)) return bad(p, "a dictionary made of something else than pairs");
  for (size_t i = 0; i < pairs->u.seq.n; i++) {
    const value *pair = pairs->u.seq.items[i];
    if (!is_sequence(pair) || pair->u.seq.n != 2) return bad(p, "a dictionary made of something else than pairs");
    DGAM_TRY(append(p, *out, pair->u.seq.items[0]));
    DGAM_TRY(append(p, *out, pair->u.seq.items[1]));
  }
  return DGAM_OK;
}

/* What a call would give. */
static dgam_status reduce(dgam_pickle *p, const value *callee, const value *args, value **out) {
  if (callee->kind == DGAM_PICKLE_OPAQUE) {
    DGAM_TRY(make(p, DGAM_PICKLE_OPAQUE, out));
    (*out)->global = 1;
    return DGAM_OK;
  }
  if (callee->kind != DGAM_PICKLE_GLOBAL) return bad(p, "a call of something that is no function");
  if (args->kind != DGAM_PICKLE_TUPLE) return bad(p, "a call without arguments");
  const value *first = args->u.seq.n ? args->u.seq.items[0] : NULL;
  switch (globals[callee->global].what) {
    case G_ORDERED_DICT:
    case G_COUNTER:
      return build_dict(p, args, out);
    case G_DEFAULT_DICT:
      return make(p, DGAM_PICKLE_DICT, out);
    case G_SEQUENCE:
      DGAM_TRY(make(p, DGAM_PICKLE_LIST, out));
      if (first && !is_sequence(first)) return bad(p, "a list made of something else than a list");
      for (size_t i = 0; first && i < first->u.seq.n; i++) DGAM_TRY(append(p, *out, first->u.seq.items[i]));
      return DGAM_OK;
    case G_TENSOR:
    case G_TENSOR_V2:
      return build_tensor(p, args, out);
    case G_PARAMETER:
      if (!first || first->kind != DGAM_PICKLE_TENSOR) return bad(p, "a parameter without a tensor");
      *out = args->u.seq.items[0];
      return DGAM_OK;
    case G_FROM_TYPE: { /* (function, class, its arguments, attributes) */
      const value *inner = argument(args, 2, DGAM_PICKLE_TUPLE);
      if (!first || first->kind != DGAM_PICKLE_GLOBAL || !inner || globals[first->global].what == G_FROM_TYPE)
        return bad(p, "a tensor without a function that makes it");
      return reduce(p, first, inner, out);
    }
    default:
      return bad(p, "a call of something that is no function");
  }
}

/* The storage of ("storage", type, key, location, numel[, view]). */
static dgam_status make_storage(dgam_pickle *p, const value *id, dgam_pickle_storage **out) {
  const value *type = argument(id, 1, DGAM_PICKLE_GLOBAL), *key = argument(id, 2, DGAM_PICKLE_STRING);
  const value *numel = argument(id, 4, DGAM_PICKLE_INT);
  if (!type || !key || !numel || numel->u.i < 0 || globals[type->global].what != G_STORAGE)
    return bad(p, "a storage without type, key and size");
  dgam_pickle_storage *s = take(p, sizeof *s);
  if (!s) return no_memory(p);
  uint64_t n = (uint64_t)numel->u.i;
  *s = (dgam_pickle_storage){.dtype = globals[type->global].dtype, .key = key->u.text.s, .numel = n, .view_numel = n};
  const value *view = argument(id, 5, DGAM_PICKLE_TUPLE); /* (key, offset, size), files of PyTorch 0.x */
  if (view) {
    const value *offset = argument(view, 1, DGAM_PICKLE_INT), *size = argument(view, 2, DGAM_PICKLE_INT);
    if (!offset || !size || offset->u.i < 0 || size->u.i < 0 || offset->u.i > numel->u.i ||
        size->u.i > numel->u.i - offset->u.i)
      return bad(p, "a view outside its storage");
    s->view_offset = (uint64_t)offset->u.i;
    s->view_numel = (uint64_t)size->u.i;
  }
  *out = s;
  return DGAM_OK;
}

/* What a persistent id stands for: a storage, or, in the legacy format, ("module", class, file, source) for the class of
 * an object, to warn of a source that changed since. There are no others. */
static dgam_status persistent(dgam_pickle *p) {
  value *id = NULL, *v = NULL;
  DGAM_TRY(pop(p, &id));
  const value *word = argument(id, 0, DGAM_PICKLE_STRING);
  if (word && strcmp(word->u.text.s, "module") == 0 && id->u.seq.n > 1) return push(p, id->u.seq.items[1]);
  if (!word || strcmp(word->u.text.s, "storage") != 0) return bad(p, "a persistent id that is no storage");
  dgam_pickle_storage *s = NULL;
  DGAM_TRY(make_storage(p, id, &s));
  if (dgam_grow(&p->storages, p->nstorages, &p->storages_cap, sizeof *p->storages)) return no_memory(p);
  p->storages[p->nstorages++] = s;
  DGAM_TRY(push_new(p, DGAM_PICKLE_STORAGE, &v));
  v->u.storage = s;
  return DGAM_OK;
}

/* --- the machine --- */

/* Moves the values above `from` into the container below them. step 2: keys and values. */
static dgam_status add_items(dgam_pickle *p, size_t from, size_t step, const char *what) {
  size_t to = p->stack.n;
  p->stack.n = from;
  value *container = NULL;
  DGAM_TRY(top(p, &container));
  dgam_pickle_kind kind = step == 2 ? DGAM_PICKLE_DICT : DGAM_PICKLE_LIST;
  if (container->kind == DGAM_PICKLE_OPAQUE && container->global) { /* an instance of a subclass of dict or list */
    DGAM_TRY(register_container(p, container));
    container->kind = kind;
  }
  if (container->kind == DGAM_PICKLE_OPAQUE) return DGAM_OK;
  int fits = container->kind == kind;
  if (!fits || (to - from) % step) return bad(p, what);
  for (size_t i = from; i < to; i++) DGAM_TRY(append(p, container, p->stack.items[i]));
  return DGAM_OK;
}

static dgam_status call(dgam_pickle *p) {
  value *args = NULL, *callee = NULL, *v = NULL;
  DGAM_TRY(pop(p, &args));
  DGAM_TRY(pop(p, &callee));
  DGAM_TRY(reduce(p, callee, args, &v));
  return push(p, v);
}

static dgam_status push_long(dgam_pickle *p, uint64_t n) {
  DGAM_TRY(push_text(p, DGAM_PICKLE_LONG, n));
  value *v = p->stack.items[p->stack.n - 1];
  if (n > 8) return DGAM_OK;
  const unsigned char *b = (const unsigned char *)v->u.text.s;
  uint64_t u = n && b[n - 1] & 0x80 ? ~UINT64_C(0) : 0; /* the sign goes on to the left */
  for (size_t i = (size_t)n; i-- > 0;) u = u << 8 | b[i];
  v->kind = DGAM_PICKLE_INT;
  v->u.i = (int64_t)u;
  return DGAM_OK;
}

static dgam_status binfloat(dgam_pickle *p) {
  unsigned char b[8];
  uint64_t u = 0;
  value *v = NULL;
  DGAM_TRY(bytes(p, b, 8));
  for (int i = 0; i < 8; i++) u = u << 8 | b[i];
  DGAM_TRY(push_new(p, DGAM_PICKLE_FLOAT, &v));
  memcpy(&v->u.f, &u, 8);
  return DGAM_OK;
}

static dgam_status step(dgam_pickle *p, unsigned char op, int *done) {
  uint64_t n = 0;
  size_t from = 0;
  value *v = NULL, *w = NULL;
  char module[256], name[256];
  switch (op) {
    case 0x80:
      return number(p, 1, &n); /* PROTO */
    case 0x95:
      return number(p, 8, &n); /* FRAME */
    case '.':
      *done = 1;
      return DGAM_OK;
    case '(':
      if (dgam_grow(&p->marks, p->nmarks, &p->marks_cap, sizeof *p->marks)) return no_memory(p);
      p->marks[p->nmarks++] = p->stack.n;
      return DGAM_OK;
    case '0':
      return pop(p, &v);
    case '1':
      DGAM_TRY(unmark(p, &from));
      p->stack.n = from;
      return DGAM_OK;
    case '2':
      DGAM_TRY(top(p, &v));
      return push(p, v);
    case 'N':
      return push_new(p, DGAM_PICKLE_NONE, &v);
    case 0x88:
      return push_int(p, DGAM_PICKLE_BOOL, 1);
    case 0x89:
      return push_int(p, DGAM_PICKLE_BOOL, 0);
    case 'K':
      DGAM_TRY(number(p, 1, &n));
      return push_int(p, DGAM_PICKLE_INT, (int64_t)n);
    case 'M':
      DGAM_TRY(number(p, 2, &n));
      return push_int(p, DGAM_PICKLE_INT, (int64_t)n);
    case 'J':
      DGAM_TRY(number(p, 4, &n));
      return push_int(p, DGAM_PICKLE_INT, (int32_t)(uint32_t)n);
    case 0x8a:
      DGAM_TRY(number(p, 1, &n));
      return push_long(p, n);
    case 0x8b:
      DGAM_TRY(number(p, 4, &n));
      return push_long(p, n);
    case 'G':
      return binfloat(p);
    case 'U': /* SHORT_BINSTRING */
    case 0x8c:
      DGAM_TRY(number(p, 1, &n));
      return push_text(p, DGAM_PICKLE_STRING, n);
    case 'T': /* BINSTRING */
    case 'X':
      DGAM_TRY(number(p, 4, &n));
      return push_text(p, DGAM_PICKLE_STRING, n);
    case 0x8d:
      DGAM_TRY(number(p, 8, &n));
      return push_text(p, DGAM_PICKLE_STRING, n);
    case 'C':
      DGAM_TRY(number(p, 1, &n));
      return push_text(p, DGAM_PICKLE_BYTES, n);
    case 'B':
      DGAM_TRY(number(p, 4, &n));
      return push_text(p, DGAM_PICKLE_BYTES, n);
    case 0x8e: /* BINBYTES8 */
    case 0x96:
      DGAM_TRY(number(p, 8, &n));
      return push_text(p, DGAM_PICKLE_BYTES, n);
    case ']': /* EMPTY_LIST */
    case 0x8f:
      return push_new(p, DGAM_PICKLE_LIST, &v);
    case ')':
      return push_new(p, DGAM_PICKLE_TUPLE, &v);
    case '}':
      return push_new(p, DGAM_PICKLE_DICT, &v);
    case 'l': /* LIST */
    case 0x91:
      DGAM_TRY(unmark(p, &from));
      return collect(p, DGAM_PICKLE_LIST, from);
    case 't':
      DGAM_TRY(unmark(p, &from));
      return collect(p, DGAM_PICKLE_TUPLE, from);
    case 'd':
      DGAM_TRY(unmark(p, &from));
      if ((p->stack.n - from) % 2) return bad(p, "a key without a value");
      return collect(p, DGAM_PICKLE_DICT, from);
    case 0x85:
    case 0x86:
    case 0x87: /* TUPLE1 .. TUPLE3 */
      n = (uint64_t)op - 0x84;
      if (p->stack.n - floor_of_stack(p) < n) return bad(p, "too few values");
      return collect(p, DGAM_PICKLE_TUPLE, p->stack.n - (size_t)n);
    case 'a':
      if (p->stack.n < floor_of_stack(p) + 2) return bad(p, "too few values");
      return add_items(p, p->stack.n - 1, 1, "items added to something that is no list");
    case 'e': /* APPENDS */
    case 0x90:
      DGAM_TRY(unmark(p, &from));
      return add_items(p, from, 1, "items added to something that is no list");
    case 's':
      if (p->stack.n < floor_of_stack(p) + 3) return bad(p, "too few values");
      return add_items(p, p->stack.n - 2, 2, "items set in something that is no dictionary");
    case 'u':
      DGAM_TRY(unmark(p, &from));
      return add_items(p, from, 2, "items set in something that is no dictionary");
    case 'q':
      DGAM_TRY(number(p, 1, &n));
      return memo_put(p, n);
    case 'r':
      DGAM_TRY(number(p, 4, &n));
      return memo_put(p, n);
    case 0x94:
      return memo_put(p, p->memo.n);
    case 'h':
      DGAM_TRY(number(p, 1, &n));
      return memo_get(p, n);
    case 'j':
      DGAM_TRY(number(p, 4, &n));
      return memo_get(p, n);
    case 'c':
      DGAM_TRY(line(p, module, sizeof module));
      DGAM_TRY(line(p, name, sizeof name));
      return push_global(p, module, name);
    case 0x93: /* STACK_GLOBAL */
      DGAM_TRY(pop(p, &w));
      DGAM_TRY(pop(p, &v));
      if (v->kind != DGAM_PICKLE_STRING || w->kind != DGAM_PICKLE_STRING) return bad(p, "a global without a name");
      return push_global(p, v->u.text.s, w->u.text.s);
    case 'R': /* REDUCE */
    case 0x81:
      return call(p);
    case 0x92: /* NEWOBJ_EX: keyword arguments are not used by anything we know */
      DGAM_TRY(pop(p, &v));
      return call(p);
    case 'b': /* BUILD: attributes of an object, such as a state dict's _metadata; nothing of ours has any */
      DGAM_TRY(pop(p, &v));
      return top(p, &v);
    case 'Q':
      return persistent(p);
    default: {
      char what[64] = "an unknown operation 0x";
      size_t at = strlen(what);
      what[at] = "0123456789abcdef"[op >> 4];
      what[at + 1] = "0123456789abcdef"[op & 15];
      return bad(p, what);
    }
  }
}

dgam_status dgam_pickle_read(const dgam_input *in, uint64_t *at, uint64_t end, int skip_unknown, dgam_pickle **out,
                             const dgam_pickle_value **root) {
  dgam_pickle *p = calloc(1, sizeof *p);
  if (!p) return dgam_fail(DGAM_ENOMEM, "no memory for the pickle of '%s'", in->name);
  p->in = in, p->start = p->pos = *at, p->end = end < in->size ? end : in->size, p->skip_unknown = skip_unknown;
  dgam_status s = p->start <= p->end ? DGAM_OK : bad(p, "the data ends");
  int done = 0;
  for (unsigned steps = 0; s == DGAM_OK && !done; steps++) {
    unsigned char op = 0;
    if ((steps & 0xffff) == 0xffff && dgam_interrupted()) s = dgam_fail_interrupted();
    if (s == DGAM_OK) s = bytes(p, &op, 1);
    if (s == DGAM_OK) s = step(p, op, &done);
  }
  value *v = NULL;
  if (s == DGAM_OK) s = p->nmarks ? bad(p, "an open mark at the end") : pop(p, &v);
  if (s != DGAM_OK) {
    dgam_pickle_free(p);
    return s;
  }
  *at = position(p);
  *root = v;
  *out = p;
  return DGAM_OK;
}

void dgam_pickle_free(dgam_pickle *p) {
  if (!p) return;
  for (size_t i = 0; i < p->narrays; i++) free(p->arrays[i]->u.seq.items);
  for (block *b = p->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(p->arrays);
  free(p->storages);
  free(p->stack.items);
  free(p->memo.items);
  free(p->marks);
  free(p);
}

size_t dgam_pickle_items(const dgam_pickle *p) {
  return p->nitems;
}

const dgam_pickle_storage *const *dgam_pickle_storages(const dgam_pickle *p, size_t *n) {
  *n = p->nstorages;
  return p->storages;
}

const dgam_pickle_value *dgam_pickle_get(const dgam_pickle_value *v, const char *key) {
  if (!v || v->kind != DGAM_PICKLE_DICT) return NULL;
  for (size_t i = v->u.seq.n; i >= 2; i -= 2) { /* the last one counts */
    const value *k = v->u.seq.items[i - 2];
    if (k->kind == DGAM_PICKLE_STRING && strcmp(k->u.text.s, key) == 0) return v->u.seq.items[i - 1];
  }
  return NULL;
}
