--- dgam.train.frozen: what of a model is trained, and what decays.
local frozen = {}

--- A rule of dgam.optim: no weight decay for norms, biases and position tables.
frozen.NO_DECAY = { "norm", "%.bias$", "relative_position_bias_table", decay = 0, optional = true }

--- Keeps the parameters of a module still until the end of the block, if there is a module: local _ <close> = still(gate).
function frozen.still(module)
  local before = {}
  if module then
    for _, t in module:named_parameters() do before[t], t.requires_grad = t.requires_grad, false end
  end
  return setmetatable({}, { __close = function()
    for t, on in pairs(before) do t.requires_grad = on end
  end })
end

--- Whether a module has a parameter that is trained.
function frozen.trainable(module)
  for _, t in module:named_parameters() do
    if t.requires_grad then return true end
  end
  return false
end

return frozen
