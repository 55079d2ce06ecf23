--- dgam.trial.kept: the trained models of an experiment, RESULTS/models/EXPERIMENT-VARIANT-KEY.h5.
local lfs = require "lfs"
local json = require "util.json"
local paths = require "util.paths"

local kept = {}

-- How good a trial was on the validation list; what was not validated is as good as any.
local function validation(record)
  local best = -math.huge
  for _, v in ipairs(record.curves.val_top1 or {}) do best = math.max(best, v) end
  return best
end

local function file_name(label) return (label:gsub("[^%w_.-]+", "-"):gsub("^%-+", ""):gsub("%-+$", "")) end

--- Keeps a trial's model beside the results. Of a variant's seeds only that stays which was best on the validation list, if no more
-- are to be kept. A model that cannot be kept is told and costs no result.
function kept.add(self, job, record, model)
  if self.keep == "none" then return end
  local options = require "dgam.train.options" -- here, since it loads libtorch
  local folder, cfg, input = paths.make_folder(self.folder .. "/models"), options.complete(job.cfg), {}
  for _, name in ipairs { "clip_len", "interval", "size", "test_clips", "test_crops", "enhance" } do input[name] = cfg[name] end
  if input.enhance == "none" then input.enhance = nil end
  local path = ("%s/%s-%s-%s.h5"):format(folder, self.name, file_name(job.label), job.key)
  local config = json.plain(job.cfg)
  config.checkpoint = nil
  local saved, why = pcall(model.save, model, path, { classes = self.data and self.data.classes, input = input, training = config,
    metrics = record.metrics, dataset = self.data and self.data.name })
  if saved then record.model = path else io.stderr:write(("%s: the model is not kept: %s\n"):format(job.where, why)) end
end

--- Takes away the models of a variant that another seed was better than.
function kept.rotate(self, list)
  if self.keep ~= "best" then return end
  local best
  for _, record in ipairs(list) do
    if record.model and lfs.attributes(record.model, "mode") and (not best or validation(record) > validation(best)) then best = record end
  end
  for _, record in ipairs(list) do
    if record.model and record ~= best then os.remove(record.model) end
  end
end

return kept
