--- dgam.train: the paper's training procedure, stage by stage, and its evaluation.
--
-- Stage 0 (train.fit, one expert) fine-tunes backbone and head. Stage 1 (train.fit, experts = "uniform") trains backbone
-- and heads with an expert drawn uniformly for every clip, the gate frozen. Stage 2 (train.gate) freezes backbone and
-- heads and trains the gate on the logits every expert gives (train.expert_logits, computed once).
--
-- Everything drawn depends on (seed, epoch, clip) only, and a checkpoint is written at the end of every epoch, every few
-- minutes and on Ctrl-C, so a run that was stopped or killed ends with the numbers it would have had.
local torch = require "torch"
local optim = require "dgam.nn.optim"
local metrics = require "dgam.train.metrics"
local progress = require "dgam.show.progress"
local checkpoint = require "dgam.train.checkpoint"
local data = require "dgam.data"
local rng = require "dgam.kernels.rng"
local keys_of = require "util.keys"
local check = require "util.check"

local train = {}

--- What a training run is told, with the paper's values. Experiments override what they change.
train.defaults = {
  seed = 1,
  epochs = 30,          -- at most
  batch = 16,           -- clips a step
  lr = 3e-4,
  weight_decay = 0.05,  -- 0 for norms, biases and position tables
  backbone_lr = 0.1,    -- factor on the backbone's learning rate
  gate_lr = 10,         -- factor on the gate's
  warmup_epochs = 2.5,
  val_every = 2,        -- epochs between validations
  patience = 5,         -- epochs without a better validation before stopping
  clip_len = 32, interval = 2, size = 224, -- frames, frame step, pixels
  test_clips = 4, test_crops = 3,
  crop_area = 0.08,     -- least share of the frame that a random crop takes
  jitter = 0, randaugment = 0, gamma_jitter = 0, erasing = 0, -- random changes of the pixels, see dgam.augment.options
  mixup = 0, cutmix = 0, -- alpha; blend the clips of a batch, see dgam.data.loader
  enhance = "none",     -- what every frame goes through before the network sees it: "clahe", "lime" ..., see dgam.enhance
  dim = 0,              -- share of training clips that are dimmed and made noisy (train.dim), reached after a quarter
  threads = 2,          -- decoding threads
  clip_cache = 0,       -- gigabytes of disk for decoded clips, and the draws of a training clip that it serves (0: all differ);
  draws = 0,            --   see cache and draws in dgam.data.loader
  checkpoint_seconds = 300, -- between checkpoints within an epoch
  experts = "first",    -- "uniform": drawn for every clip
  gate_epochs = 60, gate_batch = 128,
  gate_objective = "mixture", -- see train.gate
}

local NO_DECAY = { "norm", "%.bias$", "relative_position_bias_table", decay = 0, optional = true }

--- cfg with train.defaults behind it.
local function complete(cfg)
  return setmetatable({}, { __index = function(_, k)
    local v = cfg[k]
    if v == nil then v = train.defaults[k] end
    return v
  end })
end

local number, whole = check.number, check.whole
local RATE = number(0, 1e9) -- more than any rate or time
local CROPS = { "1, 3 or 10", function(v) return v == 1 or v == 3 or v == 10 end }

-- What the fields may be; data.loader and dgam.augment know the rest of them.
local KINDS = {
  seed = whole(), epochs = whole(1), batch = whole(1), lr = RATE, weight_decay = RATE, backbone_lr = RATE, gate_lr = RATE,
  warmup_epochs = RATE, val_every = whole(1), patience = number(0, math.huge), clip_len = whole(1), interval = whole(1),
  size = whole(1), test_clips = whole(1), test_crops = CROPS, crop_area = number(0, 1), dim = number(0, 1), draws = whole(0),
  checkpoint_seconds = number(0, math.huge), experts = check.one_of("first", "uniform"), gate_epochs = whole(1),
  gate_batch = whole(2), gate_objective = check.one_of("mixture", "official"), -- batch norm needs two
  checkpoint = check.optional { "a path", function(v) return type(v) == "string" end },
}

--- All of a configuration that training and testing will need, before anything is trained: an error that names the first
-- field that is wrong. train.fit and train.gate begin with it; a script with several stages does well to call it first.
-- @param cfg see train.defaults
-- @return cfg with the defaults behind it
function train.check(cfg)
  cfg = complete(cfg)
  check.fields("train", cfg, KINDS, false)
  return cfg
end

local function loader_options(cfg, split)
  return { split = split, batch = cfg.batch, clip_len = cfg.clip_len, interval = cfg.interval, size = cfg.size,
    seed = cfg.seed, threads = cfg.threads, enhance = cfg.enhance, cache = cfg.clip_cache }
end

--- The loader that trains: random start, random resized crop, flip.
function train.train_loader(dataset, cfg)
  local options = loader_options(cfg, "train")
  options.train, options.area = true, { cfg.crop_area, 1 }
  options.draws = (cfg.draws or 0) > 0 and cfg.draws or nil
  for _, name in ipairs { "jitter", "randaugment", "gamma_jitter", "erasing", "mixup", "cutmix" } do options[name] = cfg[name] end
  return data.loader(dataset, options)
end

--- The loader that measures: `clips` x `crops` views of every video, in the order of the list.
function train.test_loader(dataset, cfg, split, clips, crops)
  local options = loader_options(cfg, split)
  options.views = { clips = clips, crops = crops }
  return data.loader(dataset, options)
end

-- Says how many clips a loader had to leave out, if any.
local function report_skipped(loader)
  local text = loader:summary()
  if text then io.stderr:write(text, "\n") end
  loader:close()
end

-- --- evaluation ---

--- Calls f(views) -> scores [N * V, ...] for every batch of a split and averages the views.
-- @param f function(clip uint8 [N * V, 3, T, H, W], batch) -> float [N * V, ...]
-- @return scores [clips, ...], labels [clips], index [clips] (positions in dataset.items)
local function over_split(dataset, cfg, split, clips, crops, f)
  local loader = train.test_loader(dataset, cfg, split, clips, crops)
  local scores, labels, index = {}, {}, {}
  for batch in loader:epoch(0) do
    local s = torch.no_grad(f, batch.clip, batch)
    local n = batch.label:size(1)
    local shape = s.shape
    scores[#scores + 1] = s:reshape({ n, shape[1] // n, table.unpack(shape, 2) }):mean(2)
    labels[#labels + 1], index[#index + 1] = batch.label, batch.index
  end
  report_skipped(loader)
  if #scores == 0 then error(("the list '%s' gave no readable clip"):format(split), 0) end
  return torch.cat(scores, 1), torch.cat(labels, 1), torch.cat(index, 1)
end

--- Softmax scores of a model on a split, averaged over views.
-- @return probabilities [clips, classes], labels [clips], index [clips]
function train.predict(model, dataset, cfg, split)
  cfg = complete(cfg)
  model:eval()
  return over_split(dataset, cfg, split, cfg.test_clips, cfg.test_crops, function(clip) return (model(clip)):softmax(2) end)
end

--- Top-1, top-5 and mean class accuracy on a split, also by dataset field (`by = "light"` gives top1_ll, top1_ell).
function train.evaluate(model, dataset, cfg, split, by)
  local scores, labels, index = train.predict(model, dataset, cfg, split)
  return train.score(dataset, scores, labels, index, by)
end

--- The same from scores known already. Clips without the field are the group "none"; if none has it, there are no groups.
function train.score(dataset, scores, labels, index, by)
  if not by or not next(dataset:count(by)) then return metrics.accuracy(scores, labels) end
  local groups = {}
  for i, at in ipairs(index:totable()) do groups[i] = tostring(dataset.items[at][by] or "none") end
  return metrics.by_group(scores, labels, groups)
end

-- --- stages 0 and 1 ---

-- One expert per clip: a fixed one, or uniform by (seed, epoch, clip).
local function draw_experts(cfg, epoch, index, count)
  local list = index:totable()
  for i, at in ipairs(list) do
    list[i] = cfg.experts == "uniform" and 1 + rng.below(count, cfg.seed, epoch, at) or 1
  end
  return torch.tensor(list)
end

--- Dims clips and adds noise, each clip its own: a plain stand-in for little light, without the camera model. Brightness
-- falls by a factor from 1 to 1/60 (uniform in its logarithm); the noise has a part that grows with the signal and one
-- that does not, in half of the clips smoothed over 3 x 3 pixels as denoisers do; up to 6 levels are lost in black.
-- @param clip uint8 [N, 3, T, H, W]
-- @param share of the clips that are changed
-- @return uint8 [N, 3, T, H, W]
function train.dim(clip, share)
  local n = clip:size(1)
  local function draw() return torch.rand(n, 1, 1, 1, 1) end
  local x = clip:float() * (draw() * -math.log(60)):exp()
  local noise = torch.randn(clip.shape)
  local smooth = torch.avg_pool3d(noise, { 1, 3, 3 }, { 1, 1, 1 }, { 0, 1, 1 }) * 3 -- as strong as before
  noise = torch.where(draw():lt(0.5), smooth, noise)
  x = x + noise * (x * (draw() * 1.5) + (draw() * 5) ^ 2):sqrt() - draw() * 6
  return torch.where(draw():lt(share), x:clamp(0, 255):round():byte(), clip)
end

local function validate(model, dataset, cfg)
  model:eval()
  local count = #model.gammas
  local scores, labels = over_split(dataset, cfg, "val", 1, 1, function(clip, batch)
    return model(clip, { expert = draw_experts(cfg, 0, batch.index, count) }):softmax(2)
  end)
  local result = metrics.accuracy(scores, labels)
  result.loss = torch.nll_loss(scores:clamp(1e-12, 1):log(), labels):item()
  return result
end

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

-- What a training that was stopped must be gone on with: the data, the model as far as its weights do not tell, and what
-- decides how its steps come out.
local function terms(model, dataset, cfg)
  local gammas = {}
  for i, g in ipairs(model.gammas) do gammas[i] = ("%.7g"):format(g) end
  local out = { data = dataset:fingerprint(), gammas = table.concat(gammas, " "), domain = tostring(model.domain),
    heads = model.heads and model.heads.shared and "shared" or "per-expert" }
  for _, name in ipairs { "seed", "epochs", "batch", "lr", "weight_decay", "backbone_lr", "warmup_epochs", "val_every", "clip_len",
    "interval", "size", "crop_area", "jitter", "randaugment", "gamma_jitter", "erasing", "mixup", "cutmix", "enhance", "dim",
    "draws", "experts" } do
    out[name] = tostring(cfg[name])
  end
  return out
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

-- What a checkpoint of train.fit holds, or nil if there is none. It may go while it is being read: whoever trains the same
-- in another process and ends first removes it.
local function load_begun(path)
  if not path or not checkpoint.exists(path) then return nil end
  local ok, state, meta = pcall(checkpoint.load, path)
  if ok then return state, meta end
  if checkpoint.exists(path) then error(state, 0) end
  return nil
end

-- Keeps the parameters of a module still, if there is one, until the end of the block.
local function still(module)
  local before = {}
  if module then
    for _, t in module:named_parameters() do before[t], t.requires_grad = t.requires_grad, false end
  end
  return setmetatable({}, { __close = function()
    for t, on in pairs(before) do t.requires_grad = on end
  end })
end

local function trainable(module)
  for _, t in module:named_parameters() do
    if t.requires_grad then return true end
  end
  return false
end

-- How far an epoch is that has not begun.
local function nothing() return { batches = 0, seen = 0, loss = 0, right = 0 } end

--- Trains backbone and heads, of them what is not frozen (model.backbone:requires_grad_(false) leaves the heads); the gate,
-- if there is one, keeps still. The model ends with the weights of its best validation.
-- @param model models.dgam
-- @param dataset dgam.data dataset with lists "train" and "val"
-- @param cfg see train.defaults; also checkpoint = path (resume from and write to), label = name for the progress bar
-- Errors: a field of cfg is wrong (train.check); the dataset has more classes than the model; the checkpoint cannot be
-- written, or is of a training of another model, with other data or settings.
-- @return history: list of { epoch, loss, accuracy, val_top1, val_top5, val_loss }
function train.fit(model, dataset, cfg)
  cfg = train.check(cfg)
  if model.classes and #dataset.classes > model.classes then
    error(("train.fit: the dataset has %d classes, expected the model's %d or fewer"):format(#dataset.classes, model.classes), 2)
  end
  if cfg.checkpoint then checkpoint.check_path(cfg.checkpoint) end
  dataset:split "val" -- that there is a list to validate on is found out now
  local loader = train.train_loader(dataset, cfg)
  local steps = loader:batches()
  local gate <close> = still(model.gate) -- luacheck: ignore
  local opt = optim.AdamW(model, { lr = cfg.lr, weight_decay = cfg.weight_decay,
    rules = { { "^backbone%.", lr = cfg.backbone_lr, optional = true }, NO_DECAY } })
  local schedule = optim.warmup_cosine { epochs = cfg.epochs, steps_per_epoch = steps, warmup_epochs = cfg.warmup_epochs }
  torch.manual_seed(cfg.seed)

  local now = terms(model, dataset, cfg)
  local history, best = {}, { top1 = -1, loss = math.huge, epoch = 0 }
  local complete_epochs, within = 0, nothing() -- within the next
  do
    local state, meta = load_begun(cfg.checkpoint)
    if state then
      check_terms(cfg.checkpoint, meta.terms, now)
      model:load_state_dict(take_prefix(state, "model/"))
      opt:load_state_dict(take_prefix(state, "optimizer/"))
      torch.set_rng_state(state.rng)
      history, best, complete_epochs, within = meta.history, meta.best, meta.epoch, meta.within or nothing()
      best.state = take_prefix(state, "best/")
      if not next(best.state) then best.state = nil end
    end
  end

  local saved = progress.now()
  local function save()
    if not cfg.checkpoint then return end
    saved = progress.now()
    local state = { rng = torch.rng_state() }
    add_prefix(state, "model/", model:state_dict())
    add_prefix(state, "optimizer/", opt:state_dict())
    add_prefix(state, "best/", best.state or {})
    checkpoint.save(cfg.checkpoint, state, { terms = now, epoch = complete_epochs, within = within, history = history,
      best = { top1 = best.top1, loss = best.loss, epoch = best.epoch } })
  end
  -- What changes any of it is held (dgamlua.hold), so that on Ctrl-C it can be saved as it is, unless a step failed half way.
  local sound = true
  local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    if not (dgamlua.interrupted() and sound and within.batches > 0) then return end
    dgamlua.hold(function()
      local ok, why = pcall(save)
      if not ok then io.stderr:write("\ndgamlua: what was trained since the last checkpoint is lost: ", tostring(why), "\n") end
    end)
  end })
  local function step(epoch, batch, share)
    sound = false
    local expert = draw_experts(cfg, epoch, batch.index, #model.gammas)
    local clip = share > 0 and train.dim(batch.clip, share) or batch.clip
    local logits = model(clip, { expert = expert })
    local loss = torch.cross_entropy(logits, batch.target or batch.label)
    local n, value = batch.label:size(1), loss:item()
    if value ~= value then error(("the loss is NaN at epoch %d, step %d"):format(epoch, batch.number), 0) end
    opt:zero_grad()
    loss:backward()
    opt:step(schedule((epoch - 1) * steps + batch.number - 1))
    within.batches, within.seen = batch.number, within.seen + n
    within.loss = within.loss + value * n
    within.right = within.right + logits:detach():argmax(2):eq(batch.label):sum():item()
    sound = true
    if progress.now() - saved > cfg.checkpoint_seconds then save() end
  end

  for epoch = complete_epochs + 1, cfg.epochs do
    if epoch - 1 - best.epoch >= cfg.patience and best.state then break end
    model:train()
    local bar = progress.new(("%s epoch %d/%d"):format(cfg.label or "training", epoch, cfg.epochs), steps,
      { done = within.batches })
    local share = cfg.dim * math.min(1, 4 * (epoch - 1) / cfg.epochs)
    for batch in loader:epoch(epoch, within.batches + 1) do
      dgamlua.hold(step, epoch, batch, share)
      bar:advance(1, { loss = within.loss / within.seen, accuracy = within.right / within.seen,
        ["from cache"] = loader:hits() }, batch.label:size(1))
    end
    local seen = within.seen
    if seen == 0 then error("the training list gave no readable clip", 0) end
    local record = { epoch = epoch, loss = within.loss / seen, accuracy = within.right / seen }
    local note
    if epoch % cfg.val_every == 0 or epoch == cfg.epochs then
      local v = validate(model, dataset, cfg)
      record.val_top1, record.val_top5, record.val_loss = v.top1, v.top5, v.loss
      note = ("validation top-1 %.1f%%"):format(v.top1)
    end
    dgamlua.hold(function()
      history[#history + 1] = record
      if note and (record.val_top1 > best.top1 or record.val_top1 == best.top1 and record.val_loss < best.loss) then
        best = { top1 = record.val_top1, loss = record.val_loss, epoch = epoch, state = clone_state(model:state_dict()) }
      end
      complete_epochs, within = epoch, nothing()
      save()
    end)
    bar:finish(note)
  end
  report_skipped(loader)
  if best.state then model:load_state_dict(best.state) end
  return history
end

-- --- stage 2 ---

--- What a gate needs to know of a split when backbone and heads are frozen.
-- @return { stats = [n, 3T], logits = [n, E, classes], labels = [n], index = [n] }, averaged over `clips` x `crops` views
function train.expert_logits(model, dataset, cfg, split, clips, crops)
  cfg = complete(cfg)
  model:eval()
  local stats
  local logits, labels, index = over_split(dataset, cfg, split, clips or 1, crops or 1, function(clip)
    local l = model:expert_logits(clip):log_softmax(3):exp()
    local s = model:stats(clip)
    -- Both travel as one tensor through the averaging over views: [n, E * K + 3T].
    stats = s:size(2)
    return torch.cat({ l:flatten(2), s }, 2)
  end)
  local e, k = #model.gammas, model.classes
  return {
    logits = logits:narrow(2, 1, e * k):reshape(-1, e, k):clamp(1e-12, 1):log(),
    stats = logits:narrow(2, e * k + 1, stats):contiguous(),
    labels = labels,
    index = index,
  }
end

--- Log-probabilities when a gate's argmax picks the expert: [n, classes].
function train.switch(known, lambda)
  local expert = lambda:argmax(2)
  local n, _, k = table.unpack(known.logits.shape)
  return known.logits:gather(2, expert:view(n, 1, 1):expand(n, 1, k)):squeeze(2)
end

--- Trains the gate on known logits.
--
-- objective "mixture": the negative log of the lambda-weighted probability of the right class, sum_e lambda_e p_e(y);
-- its gradient reaches every expert. objective "official": the softmax at temperature 1e-6 of the official code, whose
-- gradient is zero unless two lambdas nearly tie; there to be measured.
-- @param known, val what train.expert_logits gave for the training and the validation list
-- @return history
function train.gate(model, known, val, cfg)
  cfg = train.check(cfg)
  local gate = model.gate
  if not gate or not trainable(gate) then return {} end
  local n = known.labels:size(1)
  local steps = math.max(1, math.ceil(n / cfg.gate_batch))
  torch.manual_seed(cfg.seed)
  local opt = optim.AdamW(gate, { lr = cfg.lr * cfg.gate_lr, weight_decay = cfg.weight_decay, rules = { NO_DECAY } })
  local schedule = optim.warmup_cosine { epochs = cfg.gate_epochs, steps_per_epoch = steps, warmup_epochs = cfg.warmup_epochs }
  local history, best = {}, { score = -math.huge }

  for epoch = 1, cfg.gate_epochs do
    gate:train()
    local order = torch.tensor(rng.permutation(n, cfg.seed, epoch))
    local total = 0
    for s = 1, steps do
      local rows = order:narrow(1, (s - 1) * cfg.gate_batch + 1, math.min(cfg.gate_batch, n - (s - 1) * cfg.gate_batch))
      if #rows > 1 then -- batch norm needs two
        local lambda = model:lambda(known.stats:index_select(1, rows))
        local logits, labels = known.logits:index_select(1, rows), known.labels:index_select(1, rows)
        local weights = cfg.gate_objective == "official" and (lambda / model.temperature):softmax(2) or lambda
        local mixed = (logits + weights:clamp(1e-12, 1):log():unsqueeze(3)):logsumexp(2)
        local loss = torch.nll_loss(mixed, labels)
        opt:zero_grad()
        loss:backward()
        opt:step(schedule((epoch - 1) * steps + s - 1))
        total = total + loss:item() * #rows
      end
    end
    gate:eval()
    local scores = torch.no_grad(function() return train.switch(val, model:lambda(val.stats)) end)
    local v = metrics.accuracy(scores, val.labels)
    local score = v.top1 - 1e-3 * torch.nll_loss(scores, val.labels):item() -- ties go to the lower loss
    history[epoch] = { epoch = epoch, loss = total / n, val_top1 = v.top1 }
    if score > best.score then best = { score = score, state = clone_state(gate:state_dict()) } end
  end
  gate:load_state_dict(best.state)
  return history
end

--- Stages 1 and 2 on a model that starts from stage 0, as the paper trains its switching models.
-- @return { history =, gate_history = }
function train.switching(model, dataset, cfg)
  local stage1 = setmetatable({ experts = "uniform" }, { __index = cfg })
  local history = train.fit(model, dataset, stage1)
  if not model.gate then return { history = history, gate_history = {} } end
  local known = train.expert_logits(model, dataset, cfg, "train")
  local val = train.expert_logits(model, dataset, cfg, "val")
  return { history = history, gate_history = train.gate(model, known, val, cfg), val = val }
end

local function curves_of(history, prefix)
  local curves = {}
  for _, record in ipairs(history) do
    for name, value in pairs(record) do
      curves[prefix .. name] = curves[prefix .. name] or {}
      table.insert(curves[prefix .. name], value)
    end
  end
  return curves
end

--- What an experiment stores of a trained model: its accuracy on the test list, and, where there are several experts,
-- that of other ways to choose among them: fixed_ (the single expert that is best on the validation list), random_ (drawn
-- for every view), oracle_ (per clip the expert that gives the right class most).
-- @param trained what train.switching returned
-- @param by dataset field to split by, such as "light"
-- @return { metrics =, curves =, arrays = } as experiment trials return
function train.report(model, dataset, cfg, trained, by)
  cfg = complete(cfg)
  model:eval()
  local e, k = #model.gammas, model.classes
  -- Gating is per view: the gated and the random choice are made before views are averaged.
  local scores, labels, index = over_split(dataset, cfg, "test", cfg.test_clips, cfg.test_crops, function(clip, batch)
    local p = model:expert_logits(clip):softmax(3) -- [N * V, E, K]
    local rows = p:size(1)
    local lambda = model:lambda(model:stats(clip))
    local function pick(expert) return p:gather(2, expert:view(rows, 1, 1):expand(rows, 1, k)):squeeze(2) end
    local views, drawn = rows // batch.label:size(1), {}
    for _, at in ipairs(batch.index:totable()) do
      for v = 1, views do drawn[#drawn + 1] = 1 + rng.below(e, cfg.seed, at, v) end
    end
    return torch.cat({ pick(lambda:argmax(2)), pick(torch.tensor(drawn)), p:flatten(2), lambda }, 2)
  end)
  local at = 1
  local function take(n)
    at = at + n
    return scores:narrow(2, at - n, n)
  end
  local gated, random, experts, lambda = take(k), take(k), take(e * k):reshape(-1, e, k), take(e)

  local metrics_of = {}
  local function add(prefix, s)
    for name, value in pairs(train.score(dataset, s, labels, index, by)) do metrics_of[prefix .. name] = value end
  end
  add("", gated)
  if e > 1 then
    local best, best_top1
    for i = 1, e do
      local top1 = metrics.accuracy(trained.val.logits[{ {}, i }], trained.val.labels).top1
      if not best or top1 > best_top1 then best, best_top1 = i, top1 end
    end
    metrics_of.fixed_gamma = model.gammas[best]
    add("fixed_", experts[{ {}, best }])
    add("random_", random)
    local n = labels:size(1)
    local right = experts:gather(3, labels:view(n, 1, 1):expand(n, e, 1)):squeeze(3)
    add("oracle_", experts:gather(2, right:argmax(2):view(n, 1, 1):expand(n, 1, k)):squeeze(2))
  end
  local curves = curves_of(trained.history, "")
  for name, list in pairs(curves_of(trained.gate_history, "gate_")) do curves[name] = list end
  return { metrics = metrics_of, curves = curves,
    arrays = { scores = gated, experts = experts, lambda = lambda, labels = labels, index = index } }
end

return train
