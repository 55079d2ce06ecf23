--- dgam.data.loader: batches of decoded clips, made by threads while the network trains.
--
--     local loader = data.loader(dataset, { split = "train", batch = 8, train = true, seed = 1 })
--     for batch in loader:epoch(3) do ... end
--
-- What an epoch gives depends only on (seed, epoch): order, frames, crops and flips are drawn per (seed, epoch, clip), so a
-- run that goes on after a kill asks for the next epoch and sees what it would have seen. Thread count changes nothing.
--
-- A clip that cannot be read is reported once on standard error, with its path, and left out; its batch is that much
-- shorter, and a batch of which nothing is left does not appear. loader.skipped says which (path -> message), and
-- loader:summary() how many.
--
-- A video is never played backwards: sitting down and standing up are different classes.
local paths = require "util.paths"
local rng = require "dgam.kernels.rng"
local video = require "dgam.kernels.video"
local check = require "util.check"
local sorted_keys = require "util.keys"
local system = require "system"

local loader = {}
local Loader = {}
Loader.__index = Loader

local OPTIONS = { "split", "batch", "clip_len", "interval", "size", "train", "seed", "threads", "prefetch", "views", "shuffle",
  "short", "area", "ratio", "flip", "clips", "rule", "window", "positions", "limits", "drop_last", "layout", "quiet", "on_skip",
  "jitter", "randaugment", "gamma_jitter", "erasing", "mixup", "cutmix", "enhance", "cache", "draws" }
local FOR_TRAINING = { "area", "ratio", "flip", "jitter", "randaugment", "gamma_jitter", "erasing", "mixup", "cutmix", "draws" }
local NOT_SAMPLING = { mixup = true, cutmix = true, draws = true } -- of these; the loader sees to them
local FOR_MEASURING = { "views", "short" } -- train = false

-- Memory for clips that wait: more would not make anything faster.
local AHEAD_BYTES = 256 << 20

local ALPHA = { "the alpha of a beta distribution, or 0 for none", function(v) return v == false or check.number(0, 1e9)[2](v) end }
local GIGABYTES = { "gigabytes, more than 0", function(v) return type(v) == "number" and v > 0 and v < 1e6 end }

--- While this is a table, every loader of the process notes in it what it skips: path -> message.
loader.noted = nil

local told = {} -- folders that were said not to take clips

--- Goes on without keeping clips; said once for a folder.
local function keep_no_more(self, folder, why)
  self.cache_failure = why
  if not told[folder] and not self.quiet then io.stderr:write("\ndgamlua: decoded clips are not kept: ", why, "\n") end
  told[folder] = told[folder] or not self.quiet
end

--- What `cache` means: { folder =, bytes = } or nil.
local function cache_of(o)
  local cache = o.cache
  if not cache or cache == 0 then return nil end
  if type(cache) ~= "table" then cache = { gigabytes = cache } end
  check.names("loader: cache", cache, { "gigabytes", "folder" })
  local size = check.option("loader", "cache", check.default(cache.gigabytes, 8), GIGABYTES)
  check.option("loader: cache", "folder", cache.folder, check.optional(check.text))
  return { folder = cache.folder or paths.cache() .. "/clips", bytes = math.ceil(size * 1e9) }
end

--- Starts the threads. A cache in whose folder nothing can be kept is no reason to stop.
local function start_pool(self)
  local cache = self.cache
  if cache then
    local ok, pool = pcall(function() return video.pool(self.threads, self.limits, { folder = paths.make_folder(cache.folder),
      bytes = cache.bytes }) end)
    if ok then return pool end
    local plain = video.pool(self.threads, self.limits)
    keep_no_more(self, cache.folder, (tostring(pool):gsub("^[^\n]-%.lua:%d+: ", "")))
    self.cache = nil
    return plain
  end
  return video.pool(self.threads, self.limits)
end

local function option(o, name, kind, default) return check.option("loader", name, check.default(o[name], default), kind) end

local function alpha(o, name) return option(o, name, ALPHA, 0) or 0 end
local function count(o, name, least, default) return option(o, name, check.whole(least), default) end
local function flag(o, name, default) return option(o, name, check.boolean, default) end -- "no" would count as true

--- What the options mean for dgam.video.sampling.
local function sampling_of(o)
  local size = count(o, "size", 1, 224)
  local s = { clip_len = o.clip_len, interval = o.interval, size = size, seed = o.seed, layout = o.layout, window = o.window,
    positions = o.positions }
  for name, rules in pairs { window = { dense = true, ["dense-test"] = true }, positions = { ["dense-test"] = true } } do
    if o[name] ~= nil and not rules[o.rule] then
      error(("loader: %s is for the rule %s"):format(name, table.concat(sorted_keys(rules), " or ")), 3)
    end
  end
  if type(o.enhance) ~= "function" then s.enhance = o.enhance or nil end
  if o.train then
    for _, name in ipairs(FOR_MEASURING) do
      if o[name] ~= nil then error(("loader: %s is for train = false"):format(name), 3) end
    end
    s.rule, s.crop, s.clips = o.rule or "train", "random", o.clips
    for _, name in ipairs(FOR_TRAINING) do
      if not NOT_SAMPLING[name] then s[name] = o[name] end
    end
    return s
  end
  for _, name in ipairs(FOR_TRAINING) do
    if o[name] and (o[name] ~= 0 or name == "flip") then error(("loader: %s is for train = true"):format(name), 3) end
  end
  local views = check.default(o.views, {})
  check.names("loader: views", views, { "clips", "crops" })
  if views.clips ~= nil and o.clips ~= nil then error("loader: both clips and views.clips are given", 3) end
  local crops = { [1] = "centre", [3] = "three", [10] = "ten" }
  local n = check.default(views.crops, 1)
  check.option("loader: views", "crops", n, { "1, 3 or 10", function(v) return crops[v] ~= nil end })
  s.rule, s.crop, s.clips = o.rule or "test", crops[n], views.clips or o.clips
  s.short = o.short or (o.views and size or (size * 256 + 112) // 224)
  return s
end

--- A loader over one split of a dataset (or all of it, without `split`).
-- @param dataset from data.open
-- @param options
--   split = name, batch = 8, clip_len = 32, interval = 2 (frame step), size = 224, seed = 1, threads = 2
--   train = false     true: random start, random resized crop, flip, random order (area, ratio, flip change the draws).
--                     false: list order, one centre crop after resizing the short side to size * 256 / 224
--   views = { clips = 4, crops = 3 }   several views a video, side by side: the batch is [N * clips * crops, ...]; the short
--                     side is resized to `size`. Crops: 1, 3 (left, right, middle) or 10. Not in training
--   short = pixels    another short side. Not in training
--   rule = "test"     "test-1.x", "dense", "dense-test"; see dgam.video.sampling
--   clips = 1         clips a video in training
--   jitter, randaugment, gamma_jitter, erasing   random changes of the pixels in training; see dgam.augment.options
--   mixup = 0.8, cutmix = 1   blend the clips of a batch, in training: alpha of either, with both a coin decides for every batch; the
--                     batch then has `target`, float [N, classes], the share of every class in every clip
--   enhance = "clahe"  or { "clahe", clip_limit = 3 }: one of dgam.enhance's methods on every frame, after it was cropped, by the
--                     decoding threads; or a function (uint8 clips -> uint8 clips), called on every batch
--   shuffle = train, drop_last = false (true: only whole batches, unless there are fewer clips than make one), layout = "CTHW"
--   prefetch = clips decoded ahead of the one that is asked for (2 batches, at most 256 MB)
--   limits            see dgam.video.open
--   cache = 8         gigabytes of disk for views that are read instead of decoded when they are asked for again, in the folder `clips`
--                     of the cache folder; or { gigabytes = 8, folder = FOLDER }. Batches are the same with it and without. What is
--                     measured (train = false) is the same in every epoch, so only the first decodes; so is a training run that is made
--                     again with the same seed and sampling, whatever the network. Other training wants `draws`.
--   draws = 4         in training a clip has only so many draws of frames, crop and flip: epoch 5 takes those of epoch 1 and so on, so
--                     that a cache can serve them. Changes of pixels and the order still differ in every epoch.
--                     A folder that cannot be written, or a full disk, is told once on standard error and decoding goes on without
--   on_skip = function(path, message); quiet = true: nothing on standard error
-- @return loader with epoch(e) (iterator), batches() (how many an epoch has when all clips can be read), skipped, summary(),
--   hits() (share of the clips that came from the cache; nil without one), cache_failure (why clips are no longer
--   kept), waited (seconds spent waiting for decoding), views (views a video), close()
function loader.new(dataset, options)
  check.names("loader", options, OPTIONS)
  local o = {}
  for k, v in pairs(options) do o[k] = v end
  o.seed = option(o, "seed", check.whole(), 1)
  local self = setmetatable({ dataset = dataset, batch = count(o, "batch", 1, 8), seed = o.seed,
    threads = option(o, "threads", check.whole(1, video.max_threads), 2),
    shuffle = flag(o, "shuffle", flag(o, "train", false)), drop_last = flag(o, "drop_last", false), limits = o.limits,
    quiet = flag(o, "quiet", false), on_skip = option(o, "on_skip", check.optional(check.func)), skipped = {}, n_skipped = 0,
    read = 0, waited = 0,
    mix = { mixup = alpha(o, "mixup"), cutmix = alpha(o, "cutmix") },
    enhance = type(o.enhance) == "function" and o.enhance or nil, cache = cache_of(o), cached = 0,
    draws = o.draws and count(o, "draws", 1) }, Loader)
  self.mixes = self.mix.mixup > 0 or self.mix.cutmix > 0
  self.sampling = video.sampling(sampling_of(o))
  self.shape = { self.sampling:shape() }
  self.views = self.shape[1]
  local bytes = 1
  for _, n in ipairs(self.shape) do bytes = bytes * n end
  self.ahead = o.prefetch ~= nil and count(o, "prefetch", 1)
    or math.max(self.threads + 1, math.min(2 * self.batch, AHEAD_BYTES // bytes))
  self.positions = {}
  for at, item in ipairs(dataset.items) do
    if not o.split or item.split == o.split then self.positions[#self.positions + 1] = at end
  end
  if #self.positions == 0 then
    if o.split and #dataset.items > 0 then dataset:split(o.split) end -- says which splits there are
    error(("loader: %s has no clips"):format(dataset.name), 2)
  end
  return self
end

--- Batches in an epoch, if every clip can be read.
function Loader:batches()
  local n = #self.positions
  return self.drop_last and math.max(1, n // self.batch) or (n + self.batch - 1) // self.batch
end

--- The order of an epoch: positions in dataset.items.
function Loader:order(epoch)
  if not self.shuffle then return self.positions end
  local order = rng.permutation(#self.positions, self.seed, epoch)
  for i, at in ipairs(order) do order[i] = self.positions[at] end
  return order
end

local function skip(self, path, message)
  if not self.skipped[path] then
    self.skipped[path], self.n_skipped = message, self.n_skipped + 1
    if loader.noted then loader.noted[path] = message end
    if self.on_skip then
      self.on_skip(path, message)
    elseif not self.quiet then
      io.stderr:write("\ndgamlua: skipped a clip: ", message, "\n")
    end
  end
end

--- Share of the clips so far that were read from the cache; nil without a cache.
function Loader:hits() return self.cache and self.cached / math.max(1, self.read) or nil end

--- "3 of 500 clips could not be read; 80% came from the cache", or nil if there is nothing to say.
function Loader:summary()
  local parts = {}
  if self.n_skipped > 0 then parts[1] = ("%d of %d clips could not be read"):format(self.n_skipped, #self.positions) end
  if self.cache then parts[#parts + 1] = ("%.0f%% of %d clips came from the cache"):format(100 * self:hits(), self.read) end
  return parts[1] and table.concat(parts, "; ")
end

--- What is done to a whole batch: enhancement by a function, mixup, cutmix.
function Loader:finish(batch, epoch)
  if self.enhance then
    local shape = batch.clip.shape
    batch.clip = self.enhance(batch.clip)
    if not require "torch".is_tensor(batch.clip) or batch.clip.dtype ~= "uint8" or
      table.concat(batch.clip.shape, " ") ~= table.concat(shape, " ") then
      error(("loader: enhance must return uint8 clips [%s]"):format(table.concat(shape, ", ")), 0)
    end
  end
  if self.mixes then
    local mix = require "dgam.data.mix"
    local how = mix.draw(self.mix, self.shape[5], self.shape[4], self.seed, epoch, batch.number)
    batch.target = mix.apply(batch.clip, batch.label, #self.dataset.classes, how)
  end
  return batch
end

--- Iterates the batches of epoch `epoch` (a whole number): { clip = uint8 [N * V, 3, T, H, W], label = int64 [N] from 1, index = int64
-- [N] positions in dataset.items, number = which batch of the epoch it is }, with mixup or cutmix also target = float [N, classes].
-- Leaving the loop early leaves a few clips being decoded; the next epoch throws them away. Only the newest iterator of a loader
-- goes on: asking an older one for more is an error.
-- @param first number of the batch to begin with (1); those before it are not decoded
function Loader:epoch(epoch, first)
  check.option("loader", "epoch", epoch, check.whole())
  first = check.option("loader", "first", check.default(first, 1), check.whole(1))
  local torch = require "torch"
  self.pool = self.pool or start_pool(self)
  local pool, order = self.pool, self:order(epoch)
  pool:cancel()
  self.begun = (self.begun or 0) + 1
  local begun = self.begun
  local total = self.drop_last and self:batches() * self.batch or #order
  total = math.min(total, #order)
  local taken = (first - 1) * self.batch
  local submitted = taken

  local function feed()
    while submitted < total and submitted - taken < self.ahead do
      submitted = submitted + 1
      local at = order[submitted]
      local path = self.dataset.items[at].path
      if self.draws then
        pool:submit(path, self.sampling, { (epoch - 1) % self.draws + 1, at }, epoch, at)
      else
        pool:submit(path, self.sampling, epoch, at)
      end
    end
  end

  local function next_batch()
    if self.begun ~= begun then
      error(("loader: epoch %d was left when another was begun; one loader gives one epoch at a time"):format(epoch), 2)
    end
    while taken < total do
      local number, want = taken // self.batch + 1, math.min(self.batch, total - taken)
      local shape = { want * self.views, table.unpack(self.shape, 2) }
      local clip = torch.empty(shape, { dtype = "uint8" })
      local labels, index = {}, {}
      for _ = 1, want do
        feed()
        local start = system.monotime()
        local info, message = pool:next(clip, #index + 1)
        self.waited = self.waited + system.monotime() - start
        taken = taken + 1
        local at = order[taken]
        local item = self.dataset.items[at]
        if info then
          if info.cached then self.cached = self.cached + 1 end
          index[#index + 1], labels[#labels + 1] = at, item.label
        else
          skip(self, item.path, message)
        end
      end
      feed() -- the threads work on while the batch is used
      local why = pool:cache_failure()
      if why then keep_no_more(self, self.cache.folder, why) end
      self.read = self.read + #index
      if #index > 0 then
        if #index < want then clip = clip:narrow(1, 1, #index * self.views) end
        return self:finish({ clip = clip, label = torch.tensor(labels, { dtype = "int64" }),
          index = torch.tensor(index, { dtype = "int64" }), number = number }, epoch)
      end
    end
  end

  return next_batch -- and nothing to be closed: Lua 5.4.4 forgets it on `break`, if the loop's body holds a function
end

--- Ends the threads. A loader that is collected ends them too.
function Loader:close()
  if self.pool then self.pool:close() end
  self.pool = nil
end

Loader.__close = Loader.close

return loader
