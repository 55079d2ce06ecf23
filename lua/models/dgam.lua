--- DGAM (ELLAR, ACCV 2024): a gate reads the light of a clip, picks a gamma-correction expert, a backbone encodes the
-- corrected clip and the head that belongs to the expert classifies it. Every part can be replaced.
--
--     local dgam = require "models.dgam"
--     local model = dgam { backbone = "swin-micro", gammas = { 1, 1.5, 2, 2.5, 3 }, heads = "per-expert",
--                          classes = 12, frames = 8 }
--     local logits, info = model(clip)            -- clip uint8 [N, 3, T, H, W]; info.expert [N] from 1, info.lambda [N, E]
--
-- A custom gate is any table with forward(self, stats) -> scores [N, E] (softmax is taken if they do not sum to one), and
-- optionally parameters(), and objective(lambda, logits, labels, cfg), a plain function: what stage 2 minimises, see
-- dgam.train.objectives and examples/custom_gate.lua.
--
-- A backbone of your own is a module with a field `channels`, C, and forward(self, x, options) -> features [N, D, H, W, C]
-- of x float [N, 3, T, H, W]. options has shape = {T, H, W} of the clip and, where a forward is traced, trace = function(name,
-- tensor). One with takes_patches = true is given patches of 2 x 4 x 4 instead, see dgam.gic.
local torch = require "torch"
local nn = require "dgam.nn"
local check = require "util.check"
local light = require "dgam.kernels.stats"
local swin = require "models.video_swin"
local ops = torch.ops.dgam

local MEAN, STD, SLOPE = light.MEAN, light.STD, require("dgam.kernels.gate").SLOPE

-- --- the paper's gate: 3T statistics -> 128 -> 256 -> N experts ---

local Gate = nn.class "Gate"

function Gate:init(inputs, experts)
  self:add("linear1", nn.Linear(inputs, 128))
  self:add("batchnorm1", nn.BatchNorm(128))
  self:add("linear2", nn.Linear(128, 256))
  self:add("batchnorm2", nn.BatchNorm(256))
  self:add("linear3", nn.Linear(256, experts))
  self:add("activation", nn.LeakyReLU(SLOPE))
  self:add("dropout", nn.Dropout(0.1))
end

--- @param stats [N, 3T] -> lambda [N, E], rows sum to one
function Gate:forward(stats)
  local made, got = self.linear1.weight:size(2) // 3, stats:size(2) // 3
  if got ~= made then error(("clips have %d frames, this gate was made for %d"):format(got, made), 0) end
  if not self.training then
    local n1, n2 = self.batchnorm1, self.batchnorm2
    return ops.gate(stats, { self.linear1.weight, self.linear1.bias, n1.weight, n1.bias, n1.running_mean, n1.running_var,
      self.linear2.weight, self.linear2.bias, n2.weight, n2.bias, n2.running_mean, n2.running_var, self.linear3.weight,
      self.linear3.bias }, n1.eps)
  end
  local x = self.dropout(self.activation(self.batchnorm1(self.linear1(stats))))
  x = self.dropout(self.activation(self.batchnorm2(self.linear2(x))))
  return self.linear3(x):softmax(2)
end

-- A table with forward becomes a module; what its parameters() returns is trained.
local Custom = nn.class "CustomGate"
function Custom:init(gate)
  self.gate, self.objective = gate, gate.objective
  local list = gate.parameters and gate:parameters() or {}
  for i, t in ipairs(list) do self:parameter("p" .. i, t) end
end
function Custom:forward(stats) return self.gate:forward(stats) end

-- --- heads: features -> logits, one linear layer per expert or one for all ---

local Heads = nn.class "Heads"

function Heads:init(channels, classes, count, dropout)
  self:add("dropout", nn.Dropout(dropout))
  for e = 1, count do self:add(e - 1, nn.Linear(channels, classes)) end
  self.shared = count == 1
  torch.no_grad(function()
    local first = self["0"]
    first.weight:copy_(nn.init.trunc_normal(first.weight.shape, 0.02))
    first.bias:zero_()
  end)
  self:copy_first()
end

--- Makes every head a copy of the first, as training starts from the single-head model.
function Heads:copy_first()
  torch.no_grad(function()
    for _, name in ipairs(self._children) do
      if name ~= "dropout" and name ~= "0" then
        self[name].weight:copy_(self["0"].weight)
        self[name].bias:copy_(self["0"].bias)
      end
    end
  end)
end

--- @param features [N, L, C]; expert int64 [N] from 1 -> logits [N, classes] of the mean over L
function Heads:forward(features, expert)
  local weights, biases = {}, {}
  for _, name in ipairs(self._children) do
    if name ~= "dropout" then
      weights[#weights + 1] = self[name].weight
      biases[#biases + 1] = self[name].bias
    end
  end
  local n, c = features:size(1), features:size(3)
  local mask = torch.none
  if self.training and self.dropout.p > 0 then mask = self.dropout(torch.ones(n, c, { device = features.device })) end
  if self.shared then expert = torch.ones(n, { dtype = "int64", device = features.device }) end
  return ops.pooled_heads(features, torch.stack(weights), torch.stack(biases), expert, mask)
end

-- --- the model ---

local DGAM = nn.class "DGAM"

-- A class in the place of one of its objects would make a new object of every batch.
local function check_object(what, value)
  if nn.is_class(value) then error(("dgam: %s is the class %s, expected an object of it"):format(what, value.class_name), 4) end
  return value
end

local function check_gammas(gammas)
  if type(gammas) ~= "table" or #gammas == 0 then
    error(("dgam: gammas is %s, expected a list such as {1.0, 1.5, 2.0}"):format(tostring(gammas)), 4)
  end
  for i, g in ipairs(gammas) do check.option("dgam", ("gammas[%d]"):format(i), g, check.positive) end
  return gammas
end

local function gammas_text(gamma)
  local parts = {}
  for i, g in ipairs(gamma:totable()) do parts[i] = ("%.7g"):format(g) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- @param options table with
--   backbone    a name of models.video_swin.sizes, a table for video_swin.new, or a module, see above (default "swin-b")
--   gammas      the experts (default 1, 1.5, 2, 2.5, 3)
--   heads       "per-expert" (default) or "shared"
--   gate        "paper" (default), or a table with forward(self, stats); without effect when there is one gamma
--   classes     number of classes
--   frames      T, frames in a clip: the gate reads 3T statistics (default 32)
--   domain      "normalised" (default, as the official code) or "pixel" (equation 6)
--   temperature of the softmax over lambda that mixes experts (default 1e-6: in effect one expert)
--   dropout     before the heads (default 0.5)
--   precision   "float32" (default) or "bfloat16", of a backbone that is given by name; others have their own
function DGAM:init(options)
  check.names("dgam", options, { "backbone", "gammas", "heads", "gate", "classes", "frames", "domain",
    "temperature", "dropout", "precision" })
  local gammas = check_gammas(check.default(options.gammas, { 1.0, 1.5, 2.0, 2.5, 3.0 }))
  local function option(name, default, kind) return check.option("dgam", name, check.default(options[name], default), kind) end
  local classes = option("classes", nil, check.whole(1))
  self.gammas, self.classes, self.frames = gammas, classes, option("frames", 32, check.whole(1))
  self.temperature = option("temperature", 1e-6, check.positive)
  self.domain = option("domain", "normalised", check.one_of("normalised", "pixel"))
  self.mean, self.std = MEAN, STD
  local heads = option("heads", "per-expert", check.one_of("per-expert", "shared"))

  -- What makes the same model again (models.file). A backbone or gate of the user's cannot be written down: "own".
  local own = type(options.backbone) == "table" and options.backbone._children
  self.made_with = { backbone = own and "own" or options.backbone or "swin-b", precision = options.precision, gammas = gammas,
    heads = heads,
    gate = (options.gate or "paper") == "paper" and "paper" or "own", classes = classes, frames = self.frames,
    domain = self.domain, temperature = self.temperature, dropout = check.default(options.dropout, 0.5) }

  local backbone = check_object("backbone", options.backbone or "swin-b")
  local named = type(backbone) ~= "table"
  if options.precision ~= nil and not named then
    error("dgam: precision is an option of a backbone given by name; this one is " .. (backbone._children and
      "made already" or "a table: write precision in it"), 3)
  end
  if named or not backbone._children then backbone = swin.new(backbone, named and { precision = options.precision } or nil) end
  check.option("dgam", "the backbone's channels", backbone.channels, check.whole(1))
  self:add("backbone", backbone)
  if #gammas > 1 then
    local gate = check_object("gate", options.gate or "paper")
    if gate == "paper" then
      gate = Gate(3 * self.frames, #gammas)
    elseif type(gate) ~= "table" or not gate.forward then
      error(("dgam: gate is %s, expected \"paper\" or a table with forward(self, stats)"):format(tostring(gate)), 3)
    elseif not gate._children then
      gate = Custom(gate)
    end
    self:add("gate", gate)
  end
  self:add("heads", Heads(backbone.channels, classes, heads == "shared" and 1 or #gammas, check.default(options.dropout, 0.5)))
  self:buffer("gamma", torch.tensor(gammas, { dtype = "float32" }))
end

--- The type that the model computes in. Clips and statistics come as float32, as the kernels make them.
function DGAM:dtype() return self.gamma.dtype end

--- As of every module; a dtype may be float32 or float64.
function DGAM:to(what)
  if what == "float16" or what == "bfloat16" then
    error(("to: the type is %s, expected float32 or float64 (the option precision = 'bfloat16' computes in bfloat16)"):format(what), 2)
  end
  return nn.Module.to(self, what)
end

--- As of every module. The state of a model with other gammas is an error: its heads belong to those.
function DGAM:load_state_dict(state, options)
  local theirs = type(state) == "table" and state.gamma
  if torch.is_tensor(theirs) and theirs.ndim == 1 and theirs:size(1) == #self.gammas then -- else refused below
    local text, mine = gammas_text(theirs), gammas_text(self.gamma)
    if text ~= mine then error(("load_state_dict: gamma is %s, expected this model's %s"):format(text, mine), 2) end
  end
  return nn.Module.load_state_dict(self, state, options)
end

--- The light statistics of a clip: mean, unbiased deviation, entropy of every frame.
-- @param clip uint8 [N, 3, T, H, W]; histogram = dgam.stats.histogram(clip), if it is there already -> float [N, 3T]
function DGAM:stats(clip, histogram)
  return torch.no_grad(function() return ops.frame_stats(clip, self.domain, MEAN, STD, histogram or torch.none):float() end)
end

--- The gate's weights for statistics: [N, 3T] -> lambda [N, E].
function DGAM:lambda(stats)
  if not self.gate then return torch.ones(stats:size(1), 1, { device = stats.device }) end
  local scores = self.gate(stats:to(self:dtype()))
  if not torch.is_tensor(scores) or scores.ndim ~= 2 or scores:size(2) ~= #self.gammas or scores:size(1) ~= stats:size(1) then
    error(("the gate returned %s, expected scores of shape [%d, %d]"):format(
      torch.is_tensor(scores) and "shape [" .. table.concat(scores.shape, ", ") .. "]" or type(scores), stats:size(1),
      #self.gammas), 0)
  end
  if stats:size(1) == 0 then return scores end
  local sums = scores:detach():sum(2)
  local is_distribution = sums:sub(1):abs():max():item() < 1e-3 and scores:detach():min():item() >= 0
  return is_distribution and scores or scores:softmax(2)
end

--- Features of a clip seen through mixture weights.
-- @param clip uint8 [N, 3, T, H, W]; weights [N, E]; histogram as for stats -> [N, L, C]
function DGAM:encode(clip, weights, trace, histogram)
  local patches, dtype = self.backbone.takes_patches == true, self:dtype()
  local bf16 = patches and self.backbone.precision == "bfloat16" and dtype == "float32"
  local x = ops.gic(clip, weights, self.gamma, self.domain, MEAN, STD, patches and "patches" or "clip", bf16, histogram or torch.none)
  if not bf16 then x = x:to(dtype) end
  local features = self.backbone(x, { shape = { clip:size(3), clip:size(4), clip:size(5) }, trace = trace })
  local n, c = clip:size(1), self.backbone.channels
  if not torch.is_tensor(features) or features.ndim ~= 5 or features:size(1) ~= n or features:size(5) ~= c then
    error(("the backbone returned %s, expected features of shape [%d, D, H, W, %d]"):format(torch.is_tensor(features) and
      "shape [" .. table.concat(features.shape, ", ") .. "]" or type(features), n, c), 0)
  end
  features = features:flatten(2, 4)
  if trace then trace("pooled", features:mean(2)) end
  return features
end

--- Keeps the model as one file: see models/file.lua.
function DGAM:save(path, about) return require("models.file").save(path, self, about) end

--- What DGAM adds in front of a backbone, alone: statistics, the gate, and an even mixture of the experts as patches.
-- Without gradients; for measuring what it costs.
-- @param clip uint8 [N, 3, T, H, W] -> float patches as the Swin backbones take them
function DGAM:light(clip)
  return torch.no_grad(function()
    local counts, experts = ops.histogram(clip), #self.gammas
    self:lambda(self:stats(clip, counts))
    local even = torch.full({ clip:size(1), experts }, 1 / experts, { device = clip.device })
    return ops.gic(clip, even, self.gamma, self.domain, MEAN, STD, "patches", false, counts)
  end)
end

--- One-hot mixture weights for a chosen expert per clip.
function DGAM:one_hot(expert) return torch.one_hot(expert, #self.gammas):float() end

--- @param clip uint8 [N, 3, T, H, W]
-- @param options expert = int64 [N] from 1 (else the gate decides), lambda = [N, E] known already, trace = function
-- @return logits [N, classes], {expert = [N], lambda = [N, E] or nil}
function DGAM:forward(clip, options)
  options = check.names("dgam", options or {}, { "expert", "lambda", "trace" })
  if not torch.is_tensor(clip) or clip.ndim ~= 5 or clip:size(2) ~= 3 then
    error(("the clip is %s, expected a tensor [N, 3, T, H, W]"):format(
      torch.is_tensor(clip) and "of shape [" .. table.concat(clip.shape, ", ") .. "]" or "a " .. type(clip)), 0)
  end
  local expert, lambda = options.expert, options.lambda
  local weights, counts
  if expert then
    local experts = #self.gammas
    if not torch.is_tensor(expert) or expert.dtype ~= "int64" or expert.ndim ~= 1 or expert:size(1) ~= clip:size(1) then
      error(("expert is %s, expected an int64 tensor [%d]"):format(torch.is_tensor(expert) and
        ("%s [%s]"):format(expert.dtype, table.concat(expert.shape, ", ")) or tostring(expert), clip:size(1)), 0)
    end
    for i, e in ipairs(expert:totable()) do
      if e < 1 or e > experts then error(("expert of clip %d is %d, expected 1 to %d"):format(i, e, experts), 0) end
    end
    weights = self:one_hot(expert)
  else
    if not lambda then -- the gate and the gamma tables read the same counts
      counts = clip.dtype == "uint8" and ops.histogram(clip)
      lambda = self:lambda(self:stats(clip, counts))
    end
    weights = (lambda / self.temperature):softmax(2)
    expert = lambda:argmax(2)
  end
  local features = self:encode(clip, weights, options.trace, counts)
  return self.heads(features, expert), { expert = expert, lambda = lambda }
end

--- Logits of every expert for every clip: [N, E, classes]. With backbone and heads frozen this is all a gate needs.
function DGAM:expert_logits(clip)
  local n, list = clip:size(1), {}
  for e = 1, #self.gammas do
    local weights = torch.zeros(n, #self.gammas, { device = clip.device })
    weights:select(2, e):fill_(1)
    list[e] = self.heads(self:encode(clip, weights), torch.full({ n }, e, { dtype = "int64", device = clip.device }))
  end
  return torch.stack(list, 2)
end

-- --- published checkpoints ---

--- The names of the official ELLAR code for this model's: "backbone.my_MoE.gating.linear1.weight" for
-- "gate.linear1.weight", "cls_head.fc_cls_15.weight" for "heads.1.weight" with gamma 1.5.
function DGAM:official_name(name)
  local head, rest = name:match "^heads%.(%d+)%.(.+)$"
  if head then
    local g = self.gammas[tonumber(head) + 1]
    return "cls_head.fc_cls" .. (head == "0" and "" or ("_%.0f"):format(g * 10)) .. "." .. rest
  end
  return (name:gsub("^gate%.", "backbone.my_MoE.gating."))
end

local function gamma_of(self, name) return self.gammas[tonumber(name:match "^heads%.(%d+)") + 1] end

-- In the official checkpoints, but computed here: which entry of the bias table belongs to which pair of tokens.
local COMPUTED = "%.relative_position_index$"

--- Loads a state dict with the official names. Those that are missing, and those that this model does not have, are an error;
-- gammas are not stored.
function DGAM:load_official(state)
  local mine, taken, extra = {}, {}, {}
  for name, t in pairs(self:state_dict()) do
    local official = self:official_name(name)
    if taken[official] then
      error(("load_official: gammas %s and %s share the name '%s', expected gammas that differ in one decimal"):format(
        gamma_of(self, name), gamma_of(self, taken[official]), official), 2)
    end
    taken[official] = name
    mine[name] = name == "gamma" and t or state[official]
  end
  for name in pairs(state) do
    if name == "gamma" or not taken[name] and not tostring(name):find(COMPUTED) then extra[#extra + 1] = tostring(name) end
  end
  if #extra > 0 then
    table.sort(extra)
    error(("load_official: not known: %s%s; expected the official names of this model with gammas %s"):format(
      table.concat(extra, ", ", 1, math.min(#extra, 4)), #extra > 4 and (", ... (%d in all)"):format(#extra) or "",
      gammas_text(self.gamma)), 2)
  end
  return self:load_state_dict(mine)
end

--- Takes backbone and head from a trained model with one head; every head of this one starts as a copy of it.
function DGAM:start_from(single)
  self.backbone:load_state_dict(single.backbone:state_dict())
  torch.no_grad(function()
    self.heads["0"].weight:copy_(single.heads["0"].weight)
    self.heads["0"].bias:copy_(single.heads["0"].bias)
  end)
  self.heads:copy_first()
  return self
end

return DGAM
