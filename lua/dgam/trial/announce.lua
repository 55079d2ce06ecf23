--- dgam.trial.announce: what an experiment says on standard error before, between and after its trials.
local lfs = require "lfs"
local progress = require "dgam.show.progress"
local provenance = require "dgam.trial.provenance"

local announce = {}

local function count_of(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

local function about_time(seconds)
  local units = { { 604800, "week" }, { 86400, "day" }, { 3600, "hour" }, { 60, "minute" } }
  for _, u in ipairs(units) do
    if seconds >= 1.5 * u[1] then return count_of(math.floor(seconds / u[1] + 0.5), u[2]) end
  end
  return seconds >= 50 and "a minute" or count_of(math.max(1, math.floor(seconds + 0.5)), "second")
end

-- One line: clips by split, frames of how many seconds, where.
local function on_what(self)
  local cfg, d, parts = self.config, self.data, {}
  if not d then return nil end
  local counts = d:count "split"
  for _, name in ipairs { "train", "val", "test" } do
    if counts[name] then parts[#parts + 1] = ("%d %s"):format(counts[name], name) end
  end
  local text = ("%s: %s clips"):format(d.name, #parts > 0 and table.concat(parts, ", ") or #d)
  if cfg.clip_len then
    local step, size = cfg.interval or 1, cfg.size or 224
    text = ("%s, %d frames%s of %d x %d pixels"):format(text, cfg.clip_len, step > 1 and (" (one in %d)"):format(step) or "", size, size)
  end
  return ("%s; %s"):format(text, provenance().cpu)
end

local WEEKS = 2 * 86400 -- seconds from which on a run is asked about

--- Before a run: says what it is going to do, and asks where a person can answer. An error ends what nobody wants to wait for.
function announce.plan(self, left, all, estimate)
  io.stderr:write(("%s: %s, %d stored already\n"):format(self.name, count_of(all, "trial"), all - left))
  local what = on_what(self)
  if what then io.stderr:write(what, "\n") end
  if left == 0 or not estimate then return end
  local seconds = estimate() * left
  io.stderr:write(("about %s, by a step that was just measured\n"):format(about_time(seconds)))
  if seconds > WEEKS and progress.interactive() then
    io.stderr:write "go on? [y/N] "
    if not (io.read "l" or ""):lower():find "^y" then error("nothing was trained; profile= chooses a smaller run", 0) end
  end
end

--- Before a trial that runs: which it is, and how long the rest will take by those that ran.
function announce.trial(self, job)
  local c = self.count
  if not c then return end
  local rest = c.ran > 0 and (", about %s left"):format(about_time((progress.now() - c.start) / c.ran * (c.left - c.ran))) or ""
  io.stderr:write(("trial %d of %d: %s, seed %d%s\n"):format(c.at, c.all, job.label, job.seed, rest))
end

--- The lines that end a run: where its models are, and what to do next.
function announce.goodbye(self)
  local model
  for _, row in ipairs(self.rows) do
    for _, record in ipairs(row.list) do
      if record.model and lfs.attributes(record.model, "mode") then model = record.model end
    end
  end
  io.stderr:write(("results: %s (dgamlua results %s)\n"):format(self.folder, self.name))
  if model then io.stderr:write(("models: %s/models; try: dgamlua predict %s VIDEO\n"):format(self.folder, model)) end
end

return announce
