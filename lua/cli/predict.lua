--- dgamlua predict MODEL VIDEO ...: what a kept model says of videos, and what it saw.
local argparse = require "argparse"
local check = require "util.check"

local M = {}

local VIEWS = { "1, 3 or 10", function(v) return v == 1 or v == 3 or v == 10 end }

local function percent(p) return ("%.1f%%"):format(100 * p) end

local function classes_text(top)
  local parts = {}
  for i, t in ipairs(top) do parts[i] = ("%s %s"):format(t.class, percent(t.probability)) end
  return table.concat(parts, ", ")
end

local function gamma_text(r)
  if not r.gamma then return "" end
  return r.agree == r.views and ("gamma %g"):format(r.gamma) or ("gamma %g (%d of %d views)"):format(r.gamma, r.agree, r.views)
end

-- --- ways to tell: each a function of one result, and perhaps one for the end ---

local function as_text(wide)
  return function(r)
    local gamma = gamma_text(r)
    print(("%-" .. wide .. "s  %s%s"):format(r.path, classes_text(r.top), gamma ~= "" and "  " .. gamma or ""))
  end
end

local function as_csv(topk)
  local csv = require "util.csv"
  local head = { "path", "gamma" }
  for k = 1, topk do head[#head + 1], head[#head + 2] = "class" .. k, "probability" .. k end
  io.write(csv.row(head))
  return function(r)
    local row = { r.path, r.gamma or "" }
    for _, t in ipairs(r.top) do row[#row + 1], row[#row + 2] = t.class, tonumber(("%.6f"):format(t.probability)) end
    io.write(csv.row(row))
  end
end

local function as_json()
  local json = require "util.json"
  return function(r)
    print(json.encode { path = r.path, top = r.top, gamma = r.gamma, views = r.views, agree = r.agree, lambda = r.lambda })
  end
end

-- --- pictures of what the network saw ---

local STRIP_FRAMES, STRIP_VIDEOS = 6, 8

-- The frames of the middle clip of a video, as the network is given them: uint8 [1, 3, T, S, S].
local function middle_clip(path, input)
  local video = require "dgam.kernels.video"
  local sampling = video.sampling { clip_len = input.clip_len, interval = input.interval, size = input.size, rule = "test", clips = 1,
    crop = "centre", short = input.size }
  local v <close> = video.open(path)
  return v:sample(sampling)
end

-- Frames of a video as filmed and after the correction, both brightened by the same factor, as a panel for plot.page.
local function strip_panel(model, input, r)
  local picture, predict = require "dgam.show.picture", require "models.predict"
  local clip = middle_clip(r.path, input)
  local t, tiles = clip:size(3), {}
  local shown = math.min(STRIP_FRAMES, t)
  local gain = picture.gain(clip:select(3, 1 + t // 2)[1])
  for row, frames in ipairs { clip, predict.seen(model, clip, r.expert) } do
    for k = 1, shown do
      local frame = frames:select(3, 1 + (k - 1) * (t - 1) // math.max(1, shown - 1))[1]:contiguous()
      local tile = picture.tile(picture.amplified(frame, gain))
      if k == 1 then tile.left = ("%s x %g"):format(row == 1 and "filmed" or "seen", gain) end
      tiles[#tiles + 1] = tile
    end
  end
  local gamma = gamma_text(r)
  return { kind = "frames", tiles = tiles, columns = shown, tile = 150,
    title = ("%s: %s%s"):format(r.path:match "[^/]*$", classes_text { r.top[1], r.top[2] }, gamma ~= "" and ", " .. gamma or "") }
end

local function strip(path, model, input, results)
  local plot = require "dgam.show.plot"
  local panels, width, y = {}, 126 + 158 * math.max(2, math.min(STRIP_FRAMES, input.clip_len)), 0
  for i = 1, math.min(STRIP_VIDEOS, #results) do
    local panel = strip_panel(model, input, results[i])
    local height = plot.frames_size(panel, width)
    panel.box = { 0, y, width, height }
    panels[i], y = panel, y + height
  end
  local _, png = plot.page { file = path:gsub("%.%w+$", ""), width = width, height = y, panels = panels }
  return png
end

local function out_name(option, ending)
  return function(text)
    if text:lower():find("%." .. ending .. "$") then return text end
    return nil, ("%s is '%s', expected a name that ends in .%s"):format(option, text, ending)
  end
end

local CHUNK = 16   -- frames of an overlay at a time
local LEAST = 320  -- pixels: narrower videos are enlarged, so that the words fit above them
local BANNER = 32  -- pixels

-- A line of text as a picture of that width, drawn by gnuplot: uint8 [3, BANNER, width].
local function banner(text, width)
  local plot, video = require "dgam.show.plot", require "dgam.kernels.video"
  local base = os.tmpname()
  local panel = { kind = "frames", tiles = {}, columns = 1, title = plot.fitted(text, width / 2 - 30),
    box = { 0, -6, width / 2, BANNER / 2 } }
  local svg, png = plot.page { file = base, width = width / 2, height = BANNER / 2, panels = { panel } }
  local v <close> = video.open(png, { index = false })
  local frame = v:frames(1, 1)[1]
  for _, path in ipairs { base, svg, png } do os.remove(path) end
  return frame
end

-- The whole video beside itself as the network's correction makes it, both brightened alike, with what was recognised above.
local function overlay(path, model, r)
  local torch, video, predict = require "torch", require "dgam.kernels.video", require "models.predict"
  local picture = require "dgam.show.picture"
  local v <close> = video.open(r.path)
  local info = v:info()
  local middle = info.frames // 2 + 1
  local gain = picture.gain(v:frames(middle, middle)[1])
  local times = math.max(1, math.ceil(LEAST / info.width))
  local w, h = info.width * times // 2 * 2, info.height * times // 2 * 2
  local head = banner(("%s   %s   x %g"):format(classes_text { r.top[1], r.top[2] }, gamma_text(r), gain), 2 * w)
  local out <close> = video.encoder(path, { width = 2 * w, height = h + BANNER, fps = info.fps > 0 and info.fps or 30, codec = "mpeg4" })
  for first = 1, info.frames, CHUNK do
    local frames = v:frames(first, math.min(first + CHUNK - 1, info.frames))
    local seen = predict.seen(model, frames:transpose(1, 2):unsqueeze(1), r.expert)[1]:transpose(1, 2)
    local both = {}
    for i, side in ipairs { frames, seen } do
      side = picture.amplified(side, gain)
      if times > 1 then side = side:repeat_interleave(times, 3):repeat_interleave(times, 4) end
      both[i] = side:narrow(3, 1, h):narrow(4, 1, w)
    end
    local n = frames:size(1)
    out:write(torch.cat({ head:unsqueeze(1):expand(n, 3, BANNER, 2 * w), torch.cat(both, 4) }, 3):contiguous())
  end
  out:finish()
  return path
end

--- The command.
function M.run(args)
  local parser = argparse("dgamlua predict", "What a kept model says of videos: classes with probabilities, and the gamma that was chosen.")
  parser:argument("model", "model file, as an experiment keeps it (dgamlua info tells what is in one)")
  parser:argument("videos", "videos, folders, or lists (.txt, a path a line)"):args "+"
  parser:option("--topk", "classes to tell (5)"):convert(check.argument("--topk", check.whole(1))):default "5"
  parser:option("--clips", "clips a video (as the model was tested)"):convert(check.argument("--clips", check.whole(1)))
  parser:option("--crops", "crops a clip: 1, 3 or 10 (as the model was tested)"):convert(check.argument("--crops", VIEWS))
  parser:option("--threads", "decoding threads (2)"):convert(check.argument("--threads", check.whole(1))):default "2"
  parser:option("--strip", "picture (.png, and .svg beside it): frames as filmed and as the network saw them")
    :convert(out_name("--strip", "png"))
  parser:option("--overlay", "video (.mp4): the first one beside itself as the network saw it")
    :convert(out_name("--overlay", "mp4"))
  parser:flag("--csv", "a line of CSV a video")
  parser:flag("--json", "a line of JSON a video")
  local options = parser:parse(args)
  if options.csv and options.json then error("--csv and --json exclude each other", 0) end

  local predict, progress = require "models.predict", require "dgam.show.progress"
  local videos = predict.videos(options.videos)
  local model, about = require("models").load(options.model)
  local topk, wide = math.min(options.topk, #about.classes), 10
  for _, path in ipairs(videos) do wide = math.max(wide, math.min(60, utf8.len(path) or #path)) end
  local tell = options.csv and as_csv(topk) or options.json and as_json() or as_text(wide)

  local results, unread, start = {}, 0, progress.now()
  for r in predict.each(model, about, videos, { topk = topk, clips = options.clips, crops = options.crops, threads = options.threads,
    on_skip = function(_, message)
      unread = unread + 1
      io.stderr:write(message, "\n")
    end }) do
    tell(r)
    results[#results + 1] = r
  end
  local views = results[1] and results[1].views or 0
  io.stderr:write(("%d video%s, %.1f clips a second%s\n"):format(#results, #results == 1 and "" or "s",
    #results * views / math.max(1e-9, progress.now() - start), unread > 0 and (", %d could not be read"):format(unread) or ""))
  if #results > 0 then
    if options.strip then io.stderr:write(strip(options.strip, model, about.input, results), "\n") end
    if options.overlay then io.stderr:write(overlay(options.overlay, model, results[1]), "\n") end
  end
  return unread > 0 and 1 or 0
end

return M
