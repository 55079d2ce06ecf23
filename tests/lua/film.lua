--- Films for the specs: frame k of n is a flat grey of brightness film.grey(k), so a decoded frame tells its number.
local torch = require "torch"
local lfs = require "lfs"
local video = require "dgam.kernels.video"
local support = require "support"

local film = {}

function film.grey(k) return 20 + 4 * k end

--- The frame number (from 1) that a brightness means.
function film.number(mean) return math.floor((mean - 20) / 4 + 0.5) end

--- Writes n frames of w x h; frame k has brightness grey(k + offset).
function film.write(path, n, w, h, options, offset)
  local frames = torch.empty({ n, 3, h, w }, { dtype = "uint8" })
  for k = 1, n do frames[k]:fill_(film.grey(k + (offset or 0))) end
  video.write(path, frames, options)
end

--- A fresh folder of class folders: train/{run,walk}/clip 1..6.avi of 21 to 26 frames, val/run/a.avi of 12, val/walk/b.avi of 3 (tall).
function film.dataset()
  local dir = support.folder()
  for _, name in ipairs { "train", "train/run", "train/walk", "val", "val/run", "val/walk" } do assert(lfs.mkdir(dir .. "/" .. name)) end
  for i = 1, 6 do
    for c, class in ipairs { "run", "walk" } do
      film.write(("%s/train/%s/clip %d.avi"):format(dir, class, i), 20 + i, 48, 32, nil, c == 1 and 0 or 5)
    end
  end
  film.write(dir .. "/val/run/a.avi", 12, 48, 32)
  film.write(dir .. "/val/walk/b.avi", 3, 32, 48)
  return dir
end

--- Writes text to a file.
function film.text(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

--- Frame numbers of a clip [3,T,H,W].
function film.numbers(clip)
  local out = {}
  for t = 1, clip:size(2) do out[t] = film.number(clip[{ {}, t }]:float():mean():item()) end
  return out
end

return film
