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

        kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=process.layout.dim)).double()
        model = SingleTaskGP(
            torch.from_numpy(process.x),
            torch.from_numpy(process.y)[:, None],
            torch.from_numpy(noise.copy())[:, None],
            covar_module=kernel,
            outcome_transform=Standardize(m=1).double(),
        )
    with torch.no_grad():
        model.mean_module.constant.fill_(process.mean)
        kernel.outputscale = process.hyper.scale
        kernel.base_kernel.lengthscale = torch.from_numpy(process.hyper.lengthscale)
    return model.eval()
