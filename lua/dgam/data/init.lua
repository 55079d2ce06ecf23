--- dgam.data: datasets of labelled videos.
--
--     local data = require("dgam").data
--     local d = data.open "data/ellar.lua"
--     print(d, d.classes[1], #d)
--     local dark = d:where { light = "ELL", camera = { "brio", "c920" } }
--     for batch in data.loader(dark, { split = "train", batch = 8, train = true }):epoch(1) do
--       batch.clip, batch.label, batch.index     -- uint8 [N,3,T,H,W], int64 [N], int64 [N] (positions in dark.items)
--     end
--
-- A dataset is opened from a description (a Lua file that returns a table, or the table itself), from a folder of class
-- folders, or from a list of `path label` lines. A description has
--   name       for messages
--   classes    list of names, or a file with one a line. May be left out for class folders, and for lists whose paths have the
--              class as the last folder
--   labels     "number" or "name": what a whole number in a list is, where classes are named by numbers; "number" where the
--              class names come from the paths
--   root       folder that paths in the lists start from, or a list of folders that are tried in turn; relative ones start
--              at the description's folder (at the current one for a table)
--   splits     { train = LIST, val = LIST, test = LIST }; a LIST is a file name, or { file =, format =, ... }:
--                format = "list"     lines `path label`; labels count from 0, or are class names (the default)
--                format = "numbered" lines `number label path` with tabs, as ARID has them
--                format = "frames"   lines `folder frames label`; a folder of pictures is read as a video
--                format = "csv"      columns path and label, others become fields of the item, but for `split`: the split of
--                                    that item, unless empty; `columns` names them when the file has no header,
--                                    `item = function(row)` may return { path =, label = } instead: a class name, or its
--                                    number from 1; nil leaves the row out, nil and a message is an error
--                format = "folders"  CLASS/**/video. A folder of pictures is a video
--              `folder` is the folder below every root from which paths, or the class folders, start
--   items      instead of splits: list of { path =, label = (from 1), split =, ... }
--   metadata   CSV file with a column path and others that become fields of the item with that path
--   types      { actor = "text" }: what such a column holds, "text", "number" or "boolean"; else what looks like a number is one
--   fields     function(item): sets camera, light, actor ... of an item from its path; a field is what `where` filters by
--   options    names and defaults of what data.open's second argument may hold, besides root
--   prepare    function(options): returns a table of any of the above, e.g. after making the files; a relative root then starts
--              at the current folder
--   finish     function(dataset, options): returns the dataset that is handed out, e.g. with some of train held out
--   File names of lists, classes and metadata start at the description's folder, or else at the root.
--   allow_overlap   true, or a list such as { "val/test" }: lists that may name the same file
local open = require "dgam.data.open"

local data = { open = open.dataset, parse = open.parse, value = open.value }

--- Batches of decoded clips; see dgam.data.loader.
function data.loader(dataset, options) return require "dgam.data.loader".new(dataset, options) end

return data
