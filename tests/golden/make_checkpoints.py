#!/usr/bin/env python3
"""Makes checkpoints/wrapped_*.pth: the same two tensors as training programs wrap them. Needs PyTorch 1.13 or later.

The other files of checkpoints/ are older; crit_legacy.pth is a legacy file with a loss function object beside its weights,
collide.pth the dictionary {'a/b': ones, 'a': {'b': zeros}}.
"""
import os
import sys
import types
from collections import OrderedDict

import torch

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
weights = OrderedDict([("conv.weight", torch.arange(6.0).reshape(2, 3)), ("fc.bias", torch.tensor([1.0, -1.0]))])


def prefixed(prefix):
    return OrderedDict((prefix + name, t) for name, t in weights.items())


# A class of a module that nobody else has, as in many a research repository.
module = types.ModuleType("train_utils")
exec("from collections import OrderedDict\nclass StateDict(OrderedDict): pass\nclass Log(list): pass", module.__dict__)
sys.modules["train_utils"] = module

files = {
    "ddp": {"state_dict": prefixed("module."), "epoch": 3},                    # DistributedDataParallel
    "compiled": prefixed("module._orig_mod."),                                 # of a compiled model
    "deepspeed": {"module": weights, "buffer_names": [], "optimizer": None, "dp_world_size": 1},
    "subclass": {"state_dict": module.StateDict(weights), "log": module.Log([0.5, 0.25])},
}
for name, value in files.items():
    torch.save(value, os.path.join(folder, "wrapped_%s.pth" % name))
torch.save(files["subclass"], os.path.join(folder, "wrapped_subclass_legacy.pth"), _use_new_zipfile_serialization=False)
