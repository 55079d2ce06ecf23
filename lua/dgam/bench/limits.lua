--- What the machine can do at most: the figures other benchmarks are held against.
local torch = require "torch"

local M, N, K = 2048, 2048, 2048

local limits = {}

--- A matrix product of M x K by K x N on all threads through the core's gemm; for other benchmarks' `limit`.
-- @param dtype "float32" or "bfloat16"
-- @return function, FLOP
function limits.gemm(dtype)
  local a, b = torch.randn(M, K):to(dtype), torch.randn(K, N):to(dtype)
  return function() torch.ops.dgam.gemm(a, b) end, 2 * M * N * K
end

--- a = b + 3 c over arrays larger than any cache, on all threads.
-- @return function, bytes read and written
function limits.stream()
  local n = 1 << 26
  local a, b, c = torch.zeros(n), torch.ones(n), torch.ones(n)
  return function() torch.add(b, c, { alpha = 3, out = a }) end, 3 * 4 * n
end

local function gemm_case(name, dtype, what)
  return { name = name, what = what, setup = function()
    local run, flop = limits.gemm(dtype)
    return { run = run, rounds = 10, note = function(t) return ("%.0f GFLOP/s"):format(flop / t / 1e9) end }
  end }
end

limits[1] = gemm_case("gemm_f32", "float32", "oneDNN matrix product 2048^3, float32")
limits[2] = gemm_case("gemm_bf16", "bfloat16", "oneDNN matrix product 2048^3, bfloat16")
limits[3] = { name = "stream", what = "memory bandwidth: a = b + 3 c over 256 MB arrays", setup = function()
  local run, bytes = limits.stream()
  return { run = run, note = function(t) return ("%.1f GB/s"):format(bytes / t / 1e9) end }
end }

return limits
