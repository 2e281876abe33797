"""The prompt that all five methods share: chat messages around a method's blocks, cut to fit the explainer's context.

system      what neurons do and how this method shows them
user        Neuron 1: its block, and an unfinished sentence
assistant   the sentence's end
(user, assistant: Neuron 2) (user, assistant: Neuron 3)
user        Neuron 4: the one to explain

A pack with more or fewer few-shot neurons than three makes more or fewer of these pairs.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.errors import InvalidInput
from app.explanations.methods.marking import FEW_SHOT_CUTOFF
from app.explanations.methods.prompt import ChatMessage, FewShotNeuron, PromptMethod, PromptPack, ShownNeuron

Prompt = tuple[ChatMessage, ...]
N_REMEMBERED = 64
"""Prompts whose few-shot messages are remembered: a batch has thousands with the same ones."""


class PromptTooLong(InvalidInput):
    """Even with the few-shot neurons shortened, a prompt does not fit."""


def build_prompt(method: PromptMethod, pack: PromptPack, shown: ShownNeuron) -> Prompt:
    """The whole prompt of one neuron by one method: a system message, the pack's few-shot neurons, the question."""
    return (*_words_before(method, pack), _question(method, pack, shown, len(pack.few_shots) + 1))


def build_prompt_within(
    method: PromptMethod,
    pack: PromptPack,
    shown: ShownNeuron,
    count_tokens: Callable[[Sequence[ChatMessage]], int],
    n_tokens_at_most: int,
) -> Prompt:
    """The prompt in at most `n_tokens_at_most` tokens.

    While it is longer, the last record of few-shot neuron 1 goes, then that of 2, and so on, once of each.
    Errors: PromptTooLong when it is still longer after that.
    """
    n_tokens = 0
    for n_shortened in range(len(pack.few_shots) + 1):
        prompt = build_prompt(method, _with_shortened_few_shots(pack, n_shortened) if n_shortened else pack, shown)
        n_tokens = count_tokens(prompt)
        if n_tokens <= n_tokens_at_most:
            return prompt
    raise PromptTooLong(f"the shortest prompt has {n_tokens} tokens; expected at most {n_tokens_at_most}")


@functools.lru_cache(N_REMEMBERED)
def _words_before(method: PromptMethod, pack: PromptPack) -> Prompt:
    """What is the same in all prompts of a method."""
    words = [ChatMessage("system", pack.system[method.name])]
    for number, few_shot in enumerate(pack.few_shots, start=1):
        words.append(_question(method, pack, ShownNeuron(few_shot.records, FEW_SHOT_CUTOFF), number))
        words.append(ChatMessage("assistant", f" {few_shot.explanation}."))
    return tuple(words)


def _question(method: PromptMethod, pack: PromptPack, shown: ShownNeuron, number: int) -> ChatMessage:
    block = method.render_block(shown, pack)
    text = f"\n\nNeuron {number}\nActivations:\n{block}\n\nExplanation of neuron {number} behavior: {pack.cue}"
    return ChatMessage("user", text)


@functools.lru_cache(N_REMEMBERED)
def _with_shortened_few_shots(pack: PromptPack, n_shortened: int) -> PromptPack:
    shortened = tuple(_without_last_record(few_shot) for few_shot in pack.few_shots[:n_shortened])
    return replace(pack, few_shots=shortened + pack.few_shots[n_shortened:])


def _without_last_record(few_shot: FewShotNeuron) -> FewShotNeuron:
    return replace(few_shot, records=few_shot.records[:-1])
