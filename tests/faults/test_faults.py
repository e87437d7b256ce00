"""Whatever is killed, lost or repeated: nothing acknowledged is lost, no number is given twice, caps are kept, the best is right."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.campaign import Campaign, violations

from whet.store import open_store

FAULTS = int(os.environ.get("WHET_FAULTS", "60"))


@pytest.mark.slow
def test_faults_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(tmp_path, f"sqlite:///{tmp_path / 'whet.db'}", cap=3 * FAULTS)
    campaign.run(FAULTS)
    with contextlib.closing(open_store(campaign.store_url)) as store:
        wrong = list(violations(store, campaign.sweep, tmp_path, campaign.cap))
        phases = Counter(trial.phase.value for trial in store.trials.changes(campaign.sweep).trials)
    with capsys.disabled():
        print(f"\nfaults injected: {sum(campaign.counts.values())} ({dict(campaign.counts)})")
        print(f"trials: {dict(phases)}; violations: {len(wrong)}")
    assert wrong == []
