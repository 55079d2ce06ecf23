--- dgam.train.options: every setting of training and testing, declared once. What reads or shows settings takes them from here: the
-- defaults, the checks before a run, the loaders, what a run that is gone on with must agree in, keys of artifacts, `--help`
-- and the table in docs/experiments.md.
--
--     local options = require("dgam").train.options
--     options.defaults.lr                        --> 0.0003, the paper's value, as all defaults are
--     options.find "patience"                    --> the declaration of one of them
--     options.settings(cfg, "fit")               --> name -> value of all that stages 0 and 1 depend on
--
-- A new setting is one line in LIST and the code that uses it.
local augment = require "dgam.kernels.augment"
local objectives = require "dgam.train.objectives"
local check = require "util.check"
local keys_of = require "util.keys"
local video = require "dgam.kernels.video"

local options = {}

local number, whole, optional = check.number, check.whole, check.optional
local RATE = number(0, 1e9) -- more than any rate or time
local CROPS = { "1, 3 or 10", function(v) return v == 1 or v == 3 or v == 10 end }
local ALPHA = { "a number from 0 to 1e+09, or false", function(v) return v == false or RATE[2](v) end }
local CACHE = { "a number of 0 or more, or a table", function(v) return type(v) == "table" or RATE[2](v) end }
local CHANGE = { "a number of 0 or more, false or a table", function(v) -- dgam.augment says more of it
  return v == false or type(v) == "table" or number(0, math.huge)[2](v)
end }
local ENHANCE = { "a name, { name, options }, a function or false", function(v)
  return v == false or type(v) == "string" or type(v) == "table" or type(v) == "function"
end }
local function some(v) return v > 0 and v or nil end
local OBJECTIVE = { "own, " .. table.concat(keys_of(objectives), ", ") .. " or a function", function(v)
  return v == "own" or objectives[v] ~= nil or type(v) == "function"
end, choices = { "own", table.unpack(keys_of(objectives)) } }

-- Each is { name, default (nil: none), kind (see util.check), meaning }, and
--   unit      of a number that has one
--   stages    whose numbers it changes: "fit" (stages 0 and 1), "gate" (stage 2), "test"; none: it changes no number
--   resume    true: a training that is gone on with must have been begun with the same value
--   loader    "all" or "train": which loader it is passed to, under the name `as` (its own), changed by `give` (as it is)
local LIST = {
  { "seed", 1, whole(), "decides all that is drawn: order, frames, crops, experts, dropout", stages = "fit gate test", resume = true,
    loader = "all" },
  { "clip_len", 32, whole(1), "length of a clip", unit = "frames", stages = "fit gate test", resume = true, loader = "all" },
  { "interval", 2, whole(1), "step from one frame of a clip to the next", unit = "frames", stages = "fit gate test", resume = true,
    loader = "all" },
  { "size", 224, whole(1), "width and height of a clip", unit = "pixels", stages = "fit gate test", resume = true, loader = "all" },
  { "enhance", "none", ENHANCE, "what every frame goes through before the network sees it, see dgam.enhance",
    stages = "fit gate test", resume = true, loader = "all" },
  { "batch", 16, whole(1), "clips of a step", unit = "clips", stages = "fit", resume = true, loader = "all" },

  { "epochs", 30, whole(1), "length of the training at most", unit = "epochs", stages = "fit", resume = true },
  { "lr", 3e-4, RATE, "learning rate at its highest", stages = "fit gate", resume = true },
  { "backbone_lr", 0.1, RATE, "factor on the learning rate of the backbone", stages = "fit", resume = true },
  { "weight_decay", 0.05, RATE, "weight decay; none for norms, biases and position tables", stages = "fit gate", resume = true },
  { "warmup_epochs", 2.5, RATE, "how long the learning rate rises", unit = "epochs", stages = "fit gate", resume = true },
  { "val_every", 2, whole(1), "from one validation to the next", unit = "epochs", stages = "fit", resume = true },
  { "patience", 5, number(0, math.huge), "without a better validation before training stops", unit = "epochs", stages = "fit" },
  { "experts", "first", check.one_of("first", "uniform"), "which expert a training clip sees: the first, or one drawn for every clip",
    stages = "fit", resume = true },

  { "crop_area", 0.08, number(0, 1), "least share of a frame that a random crop takes", stages = "fit", resume = true,
    loader = "train", as = "area", give = function(v) return { v, 1 } end },
  { "jitter", 0, CHANGE, "random brightness, contrast, saturation and hue, see dgam.augment.options", stages = "fit", resume = true,
    loader = "train" },
  { "randaugment", 0, CHANGE, "random changes of that strength, of 30, see dgam.augment.options", stages = "fit", resume = true,
    loader = "train" },
  { "gamma_jitter", 0, CHANGE, "random gamma up to that factor, see dgam.augment.options", stages = "fit", resume = true,
    loader = "train" },
  { "erasing", 0, CHANGE, "probability that a rectangle is erased, see dgam.augment.options", stages = "fit", resume = true,
    loader = "train" },
  { "mixup", 0, ALPHA, "alpha with which clips of a batch are blended, 0: not at all", stages = "fit", resume = true, loader = "train" },
  { "cutmix", 0, ALPHA, "alpha with which parts of clips are exchanged, 0: not at all", stages = "fit", resume = true,
    loader = "train" },
  { "dim", 0, number(0, 1), "share of training clips that are dimmed and made noisy, reached after a quarter of the epochs",
    stages = "fit", resume = true },
  { "draws", 0, whole(0), "how many draws of frames and crop a training clip has, so that a clip_cache can serve them; 0: all differ",
    stages = "fit", resume = true, loader = "train", give = some },

  { "gate_epochs", 60, whole(1), "length of the gate's training", unit = "epochs", stages = "gate" },
  { "gate_batch", 128, whole(2), "clips of a step of the gate", unit = "clips", stages = "gate" }, -- batch norm needs two
  { "gate_lr", 10, RATE, "factor on the learning rate of the gate", stages = "gate" },
  { "gate_objective", "own", OBJECTIVE, "what the gate minimises, see train.objectives; own: what the gate brings, else mixture",
    stages = "gate" },

  { "test_clips", 4, whole(1), "views of a video in time whose scores are averaged in testing", unit = "views", stages = "test" },
  { "test_crops", 3, CROPS, "views of each of them in space", unit = "views", stages = "test" },

  { "threads", 2, whole(1, video.max_threads), "decoding threads", loader = "all" },
  { "clip_cache", 0, CACHE, "disk for decoded clips, see cache in dgam.data.loader", unit = "GB", loader = "all", as = "cache" },
  { "checkpoint", nil, optional(check.text), "file that training goes on from and writes to: .h5 or .safetensors" },
  { "checkpoint_seconds", 300, number(0, math.huge), "between checkpoints within an epoch", unit = "seconds" },
  { "label", nil, optional(check.text), "what progress bars call the run" },
}

--- All declarations, in the order of the list: { name =, default =, kind =, meaning =, unit =, stages = set, resume =, loader =,
-- as =, give = }.
options.list = {}
--- name -> default.
options.defaults = {}
local by_name, kinds = {}, {}
for i, o in ipairs(LIST) do
  local stages = {}
  for stage in (o.stages or ""):gmatch "%a+" do stages[stage] = true end
  local name, default, kind, meaning = table.unpack(o, 1, 4)
  options.list[i] = { name = name, default = default, kind = kind, meaning = meaning, unit = o.unit, stages = stages,
    resume = o.resume == true, loader = o.loader, as = o.as or name, give = o.give }
  options.defaults[name], by_name[name] = default, options.list[i]
  kinds[name] = { kind[1], kind[2], choices = kind.choices, meaning = options.list[i].meaning }
end

--- The declaration of a setting, or nil.
function options.find(name) return by_name[name] end

--- What a setting means, in a line, with its unit and what it may be; nil for a name that is no setting of training.
function options.help(name)
  local o = by_name[name]
  return o and ("%s (%s%s)"):format(o.meaning, o.unit and o.unit .. ": " or "", o.kind[1])
end

local Complete = {} -- of configurations with the defaults behind them
function Complete.__index(self, name)
  local v = self[Complete][name]
  if v == nil then return options.defaults[name] end
  return v
end

--- cfg with the defaults behind it.
function options.complete(cfg)
  check.option("train", "cfg", cfg, check.table)
  if getmetatable(cfg) == Complete then return cfg end
  return setmetatable({ [Complete] = cfg }, Complete)
end

--- All of a configuration that training and testing will need, before anything is trained: an error that names the first
-- setting that is wrong, and what it means. Training begins with it; a script with several stages does well to call it first.
-- Fields that are no settings of training are the script's own.
-- @param cfg table of settings
-- @return cfg with the defaults behind it
function options.check(cfg)
  cfg = options.complete(cfg)
  check.fields("train", cfg, kinds, false)
  augment.options(cfg)
  return cfg
end

--- What the numbers of a stage depend on, as name -> value; for the key of what such a stage made (exp:artifact).
-- @param stage "fit" (stages 0 and 1), "gate" (stage 2) or "test"
function options.settings(cfg, stage)
  check.option("options.settings", "stage", stage, check.one_of("fit", "gate", "test"))
  cfg = options.complete(cfg)
  local settings = {}
  for _, o in ipairs(options.list) do
    if o.stages[stage] then settings[o.name] = cfg[o.name] end
  end
  return settings
end

-- A value as two runs compare it. Of a function only that it is one: whether it does the same, the key of a trial knows.
local function text_of(v)
  if type(v) == "function" then return "a function" end
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for i, k in ipairs(keys_of(v)) do parts[i] = ("%s=%s"):format(k, text_of(v[k])) end
  return "{" .. table.concat(parts, " ") .. "}"
end

--- What a training that is gone on with must agree in, as name -> text.
function options.terms(cfg)
  cfg = options.complete(cfg)
  local terms = {}
  for _, o in ipairs(options.list) do
    if o.resume then terms[o.name] = text_of(cfg[o.name]) end
  end
  return terms
end

--- What the settings mean for dgam.data.loader.
-- @param which "train": also what only training changes; else "test"
function options.for_loader(cfg, which)
  cfg = options.complete(cfg)
  local out = {}
  for _, o in ipairs(options.list) do
    local v = cfg[o.name]
    if v ~= nil and (o.loader == "all" or o.loader == which) then
      if o.give then v = o.give(v) end
      out[o.as] = v
    end
  end
  return out
end

local STAGES = { { "fit", "0, 1" }, { "gate", "2" }, { "test", "test" } }

--- The table of docs/experiments.md, as Markdown.
function options.markdown()
  local lines = { "| setting | default | | meaning | stages |", "|---|---|---|---|---|" }
  for _, o in ipairs(options.list) do
    local stages = {}
    for _, s in ipairs(STAGES) do
      if o.stages[s[1]] then stages[#stages + 1] = s[2] end
    end
    lines[#lines + 1] = ("| `%s` | %s | %s | %s | %s |"):format(o.name, o.default == nil and "" or "`" .. tostring(o.default) .. "`",
      o.unit or "", o.meaning, table.concat(stages, ", "))
  end
  return table.concat(lines, "\n")
end

return options
