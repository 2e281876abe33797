"""How many tokens a prompt has, by the best way to count that is here, and which way that was. Never asks the network.

A local model's own tokenizer, else tiktoken's for the models it knows if its file is on this machine already, else an
estimate.
"""

import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.explanations.explainers import OPENAI, Explainer
from app.explanations.methods.prompt import ChatMessage

TOKENS_PER_MESSAGE = 4
"""What a chat's layout adds to each message, about."""
MOST_PER_MESSAGE = 32
"""More than any layout adds, where it has to be on the safe side."""
OWN_TOKENIZER, ESTIMATE = "the model's own tokenizer", "an estimate"
N_REMEMBERED = 512
"""Texts whose counts are remembered: the few-shot messages of a method are the same in all its prompts."""
TOKENIZER_FILE = "tokenizer.json"
_URL = "https://openaipublic.blob.core.windows.net/encodings/"
_O200K = (_URL + "o200k_base.tiktoken", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d")
ENCODING_FILES = {
    "cl100k_base": (
        _URL + "cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": _O200K,
    "o200k_harmony": _O200K,
}
"""Where tiktoken has its encodings from, and their SHA-256: it names its copies after the address."""
_TOKEN_SIZED = re.compile(r"[ ]?[^\W\d_]{1,7}|\d{1,3}|\s|[ ]?[^\w\s]|_")


@dataclass(frozen=True)
class TokenCounter:
    """One way to count. name: for people: `the model's own tokenizer`, `tiktoken cl100k_base` or `an estimate`."""

    name: str
    n_tokens_of_text: Callable[[str], int]

    def n_tokens(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of a whole prompt, with four for the layout of each message."""
        return sum(TOKENS_PER_MESSAGE + self.n_tokens_of_text(message.content) for message in messages)

    def n_tokens_at_most(self, messages: Sequence[ChatMessage]) -> int:
        """A number that the server's own count cannot exceed: what a budget has to set aside.

        An estimate is no bound; but no tokenizer in use here makes more tokens than a text has bytes.
        """
        n_texts = sum(
            len(message.content.encode()) if self.name == ESTIMATE else self.n_tokens_of_text(message.content)
            for message in messages
        )
        return n_texts + MOST_PER_MESSAGE * len(messages)


def counter_for(explainer: Explainer, folder: Path | None = None) -> TokenCounter:
    """The best counter that is here. folder: of a local model with its tokenizer.json, if there is one."""
    if folder is not None and (folder / TOKENIZER_FILE).is_file():
        return _own_tokenizer(folder / TOKENIZER_FILE)
    counter = _tiktoken_counter(explainer.model) if explainer.kind == OPENAI else None
    return counter or _ESTIMATING


def estimated_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: no tokenizer of a hosted model comes with this program.

    Words count one per seven letters, digits one per three, every other character one; beyond ASCII one per character.
    """
    n_beyond_ascii = sum(not character.isascii() for character in text)
    return len(_TOKEN_SIZED.findall(text)) + n_beyond_ascii


def _remembering(name: str, n_tokens_of_text: Callable[[str], int]) -> TokenCounter:
    return TokenCounter(name, functools.lru_cache(N_REMEMBERED)(n_tokens_of_text))


_ESTIMATING = _remembering(ESTIMATE, estimated_tokens)


@functools.lru_cache(maxsize=4)
def _own_tokenizer(file: Path) -> TokenCounter:
    # Belongs to the language models' packages, which an installation of the site alone does not have.
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return _ESTIMATING
    tokenizer = Tokenizer.from_file(str(file))
    return _remembering(OWN_TOKENIZER, lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids))


def _tiktoken_counter(model: str) -> TokenCounter | None:
    """tiktoken's way to count for a model that it knows, if its file is here."""
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    return _loaded_encoding(name, _tiktoken_folder())


@functools.lru_cache(maxsize=8)
def _loaded_encoding(name: str, folder: str) -> TokenCounter | None:
    import tiktoken

    # tiktoken downloads a file that it does not find, and one whose hash is wrong: so both are looked at before.
    url, expected_hash = ENCODING_FILES.get(name, ("", ""))
    file = Path(folder) / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    if not folder or not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected_hash:
        return None
    encoding = tiktoken.get_encoding(name)
    return _remembering(f"tiktoken {name}", lambda text: len(encoding.encode_ordinary(text)))


def _tiktoken_folder() -> str:
    """Where tiktoken keeps its files; empty when it is told to keep none."""
    default = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    return os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
