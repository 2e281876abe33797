"""How benchmarks print what they measured: a line on the machine, a table for people, one JSON line per figure."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number. bound: the largest value it may have; None where none is set."""

    figure: str
    value: float
    unit: str
    bound: float | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.bound is None else self.value <= self.bound


def print_machine() -> None:
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(
        f"{_processor()}, {cores} cores, Python {platform.python_version()}, load {load:.1f} at the start", flush=True
    )


def print_figures(figures: Sequence[Figure]) -> None:
    width = max(len(figure.figure) for figure in figures)
    for figure in figures:
        bound = "" if figure.bound is None else f"at most {figure.bound:g}: {'holds' if figure.holds else 'MISSED'}"
        print(f"{figure.figure:{width}}  {figure.value:10.4g} {figure.unit:9} {bound}".rstrip())
    for figure in figures:
        row = {"figure": figure.figure, "value": figure.value, "unit": figure.unit}
        print(json.dumps(row | {"bound": figure.bound, "holds": figure.holds}))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
