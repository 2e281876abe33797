"""Reads rows of tokens behind a common beginning and a heading with a causal language model, and says how likely each
of a few tokens would come next at given places. Knows no prompt.

The beginning is read once and what attention keeps of it stays; a heading is read once for its rows. The rows of one
call are one padded batch behind both. Padding follows a row's own tokens, which never look ahead, so it changes nothing
for them and needs no mask.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from worker.scoring.simulating.tabbed_layout import Row

Float64Array = npt.NDArray[np.float64]
KeysAndValues = list[tuple[torch.Tensor, torch.Tensor]]
"""What attention keeps of some tokens, per layer; tensors of shape (1, heads, tokens, width)."""

N_TOKENS_PER_PASS = 8192
"""Rows times the longest row's tokens, at most, if it is more than one row: bounds the memory of a pass."""


class BeginningLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values of what is read already, for rows to be read behind it.

    It gives a pass its own and the rows' together and keeps only its own: nothing has to be undone after the pass, and
    the copies for all rows live no longer than the layer's turn.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: torch.Tensor = keys
        self.values: torch.Tensor = values
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return _behind(self.keys, key_states), _behind(self.values, value_states)


class RowReader:
    """A causal model, a beginning and the tokens whose probabilities are wanted. Not for two threads at once.

    model: of transformers. beginning, wanted_ids: token ids.
    """

    def __init__(self, model: Any, beginning: Sequence[int], wanted_ids: Sequence[int]):
        self._model = model
        self._beginning = list(beginning)
        self._wanted_ids = torch.tensor(list(wanted_ids), device=model.device)
        self._kept: KeysAndValues | None = None
        self._is_begun = False
        self._has_plain_head = False

    def probabilities(self, heading: Sequence[int], rows: Sequence[Row]) -> list[Float64Array]:
        """How likely each wanted token comes next at each value place, among the wanted ones alone.

        heading: token ids between the beginning and each row. Returns one array per row, shape (places, wanted), whose
        rows add up to 1.
        """
        if not rows:
            return []
        with torch.inference_mode():
            self._begin()
            kept = None if self._kept is None else _keys_and_values(self._model, heading, self._kept)
            before = [*self._beginning, *heading] if kept is None else []
            n_rows = self._n_rows_per_pass(len(before) + max(len(row.token_ids) for row in rows))
            parts = [rows[first : first + n_rows] for first in range(0, len(rows), n_rows)]
            return [found for part in parts for found in self._read(kept, before, part)]

    def _begin(self) -> None:
        if not self._is_begun:
            self._has_plain_head = _has_plain_head(self._model)
            self._kept = _keys_and_values(self._model, self._beginning, [])
            self._is_begun = True

    def _n_rows_per_pass(self, n_longest: int) -> int:
        # Without a plain head a pass computes every token's whole distribution over the vocabulary, which is large.
        return max(1, N_TOKENS_PER_PASS // n_longest) if self._has_plain_head else 1

    def _read(self, kept: KeysAndValues | None, before: list[int], rows: Sequence[Row]) -> list[Float64Array]:
        """before: what has to be read again with each row, where nothing is kept of it."""
        lists = [[*before, *row.token_ids] for row in rows]
        width = max(map(len, lists))
        ids = torch.tensor([[*ids, *[ids[-1]] * (width - len(ids))] for ids in lists], device=self._model.device)
        places = [[len(before) + place for place in row.value_places] for row in rows]
        logits = self._wanted_logits(ids, places, kept)
        return [torch.softmax(row.double(), dim=-1).cpu().numpy() for row in logits]

    def _wanted_logits(
        self, ids: torch.Tensor, places: list[list[int]], kept: KeysAndValues | None
    ) -> list[torch.Tensor]:
        """Logits of the wanted tokens at the places of each row, each of shape (places, wanted)."""
        cache = None if kept is None else _cache_of(BeginningLayer(*layer) for layer in kept)
        options = {"past_key_values": cache, "use_cache": cache is not None}
        if not self._has_plain_head:
            logits = self._model(ids, **options).logits[..., self._wanted_ids]
            return [row[place] for row, place in zip(logits, places, strict=True)]
        hidden = self._model.base_model(ids, **options).last_hidden_state
        return [_head(self._model, row[place], self._wanted_ids) for row, place in zip(hidden, places, strict=True)]


def _keys_and_values(model: Any, token_ids: Sequence[int], behind: KeysAndValues) -> KeysAndValues | None:
    """Of some tokens and those that they follow; None where a layer of the model keeps something else or less."""
    cache = _cache_of(_layer_of(*layer) for layer in behind) if behind else DynamicCache(config=model.config)
    model.base_model(torch.tensor([list(token_ids)], device=model.device), past_key_values=cache, use_cache=True)
    layers: list[Any] = cache.layers
    if any(type(layer) is not DynamicLayer for layer in layers):
        return None
    return [(layer.keys, layer.values) for layer in layers]


def _layer_of(keys: torch.Tensor, values: torch.Tensor) -> DynamicLayer:
    """The library's own layer with a copy of what is kept, which it goes on from."""
    layer = DynamicLayer()  # type: ignore[no-untyped-call]
    layer.update(keys, values)
    return layer


def _cache_of(layers: Iterable[DynamicLayer]) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache


def _behind(beginning: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([beginning.expand(rows.shape[0], -1, -1, -1), rows], dim=-2)


def _has_plain_head(model: Any) -> bool:
    """Whether the logits are the last hidden states times the output embeddings and nothing else.

    Then those of a few tokens can be had without the others', which would take a fifth of a small model's time and
    most of its memory. Some families scale or cap them, so it is tried rather than believed.
    """
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    ids = torch.arange(4, device=model.device)[None]
    hidden = model.base_model(ids, use_cache=False).last_hidden_state
    if hidden.shape[-1] != head.weight.shape[-1]:
        return False
    own = model(ids, use_cache=False).logits[0]
    return torch.allclose(_head(model, hidden[0], slice(None)), own, rtol=1e-4, atol=1e-4)


def _head(model: Any, hidden: torch.Tensor, wanted: torch.Tensor | slice) -> torch.Tensor:
    """hidden: shape (places, width). Returns logits, shape (places, wanted)."""
    head = model.get_output_embeddings()
    bias = getattr(head, "bias", None)
    return torch.nn.functional.linear(hidden, head.weight[wanted], None if bias is None else bias[wanted])
