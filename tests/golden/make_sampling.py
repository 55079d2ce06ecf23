#!/usr/bin/env python3
"""Makes sampling.h5: the frames that MMAction2 samples, by SampleFrames and DenseSampleFrames of 0.24.1 and of 1.2.0.

cases, int32 [N,9], one row a case: rule (as enum dgam_clips: 0 train, 1 test of 0.x, 2 test of 1.x, 3 dense, 4 dense in tests),
clip_len, interval, clips, window, positions, frames of the video, the bound of what is drawn (numpy.random.randint gives less than
that; 0: nothing is drawn), and whether what was drawn is sorted. frames, int32: the frame numbers of every case, clip by clip, one
case after the other, if all draws give 0. last: the first frames of every case's clips if all draws give bound - 1.

Both versions must agree wherever the rule is not that of one of them. Needs numpy, h5py and the two packages unpacked
(pip download --no-deps mmaction2==VERSION; python3 -m zipfile -e WHEEL FOLDER); of those only the two classes are run.
Run as: python3 make_sampling.py FOLDER_OF_0.24.1 FOLDER_OF_1.2.0 OUTPUT.h5
"""
import ast
import sys
from typing import Dict, Optional

import h5py
import numpy as np

TRAIN, TEST, TEST_1X, DENSE, DENSE_TEST = range(5)


def classes(path):
    """SampleFrames and DenseSampleFrames of a file, without its imports and its registry."""
    tree = ast.parse(open(path).read())
    wanted = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in ("SampleFrames", "DenseSampleFrames")]
    for node in wanted:
        node.decorator_list = []
        node.bases = [base for base in node.bases if getattr(base, "id", "") != "BaseTransform"]
    space = {"np": np, "Optional": Optional, "Dict": Dict}
    exec(compile(ast.Module(wanted, []), path, "exec"), space)
    return space


class Draws:
    """In place of numpy.random.randint: always the least or the largest number; notes the bound and whether the result is sorted."""

    def __init__(self, largest):
        self.largest, self.bound, self.sorted = largest, 0, 0

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        assert low == 0
        self.bound = int(high)
        value = high - 1 if self.largest else 0
        return value if size is None else np.full(size, value)

    def sort(self, values):
        self.sorted = 1
        return SORT(values)


SORT, RANDINT = np.sort, np.random.randint


def sample(space, rule, clip_len, interval, clips, window, positions, n, largest):
    args = {"clip_len": clip_len, "frame_interval": interval, "num_clips": clips, "test_mode": rule in (TEST, TEST_1X, DENSE_TEST)}
    if rule in (DENSE, DENSE_TEST):
        sampler = space["DenseSampleFrames"](**args, sample_range=window, num_sample_positions=positions)
    else:
        sampler = space["SampleFrames"](**args)
    draws = Draws(largest)
    np.random.randint, np.sort = draws.randint, draws.sort
    results = {"total_frames": n, "start_index": 0}
    results = sampler.transform(results) if hasattr(sampler, "transform") else sampler(results)
    np.random.randint, np.sort = RANDINT, SORT
    return results["frame_inds"], draws


def main():
    np.int = int  # 0.24.1 was written for a numpy that had it
    versions = [classes(sys.argv[1] + "/mmaction/datasets/pipelines/loading.py"),
                classes(sys.argv[2] + "/mmaction/datasets/transforms/loading.py")]
    todo = []
    for clip_len, interval in ((1, 1), (8, 1), (8, 8), (16, 4), (32, 2)):
        span = clip_len * interval
        lengths = sorted({1, 2, 5, span - 1, span, span + 1, span + 2, span + 3, span + 4, span + 9, 90, 100, 120, 250, 301} - {0})
        for n in lengths:
            for clips in (1, 2, 3, 4, 10):
                todo += [(rule, clip_len, interval, clips, 0, 0, n) for rule in (TRAIN, TEST, TEST_1X)]
    for clip_len, interval in ((1, 1), (8, 8), (32, 2)):
        for window in (1, 17, 64):
            for n in (1, 16, 17, 18, 63, 64, 65, 66, 79, 100, 162, 301):
                for clips, positions in ((1, 1), (1, 10), (8, 3), (3, 99)):
                    todo.append((DENSE_TEST, clip_len, interval, clips, window, positions, n))
                for clips in (1, 3, 8):
                    todo.append((DENSE, clip_len, interval, clips, window, 1, n))
    cases, frames, last = [], [], []
    for case in todo:
        rule, clip_len = case[0], case[1]
        each = [(sample(v, *case, 0), sample(v, *case, 1)) for v in versions if not (rule == TEST and v is versions[1])
                and not (rule == TEST_1X and v is versions[0])]
        for other in each[1:]:
            assert all(np.array_equal(a[0], b[0]) for a, b in zip(each[0], other)), case
        (first, draws), (high, _) = each[0]
        if clip_len > 8 and rule == DENSE_TEST and case[5] > 10:
            continue  # the same starts as with a clip_len of 1, and large
        cases.append((*case, draws.bound, draws.sorted))
        frames.append(first)
        last.append(high[::clip_len])
    with h5py.File(sys.argv[3], "w") as f:
        for name, data in ("cases", np.array(cases)), ("frames", np.concatenate(frames)), ("last", np.concatenate(last)):
            f.create_dataset(name, data=data.astype(np.int32), chunks=True, shuffle=True, compression="gzip", compression_opts=9)
        f.attrs["source"] = "mmaction2 0.24.1 and 1.2.0, numpy " + np.__version__
    print(len(cases), "cases,", sum(map(len, frames)), "frames")


if __name__ == "__main__":
    main()
