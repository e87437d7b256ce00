"""What holds for every update: equal to its namesake in torch.optim, step for step; derivatives by central differences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import leaves, unflatten
from whet.hypergrad.updates.adagrad import Adagrad
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.base import Part, State, Update, diagonal
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.scheduled import Late, Scheduled
from whet.hypergrad.updates.sgd import SGD

SHAPES = {"a": (5, 7), "b": (3,), "c": ()}


@dataclass(frozen=True)
class Namesake:
    """An update, its namesake, the ranges of its knobs, and how the namesake names them."""

    ours: type[Update]
    theirs: type[torch.optim.Optimizer]
    knobs: dict[str, tuple[float, float]]
    flags: tuple[str, ...]

    def torch_knobs(self, knobs: dict[str, Any]) -> dict[str, Any]:
        knobs = dict(knobs)
        if "beta1" in knobs:
            knobs["betas"] = (knobs.pop("beta1"), knobs.pop("beta2"))
        return knobs


MOMENTS = {
    "lr": (1e-3, 0.3),
    "beta1": (0.0, 0.95),
    "beta2": (0.0, 0.999),
    "eps": (1e-8, 1e-2),
    "weight_decay": (0.0, 0.3),
}
NAMESAKES = {
    "sgd": Namesake(SGD, torch.optim.SGD, {"lr": (1e-3, 0.3), "momentum": (0.0, 0.95), "weight_decay": (0.0, 0.3)}, ("nesterov", "maximize")),
    "adam": Namesake(Adam, torch.optim.Adam, MOMENTS, ("amsgrad", "maximize")),
    "adamw": Namesake(AdamW, torch.optim.AdamW, MOMENTS, ("amsgrad", "maximize")),
    "rmsprop": Namesake(RMSprop, torch.optim.RMSprop, {"lr": (1e-3, 0.1), "alpha": (0.3, 0.99), "eps": (1e-8, 1e-2), "weight_decay": (0.0, 0.3), "momentum": (0.0, 0.9)}, ("centered", "maximize")),
    "adagrad": Namesake(Adagrad, torch.optim.Adagrad, {"lr": (1e-3, 0.3), "lr_decay": (0.0, 0.3), "weight_decay": (0.0, 0.3), "eps": (1e-10, 1e-2)}, ("maximize",)),
}  # fmt: skip


def drawn(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Knobs of the update `name`; each is at its lower end now and then, where torch leaves operations out."""
    same = NAMESAKES[name]
    numbers = {k: st.floats(lo, hi) | st.just(lo) for k, (lo, hi) in same.knobs.items()}
    return st.fixed_dictionaries(numbers | {flag: st.booleans() for flag in same.flags}).filter(
        lambda k: not k.get("nesterov") or k["momentum"] > 0
    )


def start(dtype: torch.dtype, seed: int = 0, zeros: bool = False) -> tuple[dict[str, Tensor], Callable[[int], dict[str, Tensor]]]:  # fmt: skip
    """Weights, and gradients by step; with `zeros`, some elements never get one."""
    generator = torch.Generator().manual_seed(seed)
    weights = {n: torch.randn(shape, generator=generator, dtype=dtype) for n, shape in SHAPES.items()}

    def grads(t: int) -> dict[str, Tensor]:
        generator.manual_seed(1000 * seed + t)
        found = {n: torch.randn(shape, generator=generator, dtype=dtype) for n, shape in SHAPES.items()}
        if zeros:
            found["a"][:, 2] = 0
            found["b"].zero_()
        return found

    return weights, grads


def torch_run(optimizer: Callable[[list[Tensor]], torch.optim.Optimizer], dtype: torch.dtype, steps: int, seed: int = 0, zeros: bool = False):  # fmt: skip
    weights, grads = start(dtype, seed, zeros)
    params = {n: torch.nn.Parameter(w) for n, w in weights.items()}
    opt = optimizer(list(params.values()))
    for t in range(steps):
        for n, g in grads(t).items():
            params[n].grad = g
        opt.step()
        yield {n: p.detach().clone() for n, p in params.items()}, opt


def pure_run(update: Update, hyper: dict[str, Any], dtype: torch.dtype, steps: int, seed: int = 0, zeros: bool = False):
    weights, grads = start(dtype, seed, zeros)
    state = update.init(weights)
    for t in range(steps):
        weights, state = update(weights, grads(t), state, hyper)
        yield weights, state


def inplace_run(
    update: Update, hyper: dict[str, Any], dtype: torch.dtype, steps: int, seed: int = 0, zeros: bool = False
):
    weights, grads = start(dtype, seed, zeros)
    state = update.init(weights)
    slots = state.tensors()
    for t in range(steps):
        given = grads(t)
        kept = {n: g.clone() for n, g in given.items()}
        state = update.step_(weights, given, state, hyper)
        assert all(torch.equal(given[n], kept[n]) for n in given)
        assert [s.data_ptr() for s in state.tensors()] == [s.data_ptr() for s in slots]
        yield {n: w.clone() for n, w in weights.items()}, state


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Centered RMSprop may take the root of a rounding error below 0, in torch.optim, too."""
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMESAKES)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_equal_to_the_last_bit(name: str, dtype: torch.dtype, data: st.DataObject) -> None:
    same, knobs = NAMESAKES[name], data.draw(drawn(name))
    zeros = data.draw(st.booleans())
    update, steps = same.ours(**knobs), 21
    theirs = torch_run(lambda p: same.theirs(p, **same.torch_knobs(knobs)), dtype, steps, zeros=zeros)
    pure, inplace = pure_run(update, {}, dtype, steps, zeros=zeros), inplace_run(update, {}, dtype, steps, zeros=zeros)
    for t, ((w1, opt), (w2, s2), (w3, s3)) in enumerate(zip(theirs, pure, inplace, strict=True)):
        assert s2.step == s3.step == t + 1
        for i, n in enumerate(w1):
            assert same_bits(w1[n], w2[n]), (t, n)
            assert same_bits(w1[n], w3[n]), (t, n)
            for kind, tensor in opt.state[opt.param_groups[0]["params"][i]].items():
                if isinstance(tensor, Tensor) and kind != "step":
                    assert same_bits(tensor, s2.slots[kind][n]), (t, n, kind)
                    assert same_bits(tensor, s3.slots[kind][n]), (t, n, kind)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMESAKES)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_knobs_that_are_tensors_give_the_same_numbers(name: str, dtype: torch.dtype, data: st.DataObject) -> None:
    """Each knob is a hyperparameter: a scalar, one a weight tensor, or one an element. A step differs by rounding only."""
    same, knobs = NAMESAKES[name], data.draw(drawn(name))
    if "beta2" in knobs:
        knobs["beta2"] = max(knobs["beta2"], 0.3)  # m/|g|, without a memory, makes much of the rounding of a small g
    if "momentum" in knobs:
        knobs["momentum"] = max(knobs["momentum"], 0.01)  # the number 0 keeps no buffer, a hyperparameter does
    named, exact, hyper = {}, {}, {}
    for k, value in knobs.items():
        if isinstance(value, bool):
            continue
        named[k] = f"my_{k}"
        tensor = torch.tensor(value, dtype=dtype)
        exact[k] = float(tensor)
        form = data.draw(st.sampled_from(["scalar", "one", "layer", "weight", "row"]))
        hyper[f"my_{k}"] = {
            "scalar": tensor,
            "one": tensor.reshape(1),
            "layer": {n: tensor.clone() for n in SHAPES},
            "weight": {n: tensor.expand(shape).clone() for n, shape in SHAPES.items()},
            "row": {n: tensor.expand(shape[-1:]).clone() for n, shape in SHAPES.items()},
        }[form]
    update, plain = same.ours(**(knobs | named)), same.ours(**(knobs | exact))
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-13}[dtype]
    weights, grads = start(dtype)
    state = update.init(weights)
    for t in range(6):
        pure, pure_state = update(weights, grads(t), state, hyper)
        moved, moved_state = {n: w.clone() for n, w in weights.items()}, state.detached(copy=True)
        moved_state = update.step_(moved, grads(t), moved_state, hyper)
        weights, state = plain(weights, grads(t), state, {})
        for ours, ours_state in ((pure, pure_state), (moved, moved_state)):
            assert ours_state.step == t + 1
            slots = [(ours_state.slots[kind][n], own) for kind, g in state.slots.items() for n, own in g.items()]
            for tensor, expected in [*((ours[n], w) for n, w in weights.items()), *slots]:
                assert tensor.dtype == dtype
                assert tensor.shape == expected.shape
                assert torch.allclose(tensor, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", NAMESAKES)
def test_each_weight_its_own_knobs_is_a_loop_of_optimizers(name: str) -> None:
    same, generator = NAMESAKES[name], torch.Generator().manual_seed(3)
    hyper = {}
    for k, (low, high) in same.knobs.items():
        hyper[k] = {n: low + (high - low) * torch.rand(s, generator=generator, dtype=torch.float64) for n, s in SHAPES.items()}  # fmt: skip
    flag = {"rmsprop": {"centered": True}, "adam": {"amsgrad": True}, "adamw": {"amsgrad": True}}.get(name, {})
    update = same.ours(**{k: k for k in hyper}, **flag)
    weights, grads = start(torch.float64)
    state = update.init(weights)
    moved, moved_state = {n: w.clone() for n, w in weights.items()}, update.init(weights)
    alone: dict[tuple[str, int], tuple[torch.nn.Parameter, torch.optim.Optimizer]] = {}
    for n, w in weights.items():
        for i, value in enumerate(w.reshape(-1)):
            knobs = {k: float(h[n].reshape(-1)[i]) for k, h in hyper.items()}
            param = torch.nn.Parameter(value.clone())
            alone[n, i] = (param, same.theirs([param], **same.torch_knobs(knobs), **flag))
    for t in range(5):
        given_grads = grads(t)
        weights, state = update(weights, given_grads, state, hyper)
        moved_state = update.step_(moved, given_grads, moved_state, hyper)
        for (n, i), (param, optimizer) in alone.items():
            param.grad = given_grads[n].reshape(-1)[i].clone()
            optimizer.step()
            assert abs(float(param.detach() - weights[n].reshape(-1)[i])) <= 1e-12
            assert abs(float(param.detach() - moved[n].reshape(-1)[i])) <= 1e-12


# -- derivatives --------------------------------------------------------------------------------------------------------


def cases() -> dict[str, tuple[Update, dict[str, Any]]]:
    """Updates with every knob a hyperparameter: scalars, per layer, per weight, and shared between two knobs."""

    def tensor(*values: float) -> Tensor:
        return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)

    def layers(value: float) -> dict[str, Tensor]:
        return {n: tensor(value * (1 + 0.1 * i)) for i, n in enumerate(SHAPES)}

    def every(value: float) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(7)
        return {n: value * (0.5 + torch.rand(s, generator=generator, dtype=torch.float64)) for n, s in SHAPES.items()}

    found: dict[str, tuple[Update, dict[str, Any]]] = {
        "sgd": (SGD(lr="lr", weight_decay="wd"), {"lr": tensor(0.1), "wd": tensor(0.05)}),
        "sgd, a number for each": (SGD(lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.1), {}),
        "sgd, one knob": (SGD(lr=0.1, momentum=0.9, weight_decay="wd"), {"wd": every(0.1)}),
        "sgd, tuned lr and numbers": (SGD(lr="lr", momentum=0.9, weight_decay=0.1, nesterov=True), {"lr": every(0.1)}),
        "sgd, one for two": (SGD(lr="x", weight_decay="x"), {"x": tensor(0.1)}),
        "rmsprop centered": (RMSprop(lr="lr", alpha="alpha", eps="eps", weight_decay="wd", momentum="m", centered=True),
                             {"lr": tensor(0.1), "alpha": every(0.6), "eps": tensor(1e-2), "wd": layers(0.1), "m": tensor(0.9)}),
        "rmsprop": (RMSprop(lr="lr", alpha="alpha", maximize=True), {"lr": every(0.1), "alpha": tensor(0.9)}),
        "adagrad": (Adagrad(lr="lr", lr_decay="ld", weight_decay="wd", eps="eps", initial_accumulator_value=0.1),
                    {"lr": tensor(0.1), "ld": layers(0.2), "wd": every(0.1), "eps": tensor(1e-2)}),
        "adagrad, numbers": (Adagrad(lr=0.1, weight_decay=0.1, maximize=True), {}),
    }  # fmt: skip
    for nesterov in (False, True):
        for maximize in (False, True):
            for kind, make in {"scalars": tensor, "layers": layers, "weights": every}.items():
                if kind != "scalars" and nesterov != maximize:
                    continue
                found[f"sgd {kind} {nesterov=} {maximize=}"] = (
                    SGD(lr="lr", momentum="m", weight_decay="wd", dampening=0.0 if nesterov else 0.2, nesterov=nesterov, maximize=maximize),
                    {"lr": make(0.1), "m": make(0.6), "wd": make(0.05)},
                )  # fmt: skip
    for cls in (Adam, AdamW):
        for amsgrad in (False, True):
            for kind, make in {"scalars": tensor, "layers": layers, "weights": every}.items():
                found[f"{cls.__name__} {kind} {amsgrad=}"] = (
                    cls(lr="lr", beta1="b1", beta2="b2", eps="eps", weight_decay="wd", amsgrad=amsgrad, maximize=amsgrad),
                    {"lr": make(0.1), "b1": make(0.6), "b2": make(0.6), "eps": make(0.05), "wd": make(0.05)},
                )  # fmt: skip
        found[f"{cls.__name__}, numbers"] = (cls(lr=0.1, weight_decay=0.1), {})
        found[f"{cls.__name__}, lr"] = (cls(lr="lr"), {"lr": tensor(0.1)})
    found["clipped norm"] = (Clipped(update=SGD(lr="lr", momentum="m"), max_norm="c"), {"lr": tensor(0.1), "m": tensor(0.9), "c": tensor(2.0)})  # fmt: skip
    found["clipped norm, Adam"] = (Clipped(update=Adam(lr="lr", eps=0.1), max_norm=0.7), {"lr": tensor(0.1)})
    found["norm below the bound"] = (Clipped(update=SGD(lr="lr"), max_norm="c"), {"lr": tensor(0.1), "c": tensor(99.0)})
    found["clipped values"] = (Clipped(update=SGD(lr="lr"), max_value="c"), {"lr": every(0.1), "c": tensor(0.5)})
    found["scheduled"] = (Scheduled(update=SGD(lr="lr", momentum="m"), factor=lambda t: 0.3 ** t), {"lr": every(0.1), "m": tensor(0.9)})  # fmt: skip
    found["scheduled, clipped, late"] = (
        Scheduled(
            update=Clipped(update=Late(update=AdamW(lr="lr", eps=0.1), start=1), max_norm=1.0), factor=lambda t: 0.5
        ),
        {"lr": tensor(0.1)},
    )
    found["groups"] = (
        Groups(groups=((("b",), SGD(lr="lr", weight_decay="wd")), (("a",), Adam(lr="lr", weight_decay="wd", eps=0.1)))),
        {"lr": tensor(0.1), "wd": tensor(0.2)},
    )
    return found


CASES = cases()


@dataclass(frozen=True)
class Point:
    """An update somewhere in a run, with a covector."""

    update: Update
    weights: dict[str, Tensor]
    grads: dict[str, Tensor]
    state: State
    hyper: dict[str, Any]
    cot_weights: dict[str, Tensor]
    cot_slots: dict[str, dict[str, Tensor]]

    @classmethod
    def of(cls, case: str, step: int) -> Point:
        update, hyper = CASES[case]
        generator = torch.Generator().manual_seed(5)

        def like(tensor: Tensor, low: float = -1.0) -> Tensor:
            return low + (1 - low) * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)

        weights, _ = start(torch.float64)
        slots = {
            # Running means of squares, far enough from 0 and from the square of the running mean for central differences.
            kind: {n: like(t, 1.0 if "sq" in kind or kind == "sum" else -0.5) if step else t for n, t in group.items()}
            for kind, group in update.init(weights).slots.items()
        }
        if "max_exp_avg_sq" in slots:  # above the new square for some, below it for others
            slots["max_exp_avg_sq"] = {n: like(t, 0.0) * 2 for n, t in slots["max_exp_avg_sq"].items()}
        return cls(update, weights, {n: like(w) * 2 for n, w in weights.items()}, State(step=step, slots=slots), hyper,
                   {n: like(w) for n, w in weights.items()}, {s: {n: like(t) for n, t in g.items()} for s, g in slots.items()})  # fmt: skip

    def value(self, weights: Any, grads: Any, state: State, hyper: Any) -> float:
        new, after = self.update(weights, grads, state, hyper)
        total = sum(float((new[n] * c).sum()) for n, c in self.cot_weights.items())
        return total + sum(float((after.slots[s][n] * c).sum()) for s, g in self.cot_slots.items() for n, c in g.items())  # fmt: skip

    def inputs(self) -> dict[tuple[str, ...], Tensor]:
        found = {("weights", n): t for n, t in self.weights.items()} | {("grads", n): t for n, t in self.grads.items()}
        found |= {("slots", s, n): t for s, g in self.state.slots.items() for n, t in g.items()}
        return found | {("hyper", *p): t for p, t in leaves(self.hyper).items()}

    def at(self, inputs: dict[tuple[str, ...], Tensor]) -> float:
        slots = {s: {n: inputs["slots", s, n] for n in g} for s, g in self.state.slots.items()}
        return self.value({n: inputs["weights", n] for n in self.weights}, {n: inputs["grads", n] for n in self.grads},
                          State(step=self.state.step, slots=slots),
                          unflatten({p[1:]: t for p, t in inputs.items() if p[0] == "hyper"}))  # fmt: skip

    def vjp(self, how: Callable[..., Any] | None = None, **options: Any) -> dict[tuple[str, ...], Tensor]:
        how = how or type(self.update).vjp
        found = how(self.update, self.weights, self.grads, self.state, self.hyper, self.cot_weights, self.cot_slots or None, **options)  # fmt: skip
        flat = {("weights", n): t * found.factors.get(n, 1.0) for n, t in found.weights.items()}
        flat |= {("grads", n): t for n, t in found.grads.items()}
        flat |= {("slots", s, n): t for s, g in found.slots.items() for n, t in g.items()}
        return flat | {("hyper", *p): t for p, t in found.hyper.items()}


@pytest.mark.parametrize(
    ("case", "step"), [(c, 3) for c in CASES if "layers" not in c] + [(c, 0) for c in list(CASES)[::5]]
)
def test_vjp_is_what_central_differences_say(case: str, step: int) -> None:
    point = Point.of(case, step)
    if step == 0 and point.state.slots:  # zeros in a root: see the tests of v = 0 below
        warm = {s: {n: t + 0.5 if "sq" in s or s == "sum" else t for n, t in g.items()} for s, g in point.state.slots.items()}  # fmt: skip
        point = Point(**(vars(point) | {"state": State(step=0, slots=warm)}))
    found, inputs = point.vjp(), point.inputs()
    assert found.keys() == inputs.keys()
    for path, tensor in inputs.items():
        flat = tensor.reshape(-1)
        for i in range(0, flat.numel(), max(1, flat.numel() // 2)):

            def moved(by: float, path: tuple[str, ...] = path, i: int = i) -> float:
                other = inputs[path].clone()
                other.view(-1)[i] += by
                return point.at(inputs | {path: other})

            h = 1e-4 * max(1.0, abs(float(flat[i]))) if path[0] != "hyper" else 1e-4 * float(flat[i])
            # Five points, so that the differences themselves are good to 1e-10.
            slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
            assert float(found[path].reshape(-1)[i]) == pytest.approx(slope, rel=1e-6, abs=1e-8), (path, i)


@pytest.mark.parametrize("step", [0, 30])
@pytest.mark.parametrize("case", [case for case, (update, _) in CASES.items() if type(update).vjp is not Update.vjp])
def test_closed_forms_are_what_autograd_says(case: str, step: int) -> None:
    for slots in (True, False):
        point = Point.of(case, step)
        if not slots:
            point = Point(**(vars(point) | {"cot_slots": {}}))
        closed, autograd = point.vjp(), point.vjp(Update.vjp)
        lean = point.vjp(lean=True)
        assert closed.keys() == lean.keys()
        assert closed.keys() >= autograd.keys()
        for path, tensor in closed.items():
            expected = autograd.get(path)
            expected = torch.zeros_like(tensor) if expected is None else expected
            assert tensor.shape == expected.shape
            assert tensor.dtype == expected.dtype
            assert torch.allclose(tensor, expected, rtol=1e-12, atol=1e-12), path
            assert torch.allclose(lean[path], expected, rtol=1e-12, atol=1e-12), path


@pytest.mark.parametrize("case", CASES)
def test_vjp_gives_the_parts_asked_for_in_tensors_of_their_own(case: str) -> None:
    point = Point.of(case, 3)
    given_to = [*point.inputs().values(), *point.cot_weights.values(), *(t for g in point.cot_slots.values() for t in g.values())]  # fmt: skip
    kept = [t.clone() for t in given_to]
    everything = point.vjp()
    taken = {t.data_ptr() for t in given_to}
    for path, tensor in everything.items():
        if path[0] != "hyper":
            assert tensor.data_ptr() not in taken, path
            taken.add(tensor.data_ptr())
    for parts in (Part.WEIGHTS, Part.SLOTS, Part.HYPER, Part.WEIGHTS | Part.SLOTS):
        some = point.vjp(parts=parts)
        kinds = {"grads", *(p.name.lower() for p in Part if p in parts)}
        assert some.keys() == {path for path in everything if path[0] in kinds}
        for path, tensor in some.items():
            assert torch.allclose(tensor, everything[path], rtol=1e-12, atol=1e-12), path
    assert all(torch.equal(a, b) for a, b in zip(given_to, kept, strict=True))


@pytest.mark.parametrize("case", [c for c, (u, _) in CASES.items() if u.elementwise])
def test_the_diagonal_is_the_jacobian_of_elementwise_updates(case: str) -> None:
    point = Point.of(case, 3)
    point = Point(**(vars(point) | {"cot_slots": {}}))
    kept = diagonal(point.update, point.weights, point.grads, point.state, point.hyper)
    found = point.vjp(parts=Part.WEIGHTS)
    for n, a in point.cot_weights.items():
        torch.testing.assert_close(kept.weights.get(n, 1.0) * kept.factors.get(n, 1.0) * a, found["weights", n])
        torch.testing.assert_close(kept.grads[n] * a, found["grads", n])


@pytest.mark.parametrize("case", [c for c, (u, _) in CASES.items() if isinstance(u, Adam | AdamW | RMSprop | Adagrad)])
@pytest.mark.parametrize("how", [Update.vjp, None])
def test_a_weight_that_never_got_a_gradient_has_finite_derivatives(case: str, how: Any) -> None:
    """At v = 0 and g = 0, with a state of zeros, ∂w′/∂g = −η/ε·(…), which the differences of a long step confirm."""
    point = Point.of(case, 0)
    update, weights = point.update, point.weights
    grads = {n: torch.zeros_like(w) for n, w in weights.items()}
    plain = type(update)(**{f: getattr(update, f) for f in ("lr", "eps", "maximize")}, **({"initial_accumulator_value": 0.0} if isinstance(update, Adagrad) else {}))  # fmt: skip
    point = Point(plain, weights, grads, plain.init(weights), point.hyper, point.cot_weights, {})
    found = point.vjp(how)
    assert all(torch.isfinite(t).all() for t in found.values())
    sign = -1.0 if update.maximize else 1.0
    for n, a in point.cot_weights.items():

        def knob(k: Any, n: str = n) -> Any:
            value = point.hyper[k] if isinstance(k, str) else k
            return value[n] if isinstance(value, dict) else value

        torch.testing.assert_close(
            found["weights", n], a * (1 - (knob(plain.lr) * plain.weight_decay if isinstance(plain, AdamW) else 0))
        )
        torch.testing.assert_close(found["grads", n], -sign * a * knob(plain.lr) / knob(plain.eps))


# -- what the rest of the library does with them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [c for c in CASES if "layers" in c or "centered" in c or c == "adagrad" or "clipped" in c]
)
def test_forward_mode_and_vmap_agree_with_vjp(case: str) -> None:
    point = Point.of(case, 3)
    point = Point(**(vars(point) | {"cot_slots": {}}))
    tangent = {p: torch.randn_like(t) for p, t in leaves(point.hyper).items()}

    def moved(flat: dict[tuple[str, ...], Tensor]) -> dict[str, Tensor]:
        return point.update(point.weights, point.grads, point.state, unflatten(flat))[0]

    _, out = torch.func.jvp(moved, (leaves(point.hyper),), (tangent,))
    forward = sum(float((out[n] * c).sum()) for n, c in point.cot_weights.items())
    found = point.vjp()
    back = sum(float((found["hyper", *p] * t).sum()) for p, t in tangent.items())
    assert forward == pytest.approx(back, rel=1e-9, abs=1e-12)
    both = torch.func.vmap(lambda t: torch.func.jvp(moved, (leaves(point.hyper),), (t,))[1])({p: torch.stack([t, 2 * t]) for p, t in tangent.items()})  # fmt: skip
    for n, tensor in out.items():
        torch.testing.assert_close(both[n][1], 2 * tensor)


def test_hyperparameters_that_are_missing_are_named() -> None:
    weights, grads = start(torch.float32)
    update = SGD(lr="lr")
    for step in (update, update.step_):
        with pytest.raises(HypergradError, match=r"'lr' for weight 'a'.*there are: rate"):
            step(weights, grads(0), update.init(weights), {"rate": torch.tensor(0.1)})
    with pytest.raises(HypergradError, match="for weight 'b'"):
        update(weights, grads(0), update.init(weights), {"lr": {"a": torch.tensor(0.1)}})


@pytest.mark.parametrize("name", NAMESAKES)
def test_a_state_that_lacks_a_slot_is_told(name: str) -> None:
    weights, grads = start(torch.float32)
    update = NAMESAKES[name].ours(**({"momentum": 0.9} if name == "sgd" else {}))
    for step in (update, update.step_):
        with pytest.raises(HypergradError, match=r"no '.*' for weight 'a'.*update.init"):
            step(weights, grads(0), State(step=1), {})


def test_names_of_hyperparameters_and_the_constant_learning_rate() -> None:
    update, _ = CASES["scheduled, clipped, late"]
    assert update.hyper_names == {"lr"}
    assert update.constant_lr is None
    assert CASES["clipped norm"][0].hyper_names == {"lr", "m", "c"}
    assert CASES["groups"][0].hyper_names == {"lr", "wd"}
    assert SGD(lr=0.5).constant_lr == 0.5
    assert Clipped(update=SGD(lr=0.5), max_norm=1.0).constant_lr == 0.5
    assert SGD(lr="lr").constant_lr is None
    assert Groups(groups=((("a",), SGD(lr=0.5)), (("b",), SGD(lr=0.5)))).constant_lr == 0.5
    assert Groups(groups=((("a",), SGD(lr=0.5)), (("b",), SGD(lr=0.1)))).constant_lr is None
    assert SGD(lr="lr").scaled(0.5).hyper_names == {"lr"}


@pytest.mark.parametrize("name", NAMESAKES)
def test_all_weights_at_once_as_on_a_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    same = NAMESAKES[name]
    module = sys.modules[next(c for c in same.ours.__mro__ if "step_" in vars(c)).__module__]
    knobs = {k: (low + high) / 2 for k, (low, high) in same.knobs.items()}
    hyper = {k: {n: torch.tensor(v, dtype=torch.float64).expand(s).clone() for n, s in SHAPES.items()} for k, v in knobs.items()}  # fmt: skip
    for update, values in ((same.ours(**knobs), {}), (same.ours(**{k: k for k in knobs}), hyper)):
        alone = [w for w, _ in inplace_run(update, values, torch.float64, 5)][-1]
        with monkeypatch.context() as patch:
            patch.setattr(module, "chunks", lambda weights: [list(weights)])
            together = [w for w, _ in inplace_run(update, values, torch.float64, 5)][-1]
        assert all(torch.equal(alone[n], together[n]) for n in alone)


# -- on a CUDA device ---------------------------------------------------------------------------------------------------

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMESAKES)
def test_equal_on_a_device(name: str, dtype: torch.dtype) -> None:
    """In place, to the last bit of the optimizer's default form; tuned knobs and the pure form up to rounding."""
    same = NAMESAKES[name]
    knobs = {k: (low + high) / 2 for k, (low, high) in same.knobs.items()}
    plain, update = same.ours(**knobs), same.ours(**{k: k for k in knobs})
    scalars = {k: torch.tensor(v, dtype=dtype, device="cuda") for k, v in knobs.items()}
    hypers = [scalars, {k: v.cpu() for k, v in scalars.items()}, {k: {n: v.expand(s).clone() for n, s in SHAPES.items()} for k, v in scalars.items()}]  # fmt: skip
    weights, grads = start(dtype)
    weights = {n: w.cuda() for n, w in weights.items()}
    params = {n: torch.nn.Parameter(w.clone()) for n, w in weights.items()}
    optimizer = same.theirs(params.values(), **same.torch_knobs(knobs))
    runs = [(plain, {}, weights, plain.init(weights))]
    runs += [(update, h, {n: w.clone() for n, w in weights.items()}, update.init(weights)) for h in hypers]
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
    for t in range(10):
        given_grads = {n: g.cuda() for n, g in grads(t).items()}
        pure = plain(runs[0][2], given_grads, runs[0][3], {})[0]
        for n, p in params.items():
            p.grad = given_grads[n]
        optimizer.step()
        runs = [(u, h, w, u.step_(w, given_grads, s, h)) for u, h, w, s in runs]
        for n, p in params.items():
            assert torch.equal(p.detach(), runs[0][2][n])
            for found in (pure[n], *(w[n] for _, _, w, _ in runs[1:])):
                torch.testing.assert_close(found, p.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("case", CASES)
def test_vjp_on_a_device_is_that_on_the_cpu(case: str) -> None:
    point = Point.of(case, 3)
    there = Point(*(_moved(getattr(point, f)) for f in ("update", "weights", "grads", "state", "hyper", "cot_weights", "cot_slots")))  # fmt: skip
    here = point.vjp()
    for how in (None, Update.vjp):
        for path, tensor in there.vjp(how).items():
            assert tensor.device.type == "cuda"
            torch.testing.assert_close(tensor.cpu(), here[path], rtol=1e-11, atol=1e-11)


def _moved(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        return thing.cuda()
    if isinstance(thing, State):
        return State(step=thing.step, slots=_moved(thing.slots))
    return {k: _moved(v) for k, v in thing.items()} if isinstance(thing, dict) else thing
