"""The botorch model that equals a Gaussian process of our own."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from blackbox.surrogates.gaussian_process import GaussianProcess

__all__ = ["single_task"]


def single_task(process: GaussianProcess) -> Any:
    """Return a `SingleTaskGP` with the data, hyper-parameters and standardisation of `process`."""
    spread = process.standard.spread
    known = 0.0 if process.variance is None else process.variance
    noise = np.broadcast_to(process.hyper.noise + process.jitter + known, (len(process),)) * spread**2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about deprecated parts of torch, tiny noise, inputs: all as wanted here
        from botorch.models import SingleTaskGP
        from botorch.models.transforms.outcome import Standardize
        from gpytorch.kernels import MaternKernel, ScaleKernel

        ripple = process.layout.ripple
        parts = [(1.0, 1.0)] if ripple is None else [(1.0 - ripple.share, 1.0), tuple(ripple)]
        kernels = [ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=process.layout.dim)).double() for _ in parts]
        model = SingleTaskGP(
            torch.from_numpy(process.x),
            torch.from_numpy(process.y)[:, None],
            torch.from_numpy(noise.copy())[:, None],
            covar_module=kernels[0] if len(kernels) == 1 else kernels[0] + kernels[1],
            outcome_transform=Standardize(m=1).double(),
        )
    with torch.no_grad():
        model.mean_module.constant.fill_(process.mean)
        for kernel, (share, ratio) in zip(kernels, parts, strict=True):
            kernel.outputscale = process.hyper.scale * share
            kernel.base_kernel.lengthscale = torch.from_numpy(process.hyper.lengthscale * ratio)
    return model.eval()
