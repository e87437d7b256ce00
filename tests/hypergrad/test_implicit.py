from __future__ import annotations

from whet.hypergrad.implicit import Implicit
from whet.hypergrad.solve.dense import Dense
from whet.testing.hypergrad_laws import ImplicitLaws


class TestImplicitOnTheLoss(ImplicitLaws):
    def make(self) -> Implicit:
        return Implicit(solve=Dense())


class TestImplicitOnTheUpdate(ImplicitLaws):
    tunes_update = True

    def make(self) -> Implicit:
        return Implicit(solve=Dense(), system="update")
