-- Frames made visible: amplified and gamma-corrected by the numbers that the captions give.
local torch = require "torch"
local fails = require("support").fails
local picture = require "dgam.show.picture"

describe("dgam.picture", function()
  it("makes tiles of the bytes of a frame, small ones enlarged", function()
    local frame = torch.randint(0, 256, { 3, 200, 300 }, { dtype = "uint8" })
    local tile = picture.tile(frame)
    assert.same({ 300, 200 }, { tile.width, tile.height })
    local at = (17 * 300 + 5) * 3
    assert.same({ frame[1][18][6]:item(), frame[2][18][6]:item(), frame[3][18][6]:item() }, { tile.rgb:byte(at + 1, at + 3) })
    tile = picture.tile(frame[{ {}, { 1, 20 }, { 1, 100 } }])
    assert.same({ 300, 60, 3 * 300 * 60 }, { tile.width, tile.height, #tile.rgb })
    at = (4 * 300 + 7) * 3 -- row 5, column 8 of threefold: pixel (2, 3)
    assert.equal(frame[2][2][3]:item(), tile.rgb:byte(at + 2))
    fails("expected uint8 (3,H,W)", picture.tile, torch.zeros(3, 4, 4))
    fails("expected uint8 (3,H,W)", picture.tile, torch.zeros({ 4, 4 }, { dtype = "uint8" }))
  end)

  it("amplifies to where it says, and never darkens", function()
    local frame = torch.full({ 3, 40, 40 }, 10):to "uint8"
    frame[{ 1, 1, 1 }] = 200 -- one hot pixel does not count
    assert.equal(23, picture.gain(frame))
    local bright, gain = picture.bright(frame)
    assert.equal(23, gain)
    assert.same({ 255, 230, 230 }, { bright.rgb:byte(1, 3) })
    assert.equal(1, picture.gain(torch.full({ 3, 8, 8 }, 255):to "uint8"))
    assert.equal(230, picture.gain(torch.zeros({ 3, 8, 8 }, { dtype = "uint8" })))
  end)

  it("corrects gamma as its equation says", function()
    local frame = torch.arange(192):to("uint8"):view(3, 8, 8)
    local got = picture.corrected(frame, 2.2):flatten():totable()
    for v, y in ipairs(got) do assert.near(255 * ((v - 1) / 255) ^ (1 / 2.2), y, 0.51) end
  end)
end)
