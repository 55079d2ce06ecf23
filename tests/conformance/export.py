#!/usr/bin/env python3
"""Makes samples.h5: calls of PyTorch's operators over its own samples (OpInfo), and what PyTorch makes of them.

Every operator of torch.testing._internal's op_db is run over its small samples of float32, int64 and complex64. The calls that
reach the native functions on the way are written down with the names that the schema gives their arguments, and done once more
in every other form that PyTorch has for them: by name, in place, with out=, and backwards. Positions count from 0, as in PyTorch;
tests/lua/conformance_spec.lua runs the calls in Lua and turns them to count from 1.

samples.h5
  calls      JSON in bytes: a list of calls (see `describe` below), each with "t" = numbers of tensors
  tensors    JSON in bytes: a list of [dtype, shape, first element in its pool]
  pool/DTYPE elements of all tensors of a type (float16 and bfloat16 as int16, bool as uint8, complex as pairs); equal ones once

Needs torch of the version of the libtorch that is tested, here Debian 12's, with what torch.testing._internal imports:
  python3.11 -m venv v && v/bin/pip install torch==1.13.1 'numpy<2' expecttest pyyaml scipy h5py
  v/bin/python tests/conformance/export.py tests/conformance/samples.h5
"""
import collections
import io
import itertools
import json
import math
import sys
import warnings

import h5py
import numpy as np
import torch
import torch._tensor
import torch.functional
import torch.nn.functional
from torch.overrides import TorchFunctionMode
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_map

warnings.simplefilter("ignore")
torch.set_num_threads(1)

SEED = 7
DTYPES = (torch.float32, torch.int64, torch.complex64)
MOST_ELEMENTS = 400  # of all tensors of a call, and of its results
MOST_OF_FEW = 20000  # the same where an OpInfo has no smaller ones
PER_OPERATOR = {torch.float32: 7, torch.int64: 3, torch.complex64: 3}  # calls of one operator of an OpInfo

# Results whose elements are whatever was in memory; the shape and type count.
EMPTY = {"empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "resize_", "resize_as_"}
# Drawn by MKL in PyPI's builds and by libtorch itself elsewhere: shape and type count.
DRAWN = {"bernoulli", "bernoulli_", "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout",
         "_scaled_dot_product_attention"}
# Answered with a type, which the operator itself gives as a number.
TYPES = {"result_type", "promote_types"}
# Methods of tensors that are no operators.
CASTS = {"float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool"}
# Not for a script in Lua: they ask about tensors, cross to Python, or are only there for it.
LEFT_OUT = {"dim", "size", "numel", "is_floating_point", "is_complex", "tensor", "item", "tolist", "as_tensor", "element_size", "stride",
            "storage_offset", "data_ptr", "requires_grad_", "backward", "__contains__", "is_same_size", "get_default_dtype"}
PROPERTIES = {"T": "numpy_T", "H": "matrix_H", "mT": "mT", "mH": "mH", "real": "real", "imag": "imag"}


class Unfit(Exception):
    """A call that cannot be written down."""


# --- recording: torch's Python functions are transparent, the native functions below them are what is called from Lua ---

for module in (torch.nn.functional, torch.functional, torch._tensor):
    for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"):
        if hasattr(module, name):
            setattr(module, name, lambda *a: False)


def snapshot(x):
    return tree_map(lambda v: v.detach().clone() if isinstance(v, torch.Tensor) else v, x)


class Recorder(TorchFunctionMode):
    """Keeps (name, whether it was a method, args, kwargs, result, tensors written to, function) of native calls, and those refused."""

    def __init__(self):
        self.calls, self.refused = [], []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        kind, name = type(func).__name__, getattr(func, "__name__", "")
        if kind == "method-wrapper":
            name = PROPERTIES.get(getattr(func.__self__, "__name__", ""), "")
        name = name.split(".")[0]  # torch.ops' slice.Tensor
        if name == "nonzero" and kwargs.get("as_tuple"):
            name = "nonzero_numpy"
        known = name and name not in LEFT_OUT and (name == "__getitem__" or not name.startswith("__"))
        before = (snapshot(args), snapshot(kwargs)) if known else None
        torch.manual_seed(SEED)
        try:
            result = func(*args, **kwargs)
        except (RuntimeError, IndexError, ValueError):
            if known:
                self.refused.append((name, kind != "builtin_function_or_method", *before))
            raise
        if known:
            written = [(i, now.detach().clone()) for i, (was, now) in enumerate(zip(leaves(before), leaves((args, kwargs))))
                       if not (name.endswith("_") and i == 0) and was.layout == torch.strided and bytes_of(was) != bytes_of(now)]
            self.calls.append((name, kind != "builtin_function_or_method", *before, snapshot(result), written, func))
        return result


# --- schemas ---

def leaves(x):
    return [v for v in tree_flatten(list(x) if isinstance(x, tuple) else x)[0] if isinstance(v, torch.Tensor)]


PYTHON_ONLY = {"requires_grad", "as_tuple"} # arguments of Python alone, when they are false
NUMBERS = {f(t) for t in ("number", "int", "float", "bool") for f in (str, "Optional[{}]".format)}


def overloads(packet):
    """Those that the dispatcher knows; TorchScript has more."""
    for name in packet.overloads() if packet else ():
        op = getattr(packet, name)
        if torch._C._dispatch_has_kernel(op._schema.name + (f".{op._schema.overload_name}" if op._schema.overload_name else "")):
            yield op


def is_out(a):
    return a.kwarg_only and a.alias_info is not None and a.alias_info.is_write


def bind(schema, args, kwargs):
    """The names of args, and all arguments by name; None where the schema has no place for them."""
    wanted = [a for a in schema.arguments]
    places = [a for a in wanted if not a.kwarg_only]
    names, bound = [], {}
    rest = list(args)
    for i, a in enumerate(places):
        if not rest:
            break
        # view(2, 3): whole numbers one by one for the last list
        if str(a.type) in ("List[int]", "Optional[List[int]]") and isinstance(rest[0], int) and len(rest) > 1 and all(
                isinstance(r, int) and not isinstance(r, bool) for r in rest) and len(rest) > len(places) - i:
            bound[a.name] = rest
            names += [a.name] * len(rest)
            rest = []
        else:
            bound[a.name] = rest.pop(0)
            names.append(a.name)
    if rest:
        return None
    for k, v in kwargs.items():
        if k in PYTHON_ONLY and (v is False or k == "as_tuple"):
            continue
        if k == "input" and any(a.name == "self" for a in wanted):
            k = "self"
        if k in bound or not any(a.name == k for a in wanted):
            return None
        bound[k] = v
    return names, bound


def same(a, b):
    """Whether two results are one, to the last bit."""
    la, ta = tree_flatten(a if not isinstance(a, tuple) else list(a))
    lb, tb = tree_flatten(b if not isinstance(b, tuple) else list(b))
    if len(la) != len(lb):
        return False
    for x, y in zip(la, lb):
        if isinstance(x, torch.Tensor):
            if not isinstance(y, torch.Tensor) or x.dtype != y.dtype or x.shape != y.shape or x.layout != y.layout:
                return False
            if x.layout == torch.strided and bytes_of(x) != bytes_of(y):
                return False
        elif x != y and not (x != x and y != y):
            return False
    return True


def seeded(f, **kwargs):
    torch.manual_seed(SEED)
    return f._op(**kwargs)


def again(op, bound, seed):
    """The results with another seed."""
    torch.manual_seed(SEED + seed)
    return list_of(op._op(**snapshot(bound)))


def differs_by_name(func, bound, result):
    """Whether the arguments given by name choose another overload, as stft's do."""
    torch.manual_seed(SEED)
    try:
        return not same(func(**{("input" if k == "self" else k): v for k, v in snapshot(bound).items()}), result)
    except Exception:  # not every native function takes all of them by name
        return False


def resolve(name, args, kwargs, result):
    """The overload that was called: names of the positional arguments, all arguments by name, and itself."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        raise Unfit("no operator")
    for op in overloads(packet):
        if any(is_out(a) for a in op._schema.arguments) or "names" in str(op._schema) or "Dimname" in str(op._schema):
            continue
        fit = bind(op._schema, args, kwargs)
        if not fit or any(str(a.type) in NUMBERS and isinstance(fit[1].get(a.name), torch.Tensor) for a in op._schema.arguments):
            continue
        try:
            got = seeded(op, **snapshot(fit[1]))
        except Exception:
            continue
        if name in EMPTY or name in TYPES or same(got, result):
            return (*fit, op)
    raise Unfit("no overload")


# --- writing values down ---

class Pools:
    """Elements by type, every run of them once."""

    def __init__(self):
        self.tensors, self.index = [], {}
        self.bytes, self.at = collections.defaultdict(io.BytesIO), {}

    def add(self, t):
        if t.layout != torch.strided or t.is_quantized or t.device.type != "cpu" or t.dim() > 8:
            raise Unfit("layout")
        dtype = str(t.dtype).replace("torch.", "")
        if dtype not in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
                         "complex128"):
            raise Unfit(dtype)
        raw = bytes_of(t)
        pool = self.bytes[dtype]
        if (dtype, raw) not in self.at:
            self.at[dtype, raw] = pool.tell() // t.element_size()
            pool.write(raw)
        key = (dtype, tuple(t.shape), self.at[dtype, raw])
        if key not in self.index:
            self.index[key] = len(self.tensors)
            self.tensors.append([dtype, list(t.shape), self.at[dtype, raw]])
        return self.index[key]


def bytes_of(t):
    t = torch.zeros(t.shape, dtype=t.dtype) if t._is_zerotensor() else t.detach().resolve_conj().resolve_neg().contiguous()
    if t.dtype in (torch.bfloat16, torch.complex32):
        t = (torch.view_as_real(t) if t.is_complex() else t).view(torch.int16)
    return t.numpy().tobytes()


def encode(v, pools):
    """Tensors as {"t": number}, complex numbers as {"c": [re, im]}, what JSON cannot hold as {"f": text}, types and such by name."""
    if isinstance(v, torch.Tensor):
        return {"t": pools.add(v)}
    if v is None or isinstance(v, (bool, str)):
        return v
    if isinstance(v, int):
        return v
    if isinstance(v, float):
        return v if math.isfinite(v) else {"f": str(v)}
    if isinstance(v, complex):
        return {"c": [encode(v.real, pools), encode(v.imag, pools)]}
    if isinstance(v, (torch.dtype, torch.memory_format, torch.layout)):
        return str(v).replace("torch.", "")
    if isinstance(v, torch.device):
        return str(v)
    if isinstance(v, (list, tuple)):
        return [encode(i, pools) for i in v]
    if v is Ellipsis:
        return {"all": True}
    if isinstance(v, slice):
        return {"slice": [v.start, v.stop, v.step]}
    raise Unfit(type(v).__name__)


# --- the other forms of a call ---

def weights(t):
    """What an output's gradient is: numbers that every machine makes exactly."""
    n = torch.arange(t.numel(), dtype=torch.float64)
    w = (n * 7 % 11 - 4) / 4
    if t.is_complex():
        w = torch.complex(w, (n * 5 % 7 - 3) / 4)
    return w.to(t.dtype).reshape(t.shape)


def widened(x):
    """The same in double precision."""
    def wide(v):
        if isinstance(v, torch.Tensor):
            return v.to({torch.float32: torch.float64, torch.complex64: torch.complex128}.get(v.dtype, v.dtype))
        return {torch.float32: torch.float64, torch.complex64: torch.complex128}.get(v, v) if isinstance(v, torch.dtype) else v
    return tree_map(wide, x)


def tolerance(dtype, elements):
    """The part of the largest value that rounding may change: as in the spec."""
    eps = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 2.0**-23, torch.complex64: 2.0**-23}.get(dtype, 2.0**-52)
    return eps * (8 + 2 * math.sqrt(elements))


def condition(results, exact, elements):
    """How many times the tolerance these results may be off because the sample is ill-conditioned: 4 times what torch's own are off."""
    worst = 1
    for a, b in zip(leaves(results), leaves(exact)):
        if not (a.is_floating_point() or a.is_complex()) or a.numel() == 0 or a.shape != b.shape:
            continue
        wide = a.to(torch.complex128 if a.is_complex() else torch.float64)
        away = (wide - b).abs()
        both = torch.isfinite(wide) & torch.isfinite(b)
        if both.any():
            size = wide.abs()[both].max().item()
            off = away[both].max().item()
            if size > 0:
                worst = max(worst, 4 * off / size / tolerance(a.dtype, elements))
    return worst


def gradients(op, bound):
    """What the results' weighted sum has as gradients of each floating tensor of `bound`."""
    copy = snapshot(bound)
    ins = [t for t in leaves(copy) if t.is_floating_point() or t.is_complex()]
    for t in ins:
        t.requires_grad_()
    outs = [t for t in leaves(seeded(op, **copy)) if t.requires_grad]
    if not ins or not outs:
        raise Unfit("no gradient")
    return torch.autograd.grad(outs, ins, [weights(t) for t in outs], allow_unused=True)


def describe(name, method, args, kwargs, result, written, func, pools):
    """A call as it is written down:
    op, args, kw     the operator, its arguments in order and, as [name, value], by name; method: args[0] is the tensor
    names            the schema's names of args; order: those of its first arguments where the method has another order
    results          what it gives; empty: only their shapes and types count
    cond             how many times the tolerance they may be off; grad_cond the same of grads
    written          [number among the tensors of the arguments, what is in it afterwards]
    self_first       the schema's first argument is self; unnamed: by name it is another overload
    in_place         true or, where they differ from results, what self is then; out: names of the arguments that take results
    grads            of each floating tensor of the arguments
    """
    if name in CASTS:
        return {"op": name, "cast": True, "method": True, "args": encode(list(args), pools), "names": ["self"],
                "results": encode([result], pools), "forms": 1}
    names, bound, op = resolve(name, args, kwargs, result)
    schema = op._schema
    elements = max([t.numel() for t in leaves(bound)] + [1])
    call = {"op": name, "args": encode(list(args), pools), "names": names}
    if method:
        call["method"] = True
    if kwargs:
        call["kw"] = encode_named({("self" if k == "input" and "self" in bound else k): v for k, v in kwargs.items()
                                   if not (k in PYTHON_ONLY and (v is False or k == "as_tuple"))}, pools)
    one = len(schema.returns) == 1
    results = [list(result) if isinstance(result, tuple) else result] if one else list(result)
    empty = name in EMPTY or name in DRAWN and not all(same(again(op, bound, i), results) for i in range(1, 9))
    if empty:
        results = tree_map(lambda v: torch.zeros_like(v) if isinstance(v, torch.Tensor) else v, results)
        call["empty"] = True
    call["results"] = encode(results, pools)
    if written:
        call["written"] = [[i, encode(t, pools)] for i, t in written]
    self_first = schema.arguments[0].name == "self"
    if self_first:
        call["self_first"] = True
    elif method:
        places = [a.name for a in schema.arguments if not a.kwarg_only]
        call["order"] = list(itertools.takewhile(lambda n: n in bound, places))
    call["forms"] = 2 + (self_first or method)
    if not method and name not in EMPTY and differs_by_name(func, bound, result):
        call["unnamed"] = True
        call["forms"] -= 1
    if empty:
        return call
    add_condition(call, "cond", results, lambda: list_of(seeded(op, **widened(snapshot(bound)))), elements)
    if not name.endswith("_"):
        add_in_place(call, name, bound, results, pools)
        add_out(call, name, bound, results, pools)
    add_gradients(call, op, bound, elements, pools)
    return call


def add_condition(call, key, results, exact, elements):
    """Notes that results are ill-conditioned; where there is no double precision, they are taken for good."""
    try:
        off = condition(results, exact(), elements)
    except Exception:
        return
    if off > 1:
        call[key] = round(min(off, 1e9), 1)


def add_gradients(call, op, bound, elements, pools):
    try:
        grads = gradients(op, bound)
    except Exception:  # not everything has a derivative
        return
    call["grads"] = [None if g is None else encode(g, pools) for g in grads]
    call["forms"] += 1
    add_condition(call, "grad_cond", grads, lambda: gradients(op, widened(snapshot(bound))), elements)


def list_of(r):
    return list(r) if isinstance(r, tuple) else [r]


def encode_named(d, pools):
    return [[k, encode(v, pools)] for k, v in d.items()]


def refused(info, pools):
    """Calls that PyTorch answers with an error."""
    if not info.error_inputs_func:
        return
    torch.manual_seed(SEED)
    for error in info.error_inputs("cpu"):
        recorder = Recorder()
        try:
            with recorder:
                info.op(error.sample_input.input, *error.sample_input.args, **error.sample_input.kwargs)
        except Exception:
            pass
        for name, method, args, kwargs in recorder.refused:
            for op in overloads(getattr(torch.ops.aten, name, None)):
                fit = bind(op._schema, args, kwargs)
                if not fit or any(is_out(a) for a in op._schema.arguments):
                    continue
                try:
                    call = {"op": name, "refused": True, "args": encode(list(args), pools), "names": fit[0], "results": [], "forms": 1}
                    if kwargs:
                        call["kw"] = encode_named(kwargs, pools)
                    if method:
                        call["method"] = True
                    yield call
                except Unfit:
                    pass
                break


def add_in_place(call, name, bound, results, pools):
    packet = getattr(torch.ops.aten, name + "_", None)
    if packet is None or not isinstance(bound.get("self"), torch.Tensor) or "out" in bound:
        return
    for op in overloads(packet):
        names = [a.name for a in op._schema.arguments]
        if not names or names[0] != "self" or not set(bound) <= set(names):
            continue
        copy = snapshot(bound)
        try:
            got = seeded(op, **copy)
        except Exception:
            continue
        if got is not copy["self"] and got.data_ptr() != copy["self"].data_ptr():
            continue
        call["in_place"] = True if same(list_of(got), results) else encode(copy["self"], pools)
        call["forms"] += 1
        return


def add_out(call, name, bound, results, pools):
    packet = getattr(torch.ops.aten, name)
    if not all(isinstance(r, torch.Tensor) for r in results):
        return
    for op in overloads(packet):
        outs = [a.name for a in op._schema.arguments if is_out(a)]
        if len(outs) != len(results) or not set(bound) <= {a.name for a in op._schema.arguments}:
            continue
        given = {n: torch.empty(0, dtype=r.dtype) for n, r in zip(outs, results)}
        try:
            got = list_of(seeded(op, **snapshot(bound), **given))
        except Exception:
            continue
        if same(got, results):
            call["out"] = outs
            call["forms"] += 1
            return


def index_call(args, result, pools):
    """x[...] of Python, and writing there."""
    x, where = args[0], args[1] if isinstance(args[1], tuple) else (args[1],)
    call = {"op": "__getitem__", "index": True, "args": [encode(x, pools), encode(where, pools)],
            "results": [encode(result, pools)], "forms": 2}
    y = x.clone()
    y[where] = 3
    call["written"] = encode(y, pools)
    return call


# --- going over op_db ---

def signature(name, args, kwargs):
    def one(v):
        return (str(v.dtype), tuple(v.shape)) if isinstance(v, torch.Tensor) else repr(v)
    return name, str(tree_map(one, args)), str(tree_map(one, kwargs))


def kind_of(args, kwargs):
    """Calls with the same kinds of arguments are alike."""
    def one(v):
        return (str(v.dtype), v.dim()) if isinstance(v, torch.Tensor) else type(v).__name__
    return str(tree_map(one, args)), str(sorted(kwargs)), str(tree_map(one, kwargs))


def small(call, most):
    return max(sum(t.numel() for t in leaves(values)) for values in (call[2:4], call[4])) <= most


def samples_of(info, dtype):
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    try:
        yield from itertools.islice(info.sample_inputs("cpu", dtype, requires_grad=False), 60)
    except Exception as e:  # an OpInfo that needs a GPU, say
        print("no samples:", info.name, dtype, e, file=sys.stderr)


def recorded(info, dtype):
    """The native calls of all samples, those unlike one another first."""
    groups, calls = collections.OrderedDict(), []
    for sample in samples_of(info, dtype):
        recorder = Recorder()
        try:
            with recorder:
                info.op(sample.input, *sample.args, **sample.kwargs)
        except Exception:
            continue
        calls += [c for c in recorder.calls if small(c, MOST_OF_FEW)]
    few = [c for c in calls if small(c, MOST_ELEMENTS)] or sorted(calls, key=lambda c: sum(t.numel() for t in leaves(c[2:4])))[:3]
    for call in few:
        groups.setdefault((call[0], kind_of(call[2], call[3])), []).append(call)
    for rank in itertools.zip_longest(*groups.values()):
        yield from (c for c in rank if c)


def full_name(info):
    return info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")


def main(path):
    pools, calls, seen, unfit = Pools(), [], set(), collections.Counter()
    for info in sorted(op_db, key=full_name):
        for call in refused(info, pools):
            call["of"] = full_name(info) + " error"
            calls.append(call)
        for dtype in DTYPES:
            if dtype not in info.dtypes or "jiterator" in info.name:
                continue
            taken = collections.Counter()
            for name, method, args, kwargs, result, written, func in recorded(info, dtype):
                key = signature(name, args, kwargs)
                if key in seen or taken[name] >= PER_OPERATOR[dtype]:
                    continue
                seen.add(key)
                try:
                    if name == "__getitem__":
                        call = index_call(args, result, pools)
                    else:
                        call = describe(name, method, args, kwargs, result, written, func, pools)
                except Unfit as e:
                    unfit[name, str(e)] += 1
                    continue
                call["of"] = f"{full_name(info)} {str(dtype)[6:]}"
                taken[name] += 1
                calls.append(call)
    with h5py.File(path, "w") as f:
        f.attrs["torch"], f.attrs["seed"] = torch.__version__.split("+")[0], SEED
        forms = sum(c.pop("forms") for c in calls)
        f.attrs["calls"] = forms
        for name, value in (("calls", calls), ("tensors", pools.tensors)):
            text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
            f.create_dataset(name, data=np.frombuffer(text, np.uint8), compression="gzip", compression_opts=9)
        kinds = {"float16": "i2", "bfloat16": "i2", "bool": "u1", "complex64": "f4", "complex128": "f8"}
        for dtype, pool in pools.bytes.items():
            data = np.frombuffer(pool.getvalue(), kinds.get(dtype, np.dtype(dtype if dtype != "bfloat16" else "i2")))
            f.create_dataset("pool/" + dtype, data=data, compression="gzip", compression_opts=9, shuffle=True)
    missing = [full_name(i) for i in op_db if not any(c["of"].startswith(full_name(i) + " ") for c in calls)]
    print("no calls of:", *missing, file=sys.stderr)
    print(f"{len(calls)} samples, {forms} calls; of {len({c['op'] for c in calls})} operators")
    for (name, why), n in sorted(unfit.items()):
        print("left out:", name, why, n, file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
