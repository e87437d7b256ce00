"""The laws of tokens."""

from __future__ import annotations

import re
import time

import pytest

from whet.errors import Conflict, NotFound, StoreError
from whet.store.base import Store
from whet.store.token import Scope
from whet.testing.store_case import StoreCase

__all__ = ["TokenLaws"]


class TokenLaws(StoreCase):
    """What every store does alike with tokens."""

    def test_a_token_comes_back_as_it_was_made_and_its_secret_never(self, store: Store) -> None:
        before = time.time()
        token, secret = store.tokens.create(
            Scope.WRITE, projects=["q", "p", "q"], name="for the ü cluster", expires=before + 60
        )
        assert re.fullmatch(f"whet_{token.id}_[0-9a-f]{{64}}", secret)
        assert re.fullmatch("[0-9a-z]{10}", token.id)
        assert (token.scope, token.projects, token.name) == (Scope.WRITE, ("p", "q"), "for the ü cluster")
        assert before <= token.created <= time.time()
        assert (token.expires, token.revoked, token.used) == (before + 60, None, None)
        plain, _ = store.tokens.create(Scope.READ)
        assert (plain.projects, plain.name, plain.expires) == ((), "", None)
        assert store.tokens.all() == [plain, token]
        assert secret not in repr(store.tokens.all())

    def test_only_the_whole_secret_is_known(self, store: Store) -> None:
        token, secret = store.tokens.create(Scope.READ)
        other, its_secret = store.tokens.create(Scope.ADMIN)
        assert store.tokens.check(secret) == token
        assert store.tokens.check(its_secret) == other
        swapped = its_secret.replace(other.id, token.id)
        last = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        wrong = (swapped, last, secret[:-1], secret + "0", secret.upper(), f" {secret}", token.id, f"whet_{token.id}")
        for text in (
            *wrong,
            "",
            "whet_",
            "_",
            "\0",
            "ü",
            "\udcff",
            "\ud800",
            "whet_0000000000_" + 64 * "0",
            "'; DROP TABLE tokens",
        ):
            assert store.tokens.check(text) is None, text

    def test_what_is_kept_of_a_secret_is_its_digest(self, store: Store) -> None:
        import hashlib

        token, secret = store.tokens.create(Scope.READ)
        found = store.tokens.read(token.id)
        assert found is not None
        assert found[1] == hashlib.sha256(secret.encode()).hexdigest()

    def test_tokens_end_by_time_or_by_hand(self, store: Store) -> None:
        now = time.time()
        token, secret = store.tokens.create(Scope.READ, expires=now + 60)
        assert token.is_live(now + 59)
        assert not token.is_live(now + 60)
        revoked = store.tokens.revoke(token.id[:6])
        assert revoked.revoked is not None
        assert store.tokens.revoke(token.id) == revoked  # again, harmless
        assert store.tokens.check(secret) == revoked
        assert not revoked.is_live(now)
        with pytest.raises(StoreError, match="is not later than now"):
            store.tokens.create(Scope.READ, expires=now - 1)

    def test_tokens_are_found_by_id_beginning_and_name(self, store: Store) -> None:
        token, _ = store.tokens.create(Scope.READ, name="ci")
        store.tokens.create(Scope.READ, name="two")
        store.tokens.create(Scope.READ, name="two")
        assert store.tokens.find(token.id) == store.tokens.find(token.id[:8]) == store.tokens.find("ci") == token
        with pytest.raises(NotFound, match="'two' is several tokens"):
            store.tokens.find("two")
        for text in ("", "nonsense"):
            with pytest.raises(NotFound, match="no token"):
                store.tokens.find(text)

    def test_only_what_is_good_for_nothing_is_forgotten(self, store: Store) -> None:
        token, secret = store.tokens.create(Scope.READ)
        with pytest.raises(Conflict, match="is still good"):
            store.tokens.forget(token.id)
        store.tokens.revoke(token.id)
        store.tokens.forget(token.id)
        assert store.tokens.all() == []
        assert store.tokens.check(secret) is None
        with pytest.raises(NotFound):
            store.tokens.forget(token.id)

    def test_uses_are_written_down_now_and_then(self, store: Store) -> None:
        token, _ = store.tokens.create(Scope.READ)
        store.tokens.use(token, 1000.0)
        (used,) = store.tokens.all()
        assert used.used == 1000.0
        store.tokens.use(used, 1010.0)
        assert store.tokens.all() == [used]
        store.tokens.use(used, 2000.0)
        assert store.tokens.find(token.id).used == 2000.0

    def test_scopes_are_in_order(self) -> None:
        """Each scope covers itself and those before it."""
        read, write, admin = Scope
        covers = [[a.covers(b) for b in Scope] for a in (read, write, admin)]
        assert covers == [[True, False, False], [True, True, False], [True, True, True]]
