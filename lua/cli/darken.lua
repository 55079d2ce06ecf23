--- dgamlua darken IN OUT: makes bright videos dark with the camera model.
local M = {}

local USAGE = [[
usage: dgamlua darken IN OUT [--camera brio|arducam|c920] [--lux N | --light LL|ELL|arid|dark48]
                             [--scale N] [--jitter F] [--seed N] [--without STAGE] [--seconds N]
                             [--overwrite]
IN is a video, a folder of pictures (OUT then a video file's name), or a folder of any of these, whose tree and names are
kept. The pictures become --scale (2) times smaller a side. A file is given up when no frame came out for --seconds (60).
--without may be given several times: shot, read, pattern, quantise, black, bayer, balance, temporal, spatial, coring,
matrix, curve, jpeg. What was used is written beside each clip as NAME.camera.txt.
]]

local TEXT = { camera = true, light = true }
local NUMBER = { lux = true, jitter = true, seconds = true }
local WHOLE = { scale = true, seed = true }

--- Two paths and the options of dgam.darken, or nil and what is wrong.
function M.parse(args)
  local suggest = require "util.suggest"
  local paths, options, i = {}, {}, 1
  while i <= #args do
    local a = args[i]
    local name, value = a:match "^%-%-([%w-]+)=(.*)$"
    name = name or a:match "^%-%-([%w-]+)$"
    if not name then
      paths[#paths + 1] = a
    elseif name == "overwrite" then
      if value then return nil, ("--overwrite is '%s', expected no value"):format(value) end
      options.overwrite = true
    elseif TEXT[name] or NUMBER[name] or WHOLE[name] or name == "without" then
      if not value then
        i = i + 1
        value = args[i]
      end
      if not value then return nil, ("--%s needs a value"):format(name) end
      if name == "without" then
        options.stages = options.stages or {}
        options.stages[value] = false
      elseif TEXT[name] then
        options[name] = value
      else
        local n = tonumber(value)
        if not n or WHOLE[name] and math.type(n) ~= "integer" then
          return nil, ("--%s is '%s', expected a %snumber"):format(name, value, WHOLE[name] and "whole " or "")
        end
        options[name] = n
      end
    else
      return nil, suggest.unknown("option", a, { "--camera", "--lux", "--light", "--scale", "--jitter", "--seed", "--without",
        "--seconds", "--overwrite" })
    end
    i = i + 1
  end
  if #paths ~= 2 then return nil, ("%d paths given, expected IN and OUT"):format(#paths) end
  return { input = paths[1], output = paths[2], options = options }
end

function M.run(args)
  for _, a in ipairs(args) do
    if a == "--help" or a == "-h" then
      io.write(USAGE)
      return 0
    end
  end
  local job, why = M.parse(args)
  if not job then
    io.stderr:write("dgamlua darken: ", why, "\n", USAGE)
    return 2
  end
  local darken = require "dgam.data.darken"
  if not darken.is_file(job.input, job.output) then
    local r = darken.tree(job.input, job.output, job.options)
    print(("%d darkened, %d kept as they were, %d skipped%s"):format(r.done, r.kept, #r.failed,
      r.done > 0 and ("; mean lux %.3g, mean luma %.2f"):format(r.lux, r.luma) or ""))
    return #r.failed > 0 and 1 or 0
  end
  local how = darken.file(job.input, job.output, job.options)
  if not how then
    error(("%s exists; --overwrite makes it again"):format(job.output), 0)
  end
  print(("%s: %d frames of %d x %d, %s at %.3g lux, %.1f ms, gain %.3g, mean luma %.2f"):format(job.output, how.frames, how.width,
    how.height, how.camera, how.lux, 1000 * how.time, how.gain, how.luma))
  return 0
end

return M
