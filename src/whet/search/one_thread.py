"""Linear algebra in one thread: matrices of a few hundred trials are too small to be shared out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["in_one_thread"]

P = ParamSpec("P")
R = TypeVar("R")
_turns = threading.RLock()


def in_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` that holds BLAS to one thread while it runs; afterwards it has as many as before.

    Over such matrices threads wait for each other for longer than they work, and sums that another machine shares out
    differently end in other digits, so in other suggestions. OpenBLAS's number of threads is the process's: threads that ask at a time take
    turns, and other threads of the process have one, too, for the milliseconds that a suggestion takes.
    """

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with _turns, _blas().limit(limits=1):
            return function(*args, **kwargs)

    return within


@functools.cache
def _blas() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  # its BLAS is another than numpy's, and what is not loaded is not found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
