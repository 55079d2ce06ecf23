--- dgam.train.gate: stage 2. Backbone and heads are frozen, so all that a gate needs of a clip is its statistics and the logits that
-- every expert gives; they are computed once, and the gate is trained on them.
local torch = require "torch"
local optim = require "dgam.nn.optim"
local device = require "dgam.train.device"
local evaluate = require "dgam.train.evaluate"
local frozen = require "dgam.train.frozen"
local metrics = require "dgam.train.metrics"
local objectives = require "dgam.train.objectives"
local options = require "dgam.train.options"
local progress = require "dgam.show.progress"
local rng = require "dgam.kernels.rng"

local gate = {}

local COLLAPSED = 0.95 -- share of the clips

-- --- what experts say ---

--- What a gate needs to know of a split when backbone and heads are frozen.
-- @return { stats = [n, 3T], logits = [n, E, classes] (log-probabilities), labels = [n], index = [n] }, averaged over
--   `clips` x `crops` views (1), on the CPU
function gate.expert_logits(model, dataset, cfg, split, clips, crops)
  cfg = options.complete(cfg)
  model:eval()
  local width -- of the statistics; they travel with the probabilities through the averaging: [n, E * K + 3T]
  local both, labels, index = evaluate.over_split(dataset, cfg, split, clips or 1, crops or 1, device.of(model),
    "experts on " .. split, function(clip)
      local p = model:expert_logits(clip):log_softmax(3):exp()
      local s = model:stats(clip)
      width = s:size(2)
      return torch.cat({ p:flatten(2), s }, 2)
    end)
  local e, k = #model.gammas, model.classes
  return {
    logits = both:narrow(2, 1, e * k):reshape(-1, e, k):clamp(1e-12, 1):log(),
    stats = both:narrow(2, e * k + 1, width):contiguous(),
    labels = labels,
    index = index,
  }
end

--- What the experts that are chosen say: [n, E, K] and int64 [n] from 1 -> [n, K].
function gate.pick(said, expert)
  local n, _, k = table.unpack(said.shape)
  return said:gather(2, expert:view(n, 1, 1):expand(n, 1, k)):squeeze(2)
end

--- Log-probabilities when a gate's argmax picks the expert: [n, classes].
function gate.switch(known, lambda) return gate.pick(known.logits, lambda:argmax(2)) end

--- Says so if a gate sends nearly all clips to one expert: "gate collapsed to gamma 2.0: 97% of clips"; nil if it does not.
-- @param lambda [n, E]
function gate.collapsed(lambda, gammas)
  local chosen = lambda:argmax(2)
  for e, gamma in ipairs(gammas) do
    local share = chosen:eq(e):float():mean():item()
    if share > COLLAPSED and #gammas > 1 then
      return ("gate collapsed to gamma %s: %.0f%% of clips"):format(gamma, 100 * share)
    end
  end
end

-- --- what it minimises ---

-- How errors call a gate and a function.
local function name_of(module)
  local own = module.gate -- that of the user's, in models.dgam
  return type(own) == "table" and type(own.name) == "string" and own.name or module.class_name or "gate"
end

local function name_of_function(f)
  local info = debug.getinfo(f, "S")
  return ("the function of %s:%d"):format(info.short_src, info.linedefined)
end

--- The objective that a gate is trained with: what cfg.gate_objective says, a name of train.objectives or a function; with
-- "own", which is the default, the gate's own (a field `objective`), and "mixture" for a gate that has none.
-- @return function, name for errors
function gate.objective(module, cfg)
  local wanted = options.complete(cfg).gate_objective
  if wanted == "own" then wanted = module.objective or "mixture" end
  if type(wanted) == "function" then return wanted, name_of_function(wanted) end
  if objectives[wanted] then return objectives[wanted], wanted end
  error(("gate '%s': its objective is %s, expected a function or one of %s"):format(name_of(module), tostring(wanted),
    table.concat(require "util.keys"(objectives), ", ")), 0)
end

-- What an objective should not have returned, in words; nil and the number if it is a loss.
local function fault_of(loss)
  if not torch.is_tensor(loss) then return loss == nil and "nil" or "a " .. type(loss) end
  if loss:numel() ~= 1 then return "a tensor of shape [" .. table.concat(loss.shape, ", ") .. "]" end
  if not loss.requires_grad then return "a number that does not depend on lambda" end
  local value = device.number(loss)
  if value ~= value then return "NaN" end
  if math.abs(value) == math.huge then return tostring(value) end
  return nil, value
end

-- The first row of lambda that is not finite, or nil.
local function broken_row(lambda)
  local whole = lambda:isfinite():all(2):totable()
  for i, fine in ipairs(whole) do
    if not fine then return i end
  end
end

-- The loss as a number; an error that names the gate if it is none, or if the gate gave what no loss can come from.
local function value_of(run, loss, lambda, rows, epoch, step)
  local fault, value = fault_of(loss)
  if not fault then return value end
  local where = ("gate '%s' at epoch %d, step %d"):format(name_of(run.gate), epoch, step)
  local row = broken_row(lambda)
  if row then
    local at = rows:totable()[row]
    error(("%s: the gate gave %s for clip %d of the list, expected finite weights"):format(where,
      "{" .. table.concat(lambda:totable()[row], ", ") .. "}", at), 0)
  end
  error(("%s: the objective, %s, returned %s, expected the loss, a tensor with one finite number that depends on lambda"):format(where,
    run.objective_name, fault), 0)
end

-- --- its training ---

local function moved(known, where)
  local out = {}
  for _, name in ipairs { "stats", "logits", "labels" } do out[name] = device.put(known[name], where) end
  return out
end

-- All that the steps need.
local function begin(model, known, val, cfg)
  local module, where, n = model.gate, device.of(model), known.labels:size(1)
  local steps = math.max(1, math.ceil(n / cfg.gate_batch))
  local objective, objective_name = gate.objective(module, cfg)
  torch.manual_seed(cfg.seed)
  return { model = model, gate = module, cfg = cfg, n = n, steps = steps, device = where, known = moved(known, where),
    val = moved(val, where), objective = objective, objective_name = objective_name,
    told = setmetatable({ temperature = model.temperature }, { __index = cfg }), -- what the objective is told
    optimizer = optim.AdamW(module, { lr = cfg.lr * cfg.gate_lr, weight_decay = cfg.weight_decay, rules = { frozen.NO_DECAY } }),
    schedule = optim.warmup_cosine { epochs = cfg.gate_epochs, steps_per_epoch = steps, warmup_epochs = cfg.warmup_epochs } }
end

-- A step on some rows of what is known; returns the loss, a number.
local function step(run, rows, epoch, number)
  local known = run.known
  local lambda = run.model:lambda(known.stats:index_select(1, rows))
  local logits, labels = known.logits:index_select(1, rows), known.labels:index_select(1, rows)
  local loss = run.objective(lambda, logits, labels, run.told)
  local value = value_of(run, loss, lambda, rows, epoch, number)
  run.optimizer:zero_grad()
  loss:backward()
  run.optimizer:step(run.schedule((epoch - 1) * run.steps + number - 1))
  return value
end

-- The steps of an epoch; returns the mean loss.
local function train_epoch(run, epoch)
  local cfg, n, total = run.cfg, run.n, 0
  run.gate:train()
  local order = torch.tensor(rng.permutation(n, cfg.seed, epoch), { device = run.device })
  for number = 1, run.steps do
    local first = (number - 1) * cfg.gate_batch
    local rows = order:narrow(1, first + 1, math.min(cfg.gate_batch, n - first))
    if #rows > 1 then total = total + step(run, rows, epoch, number) * #rows end -- batch norm needs two
  end
  return total / n
end

-- Top-1 and loss on what is known of the validation list.
local function validate(run)
  run.gate:eval()
  local val = run.val
  local scores = device.back(torch.no_grad(function() return gate.switch(val, run.model:lambda(val.stats)) end))
  local labels = device.back(val.labels)
  return metrics.accuracy(scores, labels).top1, torch.nll_loss(scores, labels):item()
end

local function clone_state(state)
  local copy = {}
  for k, t in pairs(state) do copy[k] = t:clone() end
  return copy
end

--- Trains the gate on known logits; it ends with the weights of its best validation.
-- @param known, val what expert_logits gave for the training and the validation list
-- @param cfg see dgam.train.options; gate_objective: see gate.objective and dgam.train.objectives
-- @return history: list of { epoch, loss, lr, val_top1, val_loss }; empty for a gate without a trainable parameter
-- Errors: a setting is wrong; the objective returned no loss; the gate gave NaN.
function gate.train(model, known, val, cfg)
  cfg = options.check(cfg)
  if not model.gate or not frozen.trainable(model.gate) then return {} end
  local run = begin(model, known, val, cfg)
  local bar = progress.new(evaluate.title(cfg, "gate"), cfg.gate_epochs)
  local history, best = {}, { score = -math.huge, top1 = 0 }
  for epoch = 1, cfg.gate_epochs do
    local loss = train_epoch(run, epoch)
    local top1, val_loss = validate(run)
    history[epoch] = { epoch = epoch, loss = loss, val_top1 = top1, val_loss = val_loss,
      lr = cfg.lr * cfg.gate_lr * run.schedule(epoch * run.steps - 1) } -- of the last step
    local score = top1 - 1e-3 * val_loss -- ties go to the lower loss
    if score > best.score then best = { score = score, top1 = top1, state = clone_state(run.gate:state_dict()) } end
    bar:advance(1, { loss = loss }, run.n)
  end
  if best.state then run.gate:load_state_dict(best.state) end
  bar:finish(("validation top-1 %.1f%%"):format(best.top1))
  return history
end

return gate
