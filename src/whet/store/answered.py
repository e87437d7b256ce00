"""What was done once for a key is not done again, however often it is asked for: the answer is kept in the transaction that did it."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from whet.store.codec import dump, load
from whet.store.database import Statement, Transaction
from whet.store.rows import add_if_new
from whet.store.schema import answers

__all__ = ["KEPT_S", "before", "forget", "keep"]

KEPT_S = 86_400.0
"""How long answers are kept: nobody asks again after that."""

_CLAIM = add_if_new(answers)
_BEFORE = Statement(select(answers.c.answer).where(answers.c.key == bindparam("asked")))
_KEEP = Statement(update(answers).where(answers.c.key == bindparam("asked")).values(answer=bindparam("found")))
_FORGET = Statement(delete(answers).where(answers.c.at < bindparam("then")))


def before(tx: Transaction, once: str | None) -> Any:
    """Return the answer that there is for the key `once`; None: it is new, or none.

    Whoever asks at the same time waits here until the transaction has ended.
    """
    if once is None:
        return None
    now = time.time()
    if tx.run(_CLAIM, key=once, answer="null", at=now) > 0:
        forget(tx, now)
        return None
    return load(tx.rows(_BEFORE, asked=once)[0][0])


def keep(tx: Transaction, once: str | None, answer: object) -> None:
    """Keep the answer for the key `once`, if there is one."""
    if once is not None:
        tx.run(_KEEP, asked=once, found=dump(answer))


def forget(tx: Transaction, now: float) -> int:
    """Drop answers that are too old, and return how many these were."""
    return max(0, tx.run(_FORGET, then=now - KEPT_S))
