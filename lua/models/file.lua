--- models.file: a trained model as one file that says what it is.
--
--     models.save("walk.h5", model, { classes = data.classes, input = { clip_len = 8, interval = 1, size = 64 } })
--     local model, about = dgam.load "walk.h5"            -- ready for clips: model(clip)
--
-- The file is a checkpoint (.h5 or .safetensors: any tool reads its weights) whose meta has, under `model`, what it takes to make
-- and use it again: about = {
--   architecture  "dgam", a file of lua/models
--   options       what it was made with: backbone, gammas, heads, gate, classes, frames, domain, temperature, dropout
--   classes       names, in the order of the logits
--   input         how a video becomes a clip: clip_len, interval, size, test_clips, test_crops, enhance
--   normalisation mean, std of the values 0 to 255, RGB
--   training, metrics, dataset, program, created   what is known of how it came to be }
-- A backbone or gate of one's own is code, which a file does not keep: load is given it again.
local checkpoint = require "dgam.train.checkpoint"
local check = require "util.check"
local json = require "util.json"

local file = {}

local VERSION = 1
local ARCHITECTURES = { DGAM = "dgam" }

local ABOUT = { "classes", "input", "training", "metrics", "dataset" }
local INPUT = { "clip_len", "interval", "size", "test_clips", "test_crops", "enhance" }

local function check_about(model, about)
  check.names("models.save", about, ABOUT)
  local classes = check.option("models.save", "classes", about.classes, check.table)
  if #classes ~= model.classes then
    error(("models.save: classes has %d names, expected the model's %d"):format(#classes, model.classes), 0)
  end
  local input = check.names("models.save: input", about.input, INPUT)
  check.fields("models.save: input", input, { clip_len = check.whole(1), interval = check.whole(1), size = check.whole(1) })
end

--- Writes a model, as a whole or not at all.
-- @param path ends in .h5 or .safetensors
-- @param model models.dgam
-- @param about { classes = names, input = { clip_len, interval, size (all needed), test_clips, test_crops, enhance },
--   training = settings, metrics = numbers, dataset = name }
function file.save(path, model, about)
  local architecture = ARCHITECTURES[model.class_name]
  if not architecture then error(("models.save: the model is a %s, expected a models.dgam"):format(tostring(model.class_name)), 2) end
  check_about(model, about)
  checkpoint.save(path, model:state_dict(), { model = { version = VERSION, architecture = architecture,
    options = json.plain(model.made_with), classes = { table.unpack(about.classes) }, input = json.plain(about.input),
    normalisation = { mean = model.mean, std = model.std }, training = json.plain(about.training or {}),
    metrics = json.plain(about.metrics or {}),
    dataset = about.dataset, program = "dgamlua " .. dgamlua.version, created = os.date "!%Y-%m-%dT%H:%M:%SZ" } })
end

local KINDS = { architecture = check.text, options = check.table, classes = check.table, input = check.table, normalisation = check.table }

--- What a kept model's meta says of it, looked at; nil if the checkpoint is none.
-- @param meta what checkpoint.load gives beside the weights
function file.about(meta, path)
  local about = type(meta) == "table" and meta.model
  if type(about) ~= "table" or not about.architecture then return nil end
  if about.version ~= VERSION then
    error(("%s: the model file has version %s, this program reads version %d"):format(path, tostring(about.version), VERSION), 0)
  end
  for name, kind in pairs(KINDS) do
    local fault = check.fault("its '" .. name .. "'", about[name], kind)
    if fault then error(("%s is not a model as dgamlua keeps it: %s"):format(path, fault), 0) end
  end
  return about
end

--- Reads a model that models.save wrote.
-- @param path file
-- @param own { backbone =, gate = }: those of one's own that it was made with
-- @return model in eval mode, about
-- Errors: no such file; weights without a description (models.load_pretrained takes such); own parts that were not given.
function file.load(path, own)
  own = check.names("load", own or {}, { "backbone", "gate" })
  local state, meta = checkpoint.load(path)
  local about = file.about(meta, path)
  if not about then
    error(("%s holds weights but does not say of which model; models.load_pretrained(model, path) puts them into one"):format(path), 0)
  end
  local options = {}
  for k, v in pairs(about.options) do options[k] = v end
  for _, part in ipairs { "backbone", "gate" } do
    if own[part] then options[part] = own[part]
    elseif options[part] == "own" then
      error(("%s was trained with a %s of one's own, which the file does not keep: load(path, { %s = YOURS })"):format(path, part, part), 0)
    end
  end
  local model = require("models." .. about.architecture)(options)
  model:load_state_dict(state)
  return model:eval(), about
end

return file
