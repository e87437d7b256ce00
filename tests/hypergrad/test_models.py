"""Hypergradients through every kind of module, against differences of gradients that plain `backward` calls on a copy give."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from whet.errors import HypergradError
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.linear import Curvature
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.relax import dropout
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.updates.sgd import SGD


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module], **knobs: Any) -> None:
        super().__init__()
        self.rnn, self.out = kind(4, 5, batch_first=True, **knobs), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x.view(-1, 3, 4))[0][:, -1])


class Attention(nn.Module):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused, self.qkv, self.mha, self.out = fused, nn.Linear(4, 12), nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 3, 4)
        if self.fused:
            y = functional.scaled_dot_product_attention(
                *self.qkv(x).unflatten(-1, (3, 1, 4)).permute(2, 0, 3, 1, 4)
            ).squeeze(1)
        else:
            y = self.mha(x, x, x, need_weights=False)[0]
        return self.out(y.mean(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.back, self.out = nn.Linear(12, 5), nn.Linear(5, 12, bias=False), nn.Linear(12, 3)
        self.again = self.out

    def forward(self, x: Tensor) -> Tensor:
        return self.again(torch.tanh(functional.linear(torch.tanh(self.enter(x)), self.enter.weight.t())))


class TiedParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.Sequential(nn.Linear(12, 6), nn.Tanh()), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(checkpoint(self.body, x, use_reentrant=False))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(12, 4) / 4), nn.Parameter(torch.randn(4, 3))])
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("shift", torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin((x - self.shift) @ self.weights[0] * self.scale) @ self.weights[1]


def mlp(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 6), *middle, nn.Tanh(), nn.Linear(6, 3))


def cnn(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 2), *middle, nn.SiLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(8, 3))  # fmt: skip


def frozen() -> nn.Module:
    model = mlp(nn.Linear(6, 6))
    model[0].requires_grad_(False)
    return model


def old_style(norm: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        return mlp(getattr(nn.utils, norm)(nn.Linear(6, 6)))


def randomised() -> nn.Module:
    model = mlp(nn.BatchNorm1d(6), nn.Dropout(0.3))
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    return model


ZOO: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "batch norm and dropout": randomised,
    "layer norm": lambda: mlp(nn.LayerNorm(6)),
    "cnn": lambda: cnn(nn.BatchNorm2d(4)),
    "group norm": lambda: cnn(nn.GroupNorm(2, 4)),
    "instance norm": lambda: cnn(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
    "tied": Tied,
    "tied parameter": TiedParameter,
    "frozen": frozen,
    "lstm": lambda: Recurrent(nn.LSTM, num_layers=2, dropout=0.2),
    "gru": lambda: Recurrent(nn.GRU, bidirectional=False),
    "rnn": lambda: Recurrent(nn.RNN),
    "multihead attention": lambda: Attention(fused=False),
    "fused attention": lambda: Attention(fused=True),
    "transformer": lambda: nn.Sequential(nn.Unflatten(1, (3, 4)), nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, activation="gelu"), nn.Flatten(), nn.Linear(12, 3)),
    "weight norm": lambda: mlp(parametrizations.weight_norm(nn.Linear(6, 6))),
    "spectral norm": lambda: mlp(parametrizations.spectral_norm(nn.Linear(6, 6))),
    "orthogonal": lambda: mlp(parametrizations.orthogonal(nn.Linear(6, 6))),
    "old weight norm": lambda: old_style("weight_norm"),
    "old spectral norm": lambda: old_style("spectral_norm"),
    "checkpointed": Checkpointed,
    "bare parameters": Bare,
}  # fmt: skip
every = pytest.mark.parametrize("kind", list(ZOO))


def made(kind: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(1)
    model = ZOO[kind]().to(dtype)
    for module in model.modules():
        if "SpectralNorm" in type(module).__name__ or "spectral norm" in kind:
            module.eval()  # no power iteration, whose result autograd takes for a constant
    if kind == "transformer":
        model[1].dropout.p = model[1].dropout1.p = model[1].dropout2.p = model[1].self_attn.dropout = 0.1
    return model


def data(seed: int, dtype: torch.dtype = torch.float64, device: str = "cpu") -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(8, 12, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    return x.to(device, dtype), y.to(device)


def loss(model: nn.Module, batch: Any, hyper: Any) -> Tensor:
    """Cross-entropy and a penalty that goes over the model's own parameters."""
    decay = sum((p**2).sum() for p in model.parameters() if p.requires_grad)
    return functional.cross_entropy(model(batch[0]) * hyper["heat"], batch[1]) + hyper["l2"] * decay


def val(model: nn.Module, batch: Any, hyper: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def values(dtype: torch.dtype = torch.float64, device: str = "cpu") -> dict[str, Tensor]:
    return {"l2": torch.tensor(0.01, dtype=dtype, device=device), "heat": torch.tensor(1.3, dtype=dtype, device=device)}


def backward(kind: str, weights: dict[str, Tensor], hyper: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    """Return the gradient at `weights` by a plain backward pass of a copy, with the random numbers of seed 0."""
    own = made(kind)
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
    torch.manual_seed(0)
    loss(own, batch, hyper).backward()
    return {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in own.named_parameters() if n in weights}


def answer(model: nn.Module) -> Tensor:
    """Return the model's output in eval mode, which changes nothing."""
    modes = [m for m in model.modules() if m.training]
    with torch.no_grad():
        output = model.eval()(data(9)[0])
    for module in modes:
        module.training = True
    return output


def relative(found: Any, expected: Any) -> float:
    found, expected = (torch.cat([t.detach().double().cpu().reshape(-1) for t in x]) for x in (found, expected))
    return float((found - expected).norm() / expected.norm())


@every
def test_products_are_differences_of_plain_gradients(kind: str) -> None:
    model, batch, hyper = made(kind), data(0), values()
    problem = Bilevel(train_loss=loss, val_loss=val, model=model)
    weights = problem.weights()
    assert list(weights) == [n for n, p in model.named_parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(3)
    q = {n: torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in weights.items()}
    torch.manual_seed(0)
    at = Curvature(problem, weights, hyper, batch)
    products, cross = at.vjp(q)

    assert relative(at.grads.values(), backward(kind, weights, hyper, batch).values()) < 1e-10
    eps = 1e-5
    up, down = ({n: w + s * eps * q[n] for n, w in weights.items()} for s in (1, -1))
    more, less = (backward(kind, w, hyper, batch) for w in (up, down))
    difference = [(more[n] - less[n]) / (2 * eps) for n in weights]
    assert relative(products.values(), difference) < 1e-6
    for name in hyper:
        moved = []
        for sign in (1, -1):
            grads = backward(kind, weights, {**hyper, name: hyper[name] + sign * eps}, batch)
            moved.append(sum((grads[n] * q[n]).sum() for n in weights))
        assert float(cross[name,]) == pytest.approx(float(moved[0] - moved[1]) / (2 * eps), rel=1e-6)


@every
@pytest.mark.parametrize("system", ["loss", "update"])
def test_a_hypergradient_leaves_the_model_as_it_was(kind: str, system: str) -> None:
    model = made(kind)
    loss(model, data(5), values()).backward()  # so that there is a .grad, and a graph in what old-style norms keep
    before = copy.deepcopy({"state": model.state_dict(), "grad": [p.grad for p in model.parameters()]})
    modes, slots = [m.training for m in model.modules()], [id(p) for p in model.parameters()]
    output = answer(model)
    rng = torch.get_rng_state()
    problem = Bilevel(train_loss=loss, val_loss=val, model=model, update=SGD(lr="lr", momentum=0.9))
    hyper = {**values(), **({"lr": torch.tensor(0.1, dtype=torch.float64)} if system == "update" else {})}
    method = Implicit(solve=Neumann(terms=2, scale=0.1 if system == "loss" else 1.0), system=system)
    first, second = (method(problem, problem.weights(), hyper, Batches(train=[data(0)], val=data(1))) for _ in range(2))

    assert first.finite
    for name in hyper:
        assert first.grads[name] != 0
        assert torch.equal(first.grads[name], second.grads[name])  # the same random numbers, the same buffers
    assert torch.equal(rng, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert slots == [id(p) for p in model.parameters()]
    assert torch.equal(answer(model), output)
    after = {"state": model.state_dict(), "grad": [p.grad for p in model.parameters()]}
    for name, tensor in after["state"].items():
        assert torch.equal(tensor, before["state"][name]), name
    for mine, theirs in zip(after["grad"], before["grad"], strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_validation_is_in_eval_mode_and_training_is_not() -> None:
    model = made("batch norm and dropout")
    problem = Bilevel(train_loss=loss, val_loss=val, model=model)
    weights, hyper, batch = problem.weights(), values(), data(1)
    model.eval()
    expected = val(model, batch, hyper)
    model.train()
    torch.testing.assert_close(problem.val(weights, hyper, batch), expected)
    torch.testing.assert_close(problem.val(weights, hyper, batch), expected)  # no dropout
    assert not torch.equal(problem.train(weights, hyper, batch), problem.train(weights, hyper, batch))  # dropout
    other = replace(problem, eval_mode=False)
    assert not torch.equal(other.val(weights, hyper, batch), other.val(weights, hyper, batch))


def test_given_buffers_are_written_to_as_training_would() -> None:
    model = made("batch norm and dropout")
    problem = Bilevel(train_loss=loss, val_loss=val, model=model)
    buffers = problem.start(problem.weights()).buffers
    torch.manual_seed(0)
    problem.train(problem.weights(), values(), data(0), buffers)
    own = copy.deepcopy(model)
    torch.manual_seed(0)
    loss(own, data(0), values())
    for name, tensor in own.named_buffers():
        torch.testing.assert_close(buffers[name], tensor)
    assert not torch.equal(buffers["1.running_mean"], model[1].running_mean)


class Averaging(nn.Module):
    """Assigns its buffer anew, where BatchNorm writes into it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(12, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(12, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * (x * self.scale).mean(0)
        return (x * self.scale)[:, :3]


def test_assigned_buffers_are_carried_on_and_cut_from_the_graph() -> None:
    problem = Bilevel(train_loss=loss, val_loss=val, model=Averaging(), update=SGD(lr=0.1))
    new, state = problem.step(problem.weights(), values(), data(0))
    torch.testing.assert_close(state.buffers["mean"], 0.1 * data(0)[0].mean(0))
    assert not problem.model.mean.any()
    buffers = dict(state.buffers)
    at = Curvature(problem, new, values(), data(1), buffers=buffers)
    torch.testing.assert_close(
        buffers["mean"], 0.9 * state.buffers["mean"] + 0.1 * (data(1)[0] * at.values["scale"]).mean(0)
    )
    assert not buffers["mean"].requires_grad
    assert not problem.model.mean.any()


def test_steps_carry_the_buffers_on() -> None:
    model = made("cnn")
    problem = Bilevel(train_loss=loss, val_loss=val, model=model, update=SGD(lr=0.1))
    new, state = problem.step(problem.weights(), values(), data(0))
    new, state = problem.step(new, values(), data(1), state)
    own = copy.deepcopy(model)
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
    for seed in (0, 1):
        optimizer.zero_grad()
        loss(own, data(seed), values()).backward()
        optimizer.step()
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(new[name], parameter.detach())
    for name, buffer in own.named_buffers():
        torch.testing.assert_close(state.buffers[name], buffer)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x, w: torch.cdist(x, w.t()),
        lambda x, w: functional.embedding_bag(torch.arange(8)[:, None], w),
    ],
    ids=["cdist", "embedding_bag"],
)
def test_operations_without_a_second_derivative_are_named(layer: Callable[[Tensor, Tensor], Tensor]) -> None:
    problem = Bilevel(
        train_loss=lambda w, d, h: functional.cross_entropy(layer(d[0], w["w"]), d[1]) * h["heat"],
        val_loss=lambda w, d, h: (w["w"] ** 2).sum(),
    )
    with pytest.raises(
        HypergradError, match=r"the training loss has no second derivative: .*derivative for .* FirstOrder\(\)"
    ):
        Implicit(solve=Neumann(terms=1, scale=0.1))(
            problem,
            {"w": torch.randn(12, 3, dtype=torch.float64)},
            {"heat": values()["heat"]},
            Batches(train=[data(0)], val=data(1)),
        )


def test_frozen_weights_are_left_out_and_tied_ones_are_one() -> None:
    assert list(Bilevel(train_loss=loss, val_loss=val, model=made("frozen")).weights()) == ["1.weight", "1.bias", "3.weight", "3.bias"]  # fmt: skip
    tied = Bilevel(train_loss=loss, val_loss=val, model=made("tied parameter"))
    assert list(tied.weights()) == ["first.weight", "first.bias", "second.bias", "out.weight", "out.bias"]


def test_dropout_by_relaxation_is_tuned_through_the_model() -> None:
    def with_dropout(model: nn.Module, batch: Any, hyper: Any) -> Tensor:
        hidden = torch.tanh(model[0](batch[0]))
        return functional.cross_entropy(model[2](dropout(hidden, hyper["p"], model.training)), batch[1])

    problem = Bilevel(train_loss=with_dropout, val_loss=val, model=made("mlp"), penalty=L2(strength=0.01))
    hyper = {"p": torch.tensor(0.3, dtype=torch.float64)}
    torch.manual_seed(0)
    found = Implicit(solve=Neumann(terms=5, scale=0.1))(
        problem, problem.weights(), hyper, Batches(train=[data(0)], val=data(1))
    )
    assert found.finite
    assert found.grads["p"] != 0


# -- precision, compilation, devices -------------------------------------------------------------------------------------------------


def hypergradient(model: nn.Module, train: Any, hyper: dict[str, Tensor], device: str = "cpu") -> Any:
    dtype = next(model.parameters()).dtype
    problem = Bilevel(train_loss=train, val_loss=val, model=model)
    torch.manual_seed(0)
    return Implicit(solve=Neumann(terms=3, scale=0.1))(
        problem, problem.weights(), hyper, Batches(train=[data(0, dtype, device)], val=data(1, dtype, device))
    )


CALM = [k for k in ZOO if k not in ("batch norm and dropout", "lstm", "transformer")]
"""Those without random numbers, which other devices draw differently."""


@pytest.mark.parametrize("kind", CALM)
def test_float32_is_near_float64(kind: str) -> None:
    fine = hypergradient(made(kind), loss, values())
    coarse = hypergradient(made(kind, torch.float32), loss, values(torch.float32))
    for name, grad in fine.grads.items():
        assert coarse.grads[name].dtype == torch.float32
        assert float(coarse.grads[name]) == pytest.approx(float(grad), rel=2e-3)


def autocast(model: nn.Module, batch: Any, hyper: Any) -> Tensor:
    with torch.autocast(batch[0].device.type, dtype=torch.bfloat16):
        logits = model(batch[0])
    decay = sum((p**2).sum() for p in model.parameters() if p.requires_grad)
    return functional.cross_entropy(logits.float() * hyper["heat"], batch[1]) + hyper["l2"] * decay


@pytest.mark.parametrize(
    "kind", ["mlp", "cnn", "tied", "multihead attention", "fused attention", "gru", "spectral norm"]
)
def test_bf16_autocast_is_right_to_two_digits(kind: str) -> None:
    fine = hypergradient(made(kind), loss, values())
    for outer in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=outer):  # around the whole call, too
            coarse = hypergradient(made(kind, torch.float32), autocast, values(torch.float32))
        for name, grad in fine.grads.items():
            assert coarse.grads[name].dtype == torch.float32
            assert float(coarse.grads[name]) == pytest.approx(float(grad), rel=0.05, abs=2e-3)
        assert all(t.dtype == torch.float32 for t in coarse.solution.values())


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="aot_eager")
    return model


def in_part(model: nn.Module) -> nn.Module:
    model[3] = torch.compile(model[3], backend="aot_eager")
    return model


@pytest.mark.parametrize(
    "wrap",
    [lambda m: torch.compile(m, backend="aot_eager"), in_place, in_part, nn.DataParallel],
    ids=["compiled", "compiled in place", "compiled in part", "DataParallel"],
)
def test_wrapped_and_compiled_models(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """AOTAutograd refuses second derivatives, so those parts run as they were written."""
    model = mlp(nn.Linear(6, 6)).double()
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.normal_(generator=torch.Generator().manual_seed(i)).div_(3)
    expected = hypergradient(copy.deepcopy(model), loss, values())
    wrapped = wrap(copy.deepcopy(model))
    found = hypergradient(wrapped, loss, values())
    for name in expected.grads:
        torch.testing.assert_close(found.grads[name], expected.grads[name])
    wrapped(data(0)[0])  # and goes on working by itself


def test_a_compiled_loss() -> None:
    expected = hypergradient(made("mlp"), loss, values())
    found = hypergradient(made("mlp"), torch.compile(loss, backend="aot_eager"), values())
    torch.testing.assert_close(found.grads["heat"], expected.grads["heat"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cnn", "transformer"])
def test_models_compiled_by_inductor(kind: str) -> None:
    expected = hypergradient(made(kind), loss, values())
    model = torch.compile(made(kind))
    model(data(0)[0]).sum().backward()  # it really is compiled by now
    model.load_state_dict({f"_orig_mod.{n}": t for n, t in made(kind).state_dict().items()})
    found = hypergradient(model, loss, values())
    torch.testing.assert_close(found.grads["heat"], expected.grads["heat"])


def test_a_distributed_model_is_unwrapped(tmp_path: Any) -> None:
    expected = hypergradient(made("mlp"), loss, values())
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        found = hypergradient(nn.parallel.DistributedDataParallel(made("mlp")), loss, values())
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(found.grads, expected.grads)


def test_a_model_in_half_precision_says_what_to_do() -> None:
    model = made("mlp", torch.float32).to(torch.bfloat16)
    with pytest.raises(HypergradError, match=r"'0.weight' is of torch.bfloat16: .*run the loss under torch.autocast"):
        hypergradient(model, loss, values(torch.float32))


gpu = pytest.mark.gpu


@pytest.fixture
def cuda() -> str:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return "cuda"


@gpu
@pytest.mark.parametrize("kind", CALM)
def test_cuda_gives_the_numbers_of_the_cpu(kind: str, cuda: str) -> None:
    """In float64 to 1e-8, in float32 (without TF32) to 2e-3, both relative."""
    expected = hypergradient(made(kind), loss, values())
    for dtype, rel in ((torch.float64, 1e-8), (torch.float32, 2e-3)):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = hypergradient(made(kind, dtype).to(cuda), loss, values(dtype, cuda), cuda)
        for name, grad in expected.grads.items():
            assert found.grads[name].is_cuda
            assert float(found.grads[name]) == pytest.approx(float(grad), rel=rel), (dtype, name)


@gpu
@every
def test_cuda_leaves_the_model_and_the_random_state_as_they_were(kind: str, cuda: str) -> None:
    model = made(kind, torch.float32).to(cuda)
    before, rng = copy.deepcopy(model.state_dict()), torch.cuda.get_rng_state()
    found = hypergradient(model, loss, values(torch.float32, cuda), cuda)
    assert found.finite
    torch.manual_seed(0)
    assert torch.equal(torch.cuda.get_rng_state(), rng) or math.isfinite(float(found.loss))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@gpu
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lstm", "fused attention"])
def test_cuda_under_bf16_autocast(kind: str, cuda: str) -> None:
    fine = hypergradient(made(kind).eval(), loss, values())
    coarse = hypergradient(made(kind, torch.float32).eval().to(cuda), autocast, values(torch.float32, cuda), cuda)
    for name, grad in fine.grads.items():
        assert float(coarse.grads[name]) == pytest.approx(float(grad), rel=0.05, abs=2e-3)


@gpu
def test_scalars_on_the_cpu_go_with_weights_on_the_gpu(cuda: str) -> None:
    expected = hypergradient(made("mlp"), loss, values())
    found = hypergradient(made("mlp").to(cuda), loss, values(), cuda)
    assert float(found.grads["heat"]) == pytest.approx(float(expected.grads["heat"]), rel=1e-8)
