--- Error messages for names nobody knows: what was given, and what was probably meant.
local suggest = {}

--- Edit distance between two words (insert, delete, replace, swap of neighbours).
function suggest.distance(a, b)
  local n, m = #a, #b
  local before, previous = {}, {}
  for j = 0, m do previous[j] = j end
  for i = 1, n do
    local row = { [0] = i }
    for j = 1, m do
      local same = a:byte(i) == b:byte(j)
      local best = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      row[j] = best
    end
    before, previous = previous, row
  end
  return previous[m]
end

--- The word of `known` nearest to `name`, or nil if none is near.
function suggest.nearest(name, known)
  local best, word = math.max(1, #name // 3) + 1, nil
  for _, k in ipairs(known) do
    if math.abs(#k - #name) < best then
      local d = suggest.distance(name:lower(), k:lower())
      if d < best then best, word = d, k end
    end
  end
  return word
end

--- "unknown option 'x'; did you mean 'y'?" or with the list of what is known, if it is short.
function suggest.unknown(what, name, known)
  local near = suggest.nearest(name, known)
  if near then return ("unknown %s '%s'; did you mean '%s'?"):format(what, name, near) end
  if #known > 0 and #known <= 16 then
    return ("unknown %s '%s'; expected one of %s"):format(what, name, table.concat(known, ", "))
  end
  return ("unknown %s '%s'"):format(what, name)
end

return suggest
