"""Who holds a lease: the same process always says the same, another one never does."""

import subprocess
import sys

import psutil

from whet.store.owner import alive, here


def test_this_process_lives_whatever_the_clock_says(monkeypatch):
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)  # as after a step of the clock
    host, pid, started = here().split("|")
    assert alive(here()) is True
    assert alive(f"{host}|{pid}|{int(float(started)) + 100}") is False  # a later process of the same pid
    assert alive(f"elsewhere|{pid}|{started}") is None
    assert alive(f"{host}|no pid|{started}") is None


def test_a_process_that_ended_is_dead_also_before_its_parent_has_looked():
    code = "from whet.store.owner import here; print(here(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    owner = child.stdout.readline().strip()
    assert alive(owner) is True
    child.stdin.close()
    psutil.Process(child.pid)  # still there, at the latest as a zombie, until it is waited for
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert alive(owner) is False
    child.wait()
    child.stdout.close()
    assert alive(owner) is False
