--- dgam.intervals: how sure a number is.
local intervals = {}

-- Student's t, two-sided 95%, for 1..30 degrees of freedom.
local T975 = { 12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
  2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
  2.0452, 2.0423 }

--- The 97.5% point of Student's t; beyond 30 degrees of freedom by the first terms of its expansion (error < 1e-4).
function intervals.t975(df)
  if T975[df] then return T975[df] end
  local z = 1.959964
  return z + (z ^ 3 + z) / (4 * df) + (5 * z ^ 5 + 16 * z ^ 3 + 3 * z) / (96 * df ^ 2)
end

--- Mean and half width of its 95% interval (nil for fewer than two values).
function intervals.mean(values)
  local n, sum = #values, 0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / n
  if n < 2 then return mean, nil end
  local squares = 0
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, intervals.t975(n - 1) * math.sqrt(squares / (n - 1) / n)
end

--- Wilson's 95% interval of a proportion: low, high, as fractions.
function intervals.wilson(hits, n)
  local z = 1.959964
  local p = hits / n
  local centre = (p + z * z / (2 * n)) / (1 + z * z / n)
  local half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return math.max(0, centre - half), math.min(1, centre + half)
end

return intervals
