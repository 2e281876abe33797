"""The cache that does not copy itself: a model must read the same through it as through the library's own."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

from tests.worker.explaining.tiny_model import tiny_model
from worker.explaining.growing_cache import ROOM, can_be_cut, growing_cache

TOKENS = torch.randint(0, 256, (1, 380), generator=torch.Generator().manual_seed(0))


def logits_of(model: Any, cache: DynamicCache, parts: list[torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model(part, past_key_values=cache, use_cache=True).logits for part in parts], dim=1)


@pytest.mark.parametrize("lengths", [[380], [1] * 20, [5, 1, 1, 100, 1], [3, ROOM - 1, 1, 1, 1, 100]])
def test_reads_as_through_the_librarys_own_cache(lengths: list[int]) -> None:
    model = tiny_model()
    parts = list(TOKENS[:, : sum(lengths)].split(lengths, dim=1))
    own = logits_of(model, growing_cache(model.config), parts)
    library = logits_of(model, DynamicCache(config=model.config), parts)
    assert torch.equal(own, library)


def test_a_cut_cache_goes_on_as_if_it_had_never_read_further() -> None:
    model = tiny_model()
    cache = growing_cache(model.config)
    logits_of(model, cache, [TOKENS[:, :50], TOKENS[:, 50:60]])
    cache.crop(-25)
    assert cache.get_seq_length() == 35
    after_cut = logits_of(model, cache, [TOKENS[:, 100:120]])
    uncut = logits_of(model, growing_cache(model.config), [TOKENS[:, :35], TOKENS[:, 100:120]])
    assert torch.allclose(after_cut, uncut[:, 35:], atol=1e-5)


def test_a_model_that_forgets_all_but_a_window_of_tokens_is_not_cut() -> None:
    windowed = MistralConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=8,
    )
    assert not can_be_cut(growing_cache(windowed))
    assert can_be_cut(growing_cache(tiny_model().config))
    assert logits_of(MistralForCausalLM(windowed), growing_cache(windowed), [TOKENS[:, :20]]).shape == (1, 20, 257)
