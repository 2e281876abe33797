"""Finds and reads the JSON files of an import, plain or compressed by gzip. Knows no format."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import InvalidInput

MOST_BYTES = 64 * 2**20
"""Of one file, unpacked: the largest neuron records are far below, and a file is read as a whole."""


def files_below(path: Path, suffix: str) -> list[Path]:
    """The file itself, or every file below a folder that ends in the suffix (or that and .gz), in the order of the
    numbers in their names: 2/10.json behind 2/9.json. Hidden files stay out.

    Errors: InvalidInput when there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidInput(f"there is no file or folder {path}")
    found = [file for pattern in (f"*{suffix}", f"*{suffix}.gz") for file in path.rglob(pattern) if file.is_file()]
    shown = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not shown:
        raise InvalidInput(f"{path} has no file that ends in {suffix} or {suffix}.gz")
    return sorted(shown, key=lambda file: _in_number_order(str(file.relative_to(path))))


def _in_number_order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def read_json(path: Path) -> Any:
    """Errors: InvalidInput for a file that cannot be read, is too large or is not JSON."""
    return _parsed(_read(path))


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Each line that is not empty: its number from 1, and its content or the InvalidInput that it is not JSON.

    Errors: InvalidInput for a file that cannot be read or is too large.
    """
    for number, line in enumerate(_read(path).split(b"\n"), 1):
        if line.strip():
            yield number, _parsed_or_error(line)


def read_long_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """As read_json_lines, of a file that may be larger than memory, and whose lines may not.

    Errors: InvalidInput for a file that cannot be read, and for a line that is too large.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            while line := file.readline(MOST_BYTES + 1):
                number += 1
                if len(line) > MOST_BYTES:
                    raise InvalidInput(f"{path}, line {number} has more than {MOST_BYTES // 2**20} MiB")
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    yield number, _parsed_or_error(line)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InvalidInput(f"{path} is not a whole gzip file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def _parsed_or_error(line: bytes) -> Any:
    try:
        return _parsed(line)
    except InvalidInput as error:
        return error


def _read(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InvalidInput("the file is not a whole gzip file") from None
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"the file has more than {MOST_BYTES // 2**20} MiB; expected one neuron")
    return content


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not JSON: {error.msg.lower()} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise InvalidInput("not UTF-8 text; expected JSON") from None
    except RecursionError:
        raise InvalidInput("the JSON is nested too deeply") from None
    except ValueError:
        # The only other one: Python refuses to read whole numbers of thousands of digits.
        raise InvalidInput("a number in the JSON has too many digits") from None
