"""How benchmarks print what they measured: a line on the machine, a table for people, one JSON line per figure."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number.

    bound: the largest value it may have, or the smallest where at_least is set; None where none is set.
    """

    figure: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def judgement(self) -> str:
        """`at most 5: holds`; empty where no bound is set."""
        if self.bound is None:
            return ""
        return f"at {'least' if self.at_least else 'most'} {self.bound:g}: {'holds' if self.holds else 'MISSED'}"


def print_machine() -> None:
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(
        f"{_processor()}, {cores} cores, Python {platform.python_version()}, load {load:.1f} at the start", flush=True
    )


def print_figures(figures: Sequence[Figure]) -> None:
    width = max(len(figure.figure) for figure in figures)
    for figure in figures:
        print(f"{figure.figure:{width}}  {figure.value:10.4g} {figure.unit:9} {figure.judgement}".rstrip())
    for figure in figures:
        row = {"figure": figure.figure, "value": figure.value, "unit": figure.unit}
        print(json.dumps(row | {"bound": figure.bound, "at_least": figure.at_least, "holds": figure.holds}))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
