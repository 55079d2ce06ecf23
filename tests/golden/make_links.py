"""Writes files with links that go wrong. Needs h5py; tests/lua/h5_spec.lua and checkpoint_spec.lua need them.

links.h5: 14 groups, each with two links, a and b, to the next, a number at the end, and a link to nothing.
links_loop.h5: a soft link in a group that leads to the group; links_hard.h5: the same by a hard link.
links_far.h5: a tensor, a link to a tensor in another file, and a dataset that is no tensor.
"""
import h5py

with h5py.File("links.h5", "w", libver="latest") as f:
    group = f
    for _ in range(14):
        below = group.create_group("a")
        group["b"] = below
        group = below
    group["x"] = 1
    f["none"] = h5py.SoftLink("/nowhere")

with h5py.File("links_loop.h5", "w", libver="latest") as f:
    f["g/w"] = [1.0, 2.0]
    f["g/loop"] = h5py.SoftLink("/g")

with h5py.File("links_hard.h5", "w", libver="latest") as f:
    f["g/w"] = [1.0, 2.0]
    f["g/deeper/loop"] = f["g"]

with h5py.File("links_far.h5", "w") as f:
    f["a"] = [1.0, 2.0]
    f["alias"] = h5py.SoftLink("/a")
    f["b"] = h5py.ExternalLink("links.h5", "/none")
    f.create_dataset("pair", (1,), dtype=[("x", "f4"), ("y", "i4")])
