"""The sum itself, what it costs, and what it says of its scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from whet.hypergrad.solve.base import Operator, Vector
from whet.hypergrad.solve.neumann import Neumann

D = torch.float64


class Counted:
    def __init__(self, matrix: Tensor, *, rest: bool = False, step: float | None = None) -> None:
        self.matrix, self.products = matrix, 0
        self.operator = Operator(apply=self._apply, rest=self._rest if rest else None, symmetric=False, step=step)

    def _apply(self, x: Vector) -> Vector:
        self.products += 1
        return [self.matrix.T @ x[0]]

    def _rest(self, x: Vector) -> Vector:
        self.products += 1
        return [x[0] - self.matrix.T @ x[0]]


def spd(*values: float) -> Tensor:
    n = len(values)
    basis = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=D))[0]
    return basis @ torch.diag(torch.tensor(values, dtype=D)) @ basis.T


def series(matrix: Tensor, v: Tensor, terms: int, scale: float) -> tuple[Tensor, list[Tensor]]:
    x, all_terms = v, [v]
    for _ in range(terms):
        x = x - scale * matrix.T @ x
        all_terms.append(x)
    return scale * sum(all_terms), all_terms  # type: ignore[return-value]


V = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=D)
A = spd(0.1, 0.5, 0.8, 1.5)


@pytest.mark.parametrize("terms", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_is_the_series_at_one_product_a_term(terms: int, rest: bool, scale: float) -> None:
    counted = Counted(A + 0.1 * torch.triu(torch.ones(4, 4, dtype=D)), rest=rest)
    found = Neumann(terms=terms, scale=scale)(counted.operator, [V.clone()])
    wanted, all_terms = series(counted.matrix, V, terms, scale)
    assert counted.products == terms
    torch.testing.assert_close(found.q[0], wanted, rtol=1e-13, atol=1e-13)
    if terms:
        assert found.residual == pytest.approx(float(all_terms[-1].norm() / V.norm()))
        true = float((counted.matrix.T @ found.q[0] - V).norm() / V.norm())
        assert true <= found.residual
    else:
        assert found.residual is None
    assert found.notes == ()


def test_auto_is_the_learning_rate_where_there_is_one() -> None:
    counted = Counted(A, step=0.25)
    found = Neumann(terms=3)(counted.operator, [V.clone()])
    torch.testing.assert_close(found.q[0], series(A, V, 3, 0.25)[0])
    assert counted.products == 3


def test_auto_finds_one_over_the_greatest_curvature() -> None:
    counted = Counted(A)
    found = Neumann(terms=400, power_steps=30)(counted.operator, [V.clone()])
    assert counted.products == 430
    torch.testing.assert_close(found.q[0], torch.linalg.solve(A, V), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("scale", [1.5, 10.0, 1e6])
def test_a_scale_beyond_two_over_l_is_corrected_and_said(rest: bool, scale: float) -> None:
    counted = Counted(A * scale, rest=rest)
    found = Neumann(terms=60, scale=1.0)(counted.operator, [V.clone()])
    assert found.converged
    assert "beyond 2/L" in found.notes[0]
    assert "again with 1/L" in found.notes[0]
    wanted = torch.linalg.solve(A * scale, V)
    error = float((found.q[0] - wanted).norm() / wanted.norm())
    assert error < 0.03  # (1 - 0.1/1.5)^61 = .015
    assert found.residual is not None
    assert found.residual < 0.05


def test_a_scale_just_below_two_over_l_is_left_alone() -> None:
    found = Neumann(terms=60, scale=1.99 / 1.5)(Counted(A).operator, [V.clone()])
    assert found.notes == ()
    assert found.converged


def test_divergence_hidden_in_a_small_component_is_seen_at_the_end() -> None:
    matrix = torch.diag(torch.tensor([0.1, 0.2, 0.5, 3.0], dtype=D))
    v = torch.tensor([1.0, 1.0, 1.0, 1e-3], dtype=D)
    counted = Counted(matrix)
    found = Neumann(terms=14, scale=1.0)(counted.operator, [v.clone()])
    assert "beyond 2/L" in found.notes[0]


def test_single_precision_overflow_is_corrected() -> None:
    matrix = (A * 1e6).float()
    found = Neumann(terms=20, scale=1.0)(Counted(matrix).operator, [V.float()])
    assert "beyond 2/L" in found.notes[0]
    assert torch.isfinite(found.q[0]).all()


def test_negative_curvature_is_no_fault_of_the_scale() -> None:
    counted = Counted(spd(-0.9, 0.5, 0.8, 1.0))
    found = Neumann(terms=20, scale=1.0)(counted.operator, [V.clone()])
    assert not found.converged
    assert "negative curvature" in found.notes[0]
    torch.testing.assert_close(found.q[0], series(counted.matrix, V, 20, 1.0)[0])
    steep = Neumann(terms=20, scale=1.0)(Counted(spd(-9.0, 0.5, 0.8, 1.0)).operator, [V.clone()])
    assert "negative curvature" in steep.notes[0]


def test_fresh_batches_are_taken_one_a_factor() -> None:
    matrices = [spd(0.2, 0.3, 0.4, 0.5 + 0.1 * i) for i in range(4)]
    asked: list[int] = []

    def operator(i: int) -> Operator:
        def apply(x: Vector) -> Vector:
            asked.append(i)
            return [matrices[i] @ x[0]]

        return Operator(apply=apply, fresh=lambda: operator(i + 1))

    found = Neumann(terms=4, scale=0.5, stochastic=True)(operator(0), [V.clone()])
    assert asked == [0, 1, 2, 3]
    wanted = V
    for matrix in matrices:  # v + (I − αA₃)(v + (I − αA₂)(v + …))
        wanted = V + wanted - 0.5 * matrix @ wanted
    torch.testing.assert_close(found.q[0], 0.5 * wanted)
    assert found.residual is None
    asked.clear()
    Neumann(terms=4, scale=0.5)(operator(0), [V.clone()])
    assert asked == [0, 0, 0, 0]


def test_fresh_batches_average_to_the_whole() -> None:
    """Over many draws the mean of the estimates is the solution for the mean matrix, which one batch is off."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 4, 4, generator=rng, dtype=D) * 0.1
    noise = noise + noise.transpose(1, 2)
    noise = noise - noise.mean(0)

    def operator(_: int = 0) -> Operator:
        here = A + noise[int(torch.randint(400, (), generator=rng))]
        return Operator(apply=lambda x: [here @ x[0]], fresh=operator)

    runs = [Neumann(terms=8, scale=0.4, stochastic=True)(operator(), [V.clone()]).q[0] for _ in range(1000)]
    wanted = series(A, V, 8, 0.4)[0]
    error = torch.stack(runs).mean(0) - wanted
    spread = torch.stack(runs).std(0) / 1000**0.5
    assert bool((error.abs() < 5 * spread + 1e-3).all())


def test_one_batch_for_a_stochastic_sum_is_said() -> None:
    found = Neumann(terms=2, scale=0.1, stochastic=True)(Counted(A).operator, [V.clone()])
    assert "one training batch" in found.notes[0]


def test_the_right_hand_side_is_not_copied_nor_changed() -> None:
    v = [V.clone()]
    Neumann(terms=4, scale=0.3)(Counted(A).operator, v)
    assert torch.equal(v[0], V)
    assert replace(Neumann(), terms=3).terms == 3


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("terms", [2, 3, 5, 6])
def test_negative_curvature_is_told_from_overshooting_at_no_product(rest: bool, terms: int) -> None:
    counted = Counted(spd(-0.9, 0.5, 0.8, 1.0), rest=rest)
    v = torch.linalg.eigh(counted.matrix)[1][:, 0] + 0.1 * V
    found = Neumann(terms=terms, scale=1.0)(counted.operator, [v.clone()])
    assert counted.products == terms
    assert "negative curvature" in found.notes[0]
    counted = Counted(spd(0.1, 0.5, 0.8, 2.9), rest=rest)
    v = torch.linalg.eigh(counted.matrix)[1][:, 3] + 0.1 * V
    found = Neumann(terms=terms, scale=1.0)(counted.operator, [v.clone()])
    assert "beyond 2/L" in found.notes[0]
