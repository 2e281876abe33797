"""Whole prompts as golden files, and how a prompt that is too long is shortened.

After a wanted change of the prompts: `python -m tests.explanations.golden_prompts` writes the files anew; read the
difference.
"""

from collections.abc import Sequence

import pytest

from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ChatMessage, ShownNeuron
from app.explanations.methods.skeleton import PromptTooLong, build_prompt, build_prompt_within
from app.explanations.prompt_packs.loading import load_pack, with_few_shots
from tests.explanations.fakes import record
from tests.explanations.golden_prompts import golden_path, rendered_prompt

PACK = load_pack("default")
SUMMARY = PROMPT_METHODS["summary"]
SHOWN = ShownNeuron((record("The| cat", 0, 5.0),), cutoff=2.0)


@pytest.mark.parametrize("method", PROMPT_METHODS)
def test_whole_prompt(method: str) -> None:
    assert rendered_prompt(method) == golden_path(method).read_text(encoding="utf-8")


def test_eight_messages() -> None:
    prompt = build_prompt(SUMMARY, PACK, SHOWN)
    roles = [message.role for message in prompt]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]
    assert prompt[0].content == PACK.system["summary"]
    assert prompt[2].content == f" {PACK.few_shots[0].explanation}."
    assert prompt[7].content == (
        "\n\nNeuron 4\nActivations:\n Text excerpt - A:\n<start>The cat<end> \n\nHighly activating tokens:\n cat"
        f"\n\nExplanation of neuron 4 behavior: {PACK.cue}"
    )


@pytest.mark.parametrize("n", [0, 1, 2])
def test_with_fewer_few_shot_neurons_the_prompt_has_fewer_pairs(n: int) -> None:
    whole, prompt = build_prompt(SUMMARY, PACK, SHOWN), build_prompt(SUMMARY, with_few_shots(PACK, n), SHOWN)
    assert prompt[:-1] == whole[: 1 + 2 * n]
    assert prompt[-1].content == whole[-1].content.replace("Neuron 4", f"Neuron {n + 1}").replace(
        "neuron 4", f"neuron {n + 1}"
    )


def n_excerpts(messages: Sequence[ChatMessage]) -> int:
    return sum(message.content.count("<start>") for message in messages[1:])


def n_excerpts_of_few_shots(messages: Sequence[ChatMessage]) -> list[int]:
    return [messages[place].content.count("<start>") for place in (1, 3, 5)]


@pytest.mark.parametrize(("n_at_most", "kept"), [(15, [5, 5, 4]), (14, [4, 5, 4]), (13, [4, 4, 4]), (12, [4, 4, 3])])
def test_too_long_a_prompt_loses_the_last_records_of_the_few_shot_neurons(n_at_most: int, kept: list[int]) -> None:
    prompt = build_prompt_within(SUMMARY, PACK, SHOWN, n_excerpts, n_at_most)
    assert n_excerpts_of_few_shots(prompt) == kept
    # It is the last record that goes.
    assert "By noon the melted snow" in prompt[1].content
    assert prompt[7] == build_prompt(SUMMARY, PACK, SHOWN)[7]


def test_still_too_long_is_an_error_of_this_explanation() -> None:
    with pytest.raises(PromptTooLong, match="the shortest prompt has 12 tokens; expected at most 11"):
        build_prompt_within(SUMMARY, PACK, SHOWN, n_excerpts, 11)


def full_neuron() -> ShownNeuron:
    """Five excerpts of 64 tokens, each with one token far above the cutoff and three a little above a tenth of it."""
    tokens = "|".join(f" word{index % 10}" for index in range(64))
    activations = [0.0] * 60 + [0.6, 0.7, 0.8, 5.0]
    return ShownNeuron(tuple(record(tokens, *activations) for _ in range(5)), cutoff=2.0)


def test_prompt_lengths_keep_the_papers_order() -> None:
    prompts = {name: build_prompt(method, PACK, full_neuron()) for name, method in PROMPT_METHODS.items()}
    lengths = {name: sum(len(message.content) for message in prompt) for name, prompt in prompts.items()}
    assert sorted(lengths, key=lengths.__getitem__) == ["highlight", "summary", "hs", "avhs", "original"]
