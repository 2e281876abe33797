"""The built-in corpus: prose of the interpreter's own documentation. Real text that every installation already has.

It is what `help()` shows: the reference topics of `pydoc_data`, and the docstrings of the standard library, found by
parsing its source files. Nothing of it is imported or run.
"""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

TOPICS = "pydoc_data/topics.py"
FEWEST_WORDS = 8
SMALLEST_SHARE_OF_LETTERS = 0.85
SIGNS_OF_CODE = (">>>", "::=", "---", "***", "===", "| ")
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
            yield prose("\n\n".join(fresh))


def prose(text: str) -> str:
    """The paragraphs of a text that read as sentences, each in one line; tables, grammars, examples and lists go.

    What neurons answer to would otherwise be indentation and rules of dashes, of which documentation is full.
    """
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    return "\n".join(paragraph for paragraph in paragraphs if _reads_as_sentences(paragraph))


def _reads_as_sentences(paragraph: str) -> bool:
    n_letters = sum(character.isalpha() or character == " " for character in paragraph)
    is_wordy = len(paragraph.split()) >= FEWEST_WORDS and n_letters >= SMALLEST_SHARE_OF_LETTERS * len(paragraph)
    return is_wordy and paragraph[-1] in ".:!?)" and not any(sign in paragraph for sign in SIGNS_OF_CODE)


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
            yield from (prose(topics[name]) for name in sorted(topics))


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
