"""What is easily given by mistake is refused in words, not with a traceback from within."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.first_order import FirstOrder
from whet.hypergrad.forward import Forward
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.onestep import OneStep
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve import CG, Neumann, Nystrom
from whet.hypergrad.unrolled import Unrolled
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.sgd import SGD

X = torch.linspace(-1, 1, 20).reshape(4, 5)
HYPER = {"decay": torch.tensor(0.1)}


def problem(**changes: Any) -> Bilevel:
    given: dict[str, Any] = {
        "train_loss": lambda w, x, h: ((x @ w["w"]) ** 2).mean(),
        "val_loss": lambda w, x, h: ((x @ w["w"] - 1) ** 2).mean(),
        "penalty": L2(strength="decay"),
        "update": SGD(lr=0.1, momentum=0.5),
        **changes,
    }
    return Bilevel(**given)


def call(method: Hypergradient, made: Bilevel | None = None, train: Any = (X,), **rest: Any) -> HyperGrad:
    return method(made or problem(), {"w": torch.ones(5)}, HYPER, Batches(train=train, val=X), **rest)


@pytest.mark.parametrize("method", [OneStep(), Unrolled(), Implicit()], ids=lambda m: type(m).__name__)
def test_training_data_that_are_no_sequence_of_batches(method: Hypergradient) -> None:
    for train, kind in ((DataLoader(X, batch_size=2), "DataLoader"), (iter([X]), "list_iterator"), ({"x": X}, "dict")):
        with pytest.raises(HypergradError, match=rf"the training data are a {kind}, not .*: give a list: \[batch\], list\(loader\)"):  # fmt: skip
            call(method, train=train)


def test_penalties_in_a_list() -> None:
    made = problem(penalty=[L2(strength="decay"), L1(strength=0.1)])
    assert made.penalties == (L2(strength="decay"), L1(strength=0.1))
    assert call(OneStep(), made).finite
    for wrong in (0.1, ["decay"]):
        with pytest.raises(HypergradError, match=r"the penalty is .*: give an L2 or L1"):
            problem(penalty=wrong)


def test_a_name_in_the_place_of_a_function_of_names() -> None:
    with pytest.raises(HypergradError, match=r"L2\(only='w'\) is no function .*: give one: only=lambda name: name == 'w'"):  # fmt: skip
        L2(strength="decay", only="w")


@pytest.mark.parametrize(("wrong", "words"), [
    (CG, r"Implicit\(solve=CG\) has no solver but its class: give an instance: CG\(\)"),
    ("cg", r"Implicit\(solve='cg'\) has no solver: give an instance: CG\(\)"),
])  # fmt: skip
def test_what_is_no_solver(wrong: Any, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        Implicit(solve=wrong)


@pytest.mark.parametrize("make", [
    lambda n: Unrolled(steps=n), lambda n: Unrolled(truncate=n), lambda n: FirstOrder(steps=n), lambda n: DrMAD(skip=n),
    lambda n: DrMAD(pieces=n), lambda n: Forward(chunk=n), lambda n: Forward(limit=n), lambda n: Neumann(terms=n),
    lambda n: Neumann(power_steps=n), lambda n: CG(max_steps=n), lambda n: Nystrom(rank=n), lambda n: Checkpointer(every=n),
    lambda n: Checkpointer(slots=n),
])  # fmt: skip
def test_counts_are_whole_numbers(make: Callable[[Any], Any]) -> None:
    make(2)
    for wrong in (2.5, 2.0, "2", -1, True):
        with pytest.raises(HypergradError, match=r"give .*whole number"):
            make(wrong)


@pytest.mark.parametrize("method", [Unrolled(), Implicit(system="update"), FirstOrder(steps=1), Forward()], ids=lambda m: type(m).__name__)  # fmt: skip
def test_a_state_of_other_weights(method: Hypergradient) -> None:
    state = State(slots={"momentum_buffer": {"w": torch.zeros(3)}})
    with pytest.raises(HypergradError, match=r"the state's 'momentum_buffer' of the weight 'w' has shape \(3,\), not \(5,\): begin with"):  # fmt: skip
        call(method, state=state)
    call(method, problem(update=SGD(lr=0.1)), state=state)  # to which it is nothing


def test_knobs_that_are_tensors() -> None:
    tensor, tuned = torch.tensor(0.1), Hyperparameter(0.1)
    for make, words in (
        (lambda k: SGD(lr=k), r"SGD\(lr=\.\.\.\) is given a {}, .*: give SGD\(lr=\"lr\"\) and the value"),
        (lambda k: Adam(beta1=k), r"Adam\(beta1=\.\.\.\) is given a {}"),
        (lambda k: RMSprop(alpha=k), r"RMSprop\(alpha=\.\.\.\) is given a {}"),
        (lambda k: Clipped(update=SGD(), max_norm=k), r"Clipped\(max_norm=\.\.\.\) is given a {}"),
        (lambda k: Groups(groups=((("w",), SGD(weight_decay=k)),)), r"SGD\(weight_decay=\.\.\.\) is given a {}"),
    ):
        for given, kind in ((tensor, "tensor"), (tuned, "Hyperparameter")):
            with pytest.raises(HypergradError, match=words.format(kind)):
                make(given)


@pytest.mark.parametrize("method", [OneStep(), Unrolled(), Forward(), FirstOrder(steps=1)], ids=lambda m: type(m).__name__)  # fmt: skip
def test_inference_mode(method: Hypergradient) -> None:
    with torch.inference_mode():
        inferred = torch.ones(5)
        with pytest.raises(HypergradError, match=r"nothing can be differentiated under torch\.inference_mode\(\)"):
            call(method)
    with torch.no_grad():
        assert call(method).finite
    with pytest.raises(HypergradError, match=r"weight 'w' was made under torch\.inference_mode\(\).*a clone"):
        method(problem(), {"w": inferred}, HYPER, Batches(train=[X], val=X))
