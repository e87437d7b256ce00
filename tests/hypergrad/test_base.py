from __future__ import annotations

import pytest
import torch

from whet.hypergrad.base import Hypergradient
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.forward import Forward
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.sgd import SGD


@pytest.mark.parametrize("method", [Implicit(system="update"), Forward(), DrMAD(), Reversible()], ids=lambda m: type(m).__name__)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (3, 1), (3, 2)])
def test_derivatives_have_the_precision_of_their_hyperparameters(method: Hypergradient, shape: tuple[int, ...]) -> None:
    problem = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 2).sum(),
        val_loss=lambda w, _, h: (w["w"] ** 3).sum(),
        penalty=L2(strength="decay"),
        update=SGD(lr="lr", momentum=0.5),
    )
    hyper = {"decay": torch.full(shape, 0.1, dtype=torch.float64), "lr": torch.full((), 0.1, dtype=torch.float64)}
    found = method(problem, {"w": torch.ones(3, 2)}, hyper, Batches(train=[None, None], val=None))
    assert {p: (t.dtype, t.shape) for p, t in leaves(found.grads).items()} == {p: (t.dtype, t.shape) for p, t in leaves(hyper).items()}  # fmt: skip
    assert found.solution is None or found.solution["w"].dtype == torch.float32
