#!/usr/bin/env python3
"""Makes augment.h5: what torchvision makes of a small clip with every change that core/video/augment.h lists.

Each change is a dataset NAME_I of uint8 [T,3,H,W], made from `source` by torchvision.transforms.functional (RandAugment's by its own
_apply_op), with the attributes kind and value. `randaugment` lists, for every magnitude of 0 .. 30, the strengths of the fourteen
changes of RandAugment (without sign) for a picture of 64 x 80 pixels. mix/: a batch of clips, its labels (from 0), and what MixUp and
CutMix of transforms.v2 make of both; boxes lists (lambda, x, y, w, h, x1, y1, x2, y2, lambda left) of CutMix.

Needs torch, torchvision, h5py. Run as: python3 make_augment.py OUTPUT.h5
"""
import sys

import h5py
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, functional as F, v2
from torchvision.transforms.autoaugment import RandAugment, _apply_op

T, H, W = 2, 37, 50
RANDINT = torch.randint


def source():
    """Frames with edges, a ramp, noise, saturated colours, flat and nearly flat channels."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:H, 0:W]
    out = np.zeros((T, 3, H, W))
    for t in range(T):
        out[t, 0] = 255 * x / W
        out[t, 1] = 20 + 60 * (y > H // 2) + rng.normal(0, 12, (H, W))
        out[t, 2] = 40 + 10 * t
        out[t, :, 5:15, 8:20] = np.array([[[250]], [[3]], [[90 + t]]])
        out[t, :, 20:30, 25:40] = rng.uniform(0, 255, (3, 10, 15))
    return torch.from_numpy(np.clip(np.rint(out), 0, 255).astype(np.uint8))


def mix(group):
    rng = np.random.default_rng(5)
    clip, label = torch.from_numpy(rng.integers(0, 256, (4, 3, 2, 9, 12), dtype=np.uint8)), torch.tensor([2, 0, 1, 1])
    group["clip"], group["label"] = clip.numpy(), label.numpy()
    up, cut = v2.MixUp(num_classes=3), v2.CutMix(num_classes=3)
    video, lam = tv_tensors.Video(clip.float()), 0.37
    params = {"labels": label, "batch_size": 4, "lam": lam}
    group["mixup"], group["mixup_target"] = up.transform(video, params).numpy(), up.transform(label, params).numpy()
    boxes = []
    for lam, x, y, w, h in [(0.5, 6, 4, 12, 9), (0.1, 0, 0, 12, 9), (0.93, 11, 8, 12, 9), (0.999, 3, 3, 12, 9), (0.3, 100, 17, 224, 112)]:
        cut._dist = type("Fixed", (), {"sample": lambda self, shape, lam=lam: torch.tensor([lam], dtype=torch.float64)})()
        draws, torch.randint = [torch.tensor([x]), torch.tensor([y])], lambda *a, **k: draws.pop(0)
        out = cut.make_params([tv_tensors.Video(torch.zeros(1, 2, 3, h, w))])
        torch.randint = RANDINT
        boxes.append([lam, x, y, w, h, *out["box"], out["lam_adjusted"]])
    group["boxes"] = np.array(boxes)
    params = {"labels": label, "batch_size": 4, "box": tuple(int(v) for v in boxes[0][5:9]), "lam_adjusted": boxes[0][9]}
    group["cutmix"], group["cutmix_target"] = cut.transform(video, params).numpy(), cut.transform(label, params).numpy()


def main():
    x = source()
    nearest = InterpolationMode.NEAREST
    rand = {"shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX", "translate_y": "TranslateY", "rotate": "Rotate",
            "sharpness": "Sharpness", "posterise": "Posterize", "solarise": "Solarize", "autocontrast": "AutoContrast",
            "equalise": "Equalize"}
    cases = [("brightness", v, F.adjust_brightness(x, v)) for v in (0.0, 0.63, 1.7)]
    cases += [("contrast", v, F.adjust_contrast(x, v)) for v in (0.0, 0.41, 1.55)]
    cases += [("saturation", v, F.adjust_saturation(x, v)) for v in (0.0, 0.37, 1.81)]
    cases += [("hue", v, F.adjust_hue(x, v)) for v in (-0.5, -0.137, 0.0, 0.08, 0.44)]
    values = {"shear_x": (0.23, -0.11), "shear_y": (0.3, -0.17), "translate_x": (7.9, -12.2), "translate_y": (3.2, -9.0),
              "rotate": (13.0, -28.5), "posterise": (4.0, 7.0, 8.0), "solarise": (0.0, 127.5, 255.0), "autocontrast": (0.0,),
              "equalise": (0.0,)}
    for name, list_of in values.items():
        cases += [(name, v, _apply_op(x, rand[name], v, nearest, None)) for v in list_of]
    cases += [("sharpness", v, F.adjust_sharpness(x, v)) for v in (0.1, 1.0, 1.9)]
    order = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness", "Posterize",
             "Solarize"]
    space = RandAugment()._augmentation_space(31, (64, 80))
    with h5py.File(sys.argv[1], "w") as f:
        f["source"] = x.numpy()
        for i, (kind, value, y) in enumerate(cases):
            d = f.create_dataset(f"case{i + 1:02d}", data=y.numpy(), compression="gzip", shuffle=True)
            d.attrs["kind"], d.attrs["value"] = kind, value
        mix(f.create_group("mix"))
        f["randaugment"] = np.stack([np.broadcast_to(space[name][0].double().numpy(), 31) for name in order])


if __name__ == "__main__":
    main()
