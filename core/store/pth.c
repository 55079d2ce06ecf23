/* pth.c - see pth.h */
#include "store/pth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/grow.h"
#include "store/zip.h"

enum {
  MAX_DEPTH = 64,
  MAX_STEPS = 1 << 18,      /* of the walk through the containers, and SHARED_STEPS for every item in one: */
  SHARED_STEPS = 4,         /* containers may be in several others */
  MAX_TENSORS = 1 << 18,    /* a real checkpoint has some thousand */
  MAX_PATH = 1024,
  SHARED_MAX = 64,          /* tensors that may look into the same bytes: layers with common weights */
  EXPANDED_BYTES = 64 << 20 /* beyond that, for tensors of stride 0 */
};

/* A storage of a legacy file: where its elements are. */
typedef struct legacy_storage {
  const char *key; /* belongs to the pickle */
  dgam_dtype dtype;
  uint64_t offset, numel;
} legacy_storage;

typedef struct entry {
  dgam_tensor_info info;
  const dgam_pickle_tensor *tensor;
} entry;

struct dgam_pth {
  dgam_input in;
  dgam_zip zip;
  char *prefix; /* of the zip's entries: "archive/"; NULL: legacy format */
  legacy_storage *storages;
  size_t nstorages;
  dgam_pickle *pickle;
  const dgam_pickle_value *root;
  entry *entries;
  size_t count, cap;
  int flags;
  uint64_t bytes; /* of all entries */
};

/* --- the list of tensors --- */

/* Where the walk through the containers is. */
typedef struct place {
  char name[MAX_PATH]; /* "state_dict/a", and as Python would write it: "['state_dict']['a']" */
  char python[2 * MAX_PATH];
  size_t n, m;         /* their lengths */
  const char *fault;   /* why a tensor here has no name; NULL: it has one */
  uint64_t steps;      /* so far */
  const char *wanted;  /* NULL: tensors are added to the list. Else `found` gets the places of the two first of this name */
  char found[2][2 * MAX_PATH];
  int nfound;
} place;

static dgam_status add_entry(dgam_pth *p, const char *name, const dgam_pickle_tensor *t) {
  uint64_t most = p->in.size * SHARED_MAX + EXPANDED_BYTES; /* so that a small file cannot ask for all memory */
  if (__builtin_add_overflow(p->bytes, t->count * dgam_dtype_size(t->storage->dtype), &p->bytes) || p->bytes > most)
    return dgam_fail(DGAM_EFORMAT, "'%s' has tensors of more than %llu bytes together, the limit for a file of %llu",
                     p->in.name, (unsigned long long)most, (unsigned long long)p->in.size);
  if (p->count == MAX_TENSORS)
    return dgam_fail(DGAM_EFORMAT, "'%s' has more than %d tensors", p->in.name, MAX_TENSORS);
  if (dgam_grow(&p->entries, p->count, &p->cap, sizeof *p->entries))
    return dgam_fail(DGAM_ENOMEM, "no memory for the tensors of '%s'", p->in.name);
  char *copy = strdup(*name ? name : "tensor");
  if (!copy) return dgam_fail(DGAM_ENOMEM, "no memory for the tensors of '%s'", p->in.name);
  entry *e = &p->entries[p->count++];
  *e = (entry){.info = {.name = copy, .dtype = t->storage->dtype, .ndim = t->ndim, .count = t->count}, .tensor = t};
  memcpy(e->info.shape, t->shape, sizeof t->shape);
  return DGAM_OK;
}

/* A tensor at this place: into the list, or, for a message, its place noted. */
static dgam_status visit_tensor(dgam_pth *p, place *at, const dgam_pickle_tensor *t) {
  if (at->wanted) {
    if (at->nfound < 2 && !at->fault && strcmp(at->name, at->wanted) == 0)
      memcpy(at->found[at->nfound++], at->python, at->m + 1);
    return DGAM_OK;
  }
  if (!at->fault) return add_entry(p, at->name, t);
  if (p->flags & DGAM_PTH_SKIP_UNKNOWN) return DGAM_OK;
  return dgam_fail(DGAM_EUNSUPPORTED,
                   "'%s' has a tensor at %.256s..., whose name %s; --skip-unknown (in Lua unknown = \"skip\") leaves it out",
                   p->in.name, at->m ? at->python : "its root", at->fault);
}

/* Goes on to the item with this key, or, without one, to item i of a list. */
static void enter(place *at, const dgam_pickle_value *key, size_t i) {
  char text[MAX_PATH];
  const char *name = text;
  int is_text = key && key->kind == DGAM_PICKLE_STRING;
  if (at->fault) return;
  if (is_text)
    name = key->u.text.s;
  else if (key && key->kind != DGAM_PICKLE_INT)
    at->fault = "has a part that is neither text nor a whole number";
  else if (key)
    snprintf(text, sizeof text, "%lld", (long long)key->u.i);
  else
    snprintf(text, sizeof text, "%zu", i);
  if (is_text && strlen(name) != key->u.text.n) at->fault = "has a zero byte in it";
  if (at->fault) return;
  size_t n = strlen(name);
  if (n + 1 >= MAX_PATH - at->n) {
    at->fault = "is too long";
    return;
  }
  at->n += (size_t)snprintf(at->name + at->n, MAX_PATH - at->n, "%s%s", at->n ? "/" : "", name);
  int used = snprintf(at->python + at->m, sizeof at->python - at->m, is_text ? "['%s']" : "[%s]", name);
  at->m += (size_t)used < sizeof at->python - at->m ? (size_t)used : sizeof at->python - at->m - 1;
}

static dgam_status walk(dgam_pth *p, const dgam_pickle_value *v, place *at, int depth) {
  if (v->kind == DGAM_PICKLE_TENSOR) return visit_tensor(p, at, v->u.tensor);
  if (v->kind != DGAM_PICKLE_DICT && v->kind != DGAM_PICKLE_LIST && v->kind != DGAM_PICKLE_TUPLE) return DGAM_OK;
  if (depth == MAX_DEPTH)
    return dgam_fail(DGAM_EFORMAT, "'%s' is nested more than %d levels deep", p->in.name, MAX_DEPTH);
  size_t each = v->kind == DGAM_PICKLE_DICT ? 2 : 1, n = at->n, m = at->m;
  const char *fault = at->fault;
  for (size_t i = 0; i + each <= v->u.seq.n; i += each) {
    if (++at->steps > MAX_STEPS + SHARED_STEPS * (uint64_t)dgam_pickle_items(p->pickle))
      return dgam_fail(DGAM_EFORMAT, "'%s' has containers in containers without end", p->in.name);
    if (at->steps % (1 << 20) == 0 && dgam_interrupted()) return dgam_fail_interrupted();
    const dgam_pickle_value *item = v->u.seq.items[i + each - 1];
    if (item->kind != DGAM_PICKLE_TENSOR && item->kind != DGAM_PICKLE_DICT && item->kind != DGAM_PICKLE_LIST &&
        item->kind != DGAM_PICKLE_TUPLE)
      continue; /* nothing that could hold a tensor: numbers, most of the time */
    enter(at, each == 2 ? v->u.seq.items[i] : NULL, i);
    DGAM_TRY(walk(p, item, at, depth + 1));
    at->name[at->n = n] = 0;
    at->python[at->m = m] = 0;
    at->fault = fault;
  }
  return DGAM_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two places can have one name: ['a/b'] and ['a']['b'], or [1] and ['1']. */
static dgam_status check_names(dgam_pth *p, place *at) {
  const char **names = malloc((p->count + 1) * sizeof *names);
  if (!names) return dgam_fail(DGAM_ENOMEM, "no memory for the tensors of '%s'", p->in.name);
  for (size_t i = 0; i < p->count; i++) names[i] = p->entries[i].info.name;
  qsort(names, p->count, sizeof *names, by_name);
  const char *twice = NULL;
  for (size_t i = 1; i < p->count && !twice; i++)
    if (strcmp(names[i - 1], names[i]) == 0) twice = names[i];
  free(names);
  if (!twice) return DGAM_OK;
  *at = (place){.wanted = twice};
  DGAM_TRY(walk(p, p->root, at, 0));
  return dgam_fail(DGAM_EFORMAT, "'%s' has two tensors called '%.128s': %.256s and %.256s; expected different names",
                   p->in.name, twice, at->found[0], at->found[1]);
}

static dgam_status list_tensors(dgam_pth *p) {
  place *at = calloc(1, sizeof *at);
  if (!at) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", p->in.name);
  dgam_status s = walk(p, p->root, at, 0);
  if (s == DGAM_OK) s = check_names(p, at);
  free(at);
  return s;
}

/* --- where a storage is --- */

static int by_key(const void *a, const void *b) {
  return strcmp(((const legacy_storage *)a)->key, ((const legacy_storage *)b)->key);
}

/* p->storages: one for each key in the pickle, sorted, with its element type; where it is comes later. */
static dgam_status list_storages(dgam_pth *p) {
  size_t n;
  const dgam_pickle_storage *const *all = dgam_pickle_storages(p->pickle, &n);
  p->storages = calloc(n + 1, sizeof *p->storages);
  if (!p->storages) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", p->in.name);
  for (size_t i = 0; i < n; i++) p->storages[i] = (legacy_storage){.key = all[i]->key, .dtype = all[i]->dtype};
  qsort(p->storages, n, sizeof *p->storages, by_key);
  for (size_t i = 0; i < n; i++)
    if (!p->nstorages || strcmp(p->storages[p->nstorages - 1].key, p->storages[i].key) != 0)
      p->storages[p->nstorages++] = p->storages[i];
  return DGAM_OK;
}

static legacy_storage *legacy_find(const dgam_pth *p, const char *key) {
  legacy_storage wanted = {.key = key};
  return bsearch(&wanted, p->storages, p->nstorages, sizeof wanted, by_key);
}

static dgam_status find_storage(const dgam_pth *p, const dgam_pickle_storage *s, uint64_t *offset) {
  if (!p->prefix) {
    const legacy_storage *found = legacy_find(p, s->key);
    if (!found || found->numel < s->numel || found->dtype != s->dtype)
      return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: storage '%.64s' is missing or not as its tensors say",
                       p->in.name, s->key);
    *offset = found->offset;
    return DGAM_OK;
  }
  char name[MAX_PATH];
  uint64_t bytes;
  int n = snprintf(name, sizeof name, "%sdata/%s", p->prefix, s->key);
  const dgam_zip_entry *e = n < (int)sizeof name ? dgam_zip_find(&p->zip, name) : NULL;
  if (!e) return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: storage '%.64s' is missing", p->in.name, s->key);
  if (e->method != 0)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s' is compressed, which torch.save never does; unpack and store it again",
                     p->in.name);
  if (__builtin_mul_overflow(s->numel, dgam_dtype_size(s->dtype), &bytes) || e->size < bytes)
    return dgam_fail(DGAM_EFORMAT, "'%s' is damaged: storage '%.64s' has %llu bytes, %llu elements of %s expected",
                     p->in.name, s->key, (unsigned long long)e->size, (unsigned long long)s->numel,
                     dgam_dtype_name(s->dtype));
  *offset = e->offset;
  return DGAM_OK;
}

/* Every tensor's storage must be there: a file that opens is a file that can be read. */
static dgam_status check_storages(const dgam_pth *p) {
  uint64_t offset;
  for (size_t i = 0; i < p->count; i++)
    if (p->entries[i].info.count) DGAM_TRY(find_storage(p, p->entries[i].tensor->storage, &offset));
  return DGAM_OK;
}

/* --- formats --- */

static dgam_status open_zip(dgam_pth *p) {
  DGAM_TRY(dgam_zip_open(&p->in, &p->zip));
  const dgam_zip_entry *pickle = NULL;
  for (size_t i = 0; i < p->zip.count && !pickle; i++) {
    const char *name = p->zip.entries[i].name, *slash = strchr(name, '/');
    if (slash && strcmp(slash, "/data.pkl") == 0) pickle = &p->zip.entries[i];
  }
  if (!pickle)
    return dgam_fail(DGAM_EFORMAT, "'%s' is a zip archive but no checkpoint: it has no data.pkl", p->in.name);
  p->prefix = strndup(pickle->name, strlen(pickle->name) - strlen("data.pkl"));
  if (!p->prefix) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", p->in.name);
  if (pickle->method != 0)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s' is compressed, which torch.save never does; unpack and store it again",
                     p->in.name);
  char name[MAX_PATH], order[8] = "";
  snprintf(name, sizeof name, "%sbyteorder", p->prefix);
  const dgam_zip_entry *byteorder = dgam_zip_find(&p->zip, name);
  if (byteorder && byteorder->method == 0 && byteorder->size < sizeof order)
    DGAM_TRY(dgam_input_read(&p->in, byteorder->offset, order, (size_t)byteorder->size));
  if (strcmp(order, "big") == 0)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s' was written on a big-endian machine", p->in.name);
  uint64_t at = pickle->offset;
  return dgam_pickle_read(&p->in, &at, pickle->offset + pickle->size, p->flags & DGAM_PTH_SKIP_UNKNOWN, &p->pickle,
                          &p->root);
}

/* After the object: the list of storage keys, then for each its number of elements (8 bytes) and the elements. */
static dgam_status read_legacy_storages(dgam_pth *p, uint64_t at) {
  dgam_pickle *pickle;
  const dgam_pickle_value *keys;
  DGAM_TRY(dgam_pickle_read(&p->in, &at, p->in.size, 0, &pickle, &keys));
  dgam_status s = DGAM_OK;
  if (keys->kind != DGAM_PICKLE_LIST) s = dgam_fail(DGAM_EFORMAT, "'%s' is damaged: no list of storages", p->in.name);
  size_t n = s == DGAM_OK ? keys->u.seq.n : 0;
  for (size_t i = 0; i < n && s == DGAM_OK; i++) {
    const dgam_pickle_value *key = keys->u.seq.items[i];
    legacy_storage *storage = key->kind == DGAM_PICKLE_STRING ? legacy_find(p, key->u.text.s) : NULL;
    if (!storage) { /* its element size is not known, nor where the next one begins */
      s = dgam_fail(DGAM_EFORMAT, "'%s' is damaged: storage %zu of %zu is not in its pickle", p->in.name, i + 1, n);
      break;
    }
    unsigned char b[8];
    uint64_t numel = 0, bytes = 0;
    s = dgam_input_read(&p->in, at, b, 8);
    if (s != DGAM_OK) break;
    for (int k = 8; k-- > 0;) numel = numel << 8 | b[k];
    at += 8;
    if (__builtin_mul_overflow(numel, dgam_dtype_size(storage->dtype), &bytes) || bytes > p->in.size - at) {
      s = dgam_fail(DGAM_EFORMAT,
                    "'%s' is damaged or cut off: storage '%.64s' has %llu elements of %s, %llu bytes are left",
                    p->in.name, storage->key, (unsigned long long)numel, dgam_dtype_name(storage->dtype),
                    (unsigned long long)(p->in.size - at));
      break;
    }
    storage->offset = at, storage->numel = numel;
    at += bytes;
  }
  dgam_pickle_free(pickle);
  return s;
}

/* Three pickles (magic number, version, what the machine was), then the object, then the storages. */
static dgam_status open_legacy(dgam_pth *p, uint64_t *at) {
  static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  dgam_pickle *head;
  const dgam_pickle_value *v;
  *at = 0;
  DGAM_TRY(dgam_pickle_read(&p->in, at, p->in.size, 0, &head, &v));
  int is_magic =
      v->kind == DGAM_PICKLE_LONG && v->u.text.n == sizeof magic && memcmp(v->u.text.s, magic, sizeof magic) == 0;
  dgam_pickle_free(head);
  if (!is_magic)
    return dgam_fail(DGAM_EFORMAT, "'%s' is a pickle but no checkpoint of torch.save: the magic number is missing",
                     p->in.name);
  DGAM_TRY(dgam_pickle_read(&p->in, at, p->in.size, 0, &head, &v));
  int version = v->kind == DGAM_PICKLE_INT ? (int)v->u.i : -1;
  dgam_pickle_free(head);
  if (version != 1001)
    return dgam_fail(DGAM_EUNSUPPORTED, "'%s' has protocol version %d, 1001 expected", p->in.name, version);
  DGAM_TRY(dgam_pickle_read(&p->in, at, p->in.size, 0, &head, &v));
  const dgam_pickle_value *little = dgam_pickle_get(v, "little_endian");
  int big = little && little->kind == DGAM_PICKLE_BOOL && !little->u.i;
  dgam_pickle_free(head);
  if (big) return dgam_fail(DGAM_EUNSUPPORTED, "'%s' was written on a big-endian machine", p->in.name);
  return dgam_pickle_read(&p->in, at, p->in.size, p->flags & DGAM_PTH_SKIP_UNKNOWN, &p->pickle, &p->root);
}

static dgam_status open_any(dgam_pth *p) {
  unsigned char head[4] = {0};
  uint64_t at = 0;
  if (p->in.size == 0) return dgam_fail(DGAM_EFORMAT, "'%s' is empty, a checkpoint of torch.save expected", p->in.name);
  DGAM_TRY(dgam_input_read(&p->in, 0, head, p->in.size < 4 ? (size_t)p->in.size : 4));
  int is_zip = memcmp(head, "PK\3\4", 4) == 0;
  if (!is_zip && head[0] != 0x80)
    return dgam_fail(DGAM_EFORMAT, "'%s' is no checkpoint of torch.save: it begins with bytes %02x %02x %02x %02x",
                     p->in.name, head[0], head[1], head[2], head[3]);
  DGAM_TRY(is_zip ? open_zip(p) : open_legacy(p, &at));
  DGAM_TRY(list_tensors(p));
  if (!is_zip) {
    DGAM_TRY(list_storages(p));
    DGAM_TRY(read_legacy_storages(p, at));
  }
  return check_storages(p);
}

static dgam_status finish_open(dgam_pth *p, dgam_status s, int flags, dgam_pth **out) {
  p->flags = flags;
  if (s == DGAM_OK) s = open_any(p);
  if (s == DGAM_OK)
    *out = p;
  else
    dgam_pth_close(p);
  return s;
}

dgam_status dgam_pth_open(const char *path, int flags, dgam_pth **out) {
  dgam_pth *p = calloc(1, sizeof *p);
  if (!p) return dgam_fail(DGAM_ENOMEM, "no memory to open '%s'", path);
  return finish_open(p, dgam_input_open(&p->in, path), flags, out);
}

dgam_status dgam_pth_open_memory(const void *data, size_t size, int flags, dgam_pth **out) {
  dgam_pth *p = calloc(1, sizeof *p);
  if (!p) return dgam_fail(DGAM_ENOMEM, "no memory to open a checkpoint");
  return finish_open(p, dgam_input_memory(&p->in, data, size, "memory"), flags, out);
}

size_t dgam_pth_count(const dgam_pth *p) {
  return p->count;
}
const dgam_tensor_info *dgam_pth_info(const dgam_pth *p, size_t i) {
  return &p->entries[i].info;
}
const dgam_pickle_value *dgam_pth_root(const dgam_pth *p) {
  return p->root;
}
size_t dgam_pth_items(const dgam_pth *p) {
  return dgam_pickle_items(p->pickle);
}

/* --- reading --- */

static int is_contiguous(const dgam_pickle_tensor *t) {
  uint64_t expect = 1;
  for (int d = t->ndim; d-- > 0; expect *= t->shape[d])
    if (t->shape[d] != 1 && t->stride[d] != expect) return 0;
  return 1;
}

/* out (shape, row-major) = in (any strides), elements of `size` bytes; t->count > 0. */
static void gather(const dgam_pickle_tensor *t, const unsigned char *in, size_t size, unsigned char *out) {
  size_t index[DGAM_MAXDIM] = {0};
  uint64_t at = 0;
  for (size_t i = 0; i < t->count; i++) {
    memcpy(out + i * size, in + at * size, size);
    for (int d = t->ndim; d-- > 0;) {
      at += t->stride[d];
      if (++index[d] < t->shape[d]) break;
      at -= t->stride[d] * t->shape[d];
      index[d] = 0;
    }
  }
}

/* A byte that is neither 0 nor 1 is no bool for anyone who reads it as one. */
static void clean_bools(unsigned char *b, size_t n) {
  for (size_t i = 0; i < n; i++) b[i] = b[i] != 0;
}

dgam_status dgam_pth_read(dgam_pth *p, size_t i, void *out, size_t bytes) {
  const dgam_pickle_tensor *t = p->entries[i].tensor;
  const dgam_pickle_storage *s = t->storage;
  size_t size = dgam_dtype_size(s->dtype);
  if (bytes != t->count * size)
    return dgam_fail(DGAM_EINVAL, "'%s': tensor '%s' takes %zu bytes, room for %zu given", p->in.name,
                     p->entries[i].info.name, t->count * size, bytes);
  if (!t->count) return DGAM_OK;
  uint64_t offset;
  DGAM_TRY(find_storage(p, s, &offset));
  if (is_contiguous(t)) {
    DGAM_TRY(dgam_input_read(&p->in, offset + t->offset * size, out, bytes));
  } else {
    uint64_t last = 0;
    for (int d = 0; d < t->ndim; d++) last += (t->shape[d] - 1) * t->stride[d];
    size_t span = (size_t)(last + 1) * size; /* inside the storage, which is inside the file */
    unsigned char *block = malloc(span);
    if (!block) return dgam_fail(DGAM_ENOMEM, "no memory to read '%s' of '%s'", p->entries[i].info.name, p->in.name);
    dgam_status status = dgam_input_read(&p->in, offset + t->offset * size, block, span);
    if (status == DGAM_OK) gather(t, block, size, out);
    free(block);
    DGAM_TRY(status);
  }
  if (s->dtype == DGAM_BOOL) clean_bools(out, bytes);
  return DGAM_OK;
}

void dgam_pth_close(dgam_pth *p) {
  if (!p) return;
  for (size_t i = 0; i < p->count; i++) free((char *)p->entries[i].info.name);
  free(p->entries);
  free(p->storages);
  free(p->prefix);
  dgam_pickle_free(p->pickle);
  dgam_zip_close(&p->zip);
  dgam_input_close(&p->in);
  free(p);
}
