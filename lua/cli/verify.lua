--- dgamlua verify FILE.h5: a model against stored reference activations.
--
-- Stage by stage, on the C path and on the composite path. FILE holds weights and activations (tests/golden/dgam_tiny.h5),
-- or only outputs of a model whose weights follow the formula of dgam.reference (tests/golden/video_swin_b.h5).
local argparse = require "argparse"
local json = require "dkjson"

local GAMMA_FORM = "gic/gamma_%.1f"

-- One line a stage: the largest error and what is allowed.
local Report = {}
Report.__index = Report

local function worst(got, want)
  return (got:double() - want:double()):abs():max():item()
end

--- error kinds: "absolute"; "relative" to each entry; "largest" relative to the largest entry of the reference.
function Report:add(stage, got, want, allowed, kind)
  local value
  local a, b = table.concat(got.shape, "x"), table.concat(want.shape, "x")
  if a ~= b then
    value = math.huge
    stage = ("%s (shape %s, expected %s)"):format(stage, a, b)
  elseif kind == "relative" then
    value = ((got:double() - want:double()):abs() / want:double():abs():clamp(1e-12)):max():item()
  elseif kind == "largest" then
    value = worst(got, want) / math.max(want:double():abs():max():item(), 1e-30)
  else
    value = worst(got, want)
  end
  local ok = value <= allowed -- false for NaN
  if not ok then self.failed = self.failed + 1 end
  print(("%-9s %-52s %10.2e  %s %.0e %s"):format(self.path, stage, value, ok and "<=" or "> ", allowed,
    ok and "" or "FAILED"))
end

local function verify_dgam(file, config, report)
  local torch = require "torch"
  local models = require "models"
  local model = models.dgam {
    backbone = { embed = config.embed_dim, depths = config.depths, heads = config.num_heads, window = config.window_size,
      patch = config.patch_size, drop_path = 0 },
    gammas = config.gammas, classes = config.num_classes, frames = file:shape("input/clip_uint8")[3],
  }
  local state = {}
  for _, name in ipairs(file:list "state_dict") do state[name] = file:read("state_dict/" .. name) end
  model:load_official(state)
  model:eval()

  local clip = file:read "input/clip_uint8"
  local labels = file:read "labels" + 1
  local stats = model:stats(clip)
  report:add("gate/stats", stats, file:read "gate/stats", 1e-6, "relative")
  local lambda = model:lambda(stats)
  report:add("gate/lambda", lambda, file:read "gate/lambda", 1e-4)
  local weights = (lambda / model.temperature):softmax(2)
  report:add("gate/one_hot", weights, file:read "gate/one_hot", 1e-4)
  local expert = lambda:argmax(2)
  report:add("gate/index", expert - 1, file:read "gate/index", 0)

  local function enhance(x, w)
    return torch.ops.dgam.gic(x, w, model.gamma, model.domain, model.mean, model.std, "clip", false)
  end
  for e, gamma in ipairs(config.gammas) do
    local w = torch.zeros(1, #config.gammas)
    w[{ 1, e }] = 1
    report:add(GAMMA_FORM:format(gamma), enhance(clip[{ { 1, 1 } }], w), file:read(GAMMA_FORM:format(gamma)), 1e-4)
  end
  report:add("enhanced", enhance(clip, weights:detach()), file:read "enhanced", 1e-4)

  -- Forward from the stored clip, so that the gradient with respect to the corrected clip is there too.
  local enhanced = file:read "enhanced"
  enhanced.requires_grad = true
  local features = model.backbone(enhanced, { trace = function(name, x)
    if name == "norm" then return end
    local stored = "activation/" .. name
    -- Blocks are stored as [N, D, H, W, C], everything else as [N, C, D, H, W].
    if not name:find "block" then x = x:permute(1, 5, 2, 3, 4) end
    report:add(stored, x:detach(), file:read(stored), 1e-4)
  end })
  report:add("backbone", features:detach():permute(1, 5, 2, 3, 4), file:read "backbone", 1e-4)
  local tokens = features:flatten(2, 4)
  report:add("pooled", tokens:detach():mean(2), file:read "pooled", 1e-4)
  local logits = model.heads(tokens, expert)
  report:add("logits", logits:detach(), file:read "logits", 1e-4)
  local whole = torch.no_grad(function() return (model(clip)) end)
  report:add("logits from the uint8 clip", whole, file:read "logits", 1e-4)
  local loss = torch.cross_entropy(logits, labels)
  report:add("loss", loss:detach(), file:read "loss", 1e-4)
  loss:backward()
  report:add("grad_enhanced", enhanced.grad, file:read "grad_enhanced", 1e-3, "largest")
  local grads = {}
  for _, name in ipairs(file:list "grad") do grads[name] = true end
  for name, t in model:named_parameters() do
    local official = model:official_name(name)
    if grads[official] then
      report:add("grad/" .. official, t.grad, file:read("grad/" .. official), 1e-3, "largest")
    end
  end
end

local function verify_swin(file, config, report)
  local torch = require "torch"
  local models = require "models"
  local nn = require "dgam.nn"
  local reference = require "dgam.nn.reference"
  local net = models.video_swin.new { embed = config.embed_dim, depths = config.depths, heads = config.num_heads,
    window = config.window_size, patch = config.patch_size, drop_path = 0 }
  local head = nn.Linear(net.channels, config.num_classes)
  local count = net:count() + head:count()
  report:add("parameters", torch.tensor(count), torch.tensor(math.tointeger(file:attr "parameters")), 0)
  reference.fill(net, "backbone."):eval()
  reference.fill(head, "cls_head.fc_cls.")
  local mean = torch.tensor(config.input_mean):view(1, 3, 1, 1, 1)
  local std = torch.tensor(config.input_std):view(1, 3, 1, 1, 1)
  torch.no_grad(function()
    local x = ((reference.input("input", config.clip):float() - mean) / std):contiguous()
    local pooled = net(x):flatten(2, 4):mean(2)
    report:add("pooled", pooled, file:read "pooled", 1e-3, "largest")
    report:add("logits", head(pooled), file:read "logits", 1e-3, "largest")
  end)
end

local function run(args)
  local parser = argparse("dgamlua verify", "Compare a model with stored reference activations; status 1 over tolerance.")
  parser:argument("file", "HDF5 file with reference activations")
  parser:option("--path", "which implementation"):choices { "c", "composite", "both" }:default "both"
  local options = parser:parse(args)

  local h5 = require "dgam.kernels.h5"
  local file <close> = h5.open(options.file)
  local text = file:attr "config"
  local config = type(text) == "string" and json.decode(text)
  if not config then
    error(("%s: has no attribute 'config' with the model's shape; expected a file of reference activations"):format(
      options.file), 0)
  end
  local check = file:has "state_dict" and verify_dgam or config.embed_dim and verify_swin
  if not check then
    error(("%s: the configuration names no model that verify knows (DGAM or Video Swin)"):format(options.file), 0)
  end
  local torch = require "torch"
  local failed = 0
  for _, path in ipairs { "c", "composite" } do
    if options.path == "both" or options.path == path then
      local report = setmetatable({ path = path, failed = 0 }, Report)
      local before = torch.ops.dgam.use_composite(path == "composite")
      local ok, e = pcall(check, file, config, report)
      torch.ops.dgam.use_composite(before)
      if not ok then error(e, 0) end
      failed = failed + report.failed
    end
  end
  print(failed == 0 and "all stages within tolerance" or ("%d stages over tolerance"):format(failed))
  return failed == 0 and 0 or 1
end

return { run = run }
