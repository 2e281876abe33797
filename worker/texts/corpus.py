"""From text to excerpts: reads documents, cuts them into windows of tokens and chooses some of these with a seed.

Excerpts never cross the border of a document: a document is cut into windows that follow each other, and the rest at
its end, shorter than a window, is dropped. No token is put before an excerpt. Knows no database and no model, only
the model's tokenizer.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import InvalidInput
from worker.texts import python_docs, text_files

EXCERPT_LENGTH = 64
"""Tokens of an excerpt. Source: arXiv 2310.06200, section 2."""

PYTHON_DOCS = "python-docs"
LARGEST_SEED = 2**63 - 1
N_DOCUMENTS_AT_ONCE = 256
"""That the tokenizer reads in one call: as lists of Python numbers, tokens take many times the memory of an array's."""
NUL, NUL_SIGN = "\0", "\u2400"

Int32Array = npt.NDArray[np.int32]
ReadDocuments = Callable[[], Iterator[str]]


@dataclass(frozen=True)
class Text:
    """Where documents come from.

    hash: SHA-256 of the files' bytes, so that a changed text is noticed early. n_invalid_bytes: how many bytes of the
    files are not UTF-8; each of them stands in the documents as U+FFFD.
    """

    name: str
    hash: str
    documents: ReadDocuments
    n_invalid_bytes: int = 0


@dataclass(frozen=True)
class Excerpts:
    """The chosen excerpts of a text, in the order they were drawn.

    token_ids: shape (excerpts, tokens). token_texts: the text of every token id that occurs, leading space included.
    n_available: how many excerpts the text has to choose from. hash: of the token ids, length, seed and tokenizer.
    n_invalid_bytes: of the whole text, see Text.
    """

    name: str
    token_ids: Int32Array
    token_texts: dict[int, str]
    n_available: int
    hash: str
    n_invalid_bytes: int = 0


def open_text(text: str) -> Text:
    """The text behind a name on the command line: `python-docs`, a .txt, a .jsonl (field `text`) or a folder of these.

    A folder is read in the order of its sorted paths.
    Errors: InvalidInput when nothing is there, nothing of a known kind, or a file that is no text.
    """
    if text == PYTHON_DOCS:
        sources = python_docs.source_files()
        # What counts as prose decides the text as much as its sources do.
        made_of = [Path(python_docs.__file__), *sources]
        return Text(PYTHON_DOCS, _hash_of_files(made_of), lambda: python_docs.documents(sources))
    path = Path(text)
    files = _text_files(path)
    n_invalid_bytes = sum(text_files.n_invalid_bytes(file) for file in files)
    return Text(path.resolve().name[:200], _hash_of_files(files), lambda: text_files.documents(files), n_invalid_bytes)


def check_has_words(text: Text) -> None:
    """Reads up to the first word: an empty text is found out before a model is loaded. Errors: InvalidInput."""
    if not any(document.strip() for document in text.documents()):
        raise InvalidInput(f"the corpus {text.name} is empty; expected text")


def cut_excerpts(text: Text, tokenizer: Any, *, n_excerpts: int, seed: int, length: int = EXCERPT_LENGTH) -> Excerpts:
    """Draws n_excerpts of a text without replacement, or takes all there are when the text has fewer.

    tokenizer: a fast tokenizer of transformers. Errors: InvalidInput when the text has no words, or no document of
    `length` tokens.
    """
    check_has_words(text)
    windows = _windows(text, tokenizer, length)
    if not len(windows):
        raise InvalidInput(f"the corpus {text.name} has no document of {length} tokens, the length of one excerpt")
    token_ids = windows[_drawn(len(windows), n_excerpts, seed)]
    return Excerpts(
        name=text.name,
        token_ids=token_ids,
        token_texts=token_texts(tokenizer, np.unique(token_ids).tolist()),
        n_available=len(windows),
        hash=_hash_of_excerpts(token_ids, length, seed, tokenizer_hash(tokenizer)),
        n_invalid_bytes=text.n_invalid_bytes,
    )


def token_texts(tokenizer: Any, token_ids: Sequence[int]) -> dict[int, str]:
    """The text of each token, its own leading space included; bytes that are no whole character become U+FFFD.

    U+0000, which PostgreSQL cannot store, becomes U+2400, the sign for it.
    """
    if "ByteLevel" in repr(tokenizer.backend_tokenizer.decoder):
        decode = tokenizer.backend_tokenizer.decode
        texts = [decode([token], skip_special_tokens=False) for token in token_ids]
    else:
        texts = [_piece_text(piece) for piece in tokenizer.convert_ids_to_tokens(list(token_ids))]
    return {token: text.replace(NUL, NUL_SIGN) for token, text in zip(token_ids, texts, strict=True)}


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of everything that decides how this tokenizer cuts text."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def _piece_text(piece: str) -> str:
    # SentencePiece writes a space as U+2581 and a byte outside its vocabulary as <0xE2>. Decoding such a token by
    # itself would strip the space, which belongs to the token.
    if re.fullmatch(r"<0x[0-9A-F]{2}>", piece):
        return bytes([int(piece[3:5], 16)]).decode(errors="replace")
    return piece.replace("▁", " ")


def _windows(text: Text, tokenizer: Any, length: int) -> Int32Array:
    """Shape (windows, length)."""
    documents = (document for document in text.documents() if document.strip())
    cut: list[Int32Array] = []
    while group := list(islice(documents, N_DOCUMENTS_AT_ONCE)):
        for ids in tokenizer(group, add_special_tokens=False, verbose=False)["input_ids"]:
            cut.append(np.array(ids[: len(ids) // length * length], dtype=np.int32))
    return np.concatenate(cut).reshape(-1, length)


def _drawn(n_available: int, n_excerpts: int, seed: int) -> npt.NDArray[np.intp]:
    # The raw stream of a bit generator is the same in every version of numpy; its `choice` is not promised to be.
    keys = np.random.PCG64(seed).random_raw(n_available)
    return np.argsort(keys, kind="stable")[:n_excerpts]


def _hash_of_excerpts(token_ids: Int32Array, length: int, seed: int, tokenizer: str) -> str:
    digest = hashlib.sha256(f"{length} {seed} {tokenizer}\n".encode())
    digest.update(token_ids.astype("<i4").tobytes())
    return digest.hexdigest()


def _hash_of_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = text_files.read_bytes(file)
        digest.update(f"{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _text_files(path: Path) -> list[Path]:
    # Unlike Path.exists, this raises nothing for a folder that may not be looked into.
    if not os.path.exists(path):
        raise InvalidInput(f"there is no text {path}; expected a .txt, a .jsonl, a folder of these or {PYTHON_DOCS}")
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in text_files.SUFFIXES and file.is_file())
        if not files:
            raise InvalidInput(f"the folder {path} has no .txt and no .jsonl in it")
        return files
    if path.suffix not in text_files.SUFFIXES:
        raise InvalidInput(f"{path} is neither a .txt nor a .jsonl")
    return [path]
