"""Writes a file whole or not at all, so that an export that was stopped leaves no half of one behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".part"


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the name at the end of the block, and is gone when the block raises. Makes the
    folder if need be. Errors: OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + SUFFIX)
    try:
        with part.open("wb") as opened:
            yield opened
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(file: Path, content: bytes) -> None:
    """Makes the folder if need be, and replaces an earlier file at the end. Errors: OSError."""
    with whole_file(file) as opened:
        opened.write(content)
