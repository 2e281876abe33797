"""The house rules that are tests, not prose: the README shows the real tree, settings, commands and pages."""

import re
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings

TOP = Path(__file__).resolve().parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")


def tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True, text=True)
    return [name for name in listing.stdout.splitlines() if (TOP / name).exists()]


def documented_tree() -> set[str]:
    """Every path of the README's tree; a line holds names, the rest is its comment."""
    block = README.split("## The tree")[1].split("```")[1]
    paths: set[str] = set()
    folders: list[tuple[int, str]] = []
    for line in filter(str.strip, block.splitlines()):
        indent = len(line) - len(line.lstrip())
        folders = [folder for folder in folders if folder[0] < indent]
        names = re.split(r"\s{2,}", line.strip())[0].split()
        prefix = folders[-1][1] if folders else ""
        paths |= {prefix + name for name in names}
        if names[0].endswith("/"):
            folders.append((indent, prefix + names[0]))
    return paths


def test_the_readme_shows_every_source_file_and_no_other() -> None:
    real = {name for name in tracked_files() if re.match(r"(app|worker)/.*\.py$", name)}
    real = {name for name in real if not name.endswith("__init__.py")}
    shown = {path for path in documented_tree() if path.endswith(".py") and path.startswith(("app/", "worker/"))}
    assert shown == real


def test_the_top_level_of_the_tree_is_the_real_one() -> None:
    real = {name.split("/")[0] + ("/" if "/" in name else "") for name in tracked_files()}
    shown = {path.split("/")[0] + ("/" if "/" in path else "") for path in documented_tree()}
    assert shown == real


def test_the_readme_lists_every_setting_with_its_description() -> None:
    documented = dict(re.findall(r"^\| `NEURONJURY_(\w+)` \| (.+?) \|", README, re.MULTILINE))
    expected = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    assert documented == expected


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*)(?:%)?:", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][\w-]*)", README))
    benchmarks = {f"bench-{path.stem}" for path in (TOP / "tests" / "benchmarks").glob("[a-z]*.py")}
    assert named <= targets | benchmarks


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "common.py", "misc.py", "core.py"])
def test_no_file_has_a_name_that_says_nothing(name: str) -> None:
    assert [path for path in tracked_files() if path.endswith("/" + name)] == []


def test_no_source_file_is_longer_than_three_hundred_lines() -> None:
    sources = [TOP / name for name in tracked_files() if name.startswith(("app/", "worker/")) and name.endswith(".py")]
    assert [str(path) for path in sources if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
