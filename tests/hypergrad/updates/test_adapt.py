from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.updates.adagrad import Adagrad
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.adapt import adapt, read_state, write_state
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.scheduled import Late
from whet.hypergrad.updates.sgd import SGD


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def groups_of(model: nn.Module) -> list[dict[str, Any]]:
    return [{"params": list(model[0].parameters())}, {"params": list(model[2].parameters()), "lr": 0.02, "weight_decay": 0.1}]  # fmt: skip


MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.01),
    "sgd nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "sgd foreach": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-5, weight_decay=0.01),
    "adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True, foreach=True),
    "adam, lr a tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1, dtype=torch.float64)),
    "adam, decoupled": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.2, decoupled_weight_decay=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "rmsprop centered": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.2),
}


def gradients(model: nn.Module, t: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(t)
    return {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in model.named_parameters() if p.requires_grad}  # fmt: skip


def torch_step(model: nn.Module, optimizer: torch.optim.Optimizer, t: int) -> None:
    for n, g in gradients(model, t).items():
        model.get_parameter(n).grad = g
    optimizer.step()


def own_steps(model: nn.Module, optimizer: torch.optim.Optimizer, times: range, inplace: bool) -> None:
    """Read the state, go on with the update, and write weights and state back."""
    update = adapt(optimizer, model)
    state = read_state(optimizer, model, update)
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    for t in times:
        if inplace:
            state = update.step_(weights, gradients(model, t), state, {})
        else:
            new, state = update(weights, gradients(model, t), state, {})
            for n, w in new.items():
                weights[n].copy_(w)
    write_state(optimizer, model, state)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_there_and_back_is_as_if_nothing_had_been(name: str, grouped: bool, before: int) -> None:
    between, after, inplace = 2, 2, before != 1
    runs = []
    for ours in (False, True):
        model = small()
        optimizer = MAKERS[name](groups_of(model) if grouped else model.parameters())
        for t in range(before):
            torch_step(model, optimizer, t)
        times = range(before, before + between)
        if ours:
            own_steps(model, optimizer, times, inplace)
        else:
            for t in times:
                torch_step(model, optimizer, t)
        for t in range(before + between, before + between + after):
            torch_step(model, optimizer, t)
        runs.append((list(model.parameters()), optimizer.state_dict()["state"]))
    (theirs, their_state), (ours_w, our_state) = runs
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours_w, strict=True))
    assert their_state.keys() == our_state.keys()
    for index, state in their_state.items():
        assert {k: v for k, v in state.items() if v is not None}.keys() == our_state[index].keys()
        for key, value in our_state[index].items():
            assert torch.equal(value, state[key])
            assert value.dtype == state[key].dtype


def test_knobs_come_from_the_groups_and_tuned_ones_get_names() -> None:
    model = small()
    assert adapt(MAKERS["sgd"](model.parameters()), model) == SGD(lr=0.1)
    assert adapt(MAKERS["adam, decoupled"](model.parameters()), model) == AdamW(lr=0.1, weight_decay=0.2)
    assert adapt(MAKERS["adam, lr a tensor"](model.parameters()), model) == Adam(lr=0.1)
    assert adapt(torch.optim.Adam(model.parameters(), betas=(0.5, 0.6)), model, tune=("lr", "betas")) == Adam(lr="lr", beta1="beta1", beta2="beta2")  # fmt: skip
    assert adapt(torch.optim.AdamW(model.parameters()), model, tune={"betas": ("a", "b"), "weight_decay": "wd"}) == AdamW(beta1="a", beta2="b", weight_decay="wd")  # fmt: skip
    assert adapt(torch.optim.AdamW(model.parameters()), model, tune={"beta2": "b"}) == AdamW(beta2="b")
    assert adapt(torch.optim.RMSprop(model.parameters(), momentum=0.5), model, tune="alpha") == RMSprop(alpha="alpha", momentum=0.5)  # fmt: skip
    assert adapt(torch.optim.Adagrad(model.parameters()), model, tune=["lr_decay"]) == Adagrad(lr_decay="lr_decay")
    grouped = adapt(MAKERS["sgd momentum"](groups_of(model)), model, tune={"lr": "rate"})
    assert isinstance(grouped, Groups)
    first, second = grouped.groups
    assert first == (("0.weight", "0.bias"), SGD(lr="rate", momentum=0.9, dampening=0.5, weight_decay=0.01))
    assert second == (("2.weight", "2.bias"), SGD(lr="rate", momentum=0.9, dampening=0.5, weight_decay=0.1))
    assert grouped.hyper_names == {"rate"}
    mixed = torch.optim.SGD([{"params": model[0].parameters(), "momentum": 0.9}, {"params": model[2].parameters()}], lr=0.1)  # fmt: skip
    torch_step(model, mixed, 0)
    assert [u for _, u in adapt(mixed, model).groups] == [SGD(lr=0.1, momentum=0.9), SGD(lr=0.1)]


def test_a_schedulers_learning_rate_is_read_anew() -> None:
    model = small()
    optimizer = torch.optim.SGD(groups_of(model), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for expected in ((0.1, 0.02), (0.05, 0.01), (0.025, 0.005)):
        update = adapt(optimizer, model)
        assert [u.lr for _, u in update.groups] == pytest.approx(expected)
        torch_step(model, optimizer, 0)
        scheduler.step()
        assert [u.start for _, u in adapt(optimizer, model, tune=["momentum"]).groups if isinstance(u, Late)] == []


def test_read_state_shares_the_tensors_and_makes_those_that_are_missing() -> None:
    model = small()
    optimizer = MAKERS["adam"](model.parameters())
    update = adapt(optimizer, model)
    before = read_state(optimizer, model, update)
    assert before.step == 0
    assert before.slots.keys() == update.init({}).slots.keys()
    assert len(optimizer.state) == 0  # reading changes nothing
    torch_step(model, optimizer, 0)
    state = read_state(optimizer, model, adapt(optimizer, model))
    assert state.step == 1
    for n, p in model.named_parameters():
        assert state.slots["exp_avg"][n] is optimizer.state[p]["exp_avg"]
        assert state.slots["exp_avg_sq"][n] is optimizer.state[p]["exp_avg_sq"]
    moved = State(step=5, slots={k: {n: t + 1 for n, t in g.items()} for k, g in state.slots.items()})
    write_state(optimizer, model, moved)
    for n, p in model.named_parameters():
        assert optimizer.state[p]["exp_avg"] is moved.slots["exp_avg"][n]
        assert float(optimizer.state[p]["step"]) == 5
    write_state(optimizer, model, State(step=0, slots=moved.slots))
    assert len(optimizer.state) == 0


def test_tuned_momentum_of_an_optimizer_without_one_gets_buffers() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    update = adapt(optimizer, model, tune=["momentum"])
    assert set(read_state(optimizer, model, update).slots["momentum_buffer"]) == {n for n, _ in model.named_parameters()}  # fmt: skip


@pytest.mark.parametrize("name", ["adam", "sgd momentum", "rmsprop centered", "adagrad"])
def test_weights_that_joined_late_keep_their_own_count(name: str) -> None:
    """Gradual unfreezing: a group is added, or a weight gets its first gradient, in the middle of a run."""
    runs = []
    for ours in (False, True):
        model = small()
        model[0].requires_grad_(False)
        optimizer = MAKERS[name](model[2].parameters())
        for t in range(3):
            torch_step(model, optimizer, t)
        model[0].requires_grad_(True)
        optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 0.03})
        if ours:
            own_steps(model, optimizer, range(3, 6), inplace=False)
            own_steps(model, optimizer, range(6, 7), inplace=True)
        else:
            for t in range(3, 7):
                torch_step(model, optimizer, t)
        for t in range(7, 9):
            torch_step(model, optimizer, t)
        runs.append(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.two.weight = self.one.weight


def test_frozen_and_tied_weights_and_those_that_the_optimizer_has_not_got() -> None:
    model = Tied()
    model.one.bias.requires_grad_(False)
    optimizer = torch.optim.SGD([*model.one.parameters(), model.two.bias], lr=0.1, momentum=0.9)  # not the head
    update = adapt(optimizer, model)
    assert update == Groups(groups=((("one.weight", "two.bias"), SGD(lr=0.1, momentum=0.9)),))
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    assert list(weights) == ["one.weight", "two.bias", "head.weight", "head.bias"]
    state = read_state(optimizer, model, update)
    new, state = update(weights, {n: torch.ones_like(w) for n, w in weights.items()}, state, {})
    assert torch.equal(new["head.weight"], weights["head.weight"])
    torch.testing.assert_close(new["one.weight"], weights["one.weight"] - 0.1)
    write_state(optimizer, model, state)
    assert set(optimizer.state) == {model.one.weight, model.two.bias}
    found = update.vjp(weights, weights, state, {}, weights, None)
    assert torch.equal(found.weights["head.weight"], weights["head.weight"])
    assert not found.grads["head.weight"].any()


def test_wrapped_models_are_unwrapped() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self._orig_mod = inner

    model = small()
    optimizer = MAKERS["adam"](model.parameters())
    assert adapt(optimizer, Wrapper(model)) == adapt(optimizer, model)
    assert list(read_state(optimizer, Wrapper(model), adapt(optimizer, model)).slots["exp_avg"]) == list(dict(model.named_parameters()))  # fmt: skip


# -- what it refuses ----------------------------------------------------------------------------------------------------


class Mine(torch.optim.SGD):
    pass


@pytest.mark.parametrize(
    "make", [torch.optim.LBFGS, torch.optim.Adafactor, torch.optim.Adadelta, lambda p: Mine(p, lr=0.1)]
)
def test_optimizers_without_a_known_derivative(make: Callable[[Any], torch.optim.Optimizer]) -> None:
    model = small()
    with pytest.raises(HypergradError, match=r"no derivative of a step of .*use SGD, Adam, AdamW, RMSprop or Adagrad") as error:  # fmt: skip
        adapt(make(model.parameters()), model)
    assert "any optimizer" in error.value.fix


def test_options_and_parameters_that_do_not_go() -> None:
    model = small()
    with pytest.raises(HypergradError, match="differentiable=True"):
        adapt(torch.optim.Adam(model.parameters(), differentiable=True), model)
    with pytest.raises(HypergradError, match="shape \\(5,\\) that the model has not got"):
        adapt(torch.optim.SGD([*model.parameters(), nn.Parameter(torch.zeros(5))], lr=0.1), model)
    with pytest.raises(HypergradError, match="no trainable weight"):
        adapt(torch.optim.SGD([nn.Parameter(torch.zeros(5), requires_grad=False)], lr=0.1), model)
    embedding = nn.ModuleDict({"emb": nn.Embedding(3, 2, sparse=True)})
    with pytest.raises(HypergradError, match="'emb' has sparse gradients"):
        adapt(torch.optim.SGD(embedding.parameters(), lr=0.1), embedding)
    waves = nn.ParameterDict({"w": nn.Parameter(torch.zeros(2, dtype=torch.complex64))})
    with pytest.raises(HypergradError, match="complex"):
        adapt(torch.optim.SGD(waves.parameters(), lr=0.1), waves)
    hooked = torch.optim.SGD(model.parameters(), lr=0.1)
    hooked.register_step_pre_hook(lambda *_: None)
    with pytest.raises(HypergradError, match="hooks"):
        adapt(hooked, model)


def test_knobs_that_there_are_not() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(HypergradError, match=r"SGD has no knob 'beta1' .* it has lr, momentum, weight_decay$"):
        adapt(optimizer, model, tune=["beta1"])
    with pytest.raises(HypergradError, match="no knob 'nesterov'"):
        adapt(optimizer, model, tune=["nesterov"])
    with pytest.raises(HypergradError, match="give a pair"):
        adapt(torch.optim.Adam(model.parameters()), model, tune={"betas": "b"})


def test_a_state_of_another_model_is_refused() -> None:
    model = small()
    optimizer = MAKERS["adam"](model.parameters())
    with pytest.raises(HypergradError, match="moves no such weight"):
        write_state(optimizer, model, State(step=1, slots={"exp_avg": {"nonsense": torch.zeros(2)}}))
    with pytest.raises(HypergradError, match="shape \\(9,\\)"):
        write_state(optimizer, model, State(step=1, slots={"exp_avg": {"0.bias": torch.zeros(9)}}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", [{"fused": True}, {"capturable": True}, {}])
def test_counts_on_the_device(options: dict[str, Any]) -> None:
    model = small().cuda()
    optimizer = torch.optim.Adam(model.parameters(), **options)
    loss = model(torch.ones(2, 3, dtype=torch.float64, device="cuda")).sum()
    loss.backward()
    optimizer.step()
    update = adapt(optimizer, model)
    state = read_state(optimizer, model, update)
    assert state.step == 1
    kept = {id(p): s["step"] for p, s in optimizer.state.items()}
    weights = {n: p.detach() for n, p in model.named_parameters()}
    state = update.step_(weights, {n: torch.ones_like(w) for n, w in weights.items()}, state, {})
    write_state(optimizer, model, state)
    for p, s in optimizer.state.items():
        assert s["step"].device == kept[id(p)].device
        assert s["step"].dtype == kept[id(p)].dtype
        assert float(s["step"]) == 2
    optimizer.step()
