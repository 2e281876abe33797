"""Turns whatever a library raises and prints over damaged files into one error of ours. Knows no model and no file."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from app.errors import InvalidInput, NeuronJuryError


@contextmanager
def refused_as(what: str) -> Iterator[None]:
    """Within it any error becomes `InvalidInput("WHAT: the first line of the error")`; our own errors stay.

    transformers, safetensors, torch and gguf each raise their own kinds for files that they cannot read.
    """
    try:
        yield
    except NeuronJuryError:
        raise
    except Exception as error:
        raise InvalidInput(f"{what}: {first_line(error)}") from error
    except BaseException as error:
        # A tokenizer written in Rust that stumbles over its files raises this, which is no Exception, like Ctrl-C.
        if type(error).__name__ != "PanicException":
            raise
        raise InvalidInput(f"{what}: {first_line(error)}") from error


@contextmanager
def nothing_on_stderr() -> Iterator[None]:
    """Drops what is written to stderr, also by code that is not Python: a panic prints a report before it is raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def first_line(error: BaseException) -> str:
    """What an error says in its first line; its kind when it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
