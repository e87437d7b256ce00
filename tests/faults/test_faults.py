"""Whatever is killed, lost or repeated: nothing acknowledged is lost, no number is given twice, caps are kept, the best is right."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults.campaign import Campaign, violations

from whet.store import open_store
from whet.store.check import check

FAULTS = int(os.environ.get("WHET_FAULTS", "60"))


def attack(campaign: Campaign, faults: int, capsys: pytest.CaptureFixture[str]) -> None:
    campaign.run(faults)
    with contextlib.closing(open_store(campaign.store_url)) as store:
        wrong = list(violations(store, campaign.sweep, campaign.folder, campaign.cap))
        wrong += [finding.problem for finding in check(store)]
        phases = Counter(trial.phase.value for trial in store.trials.changes(campaign.sweep).trials)
    with capsys.disabled():
        print(f"\nfaults injected: {sum(campaign.counts.values())} ({dict(campaign.counts)})")
        print(f"trials: {dict(phases)}, {campaign.num_under_fire} of them under fire; violations: {len(wrong)}")
    assert wrong == []
    assert campaign.num_under_fire > faults / 20


@pytest.mark.slow
def test_faults_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attack(Campaign(tmp_path, f"sqlite:///{tmp_path / 'whet.db'}", cap=FAULTS + 20), FAULTS, capsys)


@pytest.mark.slow
@pytest.mark.postgres
def test_faults_on_postgres(
    tmp_path: Path, postgres_server: Any, new_database: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(5)

    def kill_database() -> None:
        """Kill a process that serves somebody: PostgreSQL then drops all connections and recovers."""
        master = psutil.Process(int((postgres_server.folder / "data/postmaster.pid").read_text().split()[0]))
        serving = [child for child in master.children() if " 127.0.0.1(" in " ".join(child.cmdline())]
        if serving:
            rng.choice(serving).kill()

    attack(Campaign(tmp_path, new_database(), cap=FAULTS + 20, kill_database=kill_database), FAULTS, capsys)
