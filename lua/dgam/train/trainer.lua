--- dgam.train.trainer: stages 0 and 1, the training of backbone and heads, as an object.
--
--     local t <close> = train.trainer(model, data, cfg)
--     t:on("after_backward", function(t) t.optimizer:clip_grad_norm(1) end)
--     local history = t:run()                            -- train.fit(model, data, cfg) is a trainer that runs
--
-- Or step by step:
--
--     t:resume()                                         -- goes on from cfg.checkpoint, if it is there
--     for batch in t.loader:epoch(1) do t:step(batch) end
--     print(t:validate().top1)
--     t:save "now.h5"
--
-- Hooks are functions that are called at fixed places, in the order in which they were added (t:on):
--
--     after_backward(t, step)   gradients are there, the optimiser has not used them. If one returns false the optimiser waits
--                               and the gradients of the next step are added to these: accumulation. Gradients may be
--                               clipped, summed over processes, looked at
--     after_step(t, step)       the optimiser has changed the parameters: a moving average, a log
--     on_epoch(t, record)       an epoch has ended, validation included: what the hook adds to the record (numbers) is
--                               stored in the history
--
-- step is { epoch =, number = (of the batch in its epoch), at = (steps before it, from 0), batch =, clips = (how many), loss =
-- (number), right = (clips classified rightly), factor = (of the schedule, on every learning rate) }.
--
-- Fields to read: model, dataset, cfg (with defaults), device, loader, steps (an epoch), optimizer, schedule (at -> factor),
-- history, epoch (the one being trained), best = { top1, loss, epoch, state }. t.state is the hooks' own: name -> tensor,
-- written into checkpoints and read from them, to the model's device (a moving average of the weights).
--
-- Everything drawn depends on (seed, epoch, clip) or on libtorch's generator, whose state is in the checkpoint. One is
-- written at the end of every epoch, every few minutes and on Ctrl-C, so a run that was stopped or killed ends with the
-- numbers it would have had.
local torch = require "torch"
local optim = require "dgam.nn.optim"
local checkpoint = require "dgam.train.checkpoint"
local device = require "dgam.train.device"
local dim = require "dgam.train.dim"
local evaluate = require "dgam.train.evaluate"
local frozen = require "dgam.train.frozen"
local loaders = require "dgam.train.loaders"
local metrics = require "dgam.train.metrics"
local options = require "dgam.train.options"
local progress = require "dgam.show.progress"
local rng = require "dgam.kernels.rng"
local check = require "util.check"
local keys_of = require "util.keys"

local trainer = {}
local Trainer = {}
Trainer.__index = Trainer

local HOOKS = { "after_backward", "after_step", "on_epoch" }

-- --- what is trained on ---

--- One expert per clip: the first, or with cfg.experts = "uniform" one drawn by (seed, epoch, clip).
-- @param index int64 [N], positions in dataset.items
-- @return int64 [N] from 1, on device `where`
local function draw_experts(cfg, epoch, index, count, where)
  local list = index:totable()
  for i, at in ipairs(list) do
    list[i] = cfg.experts == "uniform" and 1 + rng.below(count, cfg.seed, epoch, at) or 1
  end
  return torch.tensor(list, { device = where })
end

-- How far an epoch is that has not begun.
local function nothing() return { batches = 0, seen = 0, loss = 0, right = 0 } end

-- --- making one ---

local function check_classes(model, dataset)
  if model.classes and #dataset.classes > model.classes then
    check.fail("train", ("the dataset has %d classes, expected the model's %d or fewer"):format(#dataset.classes, model.classes))
  end
end

-- What a training that was stopped must be gone on with: the data, the model as far as its weights do not tell, and the
-- settings that decide how its steps come out.
local function terms(model, dataset, cfg)
  local gammas, out = {}, options.terms(cfg)
  for i, g in ipairs(model.gammas) do gammas[i] = ("%.7g"):format(g) end
  out.data, out.gammas, out.domain = dataset:fingerprint(), table.concat(gammas, " "), tostring(model.domain)
  out.heads = model.heads and model.heads.shared and "shared" or "per-expert"
  return out
end

local function new_optimizer(model, cfg)
  local _ <close> = frozen.still(model.gate) -- of what is trained the gate is no part
  return optim.AdamW(model, { lr = cfg.lr, weight_decay = cfg.weight_decay,
    rules = { { "^backbone%.", lr = cfg.backbone_lr, optional = true }, frozen.NO_DECAY } })
end

--- A training of backbone and heads, of them what is not frozen (model.backbone:requires_grad_(false) leaves the heads). The gate,
-- if there is one, keeps still.
-- @param model models.dgam, or a module with gammas (list), a forward(clip uint8 [N, 3, T, H, W], { expert = int64 [N] }) ->
--   logits [N, classes], and perhaps classes and gate
-- @param dataset dgam.data dataset with lists "train" and "val"
-- @param cfg see dgam.train.options
-- Errors: a setting is wrong; the dataset has more classes than the model; the checkpoint cannot be written.
function trainer.new(model, dataset, cfg)
  cfg = options.check(cfg)
  check_classes(model, dataset)
  if cfg.checkpoint then checkpoint.check_path(cfg.checkpoint) end
  dataset:split "val" -- that there is a list to validate on is found out now
  local loader = loaders.train(dataset, cfg)
  local steps = loader:batches()
  local self = setmetatable({ model = model, dataset = dataset, cfg = cfg, device = device.of(model), loader = loader, steps = steps,
    optimizer = new_optimizer(model, cfg), terms = terms(model, dataset, cfg), state = {}, hooks = {}, history = {},
    schedule = optim.warmup_cosine { epochs = cfg.epochs, steps_per_epoch = steps, warmup_epochs = cfg.warmup_epochs },
    best = { top1 = -1, loss = math.huge, epoch = 0 }, epoch = 1, within = nothing(), sound = true, saved = progress.now() }, Trainer)
  for _, name in ipairs(HOOKS) do self.hooks[name] = {} end
  return self
end

--- Adds a hook, see above; returns the trainer.
function Trainer:on(name, f)
  check.option("trainer", "hook", name, check.one_of(table.unpack(HOOKS)))
  check.option("trainer", name, f, check.func)
  table.insert(self.hooks[name], f)
  return self
end

-- Calls the hooks of that name; false if one of them returned false.
local function call(self, name, what)
  local go_on = true
  for _, f in ipairs(self.hooks[name]) do
    if f(self, what) == false then go_on = false end
  end
  return go_on
end

-- --- a step ---

-- The model on a batch: its loss with the graph, and what hooks are told of it.
local function forward(self, batch)
  local cfg, epoch = self.cfg, self.epoch
  local number, n = batch.number or self.within.batches + 1, batch.label:size(1)
  local share = cfg.dim * math.min(1, 4 * (epoch - 1) / cfg.epochs)
  local expert = draw_experts(cfg, epoch, batch.index, #self.model.gammas, self.device)
  local clip, label = device.put(batch.clip, self.device), device.put(batch.label, self.device)
  if share > 0 then clip = dim(clip, share) end
  local logits = self.model(clip, { expert = expert })
  local loss = torch.cross_entropy(logits, batch.target and device.put(batch.target, self.device) or label)
  local at = (epoch - 1) * self.steps + number - 1
  local step = { epoch = epoch, number = number, at = at, batch = batch, clips = n, loss = device.number(loss),
    factor = self.schedule(at) }
  if step.loss ~= step.loss then error(("the loss is NaN at epoch %d, step %d"):format(epoch, number), 0) end
  step.right = device.number(logits:detach():argmax(2):eq(label):sum())
  return loss, step
end

local function count(within, step)
  within.batches, within.seen = step.number, within.seen + step.clips
  within.loss = within.loss + step.loss * step.clips
  within.right = within.right + step.right
end

--- Trains on one batch of the loader: forward, backward, the optimiser's step.
-- @param batch { clip = uint8 [N, 3, T, H, W], label = int64 [N], index = int64 [N], number = (default: the next), target = float
--   [N, classes] or nil }, on any device
-- @return the loss, a number
-- Error: the loss is NaN.
function Trainer:step(batch)
  if not self.model.training then self.model:train() end
  self.sound = false -- until it has been done wholly, what is in memory is not to be saved
  local loss, step = forward(self, batch)
  if not self.gathering then self.optimizer:zero_grad() end
  loss:backward()
  self.gathering = not call(self, "after_backward", step)
  if not self.gathering then
    self.optimizer:step(step.factor)
    call(self, "after_step", step)
  end
  count(self.within, step)
  self.sound = true
  return step.loss
end

--- Accuracy and loss on the list "val", one view a clip, each seen through the expert that stage 0 or 1 would draw.
-- @return { top1, top5, mean_class (percent), loss, n }
function Trainer:validate()
  local model, cfg = self.model, self.cfg
  model:eval()
  local scores, labels = evaluate.over_split(self.dataset, cfg, "val", 1, 1, self.device, nil, function(clip, batch)
    return model(clip, { expert = draw_experts(cfg, 0, batch.index, #model.gammas, self.device) }):softmax(2)
  end)
  local result = metrics.accuracy(scores, labels)
  result.loss = torch.nll_loss(scores:clamp(1e-12, 1):log(), labels):item()
  return result
end

-- --- checkpoints ---

local function clone_state(state)
  local copy = {}
  for k, t in pairs(state) do copy[k] = t:clone() end
  return copy
end

local function add_prefix(into, prefix, state)
  for k, t in pairs(state) do into[prefix .. k] = t end
end

local function take_prefix(from, prefix)
  local state = {}
  for k, t in pairs(from) do
    if k:sub(1, #prefix) == prefix then state[k:sub(#prefix + 1)] = t end
  end
  return state
end

local function check_terms(path, begun, now)
  if type(begun) ~= "table" then error(path .. ": expected a training that was stopped; these are other weights", 0) end
  local differ = {}
  for _, name in ipairs(keys_of(now)) do
    if begun[name] ~= now[name] then differ[#differ + 1] = ("%s was %s, is %s"):format(name, begun[name], now[name]) end
  end
  if #differ > 0 then
    error(("%s: the training it holds was begun otherwise (%s); remove it to begin anew"):format(path, table.concat(differ, "; ")), 0)
  end
end

-- Gradients that the optimiser has not used yet: name -> tensor.
local function gradients(self)
  local list = {}
  if self.gathering then
    for name, t in self.model:named_parameters() do list[name] = t.grad end
  end
  return list
end

local function take_gradients(self, list)
  self.gathering = next(list) ~= nil
  for name, t in self.model:named_parameters() do t.grad = list[name] and device.put(list[name], t.device) end
end

--- Writes all that is needed to go on.
-- @param path .h5 or .safetensors (default cfg.checkpoint; nothing is done where there is none)
function Trainer:save(path)
  path = path or self.cfg.checkpoint
  if not path then return end
  self.saved = progress.now()
  local state, best = { rng = torch.rng_state() }, self.best
  add_prefix(state, "model/", self.model:state_dict())
  add_prefix(state, "optimizer/", self.optimizer:state_dict())
  add_prefix(state, "best/", best.state or {})
  add_prefix(state, "grad/", gradients(self))
  add_prefix(state, "hooks/", self.state)
  for name, t in pairs(state) do state[name] = device.back(t) end
  checkpoint.save(path, state, { terms = self.terms, epoch = self.epoch - 1, within = self.within, history = self.history,
    best = { top1 = best.top1, loss = best.loss, epoch = best.epoch } })
end

local function restore(self, path, state, meta)
  check_terms(path, meta.terms, self.terms)
  self.model:load_state_dict(take_prefix(state, "model/"))
  self.optimizer:load_state_dict(take_prefix(state, "optimizer/"))
  torch.set_rng_state(state.rng)
  self.history, self.best, self.epoch, self.within = meta.history, meta.best, meta.epoch + 1, meta.within or nothing()
  self.best.state = take_prefix(state, "best/")
  if not next(self.best.state) then self.best.state = nil end
  take_gradients(self, take_prefix(state, "grad/"))
  self.state, self.begun = take_prefix(state, "hooks/"), true
  for name, t in pairs(self.state) do self.state[name] = device.put(t, self.device) end
end

--- Goes on from a checkpoint that such a trainer saved: model, optimiser, generator, history, how far the epoch is.
-- Errors: it holds other weights, or a training with other data, model or settings.
function Trainer:load(path) restore(self, path, checkpoint.load(path)) end

-- What a checkpoint holds, or nil if there is none. It may go while it is being read: whoever trains the same in another
-- process and ends first removes it.
local function load_begun(path)
  if not path or not checkpoint.exists(path) then return nil end
  local ok, state, meta = pcall(checkpoint.load, path)
  if ok then return state, meta end
  if checkpoint.exists(path) then error(state, 0) end
  return nil
end

--- Begins: seeds libtorch's generator, and goes on from cfg.checkpoint if it is there. run() does it, if it was not done.
-- @return whether there was one
function Trainer:resume()
  torch.manual_seed(self.cfg.seed)
  self.begun = true
  local state, meta = load_begun(self.cfg.checkpoint)
  if state then restore(self, self.cfg.checkpoint, state, meta) end
  return state ~= nil
end

-- --- the whole of it ---

-- To be held while training runs. What changes the training is held itself (dgamlua.hold), so that on Ctrl-C it can be saved as
-- it is, unless a step failed half way.
local function saving_on_interrupt(self)
  local function save()
    local ok, why = pcall(self.save, self)
    if not ok then io.stderr:write("\ndgamlua: what was trained since the last checkpoint is lost: ", tostring(why), "\n") end
  end
  return setmetatable({}, { __close = function()
    if dgamlua.interrupted() and self.sound and self.within.batches > 0 then dgamlua.hold(save) end
  end })
end

local function step_and_save(self, batch)
  self:step(batch)
  if progress.now() - self.saved > self.cfg.checkpoint_seconds then self:save() end
end

-- The batches of the epoch that are left; returns its progress bar.
local function train_epoch(self)
  local cfg, within = self.cfg, self.within
  self.model:train()
  local bar = progress.new(("%s epoch %d/%d"):format(cfg.label or "training", self.epoch, cfg.epochs), self.steps,
    { done = within.batches })
  for batch in self.loader:epoch(self.epoch, within.batches + 1) do
    dgamlua.hold(step_and_save, self, batch)
    bar:advance(1, { loss = within.loss / within.seen, accuracy = within.right / within.seen,
      ["from cache"] = self.loader:hits() }, batch.label:size(1))
  end
  if within.seen == 0 then error("the training list gave no readable clip", 0) end
  return bar
end

local function better(record, best)
  return record.val_top1 > best.top1 or record.val_top1 == best.top1 and record.val_loss < best.loss
end

-- Notes an epoch that has ended and goes on to the next; its weights are kept if they are the best.
local function end_epoch(self, record)
  call(self, "on_epoch", record)
  self.history[#self.history + 1] = record
  if record.val_top1 and better(record, self.best) then
    self.best = { top1 = record.val_top1, loss = record.val_loss, epoch = self.epoch, state = clone_state(self.model:state_dict()) }
  end
  self.epoch, self.within = self.epoch + 1, nothing()
  self:save()
end

--- Trains what is left of the epoch, validates if it is time to, and notes it in the history.
function Trainer:run_epoch()
  local cfg, epoch, within = self.cfg, self.epoch, self.within
  local bar = train_epoch(self)
  local record = { epoch = epoch, loss = within.loss / within.seen, accuracy = within.right / within.seen,
    lr = cfg.lr * self.schedule(epoch * self.steps - 1) } -- of the last step
  local note
  if epoch % cfg.val_every == 0 or epoch == cfg.epochs then
    local v = self:validate()
    record.val_top1, record.val_top5, record.val_loss = v.top1, v.top5, v.loss
    note = ("validation top-1 %.1f%%"):format(v.top1)
  end
  dgamlua.hold(end_epoch, self, record)
  bar:finish(note)
end

--- Whether there is nothing left to train: all epochs are done, or validation has not become better for cfg.patience of them.
function Trainer:finished()
  local best = self.best
  return self.epoch > self.cfg.epochs or best.state ~= nil and self.epoch - 1 - best.epoch >= self.cfg.patience
end

--- Trains to the end; the model then has the weights of its best validation.
-- @return history: list of { epoch, loss, accuracy, lr, val_top1, val_top5, val_loss }, the last three where it was validated
function Trainer:run()
  if not self.begun then self:resume() end
  local gate <close> = frozen.still(self.model.gate) -- luacheck: ignore
  local guard <close> = saving_on_interrupt(self) -- luacheck: ignore
  while not self:finished() do self:run_epoch() end
  loaders.finish(self.loader)
  if self.best.state then self.model:load_state_dict(self.best.state) end
  return self.history
end

--- Ends the decoding threads; also at the end of the trainer's block (`<close>`).
function Trainer:close() self.loader:close() end
Trainer.__close = Trainer.close

return trainer
