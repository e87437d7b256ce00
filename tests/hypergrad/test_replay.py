"""A step that is run again draws the random numbers that it drew at first."""

from __future__ import annotations

import pytest
import torch

from whet.hypergrad.replay import Replay


def test_a_step_that_is_run_again_draws_the_same_numbers() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        random = Replay({})
        first: list[torch.Tensor] = []
        for step in range(4):
            with random.at(step):
                first.append(torch.rand(3) if step != 2 else torch.zeros(3))  # step 2 draws none
        assert set(random._starts) == {0, 1, 3}
        after = torch.get_rng_state()
        for step in (3, 1, 0):
            with random.at(step):
                assert torch.equal(torch.rand(3), first[step])
        torch.set_rng_state(after)
        with pytest.raises(ZeroDivisionError), random.at(4):
            float(torch.rand(3)[0]) / 0
        assert torch.equal(torch.get_rng_state(), after)
