"""Curvature, Step and ValGrad against dense Hessians and Jacobians by `torch.autograd.functional`, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from whet.hypergrad.linear import Curvature, Meter, Step, ValGrad
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.tensors import leaves, unflatten
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.sgd import SGD

SHAPES = {"a": (3, 2), "b": (3,), "c": ()}


def train_loss(w: Any, batch: Tensor, hyper: Any) -> Tensor:
    """A loss with a full, indefinite Hessian, and hyperparameters: a scalar, a vector, one a weight."""
    hidden = torch.tanh(w["a"] @ batch + w["b"])
    decay = sum((hyper["decay"][n] * w[n] ** 2).sum() for n in ("a", "b"))
    return hyper["scale"] * (hidden * hyper["mix"]).sum() ** 2 + torch.sin(w["c"] * hidden.sum()) + decay


def val_loss(w: Any, batch: Tensor, hyper: Any) -> Tensor:
    return ((torch.tanh(w["a"] @ batch + w["b"]) - hyper["mix"]) ** 2).mean() * w["c"]


def point(seed: int) -> tuple[dict[str, Tensor], dict[str, Any], Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = {n: randn(*shape) for n, shape in SHAPES.items()}
    hyper = {
        "scale": randn(), "mix": randn(3), "decay": {"a": randn(3, 2).abs(), "b": randn(3).abs()}, "l2": randn().abs(),
        "l1": {n: randn(*shape).abs() for n, shape in SHAPES.items()}, "lr": randn().abs(), "momentum": randn().abs() / 3,
        "wd": {n: randn(*shape).abs() for n, shape in SHAPES.items()},
    }  # fmt: skip
    return weights, hyper, randn(2)


PENALTIES = (L2(strength="l2"), L1(strength="l1"), L2(strength=0.3, only=lambda n: n != "a"))
UPDATES = {
    "plain": SGD(lr=0.1),
    "momentum": SGD(lr="lr", momentum="momentum", weight_decay="wd"),
    "nesterov": SGD(lr="lr", momentum="momentum", nesterov=True),
}


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.reshape(-1) for t in (leaves(tensors) if isinstance(tensors, dict) else tensors).values()])


def like(vector: Tensor, tensors: Any) -> Any:
    """Return `vector` cut into the structure of `tensors`."""
    pieces, parts = leaves(tensors), {}
    for (path, t), piece in zip(pieces.items(), vector.split([t.numel() for t in pieces.values()]), strict=True):
        parts[path] = piece.view(t.shape)
    return unflatten(parts)


def padded(found: dict[tuple[str, ...], Tensor], hyper: Any) -> Tensor:
    """Return derivatives by all of `hyper`, flat; zeros where none is reached."""
    return torch.cat([found.get(path, torch.zeros_like(t)).reshape(-1) for path, t in leaves(hyper).items()])


def problem(**changes: Any) -> Bilevel:
    return Bilevel(**{"train_loss": train_loss, "val_loss": val_loss, "penalty": PENALTIES, **changes})


SEEDS = st.integers(0, 2**16)
few = settings(max_examples=6, deadline=None)


@few
@given(seed=SEEDS)
def test_curvature_is_gradient_hessian_and_mixed_derivative(seed: int) -> None:
    made = problem()
    weights, hyper, batch = point(seed)
    w, h = flat(weights), flat(hyper)

    def f(w: Tensor, h: Tensor) -> Tensor:
        return made.inner(like(w, weights), like(h, hyper), batch)

    ((ww, wh), _) = hessian(f, (w, h))
    (gradient, _) = jacobian(f, (w, h))
    meter = Meter()
    at = Curvature(made, weights, hyper, batch, meter=meter)
    torch.testing.assert_close(flat(at.grads), gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(at.loss, made.train(weights, hyper, batch))
    q = torch.randn_like(w)
    products, cross = at.vjp(like(q, weights))
    torch.testing.assert_close(flat(products), q @ ww, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(padded(cross, hyper), q @ wh, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(flat(at.hvp(like(q, weights))), q @ ww, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(padded(at.cross(like(q, weights)), hyper), q @ wh, rtol=1e-10, atol=1e-10)
    assert (meter.grads, meter.hvps) == (1, 2)


@few
@given(seed=SEEDS, kind=st.sampled_from(sorted(UPDATES)), first=st.booleans())
def test_step_is_the_update_and_its_jacobians(seed: int, kind: str, first: bool) -> None:
    made = problem(update=UPDATES[kind])
    weights, hyper, batch = point(seed)
    slots = made.update.init(weights).slots
    slots = {s: {n: t if first else torch.randn_like(t) for n, t in group.items()} for s, group in slots.items()}
    state = State(step=0 if first else 3, slots=slots)

    def move(w: Tensor, s: Tensor, h: Tensor) -> Tensor:
        given = like(s, slots) if slots else {}
        new, after = made.step(like(w, weights), like(h, hyper), batch, State(step=state.step, slots=given))
        return torch.cat([flat(new), *(flat(g) for g in after.slots.values())])

    w, h, s = flat(weights), flat(hyper), flat(slots) if slots else torch.zeros(0, dtype=torch.float64)
    by_w, by_s, by_h = jacobian(move, (w, s, h))

    at = Step(made, weights, hyper, batch, state)
    new, after = at.after()
    moved = torch.cat([flat(new), *(flat(g) for g in after.slots.values())])
    torch.testing.assert_close(moved, move(w, s, h), rtol=1e-12, atol=1e-12)
    assert after.step == state.step + 1

    a = torch.randn_like(moved)
    cot_slots = like(a[len(w) :], slots) if slots else None
    to_w, to_s, to_h = at.vjp(like(a[: len(w)], weights), cot_slots)
    torch.testing.assert_close(flat(to_w), a @ by_w, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(padded(to_h, hyper), a @ by_h, rtol=1e-10, atol=1e-10)
    if slots:
        torch.testing.assert_close(flat(to_s), a @ by_s, rtol=1e-10, atol=1e-10)
    only_w = at.vjp(like(a[: len(w)], weights), None, retain=False)[0]
    torch.testing.assert_close(flat(only_w), a[: len(w)] @ by_w[: len(w)], rtol=1e-10, atol=1e-10)


@few
@given(seed=SEEDS)
def test_valgrad_is_the_gradient_of_the_validation_loss_without_penalties(seed: int) -> None:
    made = problem()
    weights, hyper, batch = point(seed)

    def f(w: Tensor, h: Tensor) -> Tensor:
        return val_loss(like(w, weights), batch, like(h, hyper))

    by_w, by_h = jacobian(f, (flat(weights), flat(hyper)))
    found = ValGrad(made, weights, hyper, batch)
    torch.testing.assert_close(flat(found.weights), by_w)
    torch.testing.assert_close(padded(found.hyper, hyper), by_h)
    assert list(found.hyper) == [("mix",)]
    assert not found.loss.requires_grad


# -- what autograd gives back may be shared, expanded or missing -------------------------------------------------------------------

Q = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}
AT = {"a": torch.tensor([0.5, 1.0]), "b": torch.tensor([-1.0, 2.0])}


@pytest.mark.parametrize(
    ("loss", "hq"),
    [
        (lambda w, _, h: 0.5 * ((w["a"] + w["b"]) ** 2).sum(), {"a": [4.0, 6.0], "b": [4.0, 6.0]}),
        (lambda w, _, h: (w["a"] + w["b"]).sum() ** 2 / 2, {"a": [10.0, 10.0], "b": [10.0, 10.0]}),
        (lambda w, _, h: w["a"].sum() + (w["b"] ** 2).sum() / 2, {"a": [0.0, 0.0], "b": [3.0, 4.0]}),
        (lambda w, _, h: (w["a"] * w["b"]).sum(), {"a": [3.0, 4.0], "b": [1.0, 2.0]}),
        (lambda w, _, h: (w["a"] * 2).sum(), {"a": [0.0, 0.0], "b": [0.0, 0.0]}),
        (lambda w, _, h: torch.cat([w["a"], w["b"]]).pow(2).sum() / 2, {"a": [1.0, 2.0], "b": [3.0, 4.0]}),
    ],
    ids=["one tensor for two weights", "expanded", "linear in one", "bilinear", "no curvature", "slices of one tensor"],
)
@pytest.mark.parametrize("penalty", [(), (L2(strength=0.5),)], ids=["bare", "penalised"])
def test_products_are_fresh_and_right(loss: Callable[..., Tensor], hq: dict[str, list[float]], penalty: Any) -> None:
    made = Bilevel(train_loss=loss, val_loss=loss, penalty=penalty)
    at = Curvature(made, AT, {"h": torch.tensor(1.0)}, None)
    for _ in range(2):
        products = at.hvp(Q)
        for n in AT:
            torch.testing.assert_close(products[n], torch.tensor(hq[n]) + (0.5 * Q[n] if penalty else 0))
            products[n].mul_(7)  # the caller may
    assert Q["a"].tolist() == [1, 2]
    assert AT["b"].tolist() == [-1, 2]
    own = [t.untyped_storage().data_ptr() for t in (*products.values(), *Q.values(), *AT.values())]
    assert len(set(own)) == len(own)
    found = ValGrad(made, AT, {"h": torch.tensor(1.0)}, None)
    for t in found.weights.values():
        t.mul_(7)
    assert AT["b"].tolist() == [-1, 2]


def test_the_given_tensors_may_require_gradients_and_get_none() -> None:
    weights = {n: t.clone().requires_grad_() for n, t in AT.items()}
    h = torch.tensor(2.0, requires_grad=True)
    made = Bilevel(
        train_loss=lambda w, _, h: (w["a"] * w["b"]).sum() ** 2 * h["h"], val_loss=lambda w, _, h: w["a"].sum()
    )
    at = Curvature(made, weights, {"h": h}, None)
    products, cross = at.vjp(Q)
    assert not any(t.requires_grad for t in (*products.values(), *cross.values(), *at.grads.values(), at.loss))
    assert all(t.grad is None for t in (*weights.values(), h))


def test_a_graph_is_freed_on_the_last_use() -> None:
    made = Bilevel(
        train_loss=lambda w, _, h: (w["a"] * w["b"]).sum() ** 2 * h["h"], val_loss=lambda w, _, h: w["a"].sum()
    )
    at = Curvature(made, AT, {"h": torch.tensor(1.0)}, None)
    at.hvp(Q)
    at.cross(Q)
    with pytest.raises(RuntimeError, match="second time"):
        at.hvp(Q)


def test_without_grad_mode_all_the_same() -> None:
    made = Bilevel(
        train_loss=lambda w, _, h: (w["a"] * w["b"]).sum() ** 2 * h["h"], val_loss=lambda w, _, h: w["a"].sum()
    )
    hyper = {"h": torch.tensor(1.0)}
    expected = Curvature(made, AT, hyper, None).hvp(Q)
    with torch.no_grad():
        found = Curvature(made, AT, hyper, None).hvp(Q)
        ValGrad(made, AT, hyper, None)
    assert all(torch.equal(found[n], expected[n]) for n in AT)
