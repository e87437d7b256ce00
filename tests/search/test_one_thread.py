import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # so that its BLAS is seen
from threadpoolctl import ThreadpoolController

from whet.plugins import build
from whet.search import merit
from whet.search.one_thread import in_one_thread
from whet.space import Float, Space
from whet.trial import Phase, Problem, Trial


@pytest.fixture
def blas():
    """BLAS with three threads, however many cores there are."""
    found = ThreadpoolController().select(user_api="blas")

    def put(numbers):
        for library, number in zip(found.lib_controllers, numbers, strict=True):
            library.set_num_threads(number)

    def elsewhere(
        numbers,
    ):  # the thread that set it last would be the only one whose word counts, as long as it is there
        thread = threading.Thread(target=put, args=(numbers,))
        thread.start()
        thread.join()

    before = [library.num_threads for library in found.lib_controllers]
    elsewhere([3] * len(before))
    yield lambda: {one["num_threads"] for one in found.info()}
    elsewhere(before)


def test_within_there_is_one_thread_and_afterwards_as_many_as_before(blas):
    assert blas() == {3}
    assert in_one_thread(in_one_thread(blas))() == {1}
    assert blas() == {3}


def test_an_error_within_leaves_it_as_it_was(blas):
    with pytest.raises(ZeroDivisionError):
        in_one_thread(lambda: 1 / 0)()
    assert blas() == {3}


def test_each_thread_that_asks_has_one_thread(blas):
    """At a time, and one after the other while the first is still there."""
    is_done, may_go, seen = threading.Event(), threading.Event(), []

    def first() -> None:
        seen.append(in_one_thread(blas)())
        is_done.set()
        may_go.wait(10)

    threads = [threading.Thread(target=first) for _ in range(3)]
    for thread in threads:
        thread.start()
    is_done.wait(10)
    seen.append(in_one_thread(blas)())
    may_go.set()
    for thread in threads:
        thread.join()
    assert seen == [{1}] * 4
    assert blas() == {3}


def test_a_gaussian_process_suggests_in_one_thread(blas, monkeypatch):
    seen = []
    score = merit.Merit.score
    monkeypatch.setattr(merit.Merit, "score", lambda *args: (seen.append(blas()), score(*args))[1])
    gp = build("searcher", "gp", Problem(space=Space({"x": Float(0, 1)})), seed=0, knobs_given={"num_startup": 2})
    values = np.linspace(0, 1, 6)
    gp.tell([Trial(number=i, params={"x": x}, phase=Phase.FINISHED, values=(x * x,)) for i, x in enumerate(values)], [])
    gp.ask(1)
    gp.expected_gain()
    assert seen
    assert all(one == {1} for one in seen)
    assert blas() == {3}
