-- The operators over PyTorch's own samples (tests/conformance): every call in every form that PyTorch has for it.
local h5 = require "dgam.kernels.h5"
local json = require "util.json"
local torch = require "torch"

-- --- what counts from 0 in PyTorch and from 1 here. Written for this test from PyTorch's documentation; the binding has tables
-- of its own, so a place that is missing there is a failure here. ---

-- Arguments that number dimensions, in all operators but NOT_DIMS.
local DIMS = {}
for name in ("dim dims dim0 dim1 dim2 start_dim end_dim source destination dims_self dims_other axis axis0 axis1 dimension"):gmatch "%S+" do
  DIMS[name] = true
end
local NOT_DIMS = { tile = "how often each dimension is repeated" }

-- Positions: numbers, or tensors and lists of them. "back": -1 is the last and stays. "all": every number moves, so that
-- ignore_index = -100 goes with labels of -100. "last": PyTorch names the first that does not belong, Lua the last that does.
local POSITIONS = {
  select = { index = "back" }, select_scatter = { index = "back" },
  narrow = { start = "back" }, narrow_copy = { start = "back" },
  slice = { start = "back", ["end"] = "last" }, slice_scatter = { start = "back", ["end"] = "last" },
  gather = { index = "all" }, scatter = { index = "all" }, scatter_add = { index = "all" }, scatter_reduce = { index = "all" },
  index_select = { index = "all" }, index_add = { index = "all" }, index_copy = { index = "all" }, index_reduce = { index = "all" },
  index_fill = { index = "back" }, index = { indices = "back" }, index_put = { indices = "back" },
  take = { index = "back" }, put = { index = "back" }, take_along_dim = { indices = "all" },
  embedding = { indices = "all", padding_idx = "back" },
  embedding_bag = { indices = "all", offsets = "all", padding_idx = "back" },
  embedding_renorm = { indices = "all" },
  one_hot = { self = "all" },
  nll_loss = { target = "all", ignore_index = "all" }, nll_loss2d = { target = "all", ignore_index = "all" },
  nll_loss_nd = { target = "all", ignore_index = "all" },
  cross_entropy_loss = { target = "all", ignore_index = "all" },
  multi_margin_loss = { target = "all" }, multilabel_margin_loss = { target = "back" },
  ctc_loss = { targets = "all", blank = "all" },
  max_unpool2d = { indices = "all" }, max_unpool3d = { indices = "all" },
  searchsorted = { sorter = "all" },
}

-- Results that are positions: which, from 1.
local FOUND = {
  argmax = 1, argmin = 1, argsort = 1, argwhere = 1, nonzero = 1, multinomial = 1, tril_indices = 1, triu_indices = 1,
  searchsorted = 1, bucketize = 1, nonzero_numpy = 1,
  max = 2, min = 2, topk = 2, sort = 2, kthvalue = 2, median = 2, nanmedian = 2, mode = 2, cummax = 2, cummin = 2,
  max_pool1d_with_indices = 2, max_pool2d_with_indices = 2, max_pool3d_with_indices = 2, adaptive_max_pool1d = 2,
  adaptive_max_pool2d = 2, adaptive_max_pool3d = 2, fractional_max_pool2d = 2, fractional_max_pool3d = 2,
  embedding_bag = { 2, 4 }, _unique2 = 2, unique_consecutive = 2, unique_dim = 2, unique_dim_consecutive = 2, _unique = 2,
}

-- Results that are settled up to a sign, or a number of magnitude 1: which, from 1. Magnitudes are compared.
local UP_TO_SIGN = { linalg_eigh = 2, symeig = 2, linalg_eig = 2 }

-- What is not compared, and why. `op`, `form` and `of` (where the sample comes from) are patterns; `samples` are the numbers of the
-- samples that are meant (without it: all of them); `since` is the first libtorch
-- for which it holds, where libtorch has changed after the version that the samples come from. Nothing of PyTorch's samples that
-- export.py can write down is left out because the binding lacks it.
local LEFT_OUT = {
  { op = "linalg_det", of = "linalg.det.singular", why = "what is left of a singular matrix's determinant is rounding" },
  { op = "linalg_eigh", form = "gradient", why = "depends on the eigenvectors' signs, which each LAPACK chooses" },
  { op = "symeig", form = "gradient", why = "depends on the eigenvectors' signs, which each LAPACK chooses" },
  { op = "symeig", since = "2.0", why = "the operator is gone" },
  { op = "_scaled_dot_product_attention", since = "2.0", why = "the operator is gone; scaled_dot_product_attention takes its place" },
  { op = "prelu", form = "out=", since = "2.0", why = "its overload with out is gone" },
  { op = "upsample_[%a]+[13]d", form = "out=", of = "interpolate", since = "2.0",
    why = "the overload with a list of factors and out is gone" },
  { op = "upsample_bicubic2d", form = "out=", of = "interpolate", since = "2.0",
    why = "the overload with a list of factors and out is gone" },
  { op = "istft", samples = { 1806, 1807, 1808, 1809, 1810 }, since = "2.0", why = "a real spectrum is refused" },
  { op = "stft", samples = { 5295, 5300 }, since = "2.0", why = "return_complex must be told" },
  { op = "aminmax", samples = { 295 }, since = "2.0", why = "the results of a 0-dim tensor have another shape" },
  { op = "_unique2", samples = { 5650, 5651, 5664 }, since = "2.0", why = "results that were not asked for are empty" },
  { op = "sqrt", form = "gradient", samples = { 2863 }, since = "2.0", why = "the gradient of a complex root at 0 is infinite, not NaN" },
}

-- --- the samples ---

local SAMPLES = dgamlua.root .. "/tests/conformance/samples.h5"
local none = torch.none

local function load()
  local file <close> = h5.open(SAMPLES)
  local function text(name) return assert(json.decode(file:read(name):tobytes(), none)) end
  local pools = {}
  for _, dtype in ipairs(file:list "pool") do pools[dtype] = file:read("pool/" .. dtype):tobytes() end
  return { calls = text "calls", tensors = text "tensors", pools = pools, attrs = file:attrs() }
end

local SIZE = { float32 = 4, float64 = 8, float16 = 2, bfloat16 = 2, int64 = 8, int32 = 4, int16 = 2, int8 = 1, uint8 = 1, bool = 1,
  complex64 = 8, complex128 = 16 }
local REAL = { complex64 = "float32", complex128 = "float64" }

torch.threads(1) -- the tensors are small
local samples = load()

local function count(shape)
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  return n
end

--- dtype, shape and bytes of a tensor of the samples.
local function stored(number)
  local dtype, shape, first = table.unpack(samples.tensors[number + 1])
  return dtype, shape, samples.pools[dtype]:sub(first * SIZE[dtype] + 1, (first + count(shape)) * SIZE[dtype])
end

local function build(number)
  local dtype, shape, bytes = stored(number)
  if not REAL[dtype] then return torch.frombytes(bytes, dtype, shape) end
  local pairs_of = table.move(shape, 1, #shape, 1, {})
  pairs_of[#pairs_of + 1] = 2
  return torch.view_as_complex(torch.frombytes(bytes, REAL[dtype], pairs_of))
end

local function is_tensor(v) return type(v) == "table" and v.t ~= nil end

--- A value of the samples as Lua has it, positions from 0. Tensors are new ones, noted in `made`: { tensor, number }.
local function value(v, made)
  if type(v) ~= "table" then return v end
  if v.t then
    local t = build(v.t)
    if made then made[#made + 1] = { t, v.t } end
    return t
  end
  if v.c then return torch.view_as_complex(torch.tensor({ value(v.c[1]), value(v.c[2]) }, { dtype = "float64" })) end
  if v.f then return v.f == "nan" and 0 / 0 or v.f == "inf" and math.huge or -math.huge end
  local list = {}
  for i, item in ipairs(v) do list[i] = value(item, made) end
  return list
end

local function whole(dtype) return dtype:find "int" ~= nil end

local function move(v, how)
  if type(v) == "table" then
    local list = {}
    for i, item in ipairs(v) do list[i] = move(item, how) end
    return list
  elseif torch.is_tensor(v) then
    if not whole(v.dtype) then return v end -- a mask
    return how == "all" and v + 1 or v + v:ge(0):to(v.dtype)
  elseif math.type(v) == "integer" then
    if how == "last" then return v < 0 and v - 1 or v end
    return (how == "all" or v >= 0) and v + 1 or v
  end
  return v
end

--- An argument with its positions counted from 1.
local function from_one(op, name, v)
  local bare = op:gsub("_$", "")
  local how = (POSITIONS[bare] or {})[name]
  if how then return move(v, how) end
  if DIMS[name] and not NOT_DIMS[bare] and not torch.is_tensor(v) then return move(v, "back") end
  return v
end

-- --- comparing ---

local EPS = { float16 = 2 ^ -10, bfloat16 = 2 ^ -7, float32 = 2 ^ -23, float64 = 2 ^ -52 }
local FORMAT = { float32 = "<f", float64 = "<d", int64 = "<i8", int32 = "<i4", int16 = "<i2", int8 = "<i1", uint8 = "<B", bool = "<B" }

--- The elements of bytes as numbers.
local function numbers(bytes, dtype)
  if dtype == "float16" or dtype == "bfloat16" then
    return numbers(torch.frombytes(bytes, dtype, { #bytes // 2 }):to("float64"):tobytes(), "float64")
  end
  local list, form, size, unpack = {}, FORMAT[dtype], SIZE[dtype], string.unpack
  for i = 1, #bytes // size do list[i] = unpack(form, bytes, (i - 1) * size + 1) end
  return list
end

--- Magnitudes of numbers, of pairs where they are complex.
local function magnitudes(list, complex)
  local out = {}
  for i = 1, #list, complex and 2 or 1 do
    out[#out + 1] = complex and math.sqrt(list[i] ^ 2 + list[i + 1] ^ 2) or math.abs(list[i])
  end
  return out
end

local function shape_text(shape) return "[" .. table.concat(shape, ",") .. "]" end

--- What is wrong with tensor `got` where the one of number `want` was expected; nil if nothing is. Rounding may change a sum of n
-- terms by about sqrt(n) times a term's; `elements` is how many there may be. `cond` widens it for an ill-conditioned sample.
local function differs(got, want, how)
  if not torch.is_tensor(got) then return ("%s, expected a tensor"):format(type(got)) end
  local dtype, shape, bytes = stored(want)
  if got.dtype ~= dtype then return ("is %s, expected %s"):format(got.dtype, dtype) end
  if shape_text(got.shape) ~= shape_text(shape) then
    return ("has shape %s, expected %s"):format(shape_text(got.shape), shape_text(shape))
  end
  if how.empty then return end
  if how.found then got = got - 1 end
  local complex = REAL[dtype] ~= nil
  if complex then
    got, dtype = torch.view_as_real(got:resolve_conj():resolve_neg()), REAL[dtype]
  end
  local have = got:tobytes()
  if have == bytes then return end
  local a, b = numbers(have, dtype), numbers(bytes, dtype)
  if how.magnitude then
    a, b = magnitudes(a, complex), magnitudes(b, complex)
  end
  local size, eps = 0, EPS[dtype] or 0
  for _, v in ipairs(b) do
    v = math.abs(v)
    if v < math.huge and v > size then size = v end
  end
  local limit = size * eps * (8 + 2 * math.sqrt(how.elements)) * (how.cond or 1)
  for i, v in ipairs(b) do
    local x = a[i]
    local fine = x == v or (x ~= x and v ~= v) or math.abs(x - v) <= limit
    if not fine then return ("element %d is %.9g, expected %.9g (limit %.2g)"):format(i, x, v, limit) end
  end
end

--- The same of any value; lists item by item.
local function unlike(got, want, how)
  if is_tensor(want) then return differs(got, want.t, how) end
  if type(want) == "table" and not want.f and not want.c then
    if type(got) ~= "table" or #got ~= #want then
      return ("%s of %s, expected a list of %d"):format(type(got), type(got) == "table" and #got or "?", #want)
    end
    for i, item in ipairs(want) do
      local why = unlike(got[i], item, how)
      if why then return ("item %d %s"):format(i, why) end
    end
    return
  end
  want = value(want)
  if want == none then want = nil end
  if got == want or (got ~= got and want ~= want) then return end
  if math.type(got) == "float" and math.type(want) == "float" and math.abs(got - want) <= 1e-6 * math.abs(want) then return end
  return ("%s, expected %s"):format(tostring(got), tostring(want))
end

-- --- a call in each of its forms ---

local function elements_of(made)
  local most = 1
  for _, m in ipairs(made) do most = math.max(most, m[1]:numel()) end
  return most
end

--- Arguments of a call, from 1: in order, by name beside them, all by name; and the tensors that were made for them.
local function arguments(call)
  local made, args, named, all = {}, {}, nil, {}
  local times = {}
  for _, name in ipairs(call.names) do times[name] = (times[name] or 0) + 1 end
  for i, v in ipairs(call.args) do
    local name = call.names[i]
    local x = from_one(call.op, name, value(v, made))
    args[i] = x
    if times[name] > 1 then -- whole numbers one by one for a list
      all[name] = all[name] or {}
      table.insert(all[name], x)
    else
      all[name] = x
    end
  end
  for _, pair in ipairs(call.kw or {}) do
    local name, v = table.unpack(pair)
    named = named or {}
    named[name] = from_one(call.op, name, value(v, made))
    all[name] = named[name]
  end
  return { args = args, named = named, all = all, made = made }
end

local function seeded(f, ...)
  torch.manual_seed(samples.attrs.seed)
  return table.pack(f(...))
end

--- Calls f with arguments in order and by name.
local function invoke(f, a, extra)
  local args, named = table.move(a.args, 1, #a.args, 1, {}), a.named
  if extra then
    local both = {}
    for k, v in pairs(named or {}) do both[k] = v end
    for k, v in pairs(extra) do both[k] = v end
    named = both
  end
  if named then args[#args + 1] = named end
  return seeded(f, table.unpack(args))
end

local function compare(results, call, a)
  local how = { elements = elements_of(a.made), cond = call.cond, empty = call.empty }
  if results.n ~= #call.results then return ("%d results, expected %d"):format(results.n, #call.results) end
  for i, want in ipairs(call.results) do
    local found = FOUND[call.op:gsub("_$", "")]
    how.found = found == i or type(found) == "table" and (found[1] == i or found[2] == i)
    how.magnitude = UP_TO_SIGN[call.op] == i
    local why = unlike(results[i], want, how)
    if why then return ("result %d %s"):format(i, why) end
  end
end

--- Whether all arguments are afterwards what they should be: as they were, but those that PyTorch writes to.
local function touched(call, a)
  local after = {}
  for _, pair in ipairs(call.written or {}) do after[pair[1] + 1] = pair[2].t end
  for i = call.op:find "_$" and 2 or 1, #a.made do
    local why = differs(a.made[i][1], after[i] or a.made[i][2], { elements = after[i] and elements_of(a.made) or 0 })
    if why then return ("argument tensor %d is afterwards not as in PyTorch: %s"):format(i, why) end
  end
end

local function in_order(call)
  local a = arguments(call)
  if call.order then -- a method whose tensor is not the operator's first argument: the schema's order
    local placed = {}
    a.args, a.named = {}, {}
    for i, name in ipairs(call.order) do a.args[i], placed[name] = a.all[name], true end
    for name, v in pairs(a.all) do
      if not placed[name] then a.named[name] = v end
    end
    if not next(a.named) then a.named = nil end
  end
  return a
end


--- What each output's gradient is: the same numbers as in export.py.
local function weights(t)
  local n = torch.arange(t:numel(), { dtype = "int64" })
  local w = ((n * 7):remainder(11) - 4):to "float64" / 4
  if REAL[t.dtype] then w = torch.complex(w, ((n * 5):remainder(7) - 3):to "float64" / 4) end
  return torch._to_copy(w, { dtype = t.dtype }):reshape(t.shape)
end

local function collect_outputs(v, list)
  if torch.is_tensor(v) then
    if v.requires_grad then list[#list + 1] = v end
  elseif type(v) == "table" then
    for _, item in ipairs(v) do collect_outputs(item, list) end
  end
  return list
end

local function floating(t) return t.dtype:find "float" or REAL[t.dtype] end

--- The gradients: of every second sample through backward, of the others through torch.grad.
local function gradients(call, number)
  local a = in_order(call)
  local inputs = {}
  for _, m in ipairs(a.made) do
    if floating(m[1]) then inputs[#inputs + 1] = m[1] end
  end
  for _, t in ipairs(inputs) do t:requires_grad_() end
  local results = invoke(torch[call.op], a)
  local outputs, given, got = collect_outputs(results, {}), {}, {}
  for i, t in ipairs(outputs) do given[i] = weights(t) end
  local complex = false
  for _, t in ipairs(outputs) do complex = complex or REAL[t.dtype] end
  if number % 2 == 0 and not complex then
    local total
    for i, t in ipairs(outputs) do
      local part = (t * given[i]):sum()
      total = total and total + part or part
    end
    total:backward()
    for i, t in ipairs(inputs) do got[i] = t.grad or false end
  else
    got = torch.grad(outputs, inputs, given, { allow_unused = true })
  end
  local how = { elements = elements_of(a.made), cond = call.grad_cond }
  for i, want in ipairs(call.grads) do
    if want == none then
      if got[i] then return ("gradient %d is there, expected none"):format(i) end
    else
      if not got[i] then return ("gradient %d is missing"):format(i) end
      local why = differs(got[i], want.t, how)
      if why then return ("gradient %d %s"):format(i, why) end
    end
  end
end

--- A place in a tensor as Lua writes it; nil if Lua has no such form.
local function place(where)
  local list = {}
  for i, v in ipairs(where) do
    if type(v) == "table" and v.all then
      list[i] = "..."
    elseif type(v) == "table" and v.slice then
      local first, last, step = table.unpack(v.slice)
      list[i] = { first ~= none and move(first, "back") or nil, last ~= none and move(last, "last") or nil, step ~= none and step or nil }
    elseif v == none then
      list[i] = none
    elseif type(v) == "table" and not v.t then -- Python's list of positions, or of true and false
      list[i] = move(torch.tensor(value(v)), "back")
    else
      list[i] = move(value(v), "back")
    end
  end
  return list
end

local FORMS = {
  { "function", function(call)
    local a = call.method and in_order(call) or arguments(call)
    return compare(invoke(torch[call.op], a), call, a) or touched(call, a)
  end, function(call) return not call.refused and not call.index and not call.cast end },
  { "method", function(call)
    local a = arguments(call)
    local self = table.remove(a.args, 1)
    return compare(invoke(function(...) return self[call.op](self, ...) end, a), call, a) or touched(call, a)
  end, function(call) return not call.refused and not call.index and (call.method or call.self_first) end },
  { "by name", function(call)
    local a = arguments(call)
    return compare(seeded(torch[call.op], a.all), call, a) or touched(call, a)
  end, function(call) return not call.unnamed and not call.refused and not call.index and not call.cast end },
  { "in place", function(call)
    local a = in_order(call)
    local self = a.all.self
    local results = a.args[1] == self and invoke(torch[call.op .. "_"], a) or seeded(torch[call.op .. "_"], a.all)
    if not results[1]:is_same(self) then return "gives another tensor than the one it writes" end
    local want = call.in_place == true and call.results[1] or call.in_place
    return unlike(self, want, { elements = elements_of(a.made), cond = call.cond })
  end, function(call) return call.in_place end },
  { "out=", function(call)
    local a = in_order(call)
    local outs = {}
    for i, name in ipairs(call.out) do
      outs[name] = torch.empty(0, { dtype = (stored(call.results[i].t)) })
    end
    local all = {}
    for k, v in pairs(a.all) do all[k] = v end
    for k, v in pairs(outs) do all[k] = v end
    local results = seeded(torch[call.op], all)
    for i, name in ipairs(call.out) do
      if not results[i]:is_same(outs[name]) then return ("result %d is not the tensor given as %s"):format(i, name) end
    end
    return compare(results, call, a) or touched(call, a)
  end, function(call) return call.out end },
  { "gradient", gradients, function(call) return call.grads end },
  { "error", function(call)
    local a = arguments(call)
    local self = a.args[1]
    if pcall(invoke, call.method and function(...) return self[call.op](...) end or torch[call.op], a) then return "no error" end
  end, function(call) return call.refused end },
  { "index", function(call)
    local x, where = build(call.args[1].t), place(call.args[2])
    return unlike(x[where], call.results[1], { elements = 1 })
  end, function(call) return call.index end },
  { "written index", function(call)
    local x, where = build(call.args[1].t), place(call.args[2])
    x[where] = 3
    return unlike(x, call.written, { elements = 1 })
  end, function(call) return call.index end },
}

--- Whether a version of libtorch, "2.6.0", is at least another, "2.1".
local function at_least(version, least)
  local have, want = version:gmatch "%d+", least:gmatch "%d+"
  for number in want do
    local own = tonumber(have() or 0)
    if own ~= tonumber(number) then return own > tonumber(number) end
  end
  return true
end

--- The entry by which this form of the call is left out, if there is one.
local function left_out(call, form, number)
  for _, e in ipairs(LEFT_OUT) do
    local among = not e.samples
    for _, n in ipairs(e.samples or {}) do among = among or n == number end
    if among and call.op:match("^" .. e.op .. "$") and (not e.form or form:match("^" .. e.form .. "$"))
      and (not e.of or call.of:find(e.of, 1, true)) and (not e.since or at_least(torch.version, e.since)) then
      return e
    end
  end
end

describe("PyTorch's own samples", function()
  local LINES = 40 -- of failures that are told
  local run, met = 0, {}
  for _, form in ipairs(FORMS) do
    local name, try, has = table.unpack(form)
    it("give what PyTorch gives: " .. name, function()
      local failures = {}
      for number, call in ipairs(samples.calls) do
        if has(call) then
          run = run + 1
          local entry = left_out(call, name, number)
          if entry then
            met[entry] = true
          else
            local ok, why = pcall(try, call, number)
            if not ok or why then
              failures[#failures + 1] = ("%s (%s, number %d): %s"):format(call.op, call.of, number, tostring(why):match "[^\n]+")
            end
          end
        end
      end
      local told = table.concat(failures, "\n", 1, math.min(#failures, LINES))
      assert.is_true(#failures == 0, ("%d failures\n%s"):format(#failures, told))
    end)
  end

  it("are all run", function()
    assert.equal(samples.attrs.calls, run)
    for _, e in ipairs(LEFT_OUT) do
      assert.is_true(met[e] or e.since ~= nil, ("%s is left out (%s), but there is no such sample"):format(e.op, e.why))
    end
  end)
end)
