"""Every point of a space comes back from its features."""

from __future__ import annotations

import math

import torch

from blackbox.parameters import Categorical, Integer, Ordinal, Real
from blackbox.space import Space
from blackbox.surrogates.encoding import Encoding

SEQUENCE = Space({f"p{i}": Categorical(list("ACGT")) for i in range(8)})
MIXED = Space(
    {
        "kind": Categorical(["u", "v", "w"]),
        "a": Real(1e-3, 1e2, log=True),
        "two": Categorical([True, False]),
        "n": Integer(1, 9),
        "size": Ordinal(["s", "m", "l"]),
        "only_v": Categorical(list("abcde"), when={"kind": "v"}),
        "deep": Real(-1, 1, when={"only_v": ["b", "c"]}),
    }
)


def points(space: Space, n: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return space.from_unit(torch.rand((n, space.dim), generator=generator, dtype=torch.float64))


def test_the_published_numbers() -> None:
    a = math.log(7)  # log(0.7 / 0.1)
    features = Encoding(SEQUENCE).encode(torch.tensor([[0.0, 1, 2, 3, 0, 0, 0, 0]], dtype=torch.float64))
    expected = torch.tensor([[-a, -a, -a], [a, 0, 0], [0, a, 0], [0, 0, a]], dtype=torch.float64)
    torch.testing.assert_close(features.reshape(8, 3)[:4], expected)
    assert abs(a - 1.9459) < 1e-4


def test_round_trips() -> None:
    for space in (SEQUENCE, MIXED, Space.box([0, -5], [1, 5])):
        encoding, x = Encoding(space), points(space)
        features = encoding.encode(x)
        assert features.shape == (200, encoding.dim)
        assert torch.isfinite(features).all()
        back = encoding.decode(features)
        space.check(back)
        torch.testing.assert_close(back, x, equal_nan=True)


def test_any_features_decode_into_the_space() -> None:
    for space in (SEQUENCE, MIXED):
        encoding = Encoding(space)
        wild = 50 * torch.randn((300, encoding.dim), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        space.check(encoding.decode(wild))


def test_the_largest_logit_wins_and_zero_stands_for_the_first_level() -> None:
    encoding = Encoding(Space({"c": Categorical(list("ACGT"))}))
    features = torch.tensor([[-0.1, -2.0, -0.5], [0.1, -3.0, 0.05], [0.0, 0.2, 0.3]], dtype=torch.float64)
    assert encoding.decode(features)[:, 0].tolist() == [0.0, 1.0, 3.0]


def test_what_a_decoded_level_switches_on_has_a_value() -> None:
    space = Space({"k": Categorical(list("abc")), "r": Real(1, 2, when={"k": "a"}), "s": Real(0, 1, when={"k": "c"})})
    encoding = Encoding(space)
    features = torch.randn((60, encoding.dim), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = encoding.decode(features)
    space.check(x)
    assert {float(level) for level in x[:, 0]} == {0.0, 1.0, 2.0}
    assert torch.equal(x[:, 1].isnan(), x[:, 0] != 0)
    assert torch.equal(x[:, 2].isnan(), x[:, 0] != 2)
