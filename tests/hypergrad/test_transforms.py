from __future__ import annotations

import math
import pickle

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whet.errors import HypergradError, UnknownName
from whet.hypergrad.transforms import Box, Exp, Identity, Log10, Softplus, Transform, UnitInterval, transform_named

calm = settings(deadline=None, max_examples=50)

TRANSFORMS = [Identity(), Log10(), Exp(), Softplus(), UnitInterval(), UnitInterval(margin=1e-6), Box(-3.0, 5.0), Box(0.9, 0.999)]  # fmt: skip
ids = [repr(t) for t in TRANSFORMS]
each = pytest.mark.parametrize("transform", TRANSFORMS, ids=ids)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def inside(transform: Transform, share: float, dtype: torch.dtype) -> torch.Tensor:
    """Return a raw at `share` of the way between the ends; between ±100 where there are none near."""
    low, high = (min(max(end, -100.0), 100.0) for end in transform.ends(dtype))
    return torch.tensor(low + share * (high - low), dtype=dtype)


@each
@dtypes
@calm
@given(share=st.floats(0, 1))
@example(share=0.0)
@example(share=1.0)
def test_inverse_of_forward_is_the_raw(transform: Transform, dtype: torch.dtype, share: float) -> None:
    raw = inside(transform, share, dtype)
    value = transform.forward(raw)
    back = transform.inverse(value)
    # What half a unit in the last place of the value, or of raw itself, makes of raw.
    eps = torch.finfo(dtype).eps
    scale = max(
        abs(float(value)), *(abs(end) for end in transform.domain if math.isfinite(end)), torch.finfo(dtype).tiny
    )
    slack = 4 * eps * scale / float(transform.pullback(raw, torch.ones_like(raw))) + 4 * eps * max(abs(float(raw)), 1)
    assert abs(float(back - raw)) <= slack


@each
@calm
@given(share=st.floats(0.001, 0.999))
def test_pullback_is_the_derivative(transform: Transform, share: float) -> None:
    raw = inside(transform, share, torch.float64)
    raw = raw.clamp(-30, 30)
    h = 1e-5
    difference = (transform.forward(raw + h) - transform.forward(raw - h)) / (2 * h)
    closed = transform.pullback(raw, torch.tensor(3.0, dtype=torch.float64)) / 3
    assert float(closed) == pytest.approx(float(difference), rel=1e-6, abs=1e-9)
    leaf = raw.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(transform.forward(leaf), leaf)
    assert float(closed) == pytest.approx(float(by_autograd), rel=1e-9)


@each
@dtypes
@calm
@given(shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_forward_increases(transform: Transform, dtype: torch.dtype, shares: tuple[float, float]) -> None:
    low, high = (inside(transform, share, dtype) for share in sorted(shares))
    assert transform.forward(low) <= transform.forward(high)


@each
@dtypes
def test_the_ends_are_finite_legal_and_have_a_slope(transform: Transform, dtype: torch.dtype) -> None:
    low, high = transform.domain
    for end in transform.ends(dtype):
        if math.isfinite(end):
            raw = torch.tensor(end, dtype=dtype)
            value, slope = transform.forward(raw), transform.pullback(raw, torch.ones_like(raw))
            assert torch.isfinite(value)
            assert torch.tensor(low, dtype=dtype) <= value <= torch.tensor(high, dtype=dtype)
            assert torch.isfinite(slope)
            assert slope > 0


@dtypes
@pytest.mark.parametrize("transform", [UnitInterval(), Box(-1.0, 1.0)])
def test_inverse_at_the_bounds_is_finite_and_as_far_as_the_margin(transform: Transform, dtype: torch.dtype) -> None:
    bounds = torch.tensor(transform.domain, dtype=dtype)
    raws = transform.inverse(bounds)
    assert torch.isfinite(raws).all()
    width = bounds[1] - bounds[0]
    torch.testing.assert_close(
        (transform.forward(raws) - bounds).abs() / width, torch.full_like(raws, 1e-4), rtol=2e-3, atol=0
    )


@pytest.mark.parametrize("transform", [UnitInterval(), Box(0.0, 1.0)])
def test_values_beyond_a_bound_by_rounding_are_on_it(transform: Transform) -> None:
    beyond = torch.tensor([-1e-7, 1 + 1e-7], dtype=torch.float64)
    assert torch.equal(transform.inverse(beyond), transform.inverse(torch.tensor([0.0, 1.0], dtype=torch.float64)))


def test_tiny_values_have_logarithms() -> None:
    assert Log10().inverse(torch.tensor(1e-30)).item() == pytest.approx(-30)
    subnormal = torch.tensor(1e-42)
    for transform in (Log10(), Exp(), Softplus()):
        raw = transform.inverse(subnormal)
        assert torch.isfinite(raw)
        assert 0 < transform.forward(raw) < 1e-37


def test_softplus_is_smooth_and_loses_nothing_far_out() -> None:
    raw = torch.tensor([-80.0, 19.999999, 20.000001, 700.0], dtype=torch.float64)
    value = Softplus().forward(raw)
    expected = torch.tensor([math.exp(-80), 19.999999 + math.log1p(math.exp(-19.999999)), 20.000001 + math.log1p(math.exp(-20.000001)), 700], dtype=torch.float64)  # fmt: skip
    torch.testing.assert_close(value, expected, rtol=1e-15, atol=0)


def test_identity_is_the_tensor_itself() -> None:
    raw = torch.tensor([1.0, 2.0])
    assert Identity().forward(raw) is raw
    grad = torch.tensor([3.0, 4.0])
    pulled = Identity().pullback(raw, grad)
    assert pulled.data_ptr() != grad.data_ptr()
    torch.testing.assert_close(pulled, grad)


@each
def test_pullback_leaves_its_arguments_alone(transform: Transform) -> None:
    raw, grad = torch.tensor([0.25, 0.5]), torch.tensor([2.0, 3.0])
    pulled = transform.pullback(raw, grad)
    assert raw.tolist() == [0.25, 0.5]
    assert grad.tolist() == [2.0, 3.0]
    assert pulled.data_ptr() not in (raw.data_ptr(), grad.data_ptr())


@pytest.mark.parametrize(
    ("transform", "value", "words"),
    [
        (Log10(), 0.0, r"0 is no value of Log10\(\): give a finite number above 0; .* low=0"),
        (Exp(), -1.0, r"-1 is no value of Exp\(\)"),
        (Softplus(), math.inf, r"inf is no value"),
        (UnitInterval(), 1.5, r"1.5 is no value of UnitInterval\(margin=0.0001\): give one in \[0, 1\]"),
        (Box(-1.0, 2.0), -1.1, r"-1.1 is no value of Box.*: give one in \[-1, 2\]"),
        (Identity(), math.nan, r"nan is no value of Identity\(\): give a finite number"),
    ],
)
def test_illegal_values_are_refused(transform: Transform, value: float, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        transform.inverse(torch.tensor([0.5, value]))


def test_integers_are_refused() -> None:
    with pytest.raises(HypergradError, match="int64: give a floating-point tensor"):
        Log10().inverse(torch.tensor([1, 2]))


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_box_needs_an_interval(bounds: tuple[float, float]) -> None:
    with pytest.raises(HypergradError, match="no interval: give finite bounds, low < high"):
        Box(*bounds)


def test_margins_are_checked() -> None:
    with pytest.raises(HypergradError, match=r"has the margin 0: give one in \(0, 0.5\)"):
        UnitInterval(margin=0)


def test_names() -> None:
    for transform in (Identity(), Log10(), Exp(), Softplus(), UnitInterval()):
        assert transform_named(transform.name) == transform
    assert transform_named("box", 1.0, 2.0) == Box(1.0, 2.0)
    with pytest.raises(UnknownName, match="unknown transform 'lgo10': did you mean 'log10'"):
        transform_named("lgo10")
    with pytest.raises(HypergradError, match="no bounds: give low and high"):
        transform_named("box", 1.0)


@each
def test_they_are_values(transform: Transform) -> None:
    assert pickle.loads(pickle.dumps(transform)) == transform
    assert hash(transform) == hash(pickle.loads(pickle.dumps(transform)))
