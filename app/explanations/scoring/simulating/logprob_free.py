"""What the simulator asks that has a model repeat every token with a number. Knows no true activation, no model and no
database."""

from collections.abc import Callable, Sequence

from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from app.explanations.scoring.simulating.examples import LARGEST, TASK, ExampleNeuron, Excerpt, example_neurons
from app.explanations.scoring.simulating.quoting import numbered_lines, valued_lines

REPEAT = (
    " You see a description and a text, one token on each line, numbered and written as a JSON string. Repeat every "
    "line, from the first to the last, exactly as it is, and write behind it a blank and the token's number, an "
    "integer from 0 to {largest}. Write nothing else."
)
N_EXCERPTS_SHOWN = 1
ROOM = 1.5
"""How many times as long as the expected answer an answer may be: others escape tokens at greater length."""


def words_before(few_shots: Sequence[FewShotNeuron]) -> tuple[ChatMessage, ...]:
    """What comes before every question: the task, and of each few-shot neuron its best excerpt."""
    system = ChatMessage("system", (TASK + REPEAT).format(largest=LARGEST))
    neurons = example_neurons(few_shots, n_excerpts=N_EXCERPTS_SHOWN)
    return (system, *(message for neuron in neurons for message in _example_messages(neuron)))


def question(text: str, excerpt: Excerpt) -> ChatMessage:
    """About all tokens of an excerpt, and an explanation's text."""
    return ChatMessage("user", "\n".join([f"Description: {text}", *numbered_lines(excerpt)]))


def max_tokens(excerpt: Excerpt, count_tokens: Callable[[Sequence[ChatMessage]], int]) -> int:
    """How long an answer may be."""
    longest = ChatMessage("assistant", "\n".join(valued_lines(excerpt, [LARGEST] * len(excerpt))))
    return int(ROOM * count_tokens([longest]))


def _example_messages(neuron: ExampleNeuron) -> list[ChatMessage]:
    return [
        message
        for excerpt in neuron.excerpts
        for message in (
            question(neuron.explanation, excerpt.tokens),
            ChatMessage("assistant", "\n".join(valued_lines(excerpt.tokens, excerpt.levels))),
        )
    ]
