--- dgamlua doctor: what this machine has, and whether it computes correctly.
--
-- Prints versions, processor, threads and the BLAS in use, then holds matrix products, 3-D convolutions and exp against
-- references that use neither BLAS nor oneDNN: products are multiplied element by element and summed in float64. An
-- error counts in units of what rounding alone can explain, k 2^-24 sum|a b| for a sum of k products, so 1 is the most
-- that any correct float32 routine can reach. Exit status 1 if something computes wrongly.
local keys_of = require "util.keys"

local M = {}

local USAGE = [[
usage: dgamlua doctor
Prints versions, processor, threads and the BLAS in use, then checks and times the numerics that models rest on.
Exit status 1 if something computes wrongly.
]]

local REPEATS = 12 -- runs, of each size, of a convolution that is known to go wrong only now and then

local function first_line(path, pattern)
  local f <close> = io.open(path, "r")
  if not f then return nil end
  for line in f:lines() do
    local found = line:match(pattern)
    if found then return found end
  end
end

--- Paths of the libraries in this process whose file name has one of the words in it.
-- @treturn {string} paths, in the order of the address space, each once
local function loaded(...)
  local list, seen = {}, {}
  local f <close> = io.open("/proc/self/maps", "r")
  if not f then return list end
  for line in f:lines() do
    local path = line:match("(/.*)$")
    local name = path and path:match("[^/]*$")
    for _, word in ipairs { ... } do
      if path and not seen[path] and name:find(word, 1, true) then
        seen[path] = true
        list[#list + 1] = path
      end
    end
  end
  return list
end

--- Which BLAS libtorch calls.
-- @return name for a person, path (nil if it is part of libtorch), and "reference" if it is the slow one, or the name of
--   OpenBLAS's kernels
function M.blas(sys)
  local mkl = loaded("libmkl_core", "libmkl_rt")[1]
  if mkl then return "MKL", mkl end
  for _, path in ipairs(loaded "libopenblas") do
    local core, config = sys.openblas(path)
    if core then
      local asked = os.getenv "OPENBLAS_CORETYPE"
      return ("%s, kernels for %s%s"):format(config:match("^OpenBLAS [%d%.]+") or "OpenBLAS", core,
        asked and asked:lower() == core:lower() and " (as OPENBLAS_CORETYPE says)" or ""), path, core
    end
  end
  local other = loaded("libblis", "libatlas")[1]
  if other then return other:match("lib(%a+)"), other end
  local plain = loaded "libblas.so"[1]
  if plain then
    if sys.openblas(plain) then return "OpenBLAS", plain end
    return "reference BLAS", plain, "reference"
  end
  return "part of libtorch", nil
end

-- --- checks: each returns the worst error in units of what is allowed (NaN counts as infinite), and perhaps a remark ---

local function worst(errors)
  local value = errors:max():item()
  return value == value and value or math.huge
end

local function rounding(k) return k * 2.0 ^ -24 end

--- a [m,k] b [k,n] in float64 from products element by element: no BLAS, no oneDNN. Also the sum of absolute products.
local function product_reference(a, b)
  local p = a:double():unsqueeze(3) * b:double():unsqueeze(1)
  return p:sum(2), p:abs():sum(2)
end

local SHAPES = { { 1, 1, 1 }, { 7, 13, 5 }, { 64, 64, 64 }, { 33, 129, 65 }, { 8, 1031, 9 }, { 130, 96, 288 },
  { 257, 512, 65 } } -- m, k, n

local function check_products(torch, multiply, slack)
  local most = 0
  for _, s in ipairs(SHAPES) do
    local a, b = torch.randn(s[1], s[2]), torch.randn(s[2], s[3])
    local want, size = product_reference(a, b)
    local got = multiply(a, b):double()
    most = math.max(most, worst((got - want):abs() / (size * (slack or rounding(s[2])))))
  end
  return most
end

--- conv3d with stride 1 and "same" padding in float64, one kernel position at a time: no BLAS, no oneDNN. Also the sum of
-- absolute products.
local function conv_reference(torch, x, w)
  local k = { w:size(3), w:size(4), w:size(5) }
  local n = { x:size(3), x:size(4), x:size(5) }
  local padded = torch.constant_pad_nd(x:double(), { k[3] // 2, k[3] // 2, k[2] // 2, k[2] // 2, k[1] // 2, k[1] // 2 }, 0)
  local sum, size
  for t = 1, k[1] do
    for i = 1, k[2] do
      for j = 1, k[3] do
        local part = padded[{ {}, {}, { t, t + n[1] - 1 }, { i, i + n[2] - 1 }, { j, j + n[3] - 1 } }]
        local p = part:unsqueeze(2) * w[{ {}, {}, t, i, j }]:double():unsqueeze(3):unsqueeze(4):unsqueeze(5):unsqueeze(1)
        local s, a = p:sum(3), p:abs():sum(3)
        sum, size = sum and sum + s or s, size and size + a or a
      end
    end
  end
  return sum, size
end

--- Leaves NaN in the memory that the next operators are given, so that a kernel which reads what it never wrote shows it.
local function spoil_memory(torch)
  local held = {}
  for _, n in ipairs { 16, 64, 256, 1024, 2304, 4096, 9216, 16384, 65536, 262144 } do
    for _ = 1, 4 do held[#held + 1] = torch.full({ n }, 0 / 0) end
  end
  for _, t in ipairs(held) do t:close() end
end

local function check_conv(torch, case)
  local padding = { case.kernel[1] // 2, case.kernel[2] // 2, case.kernel[3] // 2 }
  local most, wrong, runs = 0, 0, 0
  for _, shape in ipairs(case.sizes or { { 1, 4, 9, 9 } }) do
    local n, t, h, w = table.unpack(shape)
    local x, weight = torch.randn(n, case.from, t, h, w), torch.randn(case.to, case.from, table.unpack(case.kernel))
    local want, size = conv_reference(torch, x, weight)
    local allowed = size * rounding(case.from * case.kernel[1] * case.kernel[2] * case.kernel[3])
    for _ = 1, case.times or 2 do
      spoil_memory(torch)
      local error_now = worst((torch.conv3d(x, weight, nil, { 1, 1, 1 }, padding):double() - want):abs() / allowed)
      runs = runs + 1
      if error_now > 1 then wrong = wrong + 1 end
      most = math.max(most, error_now)
    end
  end
  return most, wrong > 0 and ("wrong in %d of %d runs"):format(wrong, runs) or nil
end

local function check_exp(torch)
  local values = {}
  for i = -8700, 8800, 3 do values[#values + 1] = i / 100 + 1e-5 end
  local x = torch.tensor(values)
  local got, exact = x:exp():totable(), x:totable()
  local most = 0
  for i, v in ipairs(exact) do
    local e = math.abs(got[i] / math.exp(v) - 1) / 2.0 ^ -22 -- two units in the last place
    most = math.max(most, e == e and e or math.huge)
  end
  local limits = torch.tensor({ -1e9, 0.0, 1e9, 0.0 / 0.0 }):exp():totable()
  if limits[1] ~= 0 or limits[2] ~= 1 or limits[3] ~= math.huge or limits[4] == limits[4] then most = math.huge end
  return most
end

--- All checks: list of { name, function() -> error, remark }.
function M.checks(torch)
  local ops = torch.ops.dgam
  local list = {
    { "exp", function() return check_exp(torch) end },
    { "matrix product, libtorch", function() return check_products(torch, torch.matmul) end },
    { "matrix product, oneDNN", function() return check_products(torch, ops.gemm) end },
    { "linear layer, oneDNN", function()
      return check_products(torch, function(a, b) return ops.linear(a, b:t():contiguous(), nil) end)
    end },
  }
  if ops.has_bf16() then
    list[#list + 1] = { "linear layer, bfloat16", function()
      return check_products(torch, function(a, b) return ops.linear(a, b:t():contiguous(), nil, true) end, 2.0 ^ -6)
    end }
  end
  for _, case in ipairs {
    { kernel = { 3, 1, 1 }, from = 45, to = 64, times = REPEATS,
      sizes = { { 1, 4, 9, 9 }, { 2, 8, 7, 7 }, { 1, 3, 14, 14 }, { 1, 8, 14, 14 }, { 1, 16, 5, 6 } } },
    { kernel = { 3, 1, 1 }, from = 144, to = 64, times = 4 }, { kernel = { 1, 3, 3 }, from = 3, to = 45 },
    { kernel = { 3, 3, 3 }, from = 16, to = 16 }, { kernel = { 1, 1, 1 }, from = 64, to = 40 },
    { kernel = { 3, 7, 7 }, from = 3, to = 8 },
  } do
    local k = case.kernel
    list[#list + 1] = { ("conv3d %dx%dx%d, %d to %d channels"):format(k[1], k[2], k[3], case.from, case.to),
      function() return check_conv(torch, case) end }
  end
  return list
end

--- GFLOP/s of a product of two n x n matrices: the best of five after one to warm up.
local function rate(torch, multiply, n)
  local now = require("dgam.show.progress").now
  local a, b = torch.randn(n, n), torch.randn(n, n)
  local best = math.huge
  for _ = 1, 6 do
    local start = now()
    multiply(a, b):close()
    best = math.min(best, now() - start)
  end
  return 2 * n ^ 3 / best / 1e9
end

local SIDE = 768 -- of the matrices that are timed

-- Kernels of OpenBLAS for a vector level of ours: what $OPENBLAS_CORETYPE may be set to there.
local CORES = { plain = {}, avx2 = { "Haswell", "Zen" }, avx512 = { "Haswell", "Zen", "SkylakeX" },
  ["avx512-bf16"] = { "Haswell", "Zen", "SkylakeX", "Cooperlake" } }

--- libtorch's rate with other kernels of OpenBLAS, each measured in a process of its own.
-- @param level of sys.cpu_level()
-- @param now name of the kernels in use
-- @return the fastest other name, its GFLOP/s; nil where there is none
function M.other_kernels(level, now)
  local shell = require "util.shell"
  local best, name = 0, nil
  for _, core in ipairs(CORES[level] or {}) do
    if core:lower() ~= now:lower() then
      local pipe = assert(io.popen(("OPENBLAS_CORETYPE=%s %s doctor --rate 2>/dev/null"):format(core, shell.program())))
      local said = pipe:read "a"
      pipe:close()
      local value, used = said:match "^([%d.]+) (%S+)"
      if value and used == core and tonumber(value) > best then best, name = tonumber(value), core end
    end
  end
  return name, best
end

--- What there is to say about OpenBLAS's kernels: it chooses by the processor's model number, which it may not know or which
-- a virtual machine may hide, and $OPENBLAS_CORETYPE overrules it.
-- @param used kernels in use; asked = $OPENBLAS_CORETYPE or nil; ours, theirs = GFLOP/s of oneDNN and libtorch
-- @param other function() -> name and GFLOP/s of the fastest other kernels
-- @treturn {string} warnings
function M.openblas_notes(used, asked, ours, theirs, other)
  local notes = {}
  if asked and asked ~= "" and asked:lower() ~= used:lower() then
    notes[1] = ("OPENBLAS_CORETYPE asks for %s, which this OpenBLAS does not have or this processor cannot run; it uses %s"):format(
      asked, used)
  end
  if theirs < 0.6 * ours then
    local name, value = other()
    if name and value > 1.25 * theirs then
      notes[#notes + 1] = ("OpenBLAS chose kernels for %s (%.0f GFLOP/s); OPENBLAS_CORETYPE=%s gives %.0f GFLOP/s here"):format(used,
        theirs, name, value)
    end
  end
  return notes
end

local function row(name, ...) io.stdout:write(("%-10s %s\n"):format(name, table.concat { ... })) end

--- The command.
-- @tparam {string} args
-- @treturn integer exit status
function M.run(args)
  if args[1] == "--help" or args[1] == "-h" then
    io.stdout:write(USAGE)
    return 0
  elseif args[1] == "--rate" then -- for other_kernels
    local torch = require "torch"
    local _, _, core = M.blas(require "dgamnative.sys")
    io.stdout:write(("%.1f %s\n"):format(torch.no_grad(rate, torch, torch.matmul, SIDE), core or "none"))
    return 0
  elseif args[1] then
    io.stderr:write(("dgamlua doctor: takes no argument, got '%s'\n"):format(args[1]))
    return 1
  end
  local sys = require "dgamnative.sys"
  local versions = sys.versions()
  row("dgamlua", dgamlua.version, ", ", _VERSION, "  ", dgamlua.root)
  local has_torch, torch = pcall(require, "torch")
  if has_torch then row("libtorch", torch.version, "  ", loaded("libtorch_cpu.so")[1] or "") end
  row("oneDNN", versions.onednn, ", kernels up to ", versions.onednn_isa)
  row("FFmpeg", versions.ffmpeg)
  row("HDF5", versions.hdf5)
  row("processor", first_line("/proc/cpuinfo", "^model name%s*:%s*(.*)") or "unknown", ", our kernels: ", sys.cpu_level())
  local kb = tonumber(first_line("/proc/meminfo", "^MemAvailable:%s*(%d+)") or 0)
  row("memory", ("%.1f GB available"):format(kb / 1024 ^ 2))
  if not has_torch then
    io.stdout:write("FAIL libtorch cannot be loaded: ", tostring(torch), "\n")
    return 1
  end
  local set = dgamlua.environment "DGAMLUA_"
  for _, name in ipairs(keys_of(set)) do row("set", name, "=", set[name]) end
  row("threads", ("core %d, libtorch %d"):format(sys.threads(), torch.threads()))
  local blas, path, core = M.blas(sys)
  row("BLAS", blas, path and "  " .. path or "")

  io.stdout:write "\n"
  local failed, warnings = 0, {}
  local before = torch.rng_state()
  torch.manual_seed(1)
  torch.no_grad(function()
    for _, check in ipairs(M.checks(torch)) do
      local ok, off, remark = pcall(check[2])
      local good = ok and off <= 1
      if not good then failed = failed + 1 end
      io.stdout:write(("%-4s %-32s %s\n"):format(good and "ok" or "FAIL", check[1], not ok and tostring(off)
        or ("off by %.2g of what rounding allows%s"):format(off, remark and ": " .. remark or "")))
      io.stdout:flush()
    end
    local ours, theirs = rate(torch, torch.ops.dgam.gemm, SIDE), rate(torch, torch.matmul, SIDE)
    io.stdout:write(("\nfloat32 matrix products: oneDNN %.0f GFLOP/s, libtorch %.1f GFLOP/s\n"):format(ours, theirs))
    if core == "reference" then
      warnings[#warnings + 1] = ("libtorch runs on the reference BLAS (%s): `apt-get install libopenblas-dev` makes its "
        .. "matrix products many times faster"):format(path)
    elseif core then
      for _, note in ipairs(M.openblas_notes(core, os.getenv "OPENBLAS_CORETYPE", ours, theirs, function()
        return M.other_kernels(sys.cpu_level(), core)
      end)) do warnings[#warnings + 1] = note end
    end
    if core ~= "reference" and theirs < ours / 8 then
      warnings[#warnings + 1] = ("oneDNN's matrix products are %.0f times faster than libtorch's; look at its BLAS: %s"):format(
        ours / theirs, blas)
    end
  end)
  torch.set_rng_state(before)
  if sys.threads() ~= torch.threads() then
    warnings[#warnings + 1] = ("the core uses %d threads and libtorch %d"):format(sys.threads(), torch.threads())
  end
  for _, w in ipairs(warnings) do io.stdout:write("warning: ", w, "\n") end
  if failed > 0 then
    io.stdout:write(("%d check%s failed: results of models on this machine are not to be trusted\n"):format(failed,
      failed == 1 and "" or "s"))
    return 1
  end
  io.stdout:write "numerics are right\n"
  return 0
end

return M
