"""Adam, fused and plain, against torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from blackbox.surrogates.adam import Adam


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(fused: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator, dtype=dtype) for shape in ((3, 4), (5,))]
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    adam, reference = Adam(ours, 0.03), torch.optim.Adam(theirs, 0.03)
    if not fused:
        adam._fused = None
    for step in range(20):
        for group in (ours, theirs):
            sum(((p - i) ** 4).sum() for i, p in enumerate(group)).backward()  # type: ignore[union-attr]
        adam.step()
        reference.step()
        adam.zero_grad()
        reference.zero_grad()
        if step == 10:
            adam.lr = reference.param_groups[0]["lr"] = 0.01
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert (adam._fused is not None) == fused


def test_a_parameter_without_a_gradient_stays() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    adam = Adam([used, unused], 0.1)
    used.sum().backward()
    adam.step()
    assert unused.tolist() == [1, 1]
    assert used.tolist() == pytest.approx([0.9, 0.9])


def test_no_compiler_is_loaded() -> None:
    code = (
        "import sys, torch; from blackbox.surrogates.adam import Adam;"
        "x = torch.ones(1, requires_grad=True); a = Adam([x], 0.1); x.sum().backward(); a.step();"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
