import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.errors import StoreUnavailable
from whet.track import spool
from whet.track.spool import SpoolReader, SpoolWriter, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.tuples(st.sampled_from("rcsm"), VALUES).map(list), min_size=1, max_size=8)


def whole(path: Path) -> list[list[object]]:
    reader = SpoolReader(path)
    found: list[list[object]] = []
    while (piece := reader.read(64)).end > piece.start:
        found += piece.records
    return found


@given(records=RECORDS)
def test_what_goes_in_comes_out(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("s") / "spool-0"
    writer = SpoolWriter(path)
    for record in records:
        writer.append(record)
    assert writer.close()
    assert whole(path) == records


@given(records=RECORDS, cut=st.integers(0, 10_000))
def test_a_torn_tail_costs_only_itself_and_a_new_writer_goes_on(tmp_path_factory, records, cut):
    path = tmp_path_factory.mktemp("s") / "spool-0"
    data = b"".join(encode(r) for r in records)
    path.write_bytes(data[: cut % (len(data) + 1)])
    kept = whole(path)
    assert kept == records[: len(kept)]
    assert len(kept) == data[: cut % (len(data) + 1)].count(b"\n")
    writer = SpoolWriter(path)
    writer.append(["x", 1])
    writer.close()
    assert whole(path)[-1] == ["x", 1]
    # A line that lost nothing but its newline is whole again; otherwise nothing is invented.
    assert whole(path)[:-1] in (kept, records[: len(kept) + 1])


@settings(max_examples=200)
@given(records=RECORDS, at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_and_the_others_are_read(tmp_path_factory, records, at, bit):
    path = tmp_path_factory.mktemp("s") / "spool-0"
    records = [[kind, i, value] for i, (kind, value) in enumerate(records)]
    data = bytearray(b"".join(encode(r) for r in records))
    at %= len(data)
    hit = bytes(data[:at]).count(b"\n")
    data[at] ^= 1 << bit
    path.write_bytes(data)
    found = SpoolReader(path).read().records
    numbers = [r[1] for r in found]
    assert list(found) == [records[i] for i in numbers]  # nothing is invented
    assert numbers == sorted(set(numbers))
    assert set(range(len(records))) - set(numbers) <= {hit, hit + 1}  # a lost newline joins two lines


def test_a_line_that_swallowed_the_next_gives_it_back(tmp_path):
    path = tmp_path / "spool-0"
    lines = [encode(["r", i, 0.0, {"loss": float(i)}]) for i in range(4)]
    path.write_bytes(lines[0] + lines[1][:10] + lines[2] + lines[3])
    piece = SpoolReader(path).read()
    assert [r[1] for r in piece.records] == [0, 2, 3]
    assert piece.damaged == 1


def test_an_unfinished_line_is_left_for_later(tmp_path):
    path = tmp_path / "spool-0"
    one, two = encode(["r", 1]), encode(["r", 2])
    path.write_bytes(one + two[:5])
    reader = SpoolReader(path)
    assert reader.read().records == (["r", 1],)
    assert reader.read().records == ()
    path.write_bytes(one + two)
    piece = reader.read()
    assert piece.records == (["r", 2],)
    assert (piece.start, piece.end, piece.ends) == (len(one), len(one + two), (len(one + two),))


def test_kill_9_after_flush_loses_nothing(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from whet.track.spool import SpoolWriter
        writer = SpoolWriter(Path(sys.argv[1]))
        for i in range(20_000):
            writer.append(["r", i])
        assert writer.flush()
        for i in range(20_000, 30_000):
            writer.append(["r", i])
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    path = tmp_path / "spool-0"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    steps = [r[1] for r in whole(path)]
    assert len(steps) >= 20_000
    assert steps == list(range(len(steps)))


FULL = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    from whet.track.spool import SpoolReader, SpoolWriter
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    path = Path(sys.argv[1])
    writer = SpoolWriter(path)
    for i in range(1_000):
        writer.append(["r", i, "x" * 50])
    assert not writer.flush()                      # said truly: it is not in the file
    if sys.argv[2] == "freed":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert writer.flush()
    writer.close()
    print(len(SpoolReader(path).read(10**7).records))
""")


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(("then", "kept"), [("stays full", 70), ("freed", 1_000)])
def test_a_full_disk_stops_no_training_and_costs_nothing_once_there_is_room(tmp_path, then, kept):
    path = tmp_path / "spool-0"
    done = subprocess.run([sys.executable, "-c", FULL, str(path), then], capture_output=True, text=True, check=True)
    assert int(done.stdout) == kept
    said = done.stderr.splitlines()
    assert said[0] == (
        f"whet: can't write {path} (File too large): training goes on, what it logs stays in memory and is lost beyond 16 MB "
        "or when the process ends; free space on that disk and nothing will be"
    )
    assert said[1:] == (
        []
        if then == "freed"
        else [f"whet: {1000 - kept} records could not be written to {path} and are lost: free space on that disk"]
    )


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="make that folder writable, or name another one"):
        SpoolWriter(tmp_path / "runs" / "x" / "spool-0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe in the file system")
def test_appending_does_not_wait_for_the_disk(tmp_path, monkeypatch, capsys):
    """A pipe that nobody reads is a disk that hangs: `append` goes on, `flush` says no in time, and all that was taken comes out."""
    path = tmp_path / "spool-0"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(spool, "torn", lambda path: False)  # a pipe has no end to look at
    monkeypatch.setattr(spool, "_LONG_QUEUE", 5_000)
    monkeypatch.setattr(spool, "_MOST_QUEUED", 30_000)
    writer = SpoolWriter(path)
    for i in range(20_000):
        writer.append(["r", i])
    assert not writer.flush(timeout_s=0.3)
    assert writer.lost == 0
    for i in range(50_000):
        writer.append(["more", i])
    assert writer.lost > 0
    assert "takes no more for the time being: what is logged meanwhile is lost" in capsys.readouterr().err
    taken = 70_000 - writer.lost
    os.set_blocking(reading, True)
    data = b""
    while data.count(b"\n") < taken:
        data += os.read(reading, 1 << 16)
    writer.close()
    os.close(reading)
    assert len(data.splitlines()) == taken


def test_flush_says_yes_while_others_log_on(tmp_path):
    import threading

    writer = SpoolWriter(tmp_path / "spool-0")
    over = threading.Event()

    def chatter():
        while not over.wait(1e-4):
            writer.append(["m", {"noise": "x" * 10_000}])

    threads = [threading.Thread(target=chatter) for _ in range(2)]
    for thread in threads:
        thread.start()
    answers = [writer.flush() for _ in range(300)]
    over.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert all(answers)
