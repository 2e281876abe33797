"""Every method's text is normalised alike, so that style cannot betray the method."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.explanations.texts import as_shown, up_to_last_sentence_end


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        (" words about cats.", "Words about cats."),
        ("words about cats", "Words about cats."),
        ("Words about cats...", "Words about cats."),
        ("words about cats…", "Words about cats."),
        ("words about cats!", "Words about cats."),
        ("words about cats,", "Words about cats."),
        ("words about cats .", "Words about cats."),
        ('"words about cats."', "Words about cats."),
        ('"words about cats".', "Words about cats."),
        ("“words about cats”", "Words about cats."),
        ("**words about cats**", "Words about cats."),
        ("`cats`", "Cats."),
        ("'\"cats\"'", "Cats."),
        ('"cat" and "dog"', '"cat" and "dog".'),
        ("the word 'cat'", "The word 'cat'."),
        ("words\n about\tcats ", "Words about cats."),
        ("\ufeffwords\u200b about\u00a0cats", "Words about cats."),
        ("the sign ?", "The sign ?."),
        ("Cats. And dogs.", "Cats. And dogs."),
        ("éclairs", "Éclairs."),
        ("", ""),
        (' "." ', ""),
    ],
)
def test_text_as_shown(received: str, shown: str) -> None:
    assert as_shown(received) == shown


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet="ab .,…!?:\"'“”*_\n[]", max_size=12))
def test_normalising_twice_changes_nothing(received: str) -> None:
    once = as_shown(received)
    assert as_shown(once) == once
    assert once == "" or (once.endswith(".") and not once.endswith("..") and once == " ".join(once.split()))


@pytest.mark.parametrize(
    ("cut", "complete"),
    [
        ("Words about cats. They also", "Words about cats."),
        ("Words about cats.", "Words about cats."),
        ('He said "stop!" and then', 'He said "stop!"'),
        ("animals, e.g. cats and", None),
        ("words about cats and", None),
        ("version 3.11 of the", None),
        ("initials as in J. R. and", None),
        ("", None),
    ],
)
def test_up_to_the_last_complete_sentence(cut: str, complete: str | None) -> None:
    assert up_to_last_sentence_end(cut) == complete
