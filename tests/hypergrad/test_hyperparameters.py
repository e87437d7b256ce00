from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from whet.errors import HypergradError, SpaceError, UnknownName
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.transforms import Box, Exp, Identity, Log10, Softplus, UnitInterval
from whet.space import Choice, Float, Int, Normal, Space

calm = settings(deadline=None, max_examples=50)


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)


def both() -> Hyperparameters:
    return Hyperparameters(
        lr=Hyperparameter(0.1, transform="log10", low=1e-10, high=1.0),
        decay=Hyperparameter(1e-3, transform="exp", per="weight"),
        seed_weight=Hyperparameter(2.0, tune=False),
    )


def test_it_is_a_mapping() -> None:
    hyper = Hyperparameters({"a": 0.5, "b": torch.ones(3)}, c=Hyperparameter(1.0))
    assert list(hyper) == ["a", "b", "c"]
    assert len(hyper) == 3
    assert float(hyper["a"]) == 0.5
    assert hyper["b"].value().shape == (3,)
    assert hyper.get("nothing") is None
    assert "a" in hyper
    assert hyper == hyper
    assert hyper != Hyperparameters({"a": 0.5})
    with pytest.raises(KeyError):
        hyper["nothing"]


def test_names_that_are_pythons_own() -> None:
    assert list(Hyperparameters(items=1.0, self=2.0)) == ["items", "self"]


def test_tuned_tensors_constants_and_parameters() -> None:
    hyper = both().bind(model())
    assert hyper.tuned == ("lr", "decay")
    tensors = hyper.tensors()
    assert list(tensors) == ["lr", "decay"]
    assert not tensors["lr"].requires_grad
    assert list(tensors["decay"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert hyper.constants() == {"seed_weight": torch.tensor(2.0)}
    assert len(hyper.parameters()) == 5
    assert all(raw.is_leaf and raw.requires_grad for raw in hyper.parameters())


def test_bind_follows_dtype_frozen_and_wrapped_models() -> None:
    net = model(torch.float64)
    net[0].bias.requires_grad_(False)
    hyper = both()
    assert hyper.bind(torch.compile(nn.DataParallel(net), backend="eager")) is hyper
    assert list(hyper["decay"].raw) == ["0.weight", "2.weight", "2.bias"]
    assert all(raw.dtype == torch.float64 for raw in hyper.parameters())
    raws = hyper.parameters()
    assert all(a is b for a, b in zip(hyper.bind(net).parameters(), raws, strict=True))
    net.requires_grad_(False)
    with pytest.raises(HypergradError, match="no trainable weight: set requires_grad"):
        hyper.bind(net)


def test_tied_weights_have_one_value() -> None:
    net = model()
    net.add_module("again", net[0])
    assert list(Hyperparameters(d=Hyperparameter(1.0, per="layer")).bind(net)["d"].raw) == list(
        dict(net.named_parameters())
    )


def test_errors_of_bind_say_which() -> None:
    hyper = both().bind(model())
    with pytest.raises(HypergradError, match=r"hyperparameter 'decay': there is no trainable weight '0.weight'"):
        hyper.bind(nn.Linear(2, 2))


# -- the chain rule ---------------------------------------------------------------------------------------------------------------


@calm
@given(
    transform=st.sampled_from([Identity(), Log10(), Exp(), Softplus(), UnitInterval(), Box(-1.0, 2.0)]),
    value=st.floats(0.05, 0.9),
    grad=st.floats(-10, 10),
)
def test_fill_is_the_chain_rule(transform: object, value: float, grad: float) -> None:
    hyper = Hyperparameters(h=Hyperparameter(torch.tensor([value, 0.5], dtype=torch.float64), transform=transform))  # type: ignore[arg-type]
    given = torch.tensor([grad, 1.0], dtype=torch.float64)
    hyper.fill_({"h": given})
    (expected,) = torch.autograd.grad(hyper["h"].value(), hyper["h"].raw[""], given)
    torch.testing.assert_close(hyper["h"].raw[""].grad, expected, rtol=1e-12, atol=1e-15)


def test_fill_replaces_or_accumulates_and_leaves_the_grads_alone() -> None:
    hyper = both().bind(model())
    grads = {"lr": torch.tensor(2.0), "decay": {n: torch.ones_like(raw) for n, raw in hyper["decay"].raw.items()}}
    for _ in range(2):
        hyper.fill_(grads)
    assert hyper["lr"].raw[""].grad.item() == pytest.approx(0.2 * math.log(10))
    torch.testing.assert_close(hyper["decay"].raw["2.bias"].grad, torch.full((2,), 1e-3))
    hyper.fill_(grads, accumulate=True)
    assert hyper["lr"].raw[""].grad.item() == pytest.approx(0.4 * math.log(10))
    torch.testing.assert_close(hyper["decay"].raw["2.bias"].grad, torch.full((2,), 2e-3))
    assert grads["lr"].item() == 2
    assert grads["decay"]["2.bias"].tolist() == [1, 1]
    hyper["lr"].raw[""].grad.zero_()
    assert grads["lr"].item() == 2


class Allocations(TorchDispatchMode):
    """Counts the elements of every new storage that is big."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() not in before:
            self.elements += out.untyped_storage().nbytes() // out.element_size() if out.numel() > 100 else 0
        return out


@pytest.mark.parametrize("transform", ["identity", "log10", "exp", "softplus", "unit"])
def test_a_value_a_weight_costs_raw_and_passing_values(transform: str) -> None:
    net, count = nn.Linear(100, 100, bias=False), 10_000
    hyper = Hyperparameters(d=Hyperparameter(0.5, transform=transform, per="weight"))

    def allocated(call: Callable[[], object]) -> int:
        with Allocations() as counter:
            call()
        return counter.elements

    assert allocated(lambda: hyper.bind(net)) == count
    assert allocated(lambda: hyper.bind(net)) == 0
    assert allocated(hyper.tensors) == (0 if transform == "identity" else count)
    assert allocated(hyper.clip_) == 0
    assert allocated(lambda: hyper["d"].set(0.25)) == 0
    grads = {"d": {"weight": torch.ones(100, 100)}}
    assert allocated(lambda: hyper.fill_(grads)) == count  # the .grad itself
    assert allocated(hyper.state_dict) == 0


def test_fill_of_some_names_keeps_the_others() -> None:
    hyper = Hyperparameters(a=1.0, b=1.0)
    hyper.fill_({"a": torch.tensor(1.0), "b": torch.tensor(1.0)})
    hyper.fill_({"a": torch.tensor(2.0)})
    assert [raw.grad.item() for raw in hyper.parameters()] == [2, 1]


def test_fill_refuses_what_does_not_fit() -> None:
    hyper = both().bind(model())
    for grads, words in (
        ({"seed_weight": torch.tensor(1.0)}, r"'seed_weight' is a constant \(tune=False\)"),
        ({"lr": torch.ones(2)}, r"the derivative by 'lr' has shape \(2,\), not \(\)"),
        ({"decay": torch.tensor(1.0)}, "the derivative by 'decay' is of one tensor, not of 0.weight"),
        ({"lr": {"0.weight": torch.tensor(1.0)}}, "the derivative by 'lr' is of 0.weight, not of one tensor"),
    ):
        with pytest.raises(HypergradError, match=words):
            hyper.fill_(grads)
    with pytest.raises(UnknownName, match="unknown hyperparameter 'lrr': did you mean 'lr'"):
        hyper.fill_({"lrr": torch.tensor(1.0)})


def test_clip_is_for_tuned_ones() -> None:
    hyper = Hyperparameters(a=Hyperparameter(0.5, low=0.0, high=1.0), b=Hyperparameter(0.5, high=1.0, tune=False))
    with torch.no_grad():
        for h in hyper.values():
            h.raw[""].fill_(7.0)
    hyper.clip_()
    assert [float(h) for h in hyper.values()] == [1, 7]


def test_an_outer_optimizer_descends() -> None:
    """min over λ of (w*(λ) − 2)², w* = λ: the hypergradient is 2(λ − 2)."""
    problem = Bilevel(
        train_loss=lambda w, _, hyper: 0.5 * ((w["w"] - hyper["x"]) ** 2).sum(),
        val_loss=lambda w, _, hyper: ((w["w"] - 2) ** 2).sum(),
    )
    hyper = Hyperparameters(x=Hyperparameter(0.1, transform="log10", high=1.5))
    outer = torch.optim.Adam(hyper.parameters(), lr=0.05)
    for _ in range(100):
        at = hyper.tensors()
        found = Implicit(solve=Dense())(problem, {"w": at["x"].reshape(1)}, at, Batches(train=[None], val=None))
        hyper.fill_(found.grads)
        outer.step()
        hyper.clip_()
    assert float(hyper["x"]) == pytest.approx(1.5)  # the limit; 2 is beyond


# -- closures ---------------------------------------------------------------------------------------------------------------------


def test_losses_that_close_over_hyperparameters_are_differentiated_rightly() -> None:
    hyper = Hyperparameters(
        l2=Hyperparameter(0.3, transform="log10"), shift=Hyperparameter(1.0), weights=Hyperparameter(2.0, per="layer"),
        scale=Hyperparameter(3.0, tune=False),
    )  # fmt: skip
    w = {"w": torch.tensor([0.5, -1.5], dtype=torch.float64)}
    for h in hyper.values():
        h.bind(w)

    def passed(w: dict, _: object, h: dict) -> torch.Tensor:
        return (((w["w"] - h["shift"]) ** 4).sum() * h["scale"] + h["l2"] * (h["weights"]["w"] * w["w"] ** 2).sum()) / 4

    def closed(w: dict, _: object, h: object) -> torch.Tensor:
        decay = hyper["l2"] * (hyper["weights"]["w"] * w["w"] ** 2).sum()
        return (((w["w"] - hyper["shift"]) ** 4).sum() * hyper["scale"] + decay) / 4

    found = []
    for loss in (passed, closed):
        problem = Bilevel(
            train_loss=hyper.wrapped(loss), val_loss=hyper.wrapped(lambda w, _, h: (w["w"] ** 2).sum() * hyper["shift"])
        )
        result = Implicit(solve=Dense())(problem, w, hyper.tensors(), Batches(train=[None], val=None))
        found.append(result.grads)
    for name in ("l2", "shift"):
        assert torch.equal(found[0][name], found[1][name])
        assert found[0][name] != 0
    assert torch.equal(found[0]["weights"]["w"], found[1]["weights"]["w"])
    assert all(raw.grad is None for raw in hyper.parameters())


def test_a_closure_that_is_not_wrapped_is_an_error_not_a_wrong_number() -> None:
    hyper = Hyperparameters(l2=0.5)
    problem = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 2).sum() * hyper["l2"], val_loss=lambda w, _, h: w["w"].sum()
    )
    with pytest.raises(HypergradError, match="'l2' does not reach the training loss"):
        Implicit(solve=Dense())(problem, {"w": torch.ones(2)}, hyper.tensors(), Batches(train=[None], val=None))


def test_a_wrapped_loss_takes_the_hyperparameters_themselves() -> None:
    hyper = Hyperparameters(l2=0.5, k=Hyperparameter(3.0, tune=False))
    loss = hyper.wrapped(lambda model, batch, h: h["l2"] * hyper["l2"] * h["k"] * batch)
    value = loss(None, 2.0, hyper)
    assert value.item() == 1.5
    (grad,) = torch.autograd.grad(value, hyper["l2"].raw[""])
    assert grad.item() == 6


# -- from a space -----------------------------------------------------------------------------------------------------------------

SPACE = Space(
    {
        "lr": Float(1e-5, 1, log=True),
        "momentum": Float(0, 0.99),
        "beta2": Float(0.9, 0.9999),
        "temperature": Float(0.5, 4),
        "offset": Float(-math.inf, math.inf, shape=Normal(0, 1)),
        "fixed": Float(0.5, 0.5),
        "coarse": Float(0, 1, step=0.25),
        "width": Int(16, 64),
        "optimizer": Choice(["sgd", "adam"]),
        "nesterov_share": Float(0.1, 0.9, when="optimizer == 'sgd'"),
    }
)
PARAMS = {"lr": 0.01, "momentum": 0.9, "beta2": 0.999, "temperature": 1.0, "offset": -2.0, "fixed": 0.5, "coarse": 0.25, "width": 32, "optimizer": "adam"}  # fmt: skip


def test_floats_of_a_space_become_hyperparameters() -> None:
    hyper = Hyperparameters.from_space(SPACE, PARAMS)
    assert list(hyper) == ["lr", "momentum", "beta2", "temperature", "offset", "fixed"]
    assert [h.transform for h in hyper.values()] == [
        Log10(), UnitInterval(), UnitInterval(), Box(0.5, 4.0), Identity(), Identity(),
    ]  # fmt: skip
    assert hyper.tuned == ("lr", "momentum", "beta2", "temperature", "offset")
    for name, h in hyper.items():
        assert float(h) == pytest.approx(PARAMS[name], rel=1e-6)
    assert (hyper["lr"].low, hyper["lr"].high) == (1e-5, 1)
    assert (hyper["offset"].low, hyper["offset"].high) == (None, None)


def test_after_any_step_and_clip_the_values_are_in_the_space() -> None:
    hyper = Hyperparameters.from_space(SPACE, PARAMS)
    for far in (-1e4, 1e4):
        with torch.no_grad():
            for raw in hyper.parameters():
                raw.fill_(far)
        hyper.clip_()
        assert SPACE.contains({**PARAMS, **{name: float(hyper[name]) for name in hyper.tuned}})


def test_conditions_are_heeded() -> None:
    sgd = {**PARAMS, "optimizer": "sgd", "nesterov_share": 0.5}
    assert "nesterov_share" in Hyperparameters.from_space(SPACE, sgd)
    assert list(Hyperparameters.from_space(SPACE, sgd, ["nesterov_share", "lr"])) == ["nesterov_share", "lr"]
    with pytest.raises(HypergradError, match=r"'nesterov_share' is inactive here: .*when=.*: leave it to a search"):
        Hyperparameters.from_space(SPACE, PARAMS, ["nesterov_share"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("width", r"'width' is discrete, Int\(16, 64\): no gradient flows through it: leave it to a search"),
        ("optimizer", "'optimizer' is discrete, Choice"),
        ("coarse", "'coarse' has steps"),
    ],
)
def test_discrete_ones_are_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        Hyperparameters.from_space(SPACE, PARAMS, [name])


def test_bad_values_and_names_of_a_space() -> None:
    with pytest.raises(UnknownName, match="unknown parameter 'lrr': did you mean 'lr'"):
        Hyperparameters.from_space(SPACE, PARAMS, ["lrr"])
    with pytest.raises(SpaceError, match="lr=7 is outside"):
        Hyperparameters.from_space(SPACE, {**PARAMS, "lr": 7})
    with pytest.raises(HypergradError, match="'lr' has no value: give one that fits Float"):
        Hyperparameters.from_space(SPACE, {"optimizer": "adam"}, ["lr"])


def test_a_start_on_an_end_has_a_slope() -> None:
    space = Space({"dropout": Float(0, 0.9), "mix": Float(0, 1), "gain": Float(-2, 2)})
    hyper = Hyperparameters.from_space(space, {"dropout": 0.0, "mix": 1.0, "gain": -2})
    assert [round(float(h), 6) for h in hyper.values()] == [0.009, 0.99, -1.96]
    inside = Hyperparameters.from_space(space, {"dropout": 0.001, "mix": 0.999, "gain": 2 - 1e-3})
    assert [round(float(h), 5) for h in inside.values()] == [0.001, 0.999, 1.999]


# -- kept and shown ----------------------------------------------------------------------------------------------------------------


def test_summary_is_numbers_to_log() -> None:
    hyper = both().bind(model())
    hyper["decay"].raw["2.bias"].data.copy_(torch.tensor([2.0, 4.0]).log())
    summary = hyper.summary()
    assert list(summary) == ["lr", "decay/mean", "decay/min", "decay/max", "seed_weight"]
    assert summary["lr"] == pytest.approx(0.1)
    assert summary["decay/min"] == pytest.approx(1e-3)
    assert summary["decay/max"] == pytest.approx(4)
    assert summary["decay/mean"] == pytest.approx((24 * 1e-3 + 6) / 26, rel=1e-5)
    json.dumps(summary)


def test_repr_reads_well() -> None:
    assert repr(both()) == (
        "Hyperparameters(\n"
        "    lr          = 0.1, Log10(), in [1e-10, 1]\n"
        "    decay       = 0.001, Exp(), per weight, before bind(model)\n"
        "    seed_weight = 2, Identity(), constant\n"
        ")"
    )
    assert "26 values from 0.001 to 0.001" in repr(both().bind(model()))
    assert repr(Hyperparameters()) == "Hyperparameters()"


def test_state_goes_through_a_file_and_back_exactly() -> None:
    hyper = both().bind(model())
    with torch.no_grad():
        for raw in hyper.parameters():
            raw.add_(torch.randn_like(raw))
    file = io.BytesIO()
    torch.save(hyper.state_dict(), file)
    other = both().bind(model())
    raws = other.parameters()
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for mine, theirs, before in zip(other.parameters(), hyper.parameters(), raws, strict=True):
        assert torch.equal(mine, theirs)
        assert mine is before
        assert mine.requires_grad


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    def state(**changes: object) -> dict:
        full = Hyperparameters(a=Hyperparameter(2.0), b=Hyperparameter(torch.ones(3))).state_dict()
        return {**full, **changes}

    hyper = Hyperparameters(a=Hyperparameter(1.0), b=Hyperparameter(torch.zeros(3)))
    without = state()
    del without["b"]
    for wrong, words in (
        (without, "the state misses b: load the state of a, b"),
        (state(c={}), "the state has also c"),
        ({"c": {}}, "the state misses a, b and has also c"),
        (Hyperparameters(a=2.0, b=torch.ones(2)).state_dict(), r"the state of 'b' has shape \(2,\), not \(3,\)"),
        (Hyperparameters(a=2.0, b=Hyperparameter(torch.ones(3), transform="exp")).state_dict(), r"'b' was saved with Exp\(\) and has Identity\(\)"),
        (Hyperparameters(a=2.0, b={"w": torch.ones(3)}).state_dict(), "the state of 'b' is of w, not of one tensor"),
        (state(b={"transform": "Identity()", "raw": {"": torch.tensor([1.0, float("nan"), 1.0])}}), "the state of 'b' has NaN in it"),
    ):  # fmt: skip
        with pytest.raises(HypergradError, match=words):
            hyper.load_state_dict(wrong)
    assert float(hyper["a"]) == 1


def test_a_bound_state_wants_a_bound_mapping() -> None:
    with pytest.raises(HypergradError, match=r"'decay' is of 0.weight, .* not of one tensor: bind\(model\) first"):
        both().load_state_dict(both().bind(model()).state_dict())


def test_to_moves_in_place() -> None:
    hyper = both().bind(model())
    raws = hyper.parameters()
    assert hyper.to(dtype=torch.float64) is hyper
    assert all(raw.dtype == torch.float64 for raw in raws)


@pytest.mark.gpu
def test_everything_follows_the_model_to_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    hyper = both().bind(model().cuda())
    assert all(raw.is_cuda for raw in hyper.parameters())
    hyper.fill_({"lr": torch.tensor(1.0), "decay": {n: torch.ones_like(r) for n, r in hyper["decay"].raw.items()}})
    torch.optim.Adam(hyper.parameters(), lr=0.05).step()
    hyper.clip_()
    cpu = both().bind(model())
    cpu.load_state_dict(hyper.state_dict())
    assert hyper.summary() == pytest.approx(cpu.summary(), rel=1e-5)
