"""Files of text and the documents in them: a .txt is one document, each line of a .jsonl is one, in its field `text`.

Text of the world is not always clean: bytes that are not UTF-8 and half surrogate pairs become U+FFFD. Knows no tokens.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import InvalidInput

SUFFIXES = (".txt", ".jsonl")

LARGEST_SHARE_INVALID = 0.5
LARGEST_SHARE_OF_NUL = 0.01
"""Of a file's bytes. UTF-8 has hardly any; a program or an image has many, and UTF-16 every second one."""

# Decoding puts a byte that is not UTF-8 into U+DC80 to U+DCFF, where UTF-8 itself can put nothing.
INVALID_BYTE = re.compile("[\udc80-\udcff]")
HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def read_bytes(file: Path) -> bytes:
    """Errors: InvalidInput for a file that cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None


def n_invalid_bytes(file: Path) -> int:
    """How many bytes of a file are not UTF-8. Errors: InvalidInput for a file that is no text at all."""
    return _decoded(file)[1]


def documents(files: Sequence[Path]) -> Iterator[str]:
    """The documents of files, in their order. Errors: InvalidInput naming the file, and in a .jsonl the line."""
    for file in files:
        text, _n_invalid = _decoded(file)
        if file.suffix == ".txt":
            yield text
        else:
            for number, line in enumerate(text.split("\n"), start=1):
                if line.strip():
                    yield _text_of_line(file, number, line)


def _decoded(file: Path) -> tuple[str, int]:
    """(text, how many bytes were not UTF-8)"""
    content = read_bytes(file)
    n_nul = content.count(0)
    if n_nul > LARGEST_SHARE_OF_NUL * len(content):
        raise InvalidInput(f"{file} is no text: {n_nul:,} of its {len(content):,} bytes are 0; expected UTF-8")
    text = content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    text, n_invalid = INVALID_BYTE.subn(REPLACEMENT, text)
    if n_invalid > LARGEST_SHARE_INVALID * len(content):
        raise InvalidInput(f"{file} is no text: {n_invalid:,} of its {len(content):,} bytes are not UTF-8")
    return text, n_invalid


def _text_of_line(file: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        # Besides JSON that is broken: brackets nested too deep, numbers too long.
        raise InvalidInput(f"{file}, line {number}: not JSON ({getattr(error, 'msg', error)})") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InvalidInput(f'{file}, line {number}: expected an object with the field "text", a string')
    return HALF_OF_A_PAIR.sub(REPLACEMENT, row["text"])
