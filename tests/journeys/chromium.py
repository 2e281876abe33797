"""Finds a Chromium for the journeys, or installs Debian's: `python -m tests.journeys.chromium`, part of `make test`."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
HOW_TO_GET_ONE = "no Chromium found: install one (Debian, Ubuntu: apt-get install chromium), or name it in CHROMIUM"


def find_chromium() -> str | None:
    """Path of a Chromium: the one in the variable CHROMIUM, else the first on PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


def install_chromium() -> None:
    """Debian's package, where this user may install packages."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)


def main() -> None:
    if find_chromium() is None:
        install_chromium()
    if find_chromium() is None:
        sys.exit(HOW_TO_GET_ONE)


if __name__ == "__main__":
    main()
