"""Make the pictures of the README from real runs: ``python docs/images/record.py`` (about three minutes; needs a Unix terminal).

Each command runs under a pseudo-terminal in an empty folder. Its output is kept as a terminal would show it at the end, and for the
demo as it was when two thirds of the trials were over.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLUMNS, LINES = 112, 60
# Without the fonts of a remote server, which a README's picture may not load anyway.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
CONTROL = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*[A-Za-z])|\r|\n")


class Screen:
    """As much of a terminal as rich's live display needs: lines, and a cursor that goes up, down and to the left edge."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self.home = True  # the next text begins the line anew

    def feed(self, text: str) -> None:
        """Take in output; a control sequence must not be cut in two."""
        place = 0
        for found in CONTROL.finditer(text):
            self._write(text[place : found.start()])
            place = found.end()
            self._control(found.group(0))
        self._write(text[place:])

    def _write(self, text: str) -> None:
        if text:
            self.lines[self.row] = text if self.home else self.lines[self.row] + text
            self.home = False

    def _control(self, code: str) -> None:
        if code == "\r":
            self.home = True
        elif code == "\n":
            self.row += 1
            self.home = True
            if self.row == len(self.lines):
                self.lines.append("")
        elif code.endswith("m"):
            if self.home:
                self.lines[self.row] = ""
            self.lines[self.row] += code
            self.home = False
        elif code.endswith("A"):
            self.row = max(0, self.row - int(code[2:-1] or 1))
        elif code.endswith("K"):
            self.lines[self.row] = ""
            self.home = True

    def text(self) -> str:
        """What is to be seen, without empty lines at the end."""
        return "\n".join(self.lines).rstrip()


def record(command: list[str], environ: dict[str, str], until: str | None = None) -> tuple[str, str]:
    """Return what a terminal shows when `command` is over, and what it showed when `until` (a pattern) was first on it."""
    parent, child = pty.openpty()
    import fcntl
    import termios

    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=child, stderr=child, close_fds=True
    )
    os.close(child)
    screen, moment, rest = Screen(), "", b""
    while True:
        select.select([parent], [], [])
        try:
            piece = os.read(parent, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            piece = b""
        if not piece:
            break
        piece = rest + piece
        cut = max(piece.rfind(b"\n"), piece.rfind(b"m"), piece.rfind(b"K"), piece.rfind(b"l"), piece.rfind(b"h")) + 1
        rest = piece[cut:]
        screen.feed(piece[:cut].decode())
        if until and not moment and re.search(until, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text())):
            moment = screen.text()
    screen.feed(rest.decode())
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{screen.text()}")
    os.close(parent)
    return screen.text(), moment


def picture(name: str, title: str, scenes: list[tuple[str, str]]) -> None:
    """Write an SVG of prompts, each with what is below it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for i, (prompt, text) in enumerate(scenes):
        if i:
            console.print()
        if prompt:
            console.print(Text.assemble(("$ ", "bold green"), (prompt, "bold")))
        console.print(Text.from_ansi(text), overflow="fold")
    (HERE / name).write_text(console.export_svg(title=title, code_format=FORMAT, unique_id=Path(name).stem))
    print(HERE / name)


def main() -> None:
    """Record everything."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            **os.environ, "WHET_DIR": str(Path(folder) / ".whet"), "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "COLUMNS": str(COLUMNS), "LINES": str(LINES),
        }  # fmt: skip
        whet = str(Path(sys.executable).with_name("whet"))
        end, moment = record([sys.executable, "-m", "examples.digits"], environ, until=r"\b2[6-9]( of |/)40")
        picture("demo.svg", "make demo", [("make demo", moment), ("", "… and at the end:"), ("", end)])
        best, _ = record([whet, "best"], environ)
        compare, _ = record([whet, "compare", "digits-40", "--top", "8"], environ)
        picture("look.svg", "whet", [("whet best", best), ("whet compare digits-40 --top 8", compare)])


if __name__ == "__main__":
    main()
