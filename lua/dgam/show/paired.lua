--- dgam.paired: can two rows of a table be told apart? Both were tested on the same clips and trained with the same seeds, so what
-- counts is the difference clip by clip, which is far surer than either number.
--
--     local d = paired.difference(base, other)     -- lists over seeds of lists of 0 and 1 over clips
--     print(d.mean, d.low, d.high, d.apart)        -- percentage points, 95% interval, whether it leaves out 0
--     print(d.visible)                             -- the difference that would have been found with 80% power
--
-- Seeds and clips are both samples: another seed trains another network, another test list holds other clips. So the variance of the
-- mean difference is that of the seeds' means plus that of the clips' means, with degrees of freedom after Satterthwaite: three
-- seeds that disagree give a wide interval. The luck of single answers is in both and so counts twice. Taking it off once
-- (Cameron, Gelbach and Miller 2011) would be exact for many seeds, but with three its intervals held the truth in 88% of simulated
-- repeats where these hold it in 92 to 99%.
local intervals = require "dgam.show.intervals"

local paired = {}

-- Student's t, 80% point, for 1..10 degrees of freedom.
local T80 = { 1.3764, 1.0607, 0.9785, 0.9410, 0.9195, 0.9057, 0.8960, 0.8889, 0.8834, 0.8791 }

local function t80(df)
  local z = 0.841621
  return T80[df] or z + (z ^ 3 + z) / (4 * df)
end

local function check_lists(a, b)
  if #a == 0 or #a ~= #b then error(("paired: %d and %d seeds, expected the same number of at least one"):format(#a, #b), 3) end
  local clips = #a[1]
  for s = 1, #a do
    if #a[s] ~= clips or #b[s] ~= clips or clips < 2 then
      error(("paired: seed %d has %d and %d clips, expected the same %d of at least two"):format(s, #a[s], #b[s], clips), 3)
    end
  end
  return clips
end

-- The sum of squared deviations from `mean` over (n - 1) n: the variance of a mean of n values.
local function variance_of_mean(values, mean)
  local n, squares = #values, 0
  if n < 2 then return 0 end
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return squares / (n - 1) / n
end

--- The mean difference of `other` from `base`, in percentage points, and how sure it is.
-- @param base, other lists over seeds of lists over clips of 0 (wrong) and 1 (right); the same seeds and clips in the same order
-- @return { mean, low, high (95%), apart = the interval leaves out 0, visible = the difference that the test would have found four
--   times in five, seeds, clips, df }; with one seed the interval tells of other clips alone, and `seeds_known` is false
function paired.difference(base, other)
  local clips, seeds = check_lists(base, other), #base
  local by_seed, by_clip, total = {}, {}, 0
  for c = 1, clips do by_clip[c] = 0 end
  for s = 1, seeds do
    local sum = 0
    for c = 1, clips do
      local d = 100 * (other[s][c] - base[s][c])
      sum, by_clip[c] = sum + d, by_clip[c] + d / seeds
    end
    by_seed[s], total = sum / clips, total + sum
  end
  local mean = total / (seeds * clips)
  local of_seeds, of_clips = variance_of_mean(by_seed, mean), variance_of_mean(by_clip, mean)
  local variance = of_clips + of_seeds
  local df = variance > 0 and variance ^ 2 / (of_clips ^ 2 / (clips - 1) + of_seeds ^ 2 / math.max(1, seeds - 1)) or clips - 1
  df = math.max(1, math.floor(df + 1e-9))
  local error_of_mean, t = math.sqrt(variance), intervals.t975(df)
  local half = t * error_of_mean
  return { mean = mean, low = math.max(-100, mean - half), high = math.min(100, mean + half),
    apart = variance > 0 and math.abs(mean) > half or false,
    visible = (t + t80(df)) * error_of_mean, seeds = seeds, clips = clips, df = df, seeds_known = seeds > 1 }
end

--- McNemar's exact test on clips: of those that one row gets right and the other wrong, is the split other than even?
-- @param base, other as above; a clip counts as right when most of its seeds get it right (half does not)
-- @return p, clips that only base has right, clips that only other has right
function paired.mcnemar(base, other)
  local clips, seeds = check_lists(base, other), #base
  local only_base, only_other = 0, 0
  for c = 1, clips do
    local a, b = 0, 0
    for s = 1, seeds do a, b = a + base[s][c], b + other[s][c] end
    local right_a, right_b = 2 * a > seeds, 2 * b > seeds
    if right_a and not right_b then only_base = only_base + 1 elseif right_b and not right_a then only_other = only_other + 1 end
  end
  local n, k = only_base + only_other, math.min(only_base, only_other)
  local log_term, sum = -n * math.log(2), 0 -- of the binomial distribution with one half, from 0 up
  for i = 0, k do
    sum = sum + math.exp(log_term)
    log_term = log_term + math.log((n - i) / (i + 1))
  end
  return math.min(1, 2 * sum), only_base, only_other
end

return paired
