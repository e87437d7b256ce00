"""``whet completion``: the shell's completion of commands, options, runs and sweeps."""

from __future__ import annotations

import click

from whet.cli import output
from whet.errors import UnknownName

__all__ = ["command"]

_INSTALL = {
    "bash": "whet completion bash > ~/.local/share/bash-completion/completions/whet  (then open a new shell)",
    "zsh": "whet completion zsh > ~/.zfunc/_whet  (with fpath+=~/.zfunc before compinit in ~/.zshrc)",
    "fish": "whet completion fish > ~/.config/fish/completions/whet.fish",
}


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish")
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell. The ids of runs and sweeps complete from the store.

    \b
    Send it to:
      bash  ~/.local/share/bash-completion/completions/whet
      zsh   ~/.zfunc/_whet, with fpath+=~/.zfunc before compinit in ~/.zshrc
      fish  ~/.config/fish/completions/whet.fish
    and open a new shell.
    """
    from click.shell_completion import get_completion_class

    if shell not in _INSTALL:
        raise UnknownName.of("shell", shell, _INSTALL)
    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    output.say(kind(context.find_root().command, {}, "whet", "_WHET_COMPLETE").source())
    if output.on_terminal():
        output.tell(f"to install it: {_INSTALL[shell]}")
