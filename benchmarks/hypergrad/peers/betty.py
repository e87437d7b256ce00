"""Betty: two `ImplicitProblem`s and its `get_grads`, which its engine calls at every upper step."""

from __future__ import annotations

from betty.configs import Config
from betty.hypergradient import get_grads
from betty.problems import ImplicitProblem
from torch import Tensor, nn

from benchmarks.hypergrad.problems import Batch, Task, inner, outer

__all__ = ["cg", "neumann", "one_step"]


class _Decay(nn.Module):
    def __init__(self, decay: list[Tensor]) -> None:
        super().__init__()
        self.values = nn.ParameterList([nn.Parameter(d.detach()) for d in decay])


class _Upper(ImplicitProblem):
    def training_step(self, batch: Batch) -> Tensor:
        return outer(self.lower.module, batch)


class _Lower(ImplicitProblem):
    def training_step(self, batch: Batch) -> Tensor:
        return inner(self.module, self.module.parameters(), list(self.upper.module.values), batch)


def _run(task: Task, config: Config) -> list[Tensor]:
    device = task.val[0].device.type
    upper = _Upper("upper", Config(), module=_Decay(task.decay), device=device)
    lower = _Lower("lower", config, module=task.model, device=device)
    upper.lower, lower.upper = lower, upper
    lower.cur_batch = task.train[0]
    found = get_grads(upper.training_step_exec(task.val), [upper, lower, upper], False)
    upper.lower = lower.upper = None  # no cycle, which would keep memory
    return list(found)


def neumann(task: Task, terms: int) -> list[Tensor]:
    """K terms of Neumann's series, α = the inner learning rate."""
    return _run(task, Config(type="neumann", neumann_iterations=terms, neumann_alpha=task.rate))


def cg(task: Task, steps: int) -> list[Tensor]:
    """So many steps of conjugate gradients from zero."""
    return _run(task, Config(type="cg", cg_iterations=steps, cg_alpha=1.0))


def one_step(task: Task) -> list[Tensor]:
    """T1–T2 by a finite difference (its type "darts", the default); it knows no learning rate, so one is multiplied in."""
    return [task.rate * g for g in _run(task, Config(type="darts"))]
