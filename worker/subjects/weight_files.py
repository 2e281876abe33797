"""Reads the headers of the weights that transformers saved, to know their number and whether the files are whole.

A safetensors file starts with 8 bytes that give the length of a header in JSON, which lists every tensor with its
shape and its place in the rest of the file. Source: huggingface.co/docs/safetensors. No weight is read here.
"""

import json
import math
from pathlib import Path

from app.errors import InvalidInput

ONE_FILE = "model.safetensors"
INDEX_OF_MANY = "model.safetensors.index.json"

N_BYTES_OF_LENGTH = 8
LARGEST_HEADER = 100_000_000
"""Bytes. The format itself allows no more."""


def n_weights(folder: Path) -> int | None:
    """How many numbers the weights of a folder are; None when they are not stored as safetensors.

    Errors: InvalidInput naming the file that is missing, damaged or cut short.
    """
    files = _weight_files(folder)
    return sum(_n_weights(file) for file in files) if files else None


def _weight_files(folder: Path) -> list[Path]:
    # What else lies there may be the same weights again, saved for other programs.
    if not (folder / INDEX_OF_MANY).is_file():
        return [folder / ONE_FILE] if (folder / ONE_FILE).is_file() else []
    try:
        names = set(json.loads((folder / INDEX_OF_MANY).read_text())["weight_map"].values())
        files = sorted(folder / name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"{folder / INDEX_OF_MANY} is damaged; expected the names of the weights' files") from None
    for file in files:
        if not file.is_file():
            raise InvalidInput(
                f"the model in {folder} cannot be loaded: the file {file.name} of its weights is missing"
            )
    return files


def _n_weights(file: Path) -> int:
    n_bytes = file.stat().st_size
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(N_BYTES_OF_LENGTH), "little")
            if not 0 < length <= min(LARGEST_HEADER, n_bytes - N_BYTES_OF_LENGTH):
                raise ValueError
            header = json.loads(opened.read(length))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        end = N_BYTES_OF_LENGTH + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
        found: int = sum(math.prod(tensor["shape"]) for tensor in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InvalidInput(f"{file} cannot be loaded: it is damaged; expected weights in safetensors") from None
    if n_bytes < end:
        raise InvalidInput(f"{file} cannot be loaded: it is cut short, {n_bytes:,} of {end:,} bytes")
    return found
