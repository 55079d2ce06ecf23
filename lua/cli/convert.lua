--- dgamlua convert IN OUT: a checkpoint in another format: .pth, .safetensors, .h5.
local argparse = require "argparse"
local checkpoint = require "dgam.train.checkpoint"
local thousands = require "util.text".thousands

local M = {}

--- The command.
function M.run(args)
  local parser = argparse("dgamlua convert", "Convert a checkpoint: .pth, .safetensors and .h5 to .safetensors or .h5.\n"
    .. "Weights that a file wraps (state_dict, model, module ...) are unwrapped, and 'module.' is taken off their names; what else\n"
    .. "is in it goes along as metadata.")
  parser:argument("input", "checkpoint to read")
  parser:argument("output", "file to write; its ending says the format")
  parser:option("--prefix", "take the tensors below this ('ema_state_dict/'; '' for all, under their full names)")
  parser:flag("--skip-unknown", "leave out what a .pth holds besides tensors and containers, instead of refusing the file")
  local options = parser:parse(args)

  local state, meta = checkpoint.load(options.input, { prefix = options.prefix,
    unknown = options.skip_unknown and "skip" or "refuse" })
  checkpoint.save(options.output, state, next(meta) and meta or nil)
  local count, values = 0, 0
  for _, t in pairs(state) do count, values = count + 1, values + t:numel() end
  print(("%s: %d tensors, %s values"):format(options.output, count, thousands(values)))
  return 0
end

return M
