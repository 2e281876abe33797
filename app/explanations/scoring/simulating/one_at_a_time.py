"""What the simulator asks that asks about one token at a time. Knows no true activation, no model and no database."""

from collections.abc import Sequence

from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from app.explanations.scoring.simulating.examples import LARGEST, TASK, ExampleNeuron, Excerpt, example_neurons
from app.explanations.scoring.simulating.quoting import quoted

MAX_TOKENS = 2
"""A number; two tokens of it where a tokenizer has none for `10`."""
ONE_TOKEN = (
    " You see a description, a text up to one of its tokens, and that last token again. Answer with the token's "
    "number alone, an integer from 0 to {largest}."
)
N_EXCERPTS_SHOWN = 3


def words_before(few_shots: Sequence[FewShotNeuron]) -> tuple[ChatMessage, ...]:
    """What comes before every question: the task, and of each few-shot neuron a token of each of three excerpts."""
    system = ChatMessage("system", (TASK + ONE_TOKEN).format(largest=LARGEST))
    neurons = example_neurons(few_shots, n_excerpts=N_EXCERPTS_SHOWN)
    return (system, *(message for neuron in neurons for message in _example_messages(neuron)))


def questions(text: str, excerpts: Sequence[Excerpt]) -> list[ChatMessage]:
    """One for each token of each excerpt, about an explanation's text; in their order."""
    return [_question(text, excerpt[: place + 1]) for excerpt in excerpts for place in range(len(excerpt))]


def _example_messages(neuron: ExampleNeuron) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    for index, excerpt in enumerate(neuron.excerpts):
        # One token that fits, one from the middle and one from the end, most of which do not.
        peak = excerpt.levels.index(max(excerpt.levels))
        place = (peak, len(excerpt.tokens) // 2, len(excerpt.tokens) - 1)[index]
        messages.append(_question(neuron.explanation, excerpt.tokens[: place + 1]))
        messages.append(ChatMessage("assistant", str(excerpt.levels[place])))
    return messages


def _question(text: str, beginning: Excerpt) -> ChatMessage:
    """About the last token of an excerpt's beginning; the model sees nothing of what comes after it."""
    shown = f"Description: {text}\nText: {quoted(''.join(beginning))}\nToken: {quoted(beginning[-1])}"
    return ChatMessage("user", shown)
