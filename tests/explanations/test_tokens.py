"""The baseline without a language model."""

from app.explanations.methods.prompt import ShownNeuron
from app.explanations.methods.tokens import describe_by_tokens
from app.neurons.records import ActivationRecord
from tests.explanations.fakes import record


def described(*records: ActivationRecord, cutoff: float = 1.0) -> str | None:
    return describe_by_tokens(ShownNeuron(records, cutoff))


def test_most_frequent_first_then_higher_activation_then_text() -> None:
    assert (
        described(record(" cat| a| dog|cat", 2, 0, 5, 3), record(" ox| elk| bee", 5, 4, 4))
        == 'The tokens "cat", "dog", "ox", "bee" and "elk".'
    )


def test_five_tokens_at_most() -> None:
    assert described(record("a|b|c|d|e|f", 7, 6, 5, 4, 3, 2)) == 'The tokens "a", "b", "c", "d" and "e".'


def test_one_token() -> None:
    assert described(record(" cat| sat", 5, 1)) == 'The token "cat".'


def test_two_tokens() -> None:
    assert described(record(" cat| sat", 5, 2)) == 'The tokens "cat" and "sat".'


def test_white_space_and_quotes_and_control_characters_are_legible() -> None:
    assert (
        described(record('\n|\n\n|"|\x00|   ', 9, 8, 7, 6, 5))
        == 'The tokens (line break), (2 line breaks), \'"\', "\\x00" and (3 spaces).'
    )
    assert described(record(" \n|\t", 2, 3)) == "The tokens (tab) and (white space)."


def test_nothing_above_the_cutoff_gives_none() -> None:
    assert described(record(" cat| sat", 1.0, 0)) is None
    assert described() is None
