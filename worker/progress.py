"""Shows how far a recording is: a bar on a terminal, a line for each tenth where the output goes to a file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

Shown = Callable[[str, int, int], None]
UNITS = {"recording": "tokens", "storing": "layers"}
N_LINES = 10


@contextmanager
def shown(console: Console | None = None) -> Iterator[Shown]:
    """Gives the function to call with (stage, done, total). A stage without numbers has total 0."""
    console = Console(file=sys.stderr) if console is None else console
    if not console.is_terminal:
        yield _Lines(console)
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), _Speed(), TimeRemainingColumn(), console=console, transient=True
    )
    with bar:
        yield _Bar(bar)


class _Speed(ProgressColumn):
    """`512 tokens/s`, once there is a speed."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} {UNITS[task.description]}/s" if task.speed else "")


class _Bar:
    def __init__(self, bar: Progress):
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            for earlier in self._tasks.values():
                self._bar.update(earlier, visible=False)
            self._tasks[stage] = self._bar.add_task(stage, total=total or None, completed=done)
        self._bar.update(self._tasks[stage], completed=done)


class _Lines:
    def __init__(self, console: Console):
        self._console = console
        self._stage = ""
        self._started = 0.0
        self._first = 0
        self._n_shown = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._stage, self._started = stage, time.monotonic()
            # A recording that goes on from where it was stopped has a speed all the same: that of what is new.
            self._first, self._n_shown = done, done * N_LINES // total if total else 0
            if not total:
                self._say(stage)
        if total and done * N_LINES // total > self._n_shown:
            self._n_shown = done * N_LINES // total
            seconds = max(time.monotonic() - self._started, 1e-9)
            n_new = done - self._first
            left = seconds / n_new * (total - done)
            unit = UNITS[stage]
            self._say(f"{stage}: {done} of {total} {unit}, {n_new / seconds:.0f} {unit}/s, {left:.0f} s left")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)
