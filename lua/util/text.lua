--- dgam.text: text of unknown origin (file and class names, labels) and large numbers, made fit to be shown.
local text = {}

--- UTF-8 in one line: bytes that are not UTF-8 become U+FFFD, control characters spaces.
-- @param value anything; tostring is applied
function text.clean(value)
  local whole = tostring(value)
  local parts, at = {}, 1
  while at <= #whole do
    local _, bad = utf8.len(whole, at)
    parts[#parts + 1] = whole:sub(at, (bad or #whole + 1) - 1)
    if not bad then break end
    parts[#parts + 1] = "\u{FFFD}"
    at = bad + 1
  end
  return (table.concat(parts):gsub("%c", " "))
end

--- A whole number with its thousands set apart: 281,332.
function text.thousands(n)
  local digits = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (digits:gsub("^,", ""))
end

return text
