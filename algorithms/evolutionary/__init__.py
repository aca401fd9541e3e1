"""Evolutionary algorithms, and the pure tensor kernels they are made of.

Kernels take tensors and give tensors. They accept leading batch dimensions: a value table has shape `(..., n,
m)` for `n` points and `m` objectives, all of which are minimised, and each leading index is a run of its own.
Randomness comes in as numbers drawn beforehand from the uniform distribution on [0, 1), so a kernel is a
function of its arguments and a batch of runs gives each run what it would get alone.
"""
