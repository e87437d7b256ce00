from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.relax import augment, dropout, gaussian_dropout, label_smoothing, weighted
from whet.hypergrad.solve.dense import Dense

calm = settings(deadline=None, max_examples=50)

F64 = {"dtype": torch.float64}
DROPOUTS = pytest.mark.parametrize("drop", [dropout, gaussian_dropout])


@DROPOUTS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean_and_has_the_variance_of_dropout(drop: Any, p: float) -> None:
    torch.manual_seed(0)
    x = drop(torch.ones(200_000, **F64), p)
    assert float(x.mean()) == pytest.approx(1, abs=0.04)
    assert float(x.var()) == pytest.approx(p / (1 - p), rel=0.15)


@DROPOUTS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("p_dtype", [None, torch.float32])
def test_the_ends_are_finite_in_every_precision(drop: Any, dtype: torch.dtype, p_dtype: torch.dtype | None) -> None:
    torch.manual_seed(0)
    for end in (0.0, 1.0):
        p = torch.tensor(end, dtype=p_dtype or dtype, requires_grad=True)
        x = torch.ones(10_000, dtype=dtype, requires_grad=True)
        for out in (drop(x, p), drop(x, end)):
            grads = torch.autograd.grad(out.float().mean(), [x, p], allow_unused=True)
            assert all(bool(torch.isfinite(t).all()) for t in (out, *grads) if t is not None)
            if end == 0:
                torch.testing.assert_close(out, x, rtol=0.02, atol=0.0)


def test_concrete_dropout_drops_with_probability_p() -> None:
    torch.manual_seed(0)
    for p in (0.2, 0.7):
        kept = dropout(torch.ones(100_000), p, temperature=0.01) * (1 - p)
        assert float((kept < 0.5).float().mean()) == pytest.approx(p, abs=0.01)
        assert float(((kept < 0.01) | (kept > 0.99)).float().mean()) > 0.97


@DROPOUTS
def test_the_derivative_by_p_is_that_of_the_mean(drop: Any) -> None:
    """d/dp E[f] with f = x² is d/dp 1/(1 − p) = 1/(1 − p)², for noise of dropout's variance."""
    torch.manual_seed(0)
    p = torch.tensor(0.4, requires_grad=True, **F64)
    (grad,) = torch.autograd.grad((drop(torch.ones(400_000, **F64), p) ** 2).mean(), p)
    assert float(grad) == pytest.approx(1 / 0.6**2, rel=0.12)


@DROPOUTS
@calm
@given(p=st.floats(0.01, 0.99))
def test_dropout_is_differentiable_in_p_twice(drop: Any, p: float) -> None:
    at = torch.tensor(p, requires_grad=True, **F64)
    x = torch.tensor([0.5, -2.0], requires_grad=True, **F64)

    def f(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return drop(x, at).sum()

    a, b = torch.autograd.grad(f(x, at), (x, at), create_graph=True)
    assert torch.isfinite(a).all()
    assert torch.isfinite(b)
    h = 1e-6 * min(p, 1 - p)
    difference = (f(x, at + h) - f(x, at - h)) / (2 * h)
    assert b.item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-6)
    (c,) = torch.autograd.grad(b, x)
    assert torch.isfinite(c).all()


@DROPOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_are_finite(drop: Any, p: float, dtype: torch.dtype) -> None:
    x = torch.ones(1000, dtype=dtype)
    at = torch.tensor(p, requires_grad=True)
    y = drop(x, at)
    assert torch.isfinite(y).all()
    (grad,) = torch.autograd.grad(y.float().sum(), at)
    assert torch.isfinite(grad)
    if p == 0:
        torch.testing.assert_close(drop(x, 0.0).float(), torch.ones(1000), atol=0.02, rtol=0)


@DROPOUTS
def test_dropout_does_nothing_outside_training_and_follows_the_seed(drop: Any) -> None:
    x = torch.randn(3, 4)
    assert drop(x, 0.5, training=False) is x
    torch.manual_seed(1)
    first = drop(x, Hyperparameter(0.5))
    torch.manual_seed(1)
    assert torch.equal(first, drop(x, torch.tensor(0.5)))
    torch.manual_seed(1)
    assert torch.equal(first, drop(x, 0.5))
    assert first.shape == x.shape
    with pytest.raises(HypergradError, match=r"the dropout probability is 1.5: give one in \[0, 1\]"):
        drop(x, 1.5)


@calm
@given(s=st.floats(0, 1), seed=st.integers(0, 1000), spatial=st.booleans(), ignored=st.booleans())
def test_label_smoothing_is_torchs(s: float, seed: int, spatial: bool, ignored: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (5, 4, 3) if spatial else (5, 4)
    logits = torch.randn(shape, generator=generator, requires_grad=True, **F64)
    target = torch.randint(0, 4, (5, 3) if spatial else (5,), generator=generator)
    if ignored:
        target[0] = -100
    mine = label_smoothing(logits, target, torch.tensor(s, **F64))
    theirs = functional.cross_entropy(logits, target, label_smoothing=s)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, logits)[0] for loss in (mine, theirs)), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(label_smoothing(logits, target, s), theirs, rtol=1e-12, atol=1e-12)


def test_label_smoothing_is_linear_in_its_strength() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(6, 3, **F64), torch.randint(0, 3, (6,))
    s = torch.tensor(0.2, requires_grad=True, **F64)
    (grad,) = torch.autograd.grad(label_smoothing(logits, target, s), s)
    ends = [functional.cross_entropy(logits, target, label_smoothing=x) for x in (0.0, 1.0)]
    assert float(grad) == pytest.approx(float(ends[1] - ends[0]))
    each = torch.full((6,), 0.2, **F64)
    torch.testing.assert_close(label_smoothing(logits, target, each), label_smoothing(logits, target, 0.2))


def test_weighted_is_the_mean_of_weighted_losses() -> None:
    weights = Hyperparameter(torch.tensor([0.5, 0.25, 0.75, 0.1]), transform="unit")
    losses, index = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 0, 2])
    value = weighted(losses, weights, index)
    assert value.item() == pytest.approx((0.75 + 1.0 + 2.25) / 3)
    (grad,) = torch.autograd.grad(value, weights.raw[""])
    torch.testing.assert_close(grad, torch.tensor([2 / 3 * 0.25, 0, 4 / 3 * 0.1875, 0]))


@pytest.mark.parametrize(
    ("losses", "weights", "index", "words"),
    [
        (torch.ones(3), torch.ones(2, 2), torch.tensor([0, 1, 1]), r"the weights have shape \(2, 2\): give one for each training example"),
        (torch.ones(3), torch.ones(2), torch.tensor([0.0, 1, 1]), "the index is torch.float32: give the examples' places"),
        (torch.ones(3), torch.ones(2), [0, 1, 1], r"the index is \[0, 1, 1\]"),
        (torch.tensor(1.0), torch.ones(2), torch.tensor([0, 1]), r"the losses have shape \(\) and the index \(2,\): .*reduction='none'"),
        (torch.ones(3), 0.5, torch.tensor([0, 1, 1]), r"the weights have shape \(\)"),
    ],
)  # fmt: skip
def test_weighted_says_what_does_not_fit(losses: Any, weights: Any, index: Any, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        weighted(losses, weights, index)


def test_wrong_examples_have_a_positive_hypergradient() -> None:
    """Ridge regression with two wrong targets among ten: only making those count less lowers the validation loss much."""
    generator = torch.Generator().manual_seed(0)
    x, truth = torch.randn(10, 2, generator=generator, **F64), torch.tensor([1.0, -1.0], **F64)
    y = x @ truth
    y[[3, 7]] += 5
    weights = {"w": torch.zeros(2, **F64)}
    hyper = {"each": torch.full((10,), 0.5, **F64)}

    def train(w: Any, batch: Any, hyper: Any) -> torch.Tensor:
        return weighted((x[batch] @ w["w"] - y[batch]) ** 2, hyper["each"], batch) + 1e-3 * (w["w"] ** 2).sum()

    problem = Bilevel(train_loss=train, val_loss=lambda w, _, h: ((w["w"] - truth) ** 2).sum())
    everything = torch.arange(10)
    moments = (x * 0.5).t() @ x / 10 + 1e-3 * torch.eye(2, **F64)
    weights["w"] = torch.linalg.solve(moments, (x * 0.5).t() @ y / 10)
    grads = Implicit(solve=Dense())(problem, weights, hyper, Batches(train=[everything], val=None)).grads["each"]
    assert set(grads.topk(2).indices.tolist()) == {3, 7}
    # and it is the derivative of the closed form
    eps = 1e-6
    for i in (0, 3):
        values = []
        for sign in (1, -1):
            each = hyper["each"].clone()
            each[i] += sign * eps
            a = (x * each[:, None]).t() @ x / 10 + 1e-3 * torch.eye(2, **F64)
            values.append(float(((torch.linalg.solve(a, (x * each[:, None]).t() @ y / 10) - truth) ** 2).sum()))
        assert float(grads[i]) == pytest.approx((values[0] - values[1]) / (2 * eps), rel=1e-6)


def test_augmentation_has_the_asked_strength_and_is_differentiable() -> None:
    torch.manual_seed(0)
    x = torch.zeros(2000, 3, 4, **F64)
    assert augment(x, noise=0.5, training=False) is x
    assert torch.equal(augment(x), x)
    assert float(augment(x, noise=0.5).std()) == pytest.approx(0.5, rel=0.02)
    lit = augment(x, brightness=0.3)
    assert float(lit.std(dim=(1, 2)).max()) < 1e-12  # the same for all of an example
    assert 0.28 < float(lit.abs().max()) <= 0.3
    stripes = torch.tensor([-1.0, 1.0], **F64).repeat(2000, 1)
    contrasted = augment(stripes, contrast=0.5)
    torch.testing.assert_close(contrasted.mean(1), torch.zeros(2000, **F64))
    assert float(contrasted.abs().min()) >= 0.5
    assert float(contrasted.abs().max()) <= 1.5
    strengths = [Hyperparameter(0.2) for _ in range(3)]
    value = (augment(stripes, noise=strengths[0], brightness=strengths[1], contrast=strengths[2]) ** 2).mean()
    grads = torch.autograd.grad(value, [h.raw[""] for h in strengths])
    # E = 1 + contrast²/3 + brightness²/3 + noise²
    for grad, expected in zip(grads, (0.4, 0.4 / 3, 0.4 / 3), strict=True):
        assert float(grad) == pytest.approx(expected, abs=0.08)
    assert augment(torch.zeros(5), noise=1.0).shape == (5,)
    assert math.isfinite(float(augment(torch.zeros(1, 1), contrast=0.5).sum()))
