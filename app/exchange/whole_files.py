"""Writes a file whole or not at all, so that an export that was stopped leaves no half of one behind."""

import os
from pathlib import Path

SUFFIX = ".part"


def write_whole(file: Path, content: bytes) -> None:
    """Makes the folder if need be, and replaces an earlier file at the end. Errors: OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + SUFFIX)
    try:
        part.write_bytes(content)
        os.replace(part, file)
    except OSError:
        part.unlink(missing_ok=True)
        raise
