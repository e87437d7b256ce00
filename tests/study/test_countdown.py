"""Turns that threads share."""

from __future__ import annotations

from whet.study.countdown import Countdown


def test_a_turn_given_back_after_a_vain_try_can_be_taken() -> None:
    left = Countdown(1)
    assert left.take()
    assert not left.take()
    assert not left.take()
    left.give_back()
    assert left.take()
    assert not left.take()


def test_none_is_without_end() -> None:
    left = Countdown(None)
    assert all(left.take() for _ in range(100))
