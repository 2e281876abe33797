"""Method Tokens: a baseline without a language model. It names the tokens that activate the neuron most often."""

from collections import Counter

from app.explanations.methods.excerpts import marked_tokens
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import ShownNeuron

NAME = "tokens"
TITLE = "Tokens"
N_TOKENS_AT_MOST = 5

_WHITE_SPACE_NAMES = {" ": "space", "\n": "line break", "\t": "tab", "\r": "carriage return", "\u00a0": "hard space"}


def describe_by_tokens(shown: ShownNeuron) -> str | None:
    """The most frequent highly activating tokens in one sentence, e.g. `The tokens "cat", "cats" and "kitten".`

    Tokens that differ only in the white space around them count as one. At most five; of equally frequent ones the one
    with the higher activation comes first, then the one earlier in the order of texts. None when no token is above the
    cutoff.
    """
    names = [legible(token) for token in _most_frequent_tokens(shown)]
    if not names:
        return None
    if len(names) == 1:
        return f"The token {names[0]}."
    return f"The tokens {', '.join(names[:-1])} and {names[-1]}."


def _most_frequent_tokens(shown: ShownNeuron) -> list[str]:
    counts: Counter[str] = Counter()
    highest: dict[str, float] = {}
    for record in shown.records:
        marked = highly_activating(record, shown, Marking.ABOVE_CUTOFF)
        activations = record.activations[marked].tolist()
        for token, activation in zip(marked_tokens(record, marked), activations, strict=True):
            text = token.strip() or token
            counts[text] += 1
            highest[text] = max(activation, highest.get(text, activation))
    ranked = sorted(counts, key=lambda text: (-counts[text], -highest[text], text))
    return ranked[:N_TOKENS_AT_MOST]


def legible(token: str) -> str:
    """A token in quotes; white space by its name, e.g. `(2 line breaks)`; what cannot be printed as its escape."""
    if token.isspace():
        return f"({_white_space_name(token)})"
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in token)
    return f"'{text}'" if '"' in text else f'"{text}"'


def _white_space_name(token: str) -> str:
    name = _WHITE_SPACE_NAMES.get(token[0]) if len(set(token)) == 1 else None
    if name is None:
        return "white space"
    return name if len(token) == 1 else f"{len(token)} {name}s"
