--- Video Swin Transformer (Liu et al., CVPR 2022): windowed attention over space and time, in four sizes and a micro one.
--
--     local swin = require "models.video_swin"
--     local net = swin.new("swin-t")
--     local features = net(x)        -- x float32 [N, 3, T, H, W] -> [N, T/2, H/32, W/32, 8*embed], after the last norm
--
-- Parameter names are those of the public checkpoints (below "backbone.").
local torch = require "torch"
local nn = require "dgam.nn"
local check = require "util.check"
local suggest = require "util.suggest"
local ops = torch.ops.dgam

local swin = {}

--- The sizes. window and shift are in tokens (time, height, width); drop_path grows linearly over the blocks to this.
swin.sizes = {
  ["swin-t"] = { embed = 96, depths = { 2, 2, 6, 2 }, heads = { 3, 6, 12, 24 } },
  ["swin-s"] = { embed = 96, depths = { 2, 2, 18, 2 }, heads = { 3, 6, 12, 24 } },
  ["swin-b"] = { embed = 128, depths = { 2, 2, 18, 2 }, heads = { 4, 8, 16, 32 } },
  ["swin-l"] = { embed = 192, depths = { 2, 2, 18, 2 }, heads = { 6, 12, 24, 48 } },
  -- For clips of 8 to 16 frames of 64 to 112 pixels on a CPU: 0.6 M parameters, windows that tile 16 x 16 tokens, and
  -- convolutions in place of the patch embedding, without which a network this small does not start to learn from a few
  -- thousand clips (Xiao et al., Early Convolutions Help Transformers See Better, 2021).
  ["swin-micro"] = { embed = 32, depths = { 2, 2, 2 }, heads = { 2, 4, 8 }, window = { 4, 4, 4 }, drop_path = 0.05, stem = "conv",
    init_gain = 0.7 },
}
local DEFAULTS = { patch = { 2, 4, 4 }, window = { 8, 7, 7 }, drop_path = 0.2, mlp_ratio = 4, recompute = false,
  precision = "float32" }

-- --- one block ---

local Block = nn.class "SwinBlock"
local Attention, Mlp = nn.class "WindowAttention", nn.class "Mlp"

-- Attention and Mlp hold parameters under their public names; the block's operator computes all of it at once.
function Attention:init(channels, heads, window)
  local w = window
  local table_rows = (2 * w[1] - 1) * (2 * w[2] - 1) * (2 * w[3] - 1)
  self:parameter("relative_position_bias_table", nn.init.trunc_normal({ table_rows, heads }, 0.02))
  self:add("qkv", nn.Linear(channels, 3 * channels))
  self:add("proj", nn.Linear(channels, channels))
end

function Mlp:init(channels, hidden)
  self:add("fc1", nn.Linear(channels, hidden))
  self:add("fc2", nn.Linear(hidden, channels))
end

function Block:init(channels, heads, shifted, drop_path, config)
  local window = config.window
  self.heads, self.window, self.drop_path, self.recompute = heads, window, drop_path, config.recompute
  self.bf16 = config.precision == "bfloat16"
  self.shift = shifted and { window[1] // 2, window[2] // 2, window[3] // 2 } or { 0, 0, 0 }
  self:add("norm1", nn.LayerNorm(channels))
  self:add("attn", Attention(channels, heads, window))
  self:add("norm2", nn.LayerNorm(channels))
  self:add("mlp", Mlp(channels, math.max(1, math.floor(channels * config.mlp_ratio)))) -- rounded down, as the public code does
end

function Block:forward(x) -- x [N, D, H, W, C]
  local scale = torch.none
  if self.training and self.drop_path > 0 then
    -- Stochastic depth: per clip, both residual branches drawn on their own; [2, N] factors 0 or 1/(1-p).
    local keep = 1 - self.drop_path
    scale = torch.no_grad(function() return torch.rand(2, x:size(1)):lt(keep):float():div_(keep):to(x.device) end)
  end
  local a, m = self.attn, self.mlp
  local parameters = { self.norm1.weight, self.norm1.bias, a.qkv.weight, a.qkv.bias or torch.none, a.proj.weight, a.proj.bias,
    a.relative_position_bias_table, self.norm2.weight, self.norm2.bias, m.fc1.weight, m.fc1.bias, m.fc2.weight, m.fc2.bias }
  return ops.swin_block(x, parameters, self.heads, self.window, self.shift, scale, self.bf16, self.recompute)
end

function Block:describe()
  return ("%d heads, window %s%s"):format(self.heads, table.concat(self.window, "x"), self.shift[1] > 0 and ", shifted" or "")
end

-- --- stages ---

local Merging = nn.class "PatchMerging"
function Merging:init(channels, config)
  self.bf16 = config.precision == "bfloat16"
  self:add("norm", nn.LayerNorm(4 * channels))
  self:add("reduction", nn.Linear(4 * channels, 2 * channels, { bias = false }))
end
function Merging:forward(x) -- [N, D, H, W, C] -> [N, D, ceil(H/2), ceil(W/2), 2C]
  return ops.patch_merge(x, self.norm.weight, self.norm.bias, self.reduction.weight, self.bf16)
end

local PatchEmbed = nn.class "PatchEmbed"
function PatchEmbed:init(channels, config)
  local patch = config.patch
  self.patch, self.bf16 = patch, config.precision == "bfloat16"
  self:add("proj", nn.Conv3d(3, channels, patch, { stride = patch }))
  self:add("norm", nn.LayerNorm(channels))
end
function PatchEmbed:forward(x, shape) -- clip [N, 3, T, H, W], or patches [N, L, 96] of a clip of `shape` -> [N, D, H, W, C]
  return ops.patch_embed(x, self.proj.weight, self.proj.bias, self.norm.weight, self.norm.bias,
    { shape[1], shape[2], shape[3] }, self.bf16)
end

-- Convolutions down to the same grid as patches of 2 x 4 x 4. Each clip is normalised by itself: statistics of a batch whose
-- clips differ thirtyfold in brightness are not those of the next, and with BatchNorm validation jumped between 15 and 43%
-- from one epoch to the next.
local ConvStem = nn.class "ConvStem"
function ConvStem:init(channels)
  local function layer(i, inputs, outputs, stride)
    self:add("conv" .. i, nn.Conv3d(inputs, outputs, 3, { stride = stride, padding = 1, bias = false }))
    self:add("norm" .. i, nn.GroupNorm(outputs, outputs))
  end
  layer(1, 3, channels // 2, { 1, 2, 2 })
  layer(2, channels // 2, channels, { 2, 2, 2 })
  self:add("norm", nn.LayerNorm(channels))
end
function ConvStem:forward(x) -- clip [N, 3, T, H, W] -> [N, D, H, W, C]
  x = self.norm1(self.conv1(x)):relu()
  x = self.norm2(self.conv2(x)):relu()
  return self.norm(x:permute(1, 3, 4, 5, 2):contiguous())
end

local Stage = nn.class "SwinStage"
function Stage:init(channels, depth, heads, drop_paths, config, merge)
  local blocks = self:add("blocks", nn.Sequential())
  for i = 1, depth do
    blocks:append(Block(channels, heads, i % 2 == 0, drop_paths[i], config))
  end
  if merge then self:add("downsample", Merging(channels, config)) end
end
function Stage:forward(x, trace)
  for i = 1, self.blocks:length() do
    x = self.blocks:get(i)(x)
    if trace then trace(("%s_block%d"):format("layer" .. self._name, i - 1), x) end
  end
  if self.downsample then x = self.downsample(x) end
  if trace then trace("layer" .. self._name, x) end
  return x
end

-- --- the whole ---

local VideoSwin = nn.class "VideoSwin"
swin.VideoSwin = VideoSwin

--- A backbone: a name of swin.sizes, or a table with embed, depths, heads and optionally patch, window, drop_path,
-- mlp_ratio, stem ("patch" or "conv"), init_gain (deviation of initial weights times sqrt(inputs); default: .02),
-- recompute (true: keep little of every block for backward and compute the rest again; see docs/design.md),
-- precision ("float32", or "bfloat16": products take bfloat16 operands and sum in float32; parameters stay float32).
-- `changes` overrides fields of a named size.
function swin.new(size, changes)
  local config = {}
  for k, v in pairs(DEFAULTS) do config[k] = v end
  if type(size) == "string" then
    local known = {}
    for name in pairs(swin.sizes) do known[#known + 1] = name end
    table.sort(known)
    if not swin.sizes[size] then error(suggest.unknown("backbone", size, known), 2) end
    for k, v in pairs(swin.sizes[size]) do config[k] = v end
  else
    changes = size
  end
  check.names("video_swin", changes or {}, { "embed", "depths", "heads", "patch", "window", "drop_path", "mlp_ratio",
    "stem", "init_gain", "recompute", "precision" })
  for k, v in pairs(changes or {}) do config[k] = v end
  return VideoSwin(config)
end

local LIST = check.naturals("a list of whole numbers of 1 or more")
local TRIPLE = check.naturals("three whole numbers of 1 or more (time, height, width)", 3)

-- What the fields of a configuration may be.
local KINDS = {
  embed = check.whole(1), depths = LIST, heads = LIST, patch = TRIPLE, window = TRIPLE, drop_path = check.below(0, 1),
  mlp_ratio = check.positive, init_gain = check.optional(check.positive), stem = check.optional(check.one_of("patch", "conv")),
  recompute = check.boolean, precision = check.one_of("float32", "bfloat16"),
}

local function check_config(config)
  check.fields("video_swin", config, KINDS)
  if #config.depths ~= #config.heads then
    error(("video_swin: depths has %d and heads has %d, expected lists of the same length"):format(#config.depths, #config.heads), 5)
  end
end

function VideoSwin:init(config)
  check_config(config)
  local depths, heads = config.depths, config.heads
  self.config, self.precision = config, config.precision
  self.channels = config.embed * 2 ^ (#depths - 1) // 1 | 0
  -- Whether the gamma kernel may hand over patches of 2 x 4 x 4, the only ones it knows, instead of clips.
  self.takes_patches = config.stem ~= "conv" and table.concat(config.patch, " ") == "2 4 4"
  self:add("patch_embed", config.stem == "conv" and ConvStem(config.embed) or PatchEmbed(config.embed, config))
  local layers = self:add("layers", nn.Sequential())
  local blocks, at = 0, 0
  for _, d in ipairs(depths) do blocks = blocks + d end
  for i, depth in ipairs(depths) do
    local channels = config.embed << (i - 1)
    if channels % heads[i] ~= 0 then
      error(("video_swin: stage %d has %d channels, not a multiple of its %d heads"):format(i, channels, heads[i]), 4)
    end
    local drop = {}
    for b = 1, depth do drop[b] = blocks > 1 and config.drop_path * (at + b - 1) / (blocks - 1) or 0 end
    at = at + depth
    layers:append(Stage(channels, depth, heads[i], drop, config, i < #depths))
  end
  self:add("norm", nn.LayerNorm(self.channels))
  -- The published initialisation: truncated normal weights, zero biases.
  torch.no_grad(function()
    self:apply(function(m)
      if m.class_name == "Linear" then
        local std = config.init_gain and config.init_gain / math.sqrt(m.weight:size(2)) or 0.02
        m.weight:copy_(nn.init.trunc_normal(m.weight.shape, std))
        if m.bias then m.bias:zero_() end
      end
    end)
  end)
end

--- @param x float32 clip [N, 3, T, H, W], or patches [N, L, 3*2*4*4] as the gamma kernel writes them
-- @param options {shape = {T, H, W} of the clip, when x is patches; trace = function(name, tensor)}
-- @return features [N, D, H, W, C] after the final norm
function VideoSwin:forward(x, options)
  options = options or {}
  local trace = options.trace
  local shape = options.shape or { x:size(3), x:size(4), x:size(5) }
  x = self.patch_embed(x, shape)
  if trace then trace("patch_embed", x) end
  for i = 1, self.layers:length() do x = self.layers:get(i)(x, trace) end
  x = self.norm(x)
  if trace then trace("norm", x) end
  return x
end

return swin
