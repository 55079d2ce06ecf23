--- dgam.keys(t): the keys of a table, sorted, so that what is written or shown does not depend on hashing. Numbers go by
-- value and before texts, texts by letter, others by what they print as.
return function(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local kind = type(a)
    if kind ~= type(b) then return kind < type(b) end
    if kind == "number" or kind == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end
