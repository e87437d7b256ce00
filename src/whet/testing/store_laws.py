"""The laws of a store, as tests to inherit.

Stores that keep tokens, as all do but the one over HTTP, inherit `whet.testing.store_token_laws.TokenLaws`, too.

Example::

    class TestMine(StoreLaws):
        def make(self):
            return MyStore(...)
"""

from __future__ import annotations

from whet.testing.store_page_laws import PageLaws
from whet.testing.store_replay_laws import ReplayLaws
from whet.testing.store_run_laws import RunLaws
from whet.testing.store_sweep_laws import SweepLaws
from whet.testing.store_table_laws import TableLaws
from whet.testing.store_trial_laws import TrialLaws

__all__ = ["StoreLaws"]


class StoreLaws(SweepLaws, TrialLaws, RunLaws, TableLaws, ReplayLaws, PageLaws):
    """What every store does alike. Inherit, and say with `make` how to get an empty one."""
