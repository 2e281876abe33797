"""What attention keeps of the tokens read so far, with room behind it, so that a further token copies only itself.

The library's own cache copies everything at every token: with a prompt of 3,000 tokens that costs more than the model.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 256
"""Tokens of room made beyond what is needed at once; an explanation fits."""


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values, of shape (1, heads, tokens, width): views of the beginning of larger tensors."""

    def __init__(self, **options: Any):
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._key_room = self._value_room = torch.empty(0)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        n_kept = self.get_seq_length()
        n_tokens = n_kept + key_states.shape[-2]
        if not n_kept or self._key_room.shape[-2] < n_tokens:
            self._key_room = _with_room(self._key_room, key_states, n_kept, n_tokens)
            self._value_room = _with_room(self._value_room, value_states, n_kept, n_tokens)
        self._key_room[..., n_kept:n_tokens, :] = key_states
        self._value_room[..., n_kept:n_tokens, :] = value_states
        self.keys = self._key_room[..., :n_tokens, :]
        self.values = self._value_room[..., :n_tokens, :]
        return self.keys, self.values


def growing_cache(config: Any) -> DynamicCache:
    """An empty cache for a model. Layers that keep only a window of tokens stay the library's own."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def can_be_cut(cache: DynamicCache) -> bool:
    """Whether the cache still has all earlier tokens when its last ones are taken away."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def _with_room(full: torch.Tensor, like: torch.Tensor, n_kept: int, n_tokens: int) -> torch.Tensor:
    """A tensor for so many tokens and more, the kept ones copied in from the one that is full."""
    shape = (*like.shape[:-2], n_tokens + ROOM, like.shape[-1])
    room = torch.empty(shape, dtype=like.dtype, device=like.device)
    if n_kept:
        room[..., :n_kept, :] = full[..., :n_kept, :]
    return room
