local torch = require "torch"

--- Dims clips and adds noise, each clip its own: a plain stand-in for little light, without the camera model. Brightness
-- falls by a factor from 1 to 1/60 (uniform in its logarithm); the noise has a part that grows with the signal and one
-- that does not, in half of the clips smoothed over 3 x 3 pixels as denoisers do; up to 6 levels are lost in black.
-- @param clip uint8 [N, 3, T, H, W]
-- @param share of the clips that are changed
-- @return uint8 [N, 3, T, H, W]
return function(clip, share)
  local n = clip:size(1)
  local function draw() return torch.rand(n, 1, 1, 1, 1):to(clip.device) end -- the same numbers on every device
  local x = clip:float() * (draw() * -math.log(60)):exp()
  local noise = torch.randn(clip.shape):to(clip.device)
  local smooth = torch.avg_pool3d(noise, { 1, 3, 3 }, { 1, 1, 1 }, { 0, 1, 1 }) * 3 -- as strong as before
  noise = torch.where(draw():lt(0.5), smooth, noise)
  x = x + noise * (x * (draw() * 1.5) + (draw() * 5) ^ 2):sqrt() - draw() * 6
  return torch.where(draw():lt(share), x:clamp(0, 255):round():byte(), clip)
end
