-- The progress line: whole where there is room, never longer than the terminal.
local progress = require "dgam.show.progress"

describe("a progress line", function()
  local function line(columns) return progress.line("stage 0, Grüße", 0.5, "5/10", "loss 1.2  0:04 left", columns) end

  it("is whole where it fits", function()
    assert.equal("stage 0, Grüße [############............] 5/10  loss 1.2  0:04 left", line(100))
  end)

  it("gives up the bar first and then its end, and never wraps", function()
    assert.equal("stage 0, Grüße [####....] 5/10  loss 1.2  0:04 left", line(52))
    assert.equal("stage 0, Grüße 5/10  loss 1.2  0:04 left", line(46))
    for columns = 2, 120 do assert.is_true(utf8.len(line(columns)) < columns) end
    assert.equal("stage 0, Grü", line(13))
  end)
end)
