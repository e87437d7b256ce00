"""The life of sweeps over REST, step by step, against a model of it in a few plain lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from whet.server.app import API, application
from whet.store import open_store, rules
from whet.study import retry as retry_module
from whet.testing.serving import asking

SPACES = {
    "random": {"x": {"min": 0.0, "max": 1.0}, "k": {"values": [1, 2]}},
    "grid": {"x": {"values": [0.0, 0.5, 1.0]}},
}
MOVES = {
    "running": {"paused", "finished", "canceled"},
    "paused": {"running", "finished", "canceled"},
    "finished": {"running"},
    "canceled": set(),
}
WORDS = {"start": "running", "resume": "running", "pause": "paused", "finish": "finished", "cancel": "canceled"}
OVER = {"finished", "failed", "canceled"}
PLACES = st.integers(0, 7)
ATTEMPTS = st.sampled_from([0] * 8 + [1, -1])
"""How far off the present one."""
VALUES = st.sampled_from([0.0, 0.5, -1.0, 2.0])


@dataclass
class Known:
    """A trial as it should be."""

    params: Mapping[str, Any] | None  # None: the method drew them, and they were not looked at yet
    phase: str = "running"
    attempt: int = 0
    value: float | None = None
    stopped: bool = False
    reports: dict[int, float] = field(default_factory=dict)
    retry_of: int | None = None

    @property
    def is_over(self) -> bool:
        return self.phase in OVER


@dataclass
class Model:
    """A sweep as it should be."""

    id: str
    method: str
    cap: int | None
    state: str = "running"
    trials: list[Known] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.cap is not None and len(self.trials) >= self.cap

    def end_if_done(self, *, exhausted: bool = False) -> None:
        is_open = any(not t.is_over for t in self.trials)
        if self.state == "running" and not is_open and (exhausted or self.is_full):
            self.state = "finished"

    @property
    def best(self) -> float | None:
        done = [t.value for t in self.trials if t.phase == "finished" and not t.stopped and t.value is not None]
        return min(done, default=None)


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with contextlib.closing(open_store("memory")) as store, asking(application(store)) as client:
        Life.client = client
        yield


class Life(RuleBasedStateMachine):
    """Sweeps of one server."""

    client: Any = None  # one server for all lives, which have sweeps of their own

    def __init__(self) -> None:
        super().__init__()
        self.sweeps: list[Model] = []
        self.deleted: list[str] = []

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        answer = self.client.request(method, f"{API}/sweeps{path}", json=body, headers=headers)
        assert answer.status_code < 500, answer.text
        found = answer.json() if answer.content else None
        if answer.status_code >= 400:
            assert found["detail"]
            assert found["fix"]
        return answer.status_code, found

    def post(self, sweep: Model, word: str, body: object = None, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", f"/{sweep.id}/{word}", body, **headers)

    def pick(self, place: int) -> Model:
        return self.sweeps[place % len(self.sweeps)]

    def compare(self, sweep: Model) -> None:
        """What the server says of a sweep is what the model says."""
        status, found = self.ask("GET", f"/{sweep.id}")
        assert status == 200
        said = (found["state"], found["cap"], found["num_trials"], found["best_value"])
        assert said == (sweep.state, sweep.cap, len(sweep.trials), sweep.best)
        trials = self.ask("GET", f"/{sweep.id}/trials")[1]
        assert [t["number"] for t in trials] == list(range(len(sweep.trials)))
        for trial, known in zip(trials, sweep.trials, strict=True):
            value = None if trial["values"] is None else trial["values"][0]
            assert (trial["phase"], trial["attempt"], value, trial["stopped"]) == (
                known.phase, known.attempt, known.value, known.stopped,
            )  # fmt: skip
            assert {step: values[0] for step, values in trial["reports"]} == known.reports
            known.params = trial["params"] if known.params is None else known.params
            assert trial["params"] == known.params
            assert trial["attrs"].get("retry_of") == known.retry_of

    # -- sweeps -------------------------------------------------------------------------------------------------------

    @initialize(method=st.sampled_from(["random", "grid"]), cap=st.sampled_from([None, 1, 3, 5]))
    def begin(self, method: str, cap: int | None) -> None:
        self.create(method, cap)

    @precondition(lambda self: len(self.sweeps) < 2)
    @rule(method=st.sampled_from(["random", "grid"]), cap=st.sampled_from([None, 1, 3, 5]))
    def create(self, method: str, cap: int | None) -> None:
        config: dict[str, Any] = {"method": method, "metric": {"name": "loss"}, "parameters": SPACES[method], "seed": 1}
        status, made = self.ask("POST", "", {"config": config if cap is None else {**config, "run_cap": cap}})
        assert status == 201
        self.sweeps.append(Model(made["id"], method, cap))
        self.compare(self.sweeps[-1])

    @precondition(lambda self: len(self.sweeps) > 1)
    @rule(place=PLACES)
    def delete(self, place: int) -> None:
        sweep = self.pick(place)
        assert self.ask("DELETE", f"/{sweep.id}")[0] == 204
        self.sweeps.remove(sweep)
        self.deleted.append(sweep.id)

    @precondition(lambda self: self.deleted)
    @rule(word=st.sampled_from(["start", "cancel", "suggest", "enqueue", "retry", "settle", "tell", "report"]))
    def look_for_a_deleted_one(self, word: str) -> None:
        bodies = {"enqueue": {"params": {}}, "tell": {"number": 0, "values": {"loss": 1.0}},
                  "report": {"number": 0, "step": 0, "values": {"loss": 1.0}}}  # fmt: skip
        assert self.ask("GET", f"/{self.deleted[-1]}")[0] == 404
        assert self.ask("POST", f"/{self.deleted[-1]}/{word}", bodies.get(word, {}))[0] == 404

    @rule(
        place=PLACES, word=st.sampled_from(["pause", "finish", "start", "resume", "resume", "resume"] * 4 + ["cancel"])
    )
    def move(self, place: int, word: str) -> None:
        sweep, to = self.pick(place), WORDS[word]
        status, found = self.post(sweep, word)
        if to != sweep.state and to not in MOVES[sweep.state]:
            assert (status, found["title"]) == (409, "IllegalMove")
        else:
            assert status == 200
            sweep.state = to
            for trial in sweep.trials:
                if to == "canceled" and trial.phase == "pending":
                    trial.phase = "canceled"
        self.compare(sweep)

    @rule(place=PLACES, more=st.integers(-1, 3), stale=st.sampled_from([False, False, False, True]))
    def put_cap(self, place: int, more: int, stale: bool) -> None:
        sweep = self.pick(place)
        cap = max(1, len(sweep.trials) + more)
        version = self.ask("GET", f"/{sweep.id}")[1]["version"]
        status, _ = self.ask("PUT", f"/{sweep.id}", {"version": version + stale, "cap": cap})
        if stale or cap < len(sweep.trials):
            assert status == 409
        else:
            assert status == 200
            sweep.cap = cap
        self.compare(sweep)

    # -- workers ------------------------------------------------------------------------------------------------------

    def trial_for(self, sweep: Model) -> Known | str:
        """Hand out the next trial; or say how there is none: "later" or "never"."""
        if sweep.state != "running":
            return "later" if sweep.state == "paused" else "never"
        for trial in sweep.trials:
            if trial.phase == "pending":
                trial.phase = "running"
                return trial
        if sweep.is_full:
            return "never"
        params = None
        if sweep.method == "grid":
            tried = [(t.params or {}).get("x") for t in sweep.trials]
            params = next(({"x": x} for x in SPACES["grid"]["x"]["values"] if x not in tried), None)  # type: ignore[attr-defined]
            if params is None:
                return "later" if any(not t.is_over for t in sweep.trials) else "never"
        sweep.trials.append(Known(params))
        return sweep.trials[-1]

    @rule(place=PLACES, again=st.booleans())
    def suggest(self, place: int, again: bool) -> None:
        sweep = self.pick(place)
        expected = self.trial_for(sweep)
        key = {"Idempotency-Key": f"{sweep.id} {self.asked}"}
        self.asked += 1
        status, found = self.post(sweep, "suggest", {"owner": "far||1"}, **key)
        assert status == 200
        if isinstance(expected, str):
            assert (found["trial"], found["final"]) == (None, expected == "never")
            assert found["reason"]
        else:
            number = next(n for n, t in enumerate(sweep.trials) if t is expected)
            assert (found["trial"]["number"], found["trial"]["attempt"]) == (number, expected.attempt)
            if expected.params is not None:
                assert found["trial"]["params"] == expected.params
            if again:
                assert self.post(sweep, "suggest", {"owner": "far||1"}, **key) == (status, found)
        self.compare(sweep)

    asked = 0

    def refused(self, sweep: Model, number: int, attempt: int) -> int | None:
        """Return the status with which a worker's word of this attempt is refused."""
        if number >= len(sweep.trials):
            return 404
        trial = sweep.trials[number]
        return 409 if trial.attempt != attempt or trial.phase != "running" else None

    def aimed(self, sweep: Model, place: int, off: int) -> tuple[int, int]:
        """Return a trial's number, of all the places mostly one that runs, and an attempt near its own."""
        running = [n for n, t in enumerate(sweep.trials) if t.phase == "running"]
        number = running[place % len(running)] if running and place < 6 else place % (len(sweep.trials) + 1)
        now = sweep.trials[number].attempt if number < len(sweep.trials) else 0
        return number, max(0, now + off)

    @rule(place=PLACES, one=PLACES, off=ATTEMPTS, step=st.integers(0, 2), value=VALUES)
    def report(self, place: int, one: int, off: int, step: int, value: float) -> None:
        sweep = self.pick(place)
        number, attempt = self.aimed(sweep, one, off)
        body = {"number": number, "attempt": attempt, "step": step, "values": {"loss": value}}
        status, found = self.post(sweep, "report", body)
        if (no := self.refused(sweep, number, attempt)) is not None:
            assert status == no
        else:
            assert (status, found["verdict"]) == (200, None)
            sweep.trials[number].reports[step] = value
        self.compare(sweep)

    @rule(
        place=PLACES,
        one=PLACES,
        off=ATTEMPTS,
        value=VALUES,
        how=st.sampled_from(["values", "values", "failed", "stopped"]),
    )
    def tell(self, place: int, one: int, off: int, value: float, how: str) -> None:
        sweep = self.pick(place)
        number, attempt = self.aimed(sweep, one, off)
        self.say(sweep, number, attempt, value, how)

    def say(self, sweep: Model, number: int, attempt: int, value: float, how: str) -> None:
        """Tell, and see what becomes of it."""
        body = {"values": {"values": {"loss": value}}, "failed": {"failed": True}, "stopped": {"stopped": True}}[how]
        status, found = self.post(sweep, "tell", {"number": number, "attempt": attempt, **body})
        if number >= len(sweep.trials):
            assert status == 404
            return
        trial = sweep.trials[number]
        phase = "failed" if how == "failed" else "finished"
        last = trial.reports[max(trial.reports)] if trial.reports else None
        told = {"values": value, "failed": None, "stopped": last}[how]
        if (attempt, phase, told) == (trial.attempt, trial.phase, trial.value):
            assert status == 200  # the same again
        elif (no := self.refused(sweep, number, attempt)) is not None:
            assert status == no
        else:
            assert (status, found["phase"]) == (200, phase)
            trial.phase, trial.value, trial.stopped = phase, told, how == "stopped"
        if status == 200 and sweep.cap is not None:
            sweep.end_if_done()
        self.compare(sweep)

    @rule(place=PLACES, value=VALUES, how=st.sampled_from(["values", "failed", "stopped"]), again=st.booleans())
    def work(self, place: int, value: float, how: str, again: bool) -> None:
        """A worker does all that it does; its last word may be sent twice."""
        sweep = self.pick(place)
        self.suggest(place, again)
        running = [n for n, t in enumerate(sweep.trials) if t.phase == "running"]
        if running:
            known = sweep.trials[running[-1]]
            self.say(sweep, running[-1], known.attempt, value, how)
            if again:
                self.say(sweep, running[-1], known.attempt, value, how)

    @rule(place=PLACES, one=PLACES, off=ATTEMPTS)
    def give_back(self, place: int, one: int, off: int) -> None:
        """A worker is interrupted: by the verb of the store, as agents do it."""
        sweep = self.pick(place)
        number, attempt = self.aimed(sweep, one, off)
        body = {"sweep": sweep.id, "number": number, "attempt": attempt, "reason": "interrupted"}
        answer = self.client.post(f"{API}/verbs/trials.requeue", json=body)
        if (no := self.refused(sweep, number, attempt)) is not None:
            assert answer.status_code == no
        else:
            assert answer.status_code == 200
            trial = sweep.trials[number]
            trial.phase = "canceled" if sweep.state == "canceled" else "pending"
            trial.attempt += 1
            trial.reports = {}
        self.compare(sweep)

    @rule(place=PLACES, exhausted=st.booleans())
    def settle(self, place: int, exhausted: bool) -> None:
        sweep = self.pick(place)
        sweep.end_if_done(exhausted=exhausted)
        status, found = self.post(sweep, "settle", {"exhausted": exhausted})
        assert (status, found["state"]) == (200, sweep.state)
        self.compare(sweep)

    # -- people -------------------------------------------------------------------------------------------------------

    @rule(place=PLACES, params=st.sampled_from([{"x": 0.5}, {"x": 1.0}] * 3 + [{"x": 2.0}, {"y": 1}]))
    def enqueue(self, place: int, params: dict[str, Any]) -> None:
        sweep = self.pick(place)
        status, found = self.post(sweep, "enqueue", {"params": params})
        if params.get("x") not in (0.5, 1.0):
            assert (status, found["title"]) == (422, "SpaceError")
        elif sweep.state != "running" or sweep.is_full:
            assert (status, found["title"]) == (409, "SweepClosed" if sweep.state != "running" else "CapReached")
        else:
            assert (status, found["number"]) == (201, len(sweep.trials))
            sweep.trials.append(Known(params if sweep.method == "grid" else None, "pending"))
        self.compare(sweep)

    @rule(place=PLACES, named=st.none() | st.lists(PLACES, min_size=1, max_size=2))
    def retry(self, place: int, named: list[int] | None) -> None:
        sweep = self.pick(place)
        numbers = None if named is None else [n % (len(sweep.trials) + 1) for n in named]
        repeats = {t.retry_of: n for n, t in enumerate(sweep.trials) if t.retry_of is not None}
        waiting = {old: new for old, new in repeats.items() if not sweep.trials[new].is_over}
        status, found = self.post(sweep, "retry", {"numbers": numbers})
        if numbers is None:
            chosen = [n for n, t in enumerate(sweep.trials) if t.phase == "failed" and n not in repeats]
        elif any(n >= len(sweep.trials) for n in numbers) or not all(sweep.trials[n].is_over for n in numbers):
            assert status in (404, 422)
            return self.compare(sweep)
        else:
            waiting = {old: new for old, new in waiting.items() if old in numbers}
            chosen = [n for n in dict.fromkeys(numbers) if n not in waiting]
        if chosen and sweep.state in ("paused", "canceled"):
            assert (status, found["title"]) == (409, "SweepClosed")
            return self.compare(sweep)
        assert status == 200
        # A finished sweep is reopened for retries that wait in it, too.
        is_stuck = sweep.state == "finished" and any(sweep.trials[new].phase == "pending" for new in waiting.values())
        first = len(sweep.trials)
        for old in chosen:
            sweep.trials.append(Known(sweep.trials[old].params, "pending", retry_of=old))
        if chosen or is_stuck:
            sweep.state = "running"
            sweep.cap = None if sweep.cap is None else sweep.cap + len(chosen)
        pairs = [[(one["number"], one["as_number"]) for one in found[key]] for key in ("queued", "waiting")]
        assert pairs[0] == [(old, first + place) for place, old in enumerate(chosen)]
        assert dict(pairs[1]) == waiting
        return self.compare(sweep)


SIZE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}

TestLife = Life.TestCase
TestLife.settings = settings(max_examples=5, stateful_step_count=14, **SIZE)


@pytest.mark.slow
def test_many_long_lives() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=25, stateful_step_count=40, **SIZE))


BUGS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "an old attempt is listened to": (rules, "check_attempt", lambda *a, **k: None),
    "the cap is not looked at": (
        rules,
        "check_hand_out",
        lambda sweep, state, cap, number: rules.check_open(sweep, state),
    ),
    "a failed trial is retried again and again": (retry_module, "_repeats", lambda trials: {}),
    "a canceled sweep can be reopened": (rules, "check_move", lambda sweep, state, to: state is not to),
    "equal values are another result": (rules, "same_values", lambda a, b: False),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_it_finds(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BUGS[bug])
    with pytest.raises((AssertionError, KeyError, IndexError)):
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=200, stateful_step_count=40, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False, **SIZE
            ),
        )  # fmt: skip
