--- dgam.keys(t): the keys of a table, sorted, so that what is written or shown does not depend on hashing. Numbers go by
-- value, texts by letter, others by what they print as; keys of different types by the names of the types.
return function(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local kind, other = type(a), type(b)
    if kind ~= other then return kind < other end
    if kind == "number" or kind == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end
