-- Charts: what is drawn is what was given, in both formats; text is text whatever is in it.
local lfs = require "lfs"
local plot = require "dgam.show.plot"
local support = require "support"

describe("dgam.plot", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  -- All texts of an SVG, with the escapes undone.
  local function texts(path)
    local list = {}
    for text in support.bytes(path):gmatch "<text[^>]*>(.-)</text>" do
      text = text:gsub("<[^>]*>", ""):gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&quot;", '"'):gsub("&amp;", "&")
      list[text] = true
    end
    return list
  end

  local function png_size(path) return (">I4I4"):unpack(support.bytes(path), 17) end

  local NASTY = { "a_b^{2} @x", "it's \"quoted\"", "<script>alert(1)</script>", "Zoë 日本", "100% \\n", "$(id)", "# END", "{/Symbol a}" }

  it("draws bars with their names and numbers, and a picture twice the size", function()
    local svg, png = plot.bars { file = folder .. "/bars", title = "Accuracy", ylabel = "top-1, %", groups = { "one gate", "dual" },
      series = { { name = "LL", values = { 12.25, 0 / 0 }, errors = { 1, 0 / 0 } }, { name = "ELL", values = { -7.5, 3 } } },
      line = { value = 8.3, label = "chance" }, note = "three seeds", after = { 1 } }
    local seen = texts(svg)
    for _, text in ipairs { "Accuracy", "top-1, %", "one gate", "dual", "LL", "ELL", "chance", "three seeds", "12.2", "-7.5", "3.0" } do
      assert.truthy(seen[text], text)
    end
    assert.is_nil(seen["nan"])
    local w, h = support.bytes(svg):match 'viewBox="0 0 (%d+) (%d+)"'
    local x, y = png_size(png)
    assert.same({ 2 * w, 2 * h }, { x, y })
    assert.is_nil(support.bytes(svg):find("scale(0.00)", 1, true)) -- readers refuse such a matrix
  end)

  it("leaves out what is infinite", function()
    local values = { 1, math.huge, -math.huge, 2 }
    local series, groups = { { name = "n", values = values, y = values, errors = { math.huge, 1, 1, 1 } } }, { "a", "b", "c", "d" }
    for _, kind in ipairs { "bars", "across", "lines" } do
      local seen = texts(plot[kind] { file = folder .. "/infinite", groups = kind ~= "lines" and groups or nil, series = series })
      assert.is_nil(seen.inf)
      assert.truthy(kind == "lines" or seen["2.0"] or seen["2.00"], kind)
    end
  end)

  it("draws any text as it stands and runs none of it", function()
    local trap = folder .. "/trap"
    local groups = { table.unpack(NASTY) }
    groups[#groups + 1] = ("`touch %s`"):format(trap)
    groups[#groups + 1] = ("'; system(\"touch %s\"); '"):format(trap)
    groups[#groups + 1] = ("\"; system('touch %s') #"):format(trap)
    groups[#groups + 1] = ("x\nsystem 'touch %s'\n"):format(trap)
    groups[#groups + 1] = "bad \xff\xc0 bytes \0 here"
    local values = {}
    for i = 1, #groups do values[i] = i end
    for _, title in ipairs(groups) do
      local svg = plot.lines { file = folder .. "/lines", title = title, xlabel = title, ylabel = "y", note = title,
        series = { { name = title, y = { 1, 2 } } }, xtics = { { 1, title } } }
      if utf8.len(title) and not title:find "%c" and #title < 30 then assert.truthy(texts(svg)[title], title) end
    end
    local svg = plot.across { file = folder .. "/across", groups = groups, series = { { name = "n", values = values } } }
    local seen = texts(svg)
    for _, text in ipairs(NASTY) do assert.truthy(seen[text], text) end
    assert.truthy(seen["bad \u{FFFD}\u{FFFD} bytes   here"])
    svg = plot.bars { file = folder .. "/it's `x` $(y)", groups = groups, series = { { name = "n", values = values } } }
    assert.truthy(texts(svg)["it's"] or texts(svg)["it's \"quoted\""])
    plot.page { file = folder .. "/table", width = 600, height = 400, panels = {
      { kind = "table", box = { 0, 0, 600, 400 }, head = { "", "n" }, rows = { { groups[9], groups[10] }, { groups[11], groups[12] } } } } }
    assert.is_nil(lfs.attributes(trap, "mode"))
    assert.is_nil(support.bytes(svg):find("<script", 1, true))
  end)

  it("places pixels as they are", function()
    local rgb = {} -- 4 x 2: red, green, blue, white above; black, grey, yellow, cyan below
    for _, c in ipairs { "ff0000", "00ff00", "0000ff", "ffffff", "000000", "808080", "ffff00", "00ffff" } do
      rgb[#rgb + 1] = c:gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)
    end
    local tile = { width = 4, height = 2, rgb = table.concat(rgb), above = "brio", left = "LL", below = { "walk", "gain 4" },
      marks = { { x = 0.5, y = 0.5, w = 0.5, h = 0.5 } } }
    local svg, png = plot.page { file = folder .. "/frames", width = 300, height = 200, panels = {
      { kind = "frames", box = { 0, 0, 300, 200 }, columns = 2, tiles = { tile, { below = { "no clip" } } } } } }
    local seen = texts(svg)
    for _, text in ipairs { "brio", "LL", "walk", "gain 4", "none", "no clip" } do assert.truthy(seen[text], text) end
    assert.truthy(support.bytes(svg):find("data:image/png;base64", 1, true))
    local v <close> = require("dgam.kernels.video").open(png) -- FFmpeg reads the PNG that gnuplot drew
    local frame = v:frames(1, 1)[1]
    local function count(r, g, b) return frame[1]:eq(r):mul(frame[2]:eq(g)):mul(frame[3]:eq(b)):sum():item() end
    for _, c in ipairs { { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 }, { 255, 255, 0 }, { 0, 255, 255 } } do
      assert.truthy(count(table.unpack(c)) > 500, table.concat(c, ","))
    end
  end)

  it("measures, cuts and breaks text", function()
    assert.equal("short", plot.fitted("short", 100))
    local cut = plot.fitted(("é"):rep(100), 100)
    assert.truthy(utf8.len(cut) and plot.text_width(cut) <= 100 and cut:find("…", 1, true))
    assert.same({ "w/o gate +", "multi-head" }, plot.wrapped("w/o gate + multi-head", 90, 3))
    assert.equal(2, #plot.wrapped("one two three four five six seven", 60, 2))
    assert.same({ "" }, plot.wrapped("", 60, 2))
  end)

  it("refuses what it cannot draw and leaves the old picture", function()
    local base = folder .. "/old"
    local svg = plot.lines { file = base, series = { { name = "a", y = { 1, 2 } } } }
    local before = support.bytes(svg)
    support.fails("nothing to draw", plot.lines, { file = base, series = {} })
    support.fails("nothing to draw", plot.bars, { file = base, groups = {}, series = {} })
    support.fails("there is no folder", plot.lines, { file = folder .. "/none/x", series = { { y = { 1 } } } })
    support.fails("file is missing", plot.lines, { series = { { y = { 1 } } } })
    support.fails("title", plot.lines, { file = base, titel = "x", series = { { y = { 1 } } } })
    support.fails("did you mean 'lines'", plot.page, { file = base, width = 9, height = 9, panels = { { kind = "line" } } })
    assert.equal(before, support.bytes(svg))
    local names = {}
    for name in lfs.dir(folder) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ ".", "..", "old.png", "old.svg" }, names)
  end)
end)
