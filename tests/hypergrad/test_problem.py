from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Batches, Bilevel, plain
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.updates.sgd import SGD

HYPER = {"l2": torch.tensor(0.1), "lr": torch.tensor(0.05)}
METHOD = Implicit(solve=Neumann(terms=2, scale=0.1))


def batch(seed: int = 0, n: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator), torch.randint(0, 2, (n,), generator=generator)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def cross_entropy(model: nn.Module, data: Any, hyper: Any) -> Tensor:
    return functional.cross_entropy(model(data[0]), data[1])


def decayed(model: nn.Module, data: Any, hyper: Any) -> Tensor:
    return cross_entropy(model, data, hyper) + hyper["l2"] * sum((p**2).sum() for p in model.parameters())


def problem(**changes: Any) -> Bilevel:
    return Bilevel(**{"train_loss": decayed, "val_loss": cross_entropy, "model": net(), **changes})


def call(made: Bilevel, hyper: Any = None, weights: Any = None, **batches: Any) -> Any:
    given = {"train": [batch(0)], "val": batch(1), **batches}
    return METHOD(
        made,
        made.weights() if weights is None else weights,
        {"l2": HYPER["l2"]} if hyper is None else hyper,
        Batches(**given),
    )


# -- what the losses are called with --------------------------------------------------------------------------------------------


def test_weights_are_the_models_own_memory() -> None:
    made = problem()
    weights = made.weights()
    assert list(weights) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert all(weights[n].data_ptr() == p.data_ptr() for n, p in made.model.named_parameters())
    assert not any(w.requires_grad for w in weights.values())


def test_the_model_in_a_loss_has_the_given_weights_whoever_asks_it() -> None:
    seen: dict[str, Any] = {}

    def loss(model: nn.Module, data: Any, hyper: Any) -> Tensor:
        seen.update(by_name=dict(model.named_parameters()), all=list(model.parameters()), direct=model[0].weight)
        return sum((p**2).sum() for p in model.parameters())

    made = problem(train_loss=loss)
    weights = {n: torch.full_like(w, 0.5) for n, w in made.weights().items()}
    count = sum(w.numel() for w in weights.values())
    assert made.train(weights, HYPER, batch()).item() == pytest.approx(0.25 * count)
    assert seen["direct"] is weights["0.weight"]
    assert all(a is b for a, b in zip(seen["all"], weights.values(), strict=True))
    assert list(seen["by_name"]) == list(weights)
    assert not any((p == 0.5).all() for p in made.model.parameters())


def test_without_a_model_the_losses_have_the_mapping() -> None:
    made = Bilevel(
        train_loss=lambda w, data, hyper: (w["w"] * data).sum() * hyper["l2"],
        val_loss=lambda w, data, hyper: w["w"].sum(),
    )
    weights = {"w": torch.tensor([1.0, 2.0])}
    assert made.train(weights, HYPER, 3.0).item() == pytest.approx(0.9)
    assert made.val(weights, HYPER, None).item() == 3
    assert made.start(weights).buffers == {}
    with pytest.raises(HypergradError, match="this problem has no model: give the weights as a mapping"):
        made.weights()


def test_one_loss_may_be_of_any_shape_with_one_element() -> None:
    made = problem(train_loss=lambda m, d, h: decayed(m, d, h).reshape(1, 1))
    assert made.train(made.weights(), HYPER, batch()).shape == ()


def test_inner_is_the_loss_and_its_penalties() -> None:
    made = problem(penalty=(L2(strength="l2"), L1(strength=0.3)))
    weights = made.weights()
    expected = made.train(weights, HYPER, batch())
    for w in weights.values():
        expected = expected + 0.1 * 0.5 * (w**2).sum() + 0.3 * w.abs().sum()
    torch.testing.assert_close(made.inner(weights, HYPER, batch()), expected)
    assert problem(penalty=L2(strength=0.3)).penalties == (L2(strength=0.3),)
    assert made.outer(weights, HYPER, batch()) == made.val(weights, HYPER, batch())


def test_step_is_an_update_of_the_gradient() -> None:
    made = problem(update=SGD(lr="lr", momentum=0.9), penalty=L2(strength="l2"))
    weights = made.weights()
    new, state = made.step(weights, HYPER, batch())
    again, after = made.step(new, HYPER, batch(), state)

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for expected, step in ((new, 1), (again, 2)):
        optimizer.zero_grad()
        decayed(model, batch(), HYPER).backward()
        optimizer.step()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(expected[name], parameter.detach())
        assert (state if step == 1 else after).step == step


def test_step_is_differentiable_in_weights_and_hyperparameters() -> None:
    made = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 4).sum() * h["a"],
        val_loss=lambda w, _, h: w["w"].sum(),
        update=SGD(lr="lr"),
    )
    f64 = {"dtype": torch.float64, "requires_grad": True}
    w, a, lr = torch.tensor([0.5, -1.0], **f64), torch.tensor(0.3, **f64), torch.tensor(0.1, **f64)
    assert torch.autograd.gradgradcheck(
        lambda w, a, lr: made.step({"w": w}, {"a": a, "lr": lr}, None)[0]["w"], (w, a, lr)
    )


def test_eval_mode_is_for_the_validation_loss_alone_and_put_back() -> None:
    modes: list[tuple[bool, bool]] = []

    def loss(model: nn.Module, data: Any, hyper: Any) -> Tensor:
        modes.append((model.training, model[1].training))
        return cross_entropy(model, data, hyper)

    model = net()
    model[1].eval()
    for eval_mode in (True, False):
        made = problem(model=model, train_loss=loss, val_loss=loss, eval_mode=eval_mode)
        made.train(made.weights(), HYPER, batch())
        made.val(made.weights(), HYPER, batch())
    assert modes == [(True, False), (False, False), (True, False), (True, False)]
    assert (model.training, model[1].training) == (True, False)

    def broken(model: nn.Module, data: Any, hyper: Any) -> Tensor:
        raise ZeroDivisionError

    made = problem(model=model, val_loss=broken)
    with pytest.raises(ZeroDivisionError):
        made.val(made.weights(), HYPER, batch())
    assert (model.training, model[1].training) == (True, False)
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: m,
        nn.DataParallel,
        lambda m: torch.compile(m, backend="eager"),
        lambda m: torch.compile(nn.DataParallel(torch.compile(m, backend="eager")), backend="eager"),
    ],
    ids=["plain", "DataParallel", "compiled", "both"],
)
def test_wrapped_models_are_unwrapped(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = net()
    made = problem(model=wrap(model))
    assert made.model is model
    assert plain(wrap(model)) is model
    torch.testing.assert_close(call(made).grads["l2"], call(problem()).grads["l2"])


# -- bad input ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda m, d, h: m(d[0]), r"the training loss is a tensor of shape \(6, 2\): return one number, a tensor: take the mean over the batch"),
        (lambda m, d, h: 0.5, "the training loss is 0.5: return one number, a tensor"),
        (lambda m, d, h: None, "the training loss is None"),
        (lambda m, d, h: torch.tensor(3), "the training loss is of torch.int64: return a floating-point tensor"),
        (lambda m, d, h: cross_entropy(m, d, h).detach(), "the training loss does not depend on the weights: compute it from the model that is passed in"),
        (lambda m, d, h: h["l2"] ** 2, "the training loss does not depend on the weights"),
    ],
)  # fmt: skip
def test_bad_training_losses(loss: Any, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        call(problem(train_loss=loss))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda m, d, h: functional.cross_entropy(m(d[0]), d[1], reduction="none"), r"the validation loss is a tensor of shape \(6,\)"),
        (lambda m, d, h: cross_entropy(m, d, h).item(), "the validation loss is 0[.]"),
        (lambda m, d, h: cross_entropy(m, d, h).detach(), "the validation loss does not depend on the weights: compute it from the model that is passed in"),
        (lambda m, d, h: h["l2"] ** 2, "the validation loss does not depend on the weights"),
    ],
)  # fmt: skip
def test_bad_validation_losses(loss: Any, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        call(problem(val_loss=loss))


def test_a_loss_of_another_model_is_an_error() -> None:
    other = net()
    with pytest.raises(HypergradError, match="the training loss does not depend on the weights"):
        call(problem(train_loss=lambda m, d, h: cross_entropy(other, d, h)))


def test_a_hyperparameter_that_reaches_nothing() -> None:
    with pytest.raises(HypergradError, match=r"'lr' does not reach the training loss: .*Implicit\(system=\"update\"\)"):
        call(problem(), hyper=HYPER)
    early = torch.tensor(0.3)
    with pytest.raises(
        HypergradError, match=r"'l2' does not reach the training loss: use the value that the loss is passed"
    ):
        call(problem(train_loss=lambda m, d, h: cross_entropy(m, d, h) * early))
    with pytest.raises(HypergradError, match=r"'l2' does not reach .*update: use it in the training loss"):
        Implicit(system="update")(
            problem(train_loss=cross_entropy), net_weights(), {"l2": HYPER["l2"]}, Batches(train=[batch()], val=batch())
        )


def net_weights() -> dict[str, Tensor]:
    return {n: p.detach() for n, p in net().named_parameters()}


@pytest.mark.parametrize(
    ("hyper", "words"),
    [
        ({}, "there are no hyperparameters"),
        ({"l2": torch.tensor(1)}, "hyperparameter 'l2' is of torch.int64, through which no gradient flows: convert it to float32"),
        ({"l2": 0.5}, r"hyperparameter 'l2' is 0.5, not a tensor: wrap it: torch.tensor\(value\)"),
        ({"l2": {"0.weight": 1}}, "hyperparameter 'l2/0.weight' is 1, not a tensor"),
        ({"l2": torch.tensor(0.5, dtype=torch.bfloat16)}, r"'l2' is of torch.bfloat16: .*keep it in float32 and run the loss under torch.autocast"),
    ],
)  # fmt: skip
def test_bad_hyperparameters(hyper: Any, words: str) -> None:
    with pytest.raises(HypergradError, match=words):
        call(problem(), hyper=hyper)


def test_hyperparameters_in_the_place_of_their_values() -> None:
    with pytest.raises(HypergradError, match=r"not a tensor: give hyper.tensors\(\)"):
        call(problem(), hyper=Hyperparameters(l2=0.5))


def test_bad_weights() -> None:
    made = problem()
    weights = made.weights()
    for wrong, words in (
        ({}, "there are no weights"),
        ({**weights, "0.bias": torch.zeros(7)}, r"weight '0.bias' has shape \(7,\) and the model's has \(4,\)"),
        ({**weights, "typo": torch.zeros(7)}, "the model has no trainable weight 'typo': it has 0.weight, 0.bias"),
        ({**weights, "0.bias": torch.zeros(4, dtype=torch.int32)}, "weight '0.bias' is of torch.int32"),
        ({**weights, "0.bias": torch.zeros(4, dtype=torch.float16)}, "weight '0.bias' is of torch.float16: products with the Hessian"),
    ):  # fmt: skip
        with pytest.raises(HypergradError, match=words):
            call(made, weights=wrong)


def test_a_frozen_model_has_nothing_to_train() -> None:
    with pytest.raises(
        HypergradError, match="the model has no trainable weight: set requires_grad on some of its parameters"
    ):
        problem(model=net().requires_grad_(False)).weights()


def test_a_model_in_half_precision_is_refused() -> None:
    for half in (torch.float16, torch.bfloat16):
        with pytest.raises(HypergradError, match=r"keep it in float32 and run the loss under torch\.autocast"):
            call(problem(model=net().to(half)))


def test_no_batches() -> None:
    with pytest.raises(HypergradError, match=r"there is no training batch: give at least one; is the loader empty\?"):
        call(problem(), train=[])


@pytest.mark.parametrize("form", [tuple, list, lambda pair: dict(zip("xy", pair, strict=True)), lambda pair: pair[0]])
def test_a_batch_of_nothing(form: Any) -> None:
    empty = form((torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))
    with pytest.raises(
        HypergradError, match="a training batch has no examples, so its mean loss is no number: leave it out"
    ):
        call(problem(), train=[batch(), empty])
    with pytest.raises(HypergradError, match="the validation batch has no examples"):
        call(problem(), val=empty)


def test_batches_may_be_anything_else() -> None:
    made = Bilevel(train_loss=lambda w, b, h: (w["w"] ** 2).sum() * h["l2"], val_loss=lambda w, b, h: w["w"].sum())
    for some in (None, 3, "text", torch.tensor(1.0), (torch.zeros(0), torch.zeros(3)), {}):
        result = METHOD(made, {"w": torch.ones(2)}, {"l2": HYPER["l2"]}, Batches(train=[some], val=some))
        assert result.finite


def test_shapes_that_go_with_no_weight() -> None:
    made = problem(penalty=L2(strength="l2"))
    weights = made.weights()
    rows = {n: torch.ones(9) for n in weights}
    for wrong, words in (
        ({"l2": torch.ones(9)}, r"'l2' has shape \(9,\) and the weight '0.weight' \(4, 3\): give a scalar, or one value a weight"),
        ({"l2": rows}, r"'l2' has shape \(9,\) and the weight '0.weight'"),
        ({"l2": {"0.weight": torch.ones(4, 3)}}, "'l2' has no value for the weight '0.bias': give it one, or say with only="),
        ({"l1": torch.tensor(1.0)}, "a penalty names the hyperparameter 'l2', and there is none: there are: l1"),
    ):  # fmt: skip
        with pytest.raises(HypergradError, match=words):
            call(made, hyper=wrong)
    updated = problem(update=SGD(lr="lr"))
    for wrong, words in (
        (torch.ones(9), r"'lr' has shape \(9,\) and the weight '0.weight' \(4, 3\): give a scalar"),
        (rows, r"'lr' has shape \(9,\) for the weight '0.weight' of \(4, 3\)"),
    ):
        with pytest.raises(HypergradError, match=words):
            Implicit(system="update")(updated, weights, {**HYPER, "lr": wrong}, Batches(train=[batch()], val=batch()))


def test_an_update_that_names_what_is_not_there() -> None:
    with pytest.raises(
        HypergradError, match=r"the update names the hyperparameter 'speed' .*, and there is none: .* l2"
    ):
        Implicit(system="update")(
            problem(update=SGD(lr="speed")), net_weights(), {"l2": HYPER["l2"]}, Batches(train=[batch()], val=batch())
        )
