--- dgam.trial.compare: the rows of a table held against the first one, where trials stored which clips they got right.
local results = require "dgam.trial.results"
local paired = require "dgam.show.paired"

local FEWEST = 20 -- clips: with fewer there is nothing to be said of their difference

-- Right and wrong over clips of every record of a row, or nil: not every trial stores it.
local function answers(row)
  local lists, order = {}, nil
  for i, record in ipairs(row.list) do
    local right, index = results.numbers(record.path, row.prefix .. "right", "index")
    if not right then return nil end
    local key = table.concat(index or {}, " ")
    order = order or key
    if key ~= order then return nil end -- clips that could not be read differ
    lists[i] = right
  end
  return lists, order
end

--- Adds the difference of every row to the first, clip by clip.
-- @param rows of the table, in which the field `difference` is set; sources the rows' { list = records, prefix = }
-- @return what the table says below it; nil where there is nothing to compare
return function(rows, sources)
  local first, order = answers(sources[1])
  if not first or #first[1] < FEWEST then return nil end
  local visible = 0
  for i = 2, #rows do
    local other, same = answers(sources[i])
    if other and same == order and #other == #first then
      rows[i].difference = paired.difference(first, other)
      if sources[i].prefix == "" then visible = math.max(visible, rows[i].difference.visible) end
    end
  end
  if visible == 0 then return nil end
  return ("difference: top-1 to the first row, with the same clips and seeds; 95%% interval over both; * can be told apart\n"
    .. "between two variants a difference of %.1f points would have been found four times in five"):format(visible)
end
