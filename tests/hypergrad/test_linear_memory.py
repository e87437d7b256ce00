"""Products are tensors of their own, whatever autograd hands back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from whet.hypergrad.linear import Curvature, Step
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.sgd import SGD

LOSSES: dict[str, Callable[..., Any]] = {
    "one tensor for two weights": lambda w, _, h: ((w["a"] + w["b"]) ** 3).sum(),
    "an expanded tensor": lambda w, _, h: (w["a"].sum() + w["b"].sum()) ** 2,
    "the covector itself": lambda w, _, h: 0.5 * (w["a"] * w["a"]).sum() + (w["b"] ** 3).sum(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_product_may_be_changed_without_harm(loss: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    w, q = ({n: torch.randn(3, dtype=torch.float64) for n in "ab"} for _ in range(2))
    hyper = {"x": torch.tensor(1.0)}
    problem = Bilevel(train_loss=loss, val_loss=loss, update=SGD(lr=0.1))
    true = torch.autograd.functional.hvp(lambda a, b: loss({"a": a, "b": b}, None, None), tuple(w.values()), tuple(q.values()))[1]  # fmt: skip
    before = {n: t.clone() for n, t in q.items()}
    at = Curvature(problem, w, hyper, None)
    for product in at.hvp(q).values():
        product.add_(1)
    assert all(torch.equal(q[n], before[n]) for n in q)
    for (n, product), h in zip(Step(problem, w, hyper, None, State()).vjp(q, hyper=False)[0].items(), true, strict=True):  # fmt: skip
        torch.testing.assert_close(product, before[n] - 0.1 * h)
