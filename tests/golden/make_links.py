"""Writes links.h5: 14 groups, each with two links, a and b, to the next, a number at the end, and a link to nothing.

What needs such a file: tests/lua/h5_spec.lua. Needs h5py.
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
