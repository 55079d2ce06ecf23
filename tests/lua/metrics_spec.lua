-- Accuracies, intervals and tables against numbers worked out by hand.
local torch = require "torch"
local metrics = require "dgam.train.metrics"
local intervals = require "dgam.show.intervals"
local Table = require "dgam.show.table"

describe("metrics", function()
  -- Three classes; clips 1, 2 of class 1 (one right), 3 of class 2 (right), 4 of class 3 (wrong).
  local scores = torch.tensor { { 3.0, 1.0, 2.0 }, { 1.0, 3.0, 2.0 }, { 0.0, 9.0, 1.0 }, { 5.0, 1.0, 4.0 } }
  local labels = torch.tensor { 1, 1, 2, 3 }

  it("are percentages, per clip and per class", function()
    local m = metrics.accuracy(scores, labels)
    assert.near(50, m.top1, 1e-4)
    assert.near(100, m.top5, 1e-4)
    assert.near(100 * (0.5 + 1 + 0) / 3, m.mean_class, 1e-4)
    assert.equal(4, m.n)
  end)

  it("count the five best of many", function()
    local s = torch.arange(12):float():view(1, 12):expand(2, 12)
    local m = metrics.accuracy(s, torch.tensor { 8, 7 })
    assert.near(0, m.top1, 1e-4)
    assert.near(50, m.top5, 1e-4)
  end)

  it("split by group", function()
    local m = metrics.by_group(scores, labels, { "LL", "ELL", "LL", "ELL" })
    assert.near(100, m.top1_ll, 1e-4)
    assert.near(0, m.top1_ell, 1e-4)
    assert.near(50, m.top1, 1e-4)
    assert.equal(2, m.n_ll)
  end)

  it("show who was taken for whom", function()
    assert.same({ { 1, 1, 0 }, { 0, 1, 0 }, { 1, 0, 0 } }, metrics.confusion(scores, labels):totable())
  end)

  it("refuse nothing and mismatches", function()
    assert.has_error(function() metrics.accuracy(torch.zeros(0, 3), torch.zeros(0, { dtype = "int64" })) end)
    assert.has_error(function() metrics.accuracy(scores, torch.tensor { 1 }) end)
  end)
end)

describe("intervals", function()
  it("are Student's over seeds", function()
    local mean, half = intervals.mean { 1, 2, 3 }
    assert.equal(2, mean)
    assert.near(2.4841, half, 1e-3) -- 4.3027 / sqrt(3)
    assert.is_nil(select(2, intervals.mean { 5 }))
    assert.near(1.9840, intervals.t975(100), 2e-4)
  end)

  it("are Wilson's for one proportion", function()
    local low, high = intervals.wilson(8, 10)
    assert.near(0.4902, low, 1e-4)
    assert.near(0.9433, high, 1e-4)
    assert.same({ 0 }, { (intervals.wilson(0, 10)) })
  end)
end)

describe("tables", function()
  local t = Table.new({ "top1", "top1_ell" }, {
    { label = "a, b", values = { top1 = { 10, 20, 30 }, top1_ell = { 5 } } },
    { label = "<c>", values = { top1 = { 1 } } },
  }, "note")

  it("align and show mean and interval, and a dash where there is nothing", function()
    assert.equal(table.concat({
      "              top-1  top-1 ELL",
      "------------------------------",
      "a, b  20.00 ± 24.84       5.00",
      "<c>            1.00          -",
      "note" }, "\n"), tostring(t))
  end)

  it("export", function()
    assert.equal('variant,top1,top1_ci95,top1_ell,top1_ell_ci95\n"a, b",20,24.8417,5,\n<c>,1,,,\n', t:csv())
    assert.matches("&lt;c&gt;", t:html())
    local rows = require("dkjson").decode(t:json())
    assert.same({ 10, 20, 30 }, rows[1].metrics.top1.values)
  end)

  it("call what is no number nan, whatever its sign", function()
    for _, nan in ipairs { 0 / 0, -(0 / 0) } do
      local none = Table.new({ "top1" }, { { label = "a", values = { top1 = { nan, nan } } } })
      assert.matches("a  nan ± nan$", tostring(none))
      assert.equal("variant,top1,top1_ci95\na,nan,nan\n", none:csv())
      assert.matches(">nan <span class=\"half\">± nan</span>", none:html())
    end
  end)

  it("draw charts that are pictures", function()
    local base = os.tmpname()
    local svg, png = t:chart(base, { title = "it's \"quoted\" $(x)", chance = 8.3 })
    local f = assert(io.open(png, "rb"))
    assert.equal("\137PNG", f:read(4))
    f:close()
    f = assert(io.open(svg))
    assert.matches("<svg", f:read "a")
    f:close()
    os.remove(base)
    os.remove(svg)
    os.remove(png)
    assert.has_error(function() t:chart "/nonexistent/x" end)
  end)
end)
