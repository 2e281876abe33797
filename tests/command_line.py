"""The command `neuronjury` within the process of a test: what it printed where, and how it ended."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.cli import main


@dataclass(frozen=True)
class Ended:
    exit_code: int
    out: str
    err: str


Run = Callable[..., Ended]


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Gives what runs a command with the environment as it is by then. Arguments may be paths."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["neuronjury", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run
