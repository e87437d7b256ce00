"""How many trials a method makes is the method's own word, whatever it is wrapped in."""

from __future__ import annotations

import pytest

from whet.config import parse
from whet.search.base import Searcher
from whet.search.starting import Starting
from whet.study import preview
from whet.trial import Earlier, Past, Problem, Suggestion

CONFIG = {"metric": {"name": "loss", "goal": "minimize"}, "parameters": {"x": {"values": [1, 2, 3]}}}


class Few(Searcher):
    """Makes seven suggestions; telling so takes seven steps."""

    def count(self, most: int | None = None) -> int | None:
        return 7 if most is None or most >= 7 else None

    def ask(self, n: int) -> list[Suggestion]:
        return [Suggestion(params={"x": 1})] * min(n, 7 - self.next_number)


def test_any_method_may_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preview.size_of(parse({**CONFIG, "method": "grid"})) == 3
    assert preview.size_of(parse({**CONFIG, "method": "random"})) is None
    config = parse({**CONFIG, "method": "random"})
    earlier = (Earlier(name="old", trials=(Past(number=0, params={"x": 2}, loss=1.0),)),)
    problem = Problem(space=config.problem.space, earlier=earlier)
    for made in (Few(problem, seed=0), Starting(Few(problem, seed=0))):
        monkeypatch.setattr(preview, "searcher_of", lambda config, made=made: made)
        assert (preview.size_of(config), preview.size_of(config, 6)) == (7, None)
