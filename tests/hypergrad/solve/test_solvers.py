"""What holds for every solver, on random symmetric positive systems whose solution is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.solve.base import Operator, Solver, Vector, greatest
from whet.hypergrad.solve.cg import CG
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.solve.neumann import Neumann
from whet.hypergrad.solve.nystrom import Nystrom
from whet.hypergrad.tensors import inner

EXACT: dict[str, Solver] = {
    "dense": Dense(),
    "cg": CG(tol=1e-13),
    "neumann": Neumann(terms=800, scale="auto"),
    "nystrom": Nystrom(rank=6, rho=0.0),
}


@dataclass
class System:
    """Aᵀq = v for weights of shapes (3,), (), (2,), and how often a product was asked for."""

    matrix: Tensor
    shift: float = 0.0
    symmetric: bool = True
    step: float | None = None
    products: int = 0

    def split(self, flat: Tensor) -> Vector:
        a, b, c = flat.split([3, 1, 2])
        return [a, b.reshape(()), c]

    def apply(self, x: Vector) -> Vector:
        self.products += 1
        flat = torch.cat([t.reshape(-1) for t in x])
        return [t.clone() for t in self.split(self.matrix.T @ flat)]

    def operator(self) -> Operator:
        diagonal = (
            (lambda: [torch.full_like(t, self.shift) for t in self.split(self.matrix[0])]) if self.shift else None
        )
        return Operator(apply=self.apply, symmetric=self.symmetric, step=self.step, diagonal=diagonal)

    def solve(self, v: Vector) -> Tensor:
        return torch.linalg.solve(self.matrix.T, flat(v))


def flat(parts: Vector) -> Tensor:
    return torch.cat([t.reshape(-1) for t in parts])


def drawn(
    seed: int, *, condition: float = 20.0, low: float = 1.0, dtype: torch.dtype = torch.float64
) -> tuple[System, Vector]:
    rng = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
    values = torch.logspace(0, torch.log10(torch.tensor(condition)).item(), 6, dtype=torch.float64) * low
    system = System((basis @ torch.diag(values) @ basis.T).to(dtype), shift=low / 2)
    return system, [t.clone() for t in system.split(torch.randn(6, generator=rng, dtype=torch.float64).to(dtype))]


def copy(v: Vector) -> Vector:
    return [t.clone() for t in v]


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-3, 1.0, 1e4]))
def test_solves(name: str, seed: int, scale: float) -> None:
    system, v = drawn(seed, low=scale)
    found = EXACT[name](system.operator(), copy(v))
    wanted = system.solve(v)
    assert float((flat(found.q) - wanted).norm() / wanted.norm()) < 1e-8
    assert found.converged
    assert found.notes == ()
    assert found.residual is None or found.residual < 1e-8
    assert [t.shape for t in found.q] == [t.shape for t in v]


@pytest.mark.parametrize("name", EXACT)
def test_solves_in_single_precision(name: str) -> None:
    system, v = drawn(3, dtype=torch.float32)
    solver = CG(tol=1e-6) if name == "cg" else EXACT[name]
    found = solver(system.operator(), copy(v))
    wanted = system.solve(v)
    assert found.q[0].dtype == torch.float32
    assert float((flat(found.q) - wanted).norm() / wanted.norm()) < 1e-4


@pytest.mark.parametrize("name", EXACT)
def test_nothing_on_the_right_is_nothing(name: str) -> None:
    system, v = drawn(0)
    found = EXACT[name](system.operator(), [torch.zeros_like(t) for t in v])
    assert not flat(found.q).any()
    assert found.residual in (None, 0.0)
    assert found.notes == ()


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("where", ["matrix", "right"])
def test_nan_gives_nan_and_ends(name: str, where: str) -> None:
    system, v = drawn(0)
    if where == "matrix":
        system.matrix = system.matrix * float("nan")
    else:
        v[0][0] = float("nan")
    found = EXACT[name](system.operator(), v)
    assert not torch.isfinite(flat(found.q)).all()
    assert name == "dense" or not found.converged
    assert system.products <= 816


def test_power_iteration_finds_the_greatest_and_its_sign() -> None:
    system, v = drawn(1, condition=20)
    assert greatest(system.operator(), v, 60) == pytest.approx(20, rel=1e-6)
    assert 10 < greatest(system.operator(), v, 5) < 20
    system.matrix = -system.matrix
    assert greatest(system.operator(), v, 60) == pytest.approx(-20, rel=1e-6)


def test_inner_product_is_over_all_weights_and_shapes() -> None:
    a = [torch.tensor([1.0, 2.0]), torch.tensor(3.0), torch.tensor([[4.0]], dtype=torch.float64)]
    assert float(inner(a, a)) == 30
    assert float(inner([], [])) == 0


# -- conjugate gradients ------------------------------------------------------------------------------------------------


def test_cg_takes_a_step_a_distinct_eigenvalue() -> None:
    system, v = drawn(5)
    assert CG(tol=1e-10)(system.operator(), copy(v)).converged
    assert system.products <= 7
    system.matrix, system.products = torch.eye(6, dtype=torch.float64) * 3, 0
    found = CG()(system.operator(), copy(v))
    assert system.products == 1
    assert torch.allclose(flat(found.q) * 3, flat(v))


def test_cg_tolerance_is_relative() -> None:
    system, v = drawn(6)
    steps = []
    for size in (1e-8, 1.0, 1e8):
        system.products = 0
        CG(tol=1e-3)(system.operator(), [t * size for t in v])
        steps.append(system.products)
    assert len(set(steps)) == 1
    assert steps[0] <= 6


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_cg_residual_is_the_true_one_and_the_error_falls(steps: int) -> None:
    system, v = drawn(7, condition=1000)
    found = CG(tol=0.0, max_steps=steps)(system.operator(), copy(v))
    assert system.products == steps
    true = (system.matrix @ flat(found.q) - flat(v)).norm() / flat(v).norm()
    assert found.residual == pytest.approx(float(true), rel=1e-8)
    assert not found.converged
    assert f"in {steps} steps" in found.notes[0]
    fewer = CG(tol=0.0, max_steps=steps + 1)(system.operator(), copy(v))

    def energy(q: Vector) -> float:
        e = flat(q) - system.solve(v)
        return float(e @ system.matrix @ e)

    assert energy(fewer.q) < energy(found.q)


def test_cg_warm_start_saves_steps_and_a_bad_one_costs_one_product() -> None:
    system, v = drawn(8, condition=100)
    solution = system.solve(v)
    cold = CG(tol=1e-5)(system.operator(), copy(v))
    cold_steps, system.products = system.products, 0
    near = [t.clone() for t in system.split(solution * (1 + 1e-7))]
    kept = copy(near)
    warm = CG(tol=1e-5)(system.operator(), copy(v), warm=near)
    assert system.products == 1
    assert torch.equal(flat(near), flat(kept))
    assert torch.equal(flat(warm.q), flat(kept))
    assert warm.q[0].data_ptr() != near[0].data_ptr()
    system.products = 0
    bad = CG(tol=1e-5)(system.operator(), copy(v), warm=system.split(solution * -50))
    assert system.products == cold_steps + 1
    assert torch.allclose(flat(bad.q), flat(cold.q))


def test_cg_stops_at_negative_curvature_with_the_last_iterate() -> None:
    system, v = drawn(9)
    values, basis = torch.linalg.eigh(system.matrix)
    values[0] = -0.5
    system.matrix = basis @ torch.diag(values) @ basis.T
    found = CG(tol=1e-12)(system.operator(), copy(v))
    assert not found.converged
    assert "negative curvature" in found.notes[0]
    assert system.products > 1
    assert torch.isfinite(flat(found.q)).all()
    # the last iterate: what fewer steps give
    assert torch.allclose(flat(found.q), flat(CG(tol=0.0, max_steps=system.products - 1)(system.operator(), copy(v)).q))


@pytest.mark.parametrize(("step", "length"), [(0.3, 0.3), (None, 1 / 2.0)])
def test_cg_falls_back_on_the_right_hand_side_itself(step: float | None, length: float) -> None:
    system = System(-2 * torch.eye(6, dtype=torch.float64), step=step)
    v = drawn(0)[1]
    found = CG()(system.operator(), copy(v))
    assert torch.allclose(flat(found.q), length * flat(v))
    assert "negative curvature at step 1" in found.notes[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cg_does_not_run_away_along_flat_directions(dtype: torch.dtype) -> None:
    system, v = drawn(10, dtype=dtype)
    values, basis = torch.linalg.eigh(system.matrix.double())
    values[:3] = 0
    system.matrix = (basis @ torch.diag(values) @ basis.T).to(dtype)
    found = CG(tol=1e-12)(system.operator(), copy(v))
    assert not found.converged
    assert "no strict minimum" in found.notes[0] or "did not reach" in found.notes[0]
    assert float(flat(found.q).norm()) < 1e3 * float(flat(v).norm())


def test_cg_and_nystrom_refuse_an_update() -> None:
    system, v = drawn(0)
    system.symmetric = False
    for solver in (CG(), Nystrom()):
        with pytest.raises(HypergradError, match=r"Neumann\(\)"):
            solver(system.operator(), v)


# -- Nyström ------------------------------------------------------------------------------------------------------------


def test_nystrom_is_its_formula() -> None:
    system, v = drawn(11)
    system.shift = 0.0  # nothing is known to be diagonal
    rank, rho = 3, 0.5
    found = Nystrom(rank=rank, rho=rho, seed=4)(system.operator(), copy(v))
    assert system.products == rank
    import random

    chosen = sorted(random.Random(4).sample(range(6), rank))
    c, m = system.matrix[chosen], system.matrix[chosen][:, chosen]
    b = flat(v)
    wanted = b / rho - c.T @ torch.linalg.solve(m + c @ c.T / rho, c @ b) / rho**2
    assert torch.allclose(flat(found.q), wanted, rtol=1e-10)


def test_nystrom_takes_what_is_diagonal_out_of_the_rows() -> None:
    rng = torch.Generator().manual_seed(0)
    thin = torch.randn(2, 6, generator=rng, dtype=torch.float64)
    system = System(thin.T @ thin + 0.3 * torch.eye(6, dtype=torch.float64), shift=0.3)
    v = drawn(12)[1]
    found = Nystrom(rank=2, rho=0.0)(system.operator(), copy(v))  # rank 2 + diagonal: two rows say all
    assert torch.allclose(flat(found.q), system.solve(v), rtol=1e-9)
    system.shift = 0.0
    blind = Nystrom(rank=2, rho=1e-3)(system.operator(), copy(v))
    assert float((flat(blind.q) - system.solve(v)).norm() / system.solve(v).norm()) > 1


def test_nystrom_survives_rows_that_say_the_same() -> None:
    rng = torch.Generator().manual_seed(0)
    thin = torch.randn(2, 6, generator=rng, dtype=torch.float64)
    system = System(thin.T @ thin)
    v = drawn(12)[1]
    found = Nystrom(rank=6, rho=1e-6)(system.operator(), copy(v))
    wanted = torch.linalg.solve(system.matrix + 1e-6 * torch.eye(6, dtype=torch.float64), flat(v))
    assert torch.allclose(flat(found.q), wanted, rtol=1e-6)


def test_nystrom_has_randomness_of_its_own_and_leaves_the_global_one() -> None:
    system, v = drawn(13)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = Nystrom(rank=2, seed=1)(system.operator(), copy(v))
    torch.manual_seed(5)
    again = Nystrom(rank=2, seed=1)(system.operator(), copy(v))
    other = Nystrom(rank=2, seed=8)(system.operator(), copy(v))
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(flat(first.q), flat(again.q))
    assert not torch.equal(flat(first.q), flat(other.q))


def test_nystrom_says_negative_curvature_and_what_it_lacks() -> None:
    system, v = drawn(14)
    with pytest.raises(HypergradError, match="rho above 0"):
        Nystrom(rho=0.0)(Operator(apply=system.apply), v)
    system.matrix, system.shift = -system.matrix, 0.0
    assert "negative curvature" in Nystrom(rank=3, rho=1.0)(system.operator(), copy(v)).notes[0]


# -- dense --------------------------------------------------------------------------------------------------------------


def test_dense_has_a_limit_and_solves_what_is_not_symmetric() -> None:
    system, v = drawn(15)
    system.matrix = system.matrix + torch.triu(torch.ones(6, 6, dtype=torch.float64))
    system.symmetric = False
    assert torch.allclose(flat(Dense()(system.operator(), copy(v)).q), system.solve(v))
    with pytest.raises(HypergradError, match="its limit is 5"):
        Dense(limit=5)(system.operator(), v)


def test_dense_takes_the_least_solution_of_a_singular_system() -> None:
    matrix = torch.zeros(6, 6, dtype=torch.float64)
    matrix[0, 0] = 2
    found = Dense()(System(matrix).operator(), [t.clone() for t in System(matrix).split(torch.ones(6).double())])
    assert flat(found.q).tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0])
    assert "singular" in found.notes[0]


# -- knobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Neumann(terms=-1), lambda: Neumann(scale=0.0), lambda: Neumann(scale="big"), lambda: Neumann(scale=float("nan")),
        lambda: Neumann(power_steps=0), lambda: CG(tol=1.0), lambda: CG(tol=-1.0), lambda: CG(max_steps=0), lambda: Nystrom(rank=0),
        lambda: Nystrom(rho=-1.0), lambda: Nystrom(rho=float("inf")),
    ],
)  # fmt: skip
def test_knobs_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(HypergradError) as caught:
        make()  # type: ignore[operator]
    assert "give" in caught.value.fix
