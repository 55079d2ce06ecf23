#!/usr/bin/env python3
"""Makes enhance.h5: what other implementations make of a few small dark frames.

equalise, clahe   OpenCV (equalizeHist, createCLAHE), on Y of YCrCb and on each channel
retinex, lime     numpy and scipy in double precision, with OpenCV's GaussianBlur and scipy's sparse direct solver

Needs numpy, scipy, h5py, opencv-python-headless. Run as: python3 make_enhance.py OUTPUT.h5
"""
import sys

import cv2
import h5py
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg


def frames(count, h, w, peak, seed):
    """uint8 [count,3,h,w]: a ramp, discs and a box under a lamp, with noise; dark if peak is small."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    out = np.zeros((count, 3, h, w))
    for i in range(count):
        light = np.exp(-((x - w * rng.uniform(0.2, 0.8)) ** 2 + (y - h * rng.uniform(0.2, 0.8)) ** 2) / (0.3 * h * w))
        albedo = np.stack([0.3 + 0.4 * x / w, 0.5 - 0.3 * y / h, np.full((h, w), 0.35)])
        for _ in range(3):
            disc = (x - rng.uniform(0, w)) ** 2 + (y - rng.uniform(0, h)) ** 2 < (0.15 * h) ** 2
            albedo[:, disc] = rng.uniform(0.05, 0.95, (3, 1))
        albedo[:, h // 4: h // 2, w // 8: w // 3] = rng.uniform(0.05, 0.95, (3, 1, 1))
        out[i] = peak * light * albedo + rng.normal(0, 0.02 * peak, (3, h, w))
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def on_luma(frame, fn):
    y, cr, cb = cv2.split(cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2YCrCb))
    return cv2.cvtColor(cv2.merge([fn(y), cr, cb]), cv2.COLOR_YCrCb2RGB).transpose(2, 0, 1)


def on_channels(frame, fn):
    return np.stack([fn(np.ascontiguousarray(c)) for c in frame])


def blur(plane, sigma):
    size = 2 * int(np.ceil(4 * sigma)) + 1
    return cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)


def retinex(frame, scales, dynamic, restore):
    v = frame.astype(np.float64)
    r = np.stack([np.mean([np.log(c + 1) - np.log(blur(c, s) + 1) for s in scales], axis=0) for c in v])
    if restore:
        r *= np.log(128 * (v + 1)) - np.log(v.sum(0) + 3)
    half = dynamic * r.std()
    return np.clip(np.rint(255 * (r - r.mean() + half) / (2 * half)), 0, 255).astype(np.uint8)


def lime(frame, alpha, gamma, sigma, small=1e-3):
    light = frame.astype(np.float64) / 255
    start = light.max(0)
    h, w = start.shape
    index = np.arange(h * w).reshape(h, w)
    system = sp.identity(h * w, format="csr")
    for axis in (0, 1):
        grad = np.zeros((h, w))
        a, b = (index[:-1], index[1:]) if axis == 0 else (index[:, :-1], index[:, 1:])
        grad.flat[a.ravel()] = start.flat[b.ravel()] - start.flat[a.ravel()]
        weight = 1 / ((np.abs(blur(grad, sigma)) + small) * (np.abs(grad) + small))
        n = a.size
        d = sp.csr_matrix((np.r_[-np.ones(n), np.ones(n)], (np.r_[np.arange(n), np.arange(n)], np.r_[a.ravel(), b.ravel()])),
                          shape=(n, h * w))
        system = system + alpha * d.T @ sp.diags(weight.flat[a.ravel()]) @ d
    t = scipy.sparse.linalg.spsolve(system.tocsc(), start.ravel()).reshape(h, w)
    return np.clip(np.rint(255 * light / np.maximum(t, small) ** gamma), 0, 255).astype(np.uint8)


def main():
    with h5py.File(sys.argv[1], "w") as f:
        def put(name, data):
            f.create_dataset(name, data=data, compression="gzip", shuffle=True)

        for case, (h, w, peak, seed) in {"even": (64, 80, 60, 1), "odd": (45, 61, 14, 2)}.items():
            x = frames(2, h, w, peak, seed)
            put(f"{case}/source", x)
            for where, apply in (("luma", on_luma), ("rgb", on_channels)):
                put(f"{case}/equalise_{where}", np.stack([apply(i, cv2.equalizeHist) for i in x]))
                default, other = cv2.createCLAHE(2.0, (8, 8)), cv2.createCLAHE(7.5, (5, 3))
                put(f"{case}/clahe_{where}", np.stack([apply(i, default.apply) for i in x]))
                put(f"{case}/clahe_5x3_{where}", np.stack([apply(i, other.apply) for i in x]))
            put(f"{case}/retinex", np.stack([retinex(i, (15, 80, 250), 1.2, True) for i in x]))
            put(f"{case}/retinex_plain", np.stack([retinex(i, (3, 12), 2.0, False) for i in x]))
            put(f"{case}/lime", np.stack([lime(i, 0.15, 0.8, 2) for i in x]))


if __name__ == "__main__":
    main()
