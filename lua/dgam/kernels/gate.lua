--- dgam.gate: the paper's gate as a function, and what a gate's output is turned into.
--
-- models.dgam holds the trainable gate; a gate of your own is any table with forward(self, stats).
local torch = require "torch"
local ops = torch.ops.dgam

local gate = {}

--- Of the LeakyReLU between the layers.
gate.SLOPE = ops.gate_slope()

--- softmax(W3 a2 + b3), a_i = LeakyReLU(BatchNorm(W_i a_(i-1) + b_i)): lambda of frame statistics, as at test time.
-- @param stats float [n, 3T] (dgam.stats.frames)
-- @param parameters list of 14 tensors: for layers 1 and 2 weight [out, in], bias, norm weight, norm bias, running mean,
--   running variance; for layer 3 weight [E, in], bias
-- @param eps of the batch norms, default 1e-5
-- @return float [n, E], rows sum to one. The C kernel runs where no gradient is wanted.
function gate.lambda(stats, parameters, eps) return ops.gate(stats, parameters, eps or 1e-5) end

--- The same in ATen operators.
function gate.reference(stats, parameters, eps) return ops.gate_composite(stats, parameters, eps or 1e-5) end

--- Mixture weights softmax(lambda / temperature), [n, E] -> [n, E]. 1e-6 is the official code's temperature, in effect one
-- expert; 1 is that of equations 3 to 5.
function gate.mixture(lambda, temperature) return (lambda / (temperature or 1e-6)):softmax(2) end

--- The expert, from 1, with the largest lambda: [n, E] -> int64 [n].
function gate.choose(lambda) return lambda:argmax(2) end

return gate
