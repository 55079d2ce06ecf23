--- Pretraining on bright clips, as the paper's models start from Kinetics-400: makes data/pretrained/swin-micro.h5.
--
--     dgamlua experiments/pretrain.lua output=swin-micro.h5
--     dgamlua experiments/pretrain.lua output=new.h5 start=old.h5 epochs=3 lr=4e-4     -- goes on from weights
--
-- The clips come from the generator of the built-in dataset, well lit and of other seeds, so no clip and no noise of the
-- dark dataset is among them. Most of them are dimmed and made noisy by train.dim, which knows nothing of the camera model,
-- and every clip goes through one of the five gammas, drawn uniformly, in front of one head for all.
local torch = require "torch"
local dgam = require "dgam"
local models = require "models"
local train = dgam.train

local config = dgam.config {
  name = "pretrain",
  defaults = {
    output = "swin-micro.h5", start = "",
    data = "data/synthetic.lua?split=bright&clips=7200&seed=1001",
    backbone = "swin-micro", clip_len = 8, interval = 1, size = 64, crop_area = 0.85, dim = 0.85, batch = 16,
    clean_epochs = 5, epochs = 14, lr = 6e-4, backbone_lr = 1.0, weight_decay = 0.05, warmup_epochs = 0.3, test_clips = 1,
    test_crops = 1, seed = 1, threads = 1,
  },
  help = { output = "file to write", start = "file of weights to go on from, empty for none",
    clean_epochs = "length of the first phase, on clips that are not dimmed (epochs)" },
}

train.check(config)
train.check(config { epochs = config.clean_epochs })

local data = dgam.data.open(config.data)
torch.manual_seed(config.seed) -- the weights it starts from
local backbone = models.video_swin.new(config.backbone, { drop_path = 0 })
local model = models.dgam { backbone = backbone, heads = "shared", dropout = 0, classes = #data.classes, frames = config.clip_len }

-- Two phases: clean clips without gamma correction, with which a network without weights finds out what there is to see,
-- then all of it.
local function fit(phase, changes)
  changes.checkpoint, changes.label = ("%s-%s.h5"):format(config.output:gsub("%.h5$", ""), phase), phase
  changes.patience = config.clean_epochs + config.epochs
  train.fit(model, data, config(changes))
  return changes.checkpoint
end
local clean
if config.start == "" then
  clean = fit("clean", { epochs = config.clean_epochs, dim = 0 })
else
  models.load_pretrained(model, config.start)
end
local noisy = fit("noisy", { experts = "uniform" })
local test = train.evaluate(model, data, config, "test") -- the untrained gate chooses
print(("bright test clips: top-1 %.1f%%, top-5 %.1f%%, %d clips"):format(test.top1, test.top5, test.n))
local weights = {}
for name, t in pairs(model:state_dict()) do
  if name:find "^backbone%." or name:find "^heads%.0%." then weights[name] = t end
end
dgam.checkpoint.save(config.output, weights, { made_by = "experiments/pretrain.lua", config = config { output = "" },
  top1_bright = test.top1 })
if clean then os.remove(clean) end
os.remove(noisy)
print("wrote " .. config.output)
