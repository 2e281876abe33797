"""The built-in corpus: prose of the interpreter's own documentation. Real text that every installation already has.

It is what `help()` shows: the reference topics of `pydoc_data`, and the docstrings of the standard library, found by
parsing its source files. Nothing of it is imported or run.
"""

import ast
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

TOPICS = "pydoc_data/topics.py"
# Tests and what others installed are not the interpreter's documentation; the last two are its oldest tools.
SKIPPED_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "idlelib"})


def source_files() -> list[Path]:
    """The topics first, then the modules of the standard library in the order of their paths."""
    root = Path(sysconfig.get_path("stdlib"))
    relative = (path.relative_to(root) for path in root.rglob("*.py"))
    kept = sorted(path.as_posix() for path in relative if not SKIPPED_FOLDERS.intersection(path.parts))
    return [root / path for path in sorted(kept, key=lambda path: path != TOPICS)]


def documents(files: Sequence[Path]) -> Iterator[str]:
    """One document for each topic, and one for each module: its docstrings with a blank line between them."""
    seen: set[str] = set()
    for file in files:
        tree = _parsed(file)
        if file.as_posix().endswith(TOPICS):
            yield from _topics(tree)
        else:
            # Many docstrings stand in several classes or modules, word for word.
            fresh = [text for text in dict.fromkeys(_docstrings(tree)) if text not in seen]
            seen.update(fresh)
            yield "\n\n".join(fresh)


def _parsed(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        # Old modules have escapes in their strings that newer interpreters warn about.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(file.read_bytes())
        except SyntaxError:
            # Some distributions ship templates that end in .py but are not Python until they are filled in.
            return ast.Module(body=[], type_ignores=[])


def _topics(tree: ast.Module) -> Iterator[str]:
    """The values of `topics = {name: text}`, in the order of the names."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(statement.value)
            yield from (topics[name] for name in sorted(topics))


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
