from __future__ import annotations

import asyncio
import copy
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.errors import HypergradError, UnknownName
from whet.hypergrad.hyperparameter import Hyperparameter, bound
from whet.hypergrad.transforms import Box, Identity, Log10, UnitInterval
from whet.space import Float

calm = settings(deadline=None, max_examples=50)

WEIGHTS = {"a": torch.zeros(3, 2), "b": torch.zeros(2)}


# -- the value --------------------------------------------------------------------------------------------------------------


def test_value_has_a_graph_to_raw_where_gradients_are_enabled() -> None:
    h = Hyperparameter(0.01, transform="log10")
    (grad,) = torch.autograd.grad(h.value(), h.raw[""])
    assert float(grad) == pytest.approx(0.01 * math.log(10))
    with torch.no_grad():
        assert not h.value().requires_grad


def test_identity_is_raw_itself() -> None:
    h = Hyperparameter(torch.ones(5))
    assert h.value() is h.raw[""]


def test_the_given_tensor_is_not_shared() -> None:
    given = torch.ones(5)
    h = Hyperparameter(given)
    h.set(2.0)
    assert given.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Hyperparameter(0.5), ()),
        (lambda: Hyperparameter(0.5, shape=(7,)), (7,)),
        (lambda: Hyperparameter(torch.rand(2, 3), transform="unit"), (2, 3)),
        (lambda: Hyperparameter(torch.tensor(0.5), shape=(2, 2)), (2, 2)),
        (lambda: Hyperparameter(np.float64(0.5)), ()),
        (lambda: Hyperparameter(1), ()),
        (lambda: Hyperparameter(torch.zeros(0)), (0,)),
    ],
)
def test_shapes(make: object, shape: tuple[int, ...]) -> None:
    h = make()  # type: ignore[operator]
    assert h.value().shape == shape
    assert h.value().is_floating_point()
    assert h.raw[""].is_leaf
    assert h.raw[""].requires_grad


@calm
@given(value=st.floats(1e-8, 1.0))
def test_a_number_goes_in_and_comes_out(value: float) -> None:
    for transform in ("identity", "log10", "exp", "softplus"):
        assert float(Hyperparameter(value, transform=transform)) == pytest.approx(value, rel=3e-6)


def test_constants_have_no_gradient() -> None:
    h = Hyperparameter(0.5, tune=False)
    assert not h.raw[""].requires_grad
    assert not (h * 2).requires_grad
    h.bind(WEIGHTS)
    assert not h.raw[""].requires_grad
    spread = Hyperparameter(0.5, per="weight", tune=False)
    spread.bind(WEIGHTS)
    assert not any(raw.requires_grad for raw in spread.raw.values())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Hyperparameter(0.0, transform="log10"), "0 is no value of Log10"),
        (lambda: Hyperparameter(2.0, high=1.0), r"2 is outside \[-inf, 1\]: give a value within, or widen the limits"),
        (lambda: Hyperparameter(torch.tensor([0.5, 2.0]), low=0.0, high=1.0), r"2 is outside \[0, 1\]"),
        (lambda: Hyperparameter(torch.tensor([1, 2])), "int64: give a floating-point tensor"),
        (lambda: Hyperparameter(True), "the value is True: give a number"),
        (lambda: Hyperparameter("x"), "'x', which is no number"),
        (lambda: Hyperparameter(None), "None, which is no number"),
        (lambda: Hyperparameter(math.nan), "nan is no value"),
        (lambda: Hyperparameter(0.5, low=1.0, high=0.0), "low=1 is above high=0"),
        (
            lambda: Hyperparameter(0.5, transform="unit", low=2.0),
            r"leave no value of UnitInterval.*: its values are in \[0, 1\]",
        ),
        (lambda: Hyperparameter(0.5, transform="box"), "no bounds"),
        (lambda: Hyperparameter(0.5, per="weight", shape=(3,)), "per='weight' has a shape"),
        (lambda: Hyperparameter(torch.ones(3), per="layer"), "per='layer' has a shape"),
        (lambda: Hyperparameter(torch.ones(3), shape=(2,)), r"shape \(3,\), not \(2,\)"),
        (lambda: Hyperparameter({}), "with a shape, or empty"),
    ],
)
def test_bad_ones_are_refused(make: object, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        make()  # type: ignore[operator]


def test_unknown_words_list_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown per 'wieght': did you mean 'weight'"):
        Hyperparameter(0.1, per="wieght")
    with pytest.raises(UnknownName, match="unknown transform 'sigmod'"):
        Hyperparameter(0.1, transform="sigmod")


# -- set and clip -----------------------------------------------------------------------------------------------------------


def test_set_is_in_place_and_exact() -> None:
    h = Hyperparameter(0.1, transform="log10")
    raw = h.raw[""]
    h.set(0.001)
    assert h.raw[""] is raw
    assert raw.item() == -3
    h.set(torch.tensor(0.01))
    assert raw.item() == pytest.approx(-2)
    many = Hyperparameter(0.5, shape=(3,), transform="unit")
    many.set(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(many.value().detach(), torch.tensor([0.25, 0.5, 0.75]))


def test_set_refuses_what_does_not_fit_and_changes_nothing() -> None:
    h = Hyperparameter(0.5, low=0.0, high=1.0)
    many = Hyperparameter({"a": torch.ones(2), "b": torch.ones(2)}, low=0.0, high=2.0)
    for wrong, words in (
        (lambda: many.set({"a": torch.zeros(2), "b": torch.full((2,), 5.0)}), r"5 is outside \[0, 2\]"),
        (lambda: many.set({"a": torch.zeros(2), "b": torch.zeros(3)}), r"shape \(3,\), not \(2,\)"),
        (lambda: h.set(1.5), r"1.5 is outside \[0, 1\]"),
        (lambda: h.set(torch.ones(3)), r"shape \(3,\), not \(\)"),
        (lambda: h.set({"a": torch.tensor(0.1)}), "the value is for a, not one tensor"),
        (lambda: many.set({"a": torch.zeros(2)}), "the value is for a, not a, b"),
    ):
        with pytest.raises(HypergradError, match=words):
            wrong()
    assert h.item() == 0.5
    assert many["a"].tolist() == [1, 1]


TRANSFORMED = st.sampled_from([Identity(), Log10(), UnitInterval(), Box(-1.0, 1.0)])


@calm
@given(
    transform=TRANSFORMED,
    ends=st.tuples(st.floats(1e-6, 0.9999), st.floats(1e-6, 0.9999)).filter(lambda p: p[0] < p[1]),
    raw=st.floats(-1e6, 1e6, width=32),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_clipped_values_are_within_their_limits(transform: object, ends: tuple[float, float], raw: float, dtype: torch.dtype) -> None:  # fmt: skip
    low, high = ends
    h = Hyperparameter((low + high) / 2, transform=transform, low=low, high=high)  # type: ignore[arg-type]
    h.to(dtype=dtype)
    with torch.no_grad():
        h.raw[""].fill_(raw)
    h.clip_()
    eps = torch.finfo(dtype).eps
    if high - low > 4 * eps:  # otherwise there may be no number between them
        assert low <= float(h) <= high
    assert (torch.autograd.grad(h.value(), h.raw[""])[0] > 0).all()


@pytest.mark.parametrize("transform", ["log10", "exp", "softplus", "unit", Box(0.0, 2.0)])
@pytest.mark.parametrize("raw", [-1e30, 1e30])
def test_without_limits_clipping_keeps_a_slope(transform: str, raw: float) -> None:
    h = Hyperparameter(0.5, transform=transform)
    with torch.no_grad():
        h.raw[""].fill_(raw)
    h.clip_()
    value = h.value()
    assert torch.isfinite(value)
    assert value > 0
    (slope,) = torch.autograd.grad(value, h.raw[""])
    assert torch.isfinite(slope)
    assert slope > 0


def test_clipping_alters_nothing_that_is_legal() -> None:
    for transform in ("log10", "unit", "identity"):
        h = Hyperparameter(torch.tensor([0.1, 0.25, 0.5]), transform=transform, low=0.1, high=0.5)
        before = h.raw[""].clone()
        h.clip_()
        assert torch.equal(h.raw[""], before)


def test_a_limit_itself_is_legal_in_every_dtype() -> None:
    h = Hyperparameter(0.1, high=0.1)  # 0.1 in float32 is above 0.1
    assert h.item() <= 0.1
    h.set(float(h))
    h.set(torch.tensor(0.1))
    assert h.item() == pytest.approx(0.1)
    assert Hyperparameter(0.1, low=0.1, high=0.1).item() == pytest.approx(0.1)


def test_a_narrow_box_is_kept() -> None:
    h = Hyperparameter(1000.0005, transform="box", low=1000.0001, high=1000.001)
    for raw in (-1e4, 1e4):
        with torch.no_grad():
            h.raw[""].fill_(raw)
        h.clip_()
        assert 1000.0001 <= float(h) <= 1000.001


# -- bind, to -----------------------------------------------------------------------------------------------------------------


def test_bind_makes_one_a_layer_or_one_a_weight_once() -> None:
    layer, weight = (Hyperparameter(0.01, transform="log10", per=per) for per in ("layer", "weight"))
    assert "before bind(model)" in repr(weight)
    assert float(weight) == pytest.approx(0.01)
    for h in (layer, weight):
        h.bind(WEIGHTS)
        before = dict(h.raw)
        h.bind(WEIGHTS)
        assert all(h.raw[n] is before[n] for n in before)
        assert all(raw.is_leaf and raw.requires_grad for raw in h.raw.values())
    assert {n: tuple(v.shape) for n, v in layer.value().items()} == {"a": (), "b": ()}
    assert {n: tuple(v.shape) for n, v in weight.value().items()} == {"a": (3, 2), "b": (2,)}
    torch.testing.assert_close(weight["a"].detach(), torch.full((3, 2), 0.01))


def test_a_weight_that_is_not_contiguous_has_a_contiguous_raw() -> None:
    h = Hyperparameter(0.5, per="weight")
    h.bind({"a": torch.zeros(3, 2).t(), "b": torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)})
    assert all(raw.is_contiguous() for raw in h.raw.values())


def test_bind_refuses_another_model() -> None:
    h = Hyperparameter(0.5, per="weight")
    h.bind(WEIGHTS)
    with pytest.raises(HypergradError, match=r"for 'a' the shape is \(3, 2\) and the weight's \(4, 4\)"):
        h.bind({"a": torch.zeros(4, 4), "b": torch.zeros(2)})
    with pytest.raises(HypergradError, match="there is no trainable weight 'a': there are c"):
        h.bind({"c": torch.zeros(2)})
    with pytest.raises(HypergradError, match="there is no value for the weight 'c'"):
        h.bind({**WEIGHTS, "c": torch.zeros(2)})


def test_a_mapping_may_be_for_some_weights_and_broadcast() -> None:
    h = Hyperparameter({"a": torch.full((3, 1), 0.5)})
    h.bind(WEIGHTS)
    assert h["a"].shape == (3, 1)


def test_bind_follows_the_dtype_and_keeps_what_an_optimizer_holds() -> None:
    h = Hyperparameter(0.3, transform="log10")
    raw = h.raw[""]
    h.bind({"a": torch.zeros(2, dtype=torch.float64)})
    assert h.raw[""] is raw
    assert raw.dtype == torch.float64
    assert float(h) == pytest.approx(0.3, rel=1e-15)  # not what float32 made of it
    (h * 2).backward()
    assert raw.grad.dtype == torch.float64
    h.to(dtype=torch.float32)
    assert raw.grad.dtype == torch.float32


def test_what_has_moved_is_converted_as_it_is() -> None:
    h = Hyperparameter(0.3)
    with torch.no_grad():
        h.raw[""].add_(0.1)
    moved = h.item()
    h.to(dtype=torch.float64)
    assert h.item() == moved


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_weights_have_full_precision_hyperparameters(half: torch.dtype) -> None:
    for h in (Hyperparameter(0.1, per="weight"), Hyperparameter(0.1)):
        h.bind({"a": torch.zeros(2, dtype=half)})
        assert all(raw.dtype == torch.float32 for raw in h.raw.values())


def test_millions_cost_raw_and_no_copy() -> None:
    h = Hyperparameter(0.01, transform="log10", per="weight")
    weights = {"w": torch.zeros(1000, 1000)}
    before = {id(t) for t in _big()}
    h.bind(weights)
    h.clip_()
    h.set(0.02)
    assert len([t for t in _big() if id(t) not in before]) == 1  # raw, and nothing else


def _big() -> list[torch.Tensor]:
    import gc

    return [t for t in gc.get_objects() if type(t) is torch.Tensor and t.numel() == 1_000_000]


# -- where a number is expected -------------------------------------------------------------------------------------------------


def test_arithmetic_on_both_sides() -> None:
    h, x = Hyperparameter(2.0), torch.tensor([1.0, 4.0])
    for made, expected in (
        (h + 1, 3.0), (1 + h, 3.0), (h - 1, 1.0), (1 - h, -1.0), (h * 3, 6.0), (3 * h, 6.0), (h / 4, 0.5), (4 / h, 2.0),
        (h**3, 8.0), (3**h, 9.0), (-h, -2.0), (abs(-1 * h), 2.0), (h * h, 4.0), (h + h, 4.0),
        (x * h, x * 2), (h * x, x * 2), (x - h, x - 2), (x / h, x / 2), (x**h, x**2), (h - x, 2 - x),
    ):  # fmt: skip
        torch.testing.assert_close(made, torch.as_tensor(expected), rtol=1e-6, atol=0)
        assert made.requires_grad
    v = Hyperparameter(torch.tensor([1.0, 2.0]))
    assert (v @ x).item() == 9
    assert v[1].item() == 2


def test_torch_functions_take_it() -> None:
    h = Hyperparameter(0.5)
    x = torch.tensor([1.0, 2.0])
    assert torch.exp(h).item() == pytest.approx(math.exp(0.5))
    assert torch.stack([h, h]).tolist() == [0.5, 0.5]
    assert torch.where(x > 1, h, x).tolist() == [1.0, 0.5]
    assert torch.add(x, other=h).tolist() == [1.5, 2.5]
    assert torch.lerp(x, x + 1, h).tolist() == [1.5, 2.5]
    (grad,) = torch.autograd.grad(torch.mul(x, h).sum(), h.raw[""])
    assert grad.item() == 3


def test_numbers_comparisons_and_text() -> None:
    h = Hyperparameter(0.015625, transform="log10")
    assert float(h) == pytest.approx(0.015625)
    assert math.sqrt(h) == pytest.approx(0.125)
    assert int(Hyperparameter(3.0)) == 3
    assert h < 1
    assert h <= 1.0
    assert not h > 1
    assert h >= 0
    assert h != 1
    assert h == h
    assert Hyperparameter(0.5) == 0.5
    assert bool(h)
    assert not Hyperparameter(0.0)
    assert f"{h:.2e} {h}" == "1.56e-02 0.015625"
    assert Float(0, 1).clean("h", h) == pytest.approx(0.015625)
    assert {h: 1}[h] == 1


def test_an_optimizer_takes_it_for_its_learning_rate() -> None:
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w], lr=float(Hyperparameter(0.5)))
    w.grad = torch.ones(2)
    optimizer.step()
    assert w.tolist() == [0.5, 0.5]


def test_several_numbers_are_not_one() -> None:
    many = Hyperparameter(torch.ones(3))
    with pytest.raises(HypergradError, match="3 values is not one number"):
        float(many)
    named = Hyperparameter({"a": torch.ones(3)})
    with pytest.raises(HypergradError, match="several tensors stands for none: take hyperparameter"):
        named * 2
    assert named == named
    assert named != many
    assert (many == torch.tensor([1.0, 2.0, 1.0])).tolist() == [True, False, True]
    assert (many != torch.tensor([1.0, 2.0, 1.0])).tolist() == [False, True, False]


def test_repr_says_what_it_is() -> None:
    assert (
        repr(Hyperparameter(0.01, transform="log10", low=1e-10, high=1.0))
        == "Hyperparameter(0.01, Log10(), in [1e-10, 1])"
    )
    h = Hyperparameter(0.5, per="weight", tune=False)
    h.bind(WEIGHTS)
    assert repr(h) == "Hyperparameter(8 values from 0.5 to 0.5, mean 0.5, Identity(), per weight, constant)"
    assert "0 values" in repr(Hyperparameter(torch.zeros(0)))


def test_copies_are_their_own() -> None:
    h = Hyperparameter(0.5, transform="unit")
    other = copy.deepcopy(h)
    other.set(0.25)
    assert float(h) == pytest.approx(0.5)
    assert other.raw[""].requires_grad


# -- bound --------------------------------------------------------------------------------------------------------------------


def test_bound_values_stand_for_it_and_nest() -> None:
    h, other = Hyperparameter(1.0), Hyperparameter(10.0)
    with bound([(h, torch.tensor(2.0)), (other, torch.tensor(20.0))]):
        assert float(h) == 2
        with bound([(h, torch.tensor(3.0))]):
            assert float(h) == 3
            assert float(other) == 20
        assert float(h) == 2
        assert f"{h}" == "2"
    assert float(h) == 1
    with pytest.raises(ZeroDivisionError), bound([(h, torch.tensor(2.0))]):
        raise ZeroDivisionError
    assert float(h) == 1


def test_bound_is_for_this_thread_and_task_alone() -> None:
    h = Hyperparameter(1.0)
    seen: list[float] = []
    with bound([(h, torch.tensor(2.0))]):
        thread = threading.Thread(target=lambda: seen.append(float(h)))
        thread.start()
        thread.join()
    assert seen == [1.0]

    async def task(value: float) -> float:
        with bound([(h, torch.tensor(value))]):
            await asyncio.sleep(0)
            return float(h)

    async def both() -> list[float]:
        return await asyncio.gather(task(5.0), task(6.0))

    assert asyncio.run(both()) == [5.0, 6.0]


def test_bound_to_itself_is_itself() -> None:
    h = Hyperparameter(1.0)
    with bound([(h, h)]):
        assert float(h) == 1
