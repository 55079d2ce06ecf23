-- A gate of your own: any table with forward(self, stats). This one looks at the mean brightness only: the darker the
-- clip, the stronger the gamma. Nothing is trained in it but one slope. What it minimises may be its own too, gate.objective: see
-- gate_objectives.lua.
--
--     dgamlua examples/custom_gate.lua
local torch = require "torch"
local models = require "models"

local gammas = { 1.0, 1.5, 2.0, 2.5, 3.0 }
local gate = { slope = torch.tensor(3.6, { requires_grad = true }) }

function gate:parameters() return { self.slope } end

function gate:forward(stats)                              -- stats [N, 3T]: mean, deviation, entropy of every frame
  local mean = stats[{ {}, { 1, -1, 3 } }]:mean(2, { keepdim = true })
  local wanted = (-mean - 1.45) * self.slope              -- darker -> larger: -2 .. 2, as the experts' positions
  local position = torch.arange(#gammas):float() - 2
  return -(wanted - position) ^ 2                         -- one score per expert: nearest wins
end

local model = models.dgam { backbone = "swin-micro", gammas = gammas, gate = gate, classes = 12, frames = 8 }
model:eval()
for _, brightness in ipairs { 4, 16, 64, 128 } do
  local clip = torch.randint(brightness, { 1, 3, 8, 64, 64 }, { dtype = "uint8" })
  local _, info = model(clip)
  print(("pixels below %3d -> gamma %.1f"):format(brightness, gammas[info.expert:item()]))
end
