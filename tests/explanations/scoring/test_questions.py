"""What detection and fuzzing ask, and how answers are read."""

import re

import pytest

from app.explanations.methods.prompt import ChatMessage
from app.explanations.scoring.questions import (
    ask_detection,
    ask_fuzzing,
    detection_questions,
    fuzzing_questions,
    is_balanced_set,
    parsed_answer,
)
from tests.explanations.fakes import record

ACTIVE = [record(f"A|cat{number}| sat| here", 0, 5 - number / 8, 1, -0.25) for number in range(7)]
SILENT = [record(f"A|dog{number}| ran| off", 0, 0.5, 1, 2) for number in range(7)]


def test_detection_asks_about_as_many_silent_excerpts_as_activating_ones() -> None:
    questions = detection_questions([*ACTIVE[:4], *SILENT[:3]], 2.0)
    assert [(question.text, question.is_true) for question in questions] == [
        ("Acat0 sat here", True),
        ("Acat1 sat here", True),
        ("Acat2 sat here", True),
        ("Adog0 ran off", False),
        ("Adog1 ran off", False),
        ("Adog2 ran off", False),
    ]


def test_detection_asks_about_five_of_each_at_most_the_first_ones() -> None:
    questions = detection_questions([*SILENT, *ACTIVE], 2.0)
    assert [question.text[1:5] for question in questions] == [f"cat{n}" for n in range(5)] + [
        f"dog{n}" for n in range(5)
    ]


def test_an_activation_at_the_cutoff_is_silent() -> None:
    # 2.0 is exactly the largest activation of the silent excerpts.
    assert detection_questions(SILENT, 2.0) == ()
    assert len(detection_questions([*SILENT, *ACTIVE], 1.99)) == 0


@pytest.mark.parametrize(
    ("n_active", "n_silent", "is_enough"), [(0, 7, False), (7, 0, False), (1, 7, False), (2, 2, True)]
)
def test_a_balanced_set_needs_two_of_each(n_active: int, n_silent: int, is_enough: bool) -> None:
    assert is_balanced_set(detection_questions([*ACTIVE[:n_active], *SILENT[:n_silent]], 2.0)) is is_enough


def marked(text: str) -> list[str]:
    return re.findall(r"\[\[(.*?)\]\]", text)


def test_fuzzing_marks_the_activating_tokens_and_then_as_many_others() -> None:
    true, false = fuzzing_questions([record("The| red| and| the| blue| hat", 0, 4, 0, 0.5, 3, 1)], 1.0)
    assert (true.text, true.is_true) == ("The [[red]] and the [[blue]] hat", True)
    assert false.is_true is False
    assert len(marked(false.text)) == 2
    assert not {"red", "blue"} & set(marked(false.text))
    assert re.sub(r"\[\[|\]\]", "", false.text) == "The red and the blue hat"


def test_fuzzing_passes_over_excerpts_without_enough_tokens_of_either_kind() -> None:
    crowded = record("a| b| c", 3, 3, 0)
    blank = record("a| |\n", 3, 0, 0)
    assert fuzzing_questions([crowded, blank, *SILENT], 2.0) == ()


def test_fuzzing_never_marks_blanks_that_nobody_sees() -> None:
    """Empty brackets would give the right tokens away: the others are never blank."""
    true, false = fuzzing_questions([record("A| red|\n| | hat| fell", 0, 4, 3, 3, 0, 0)], 1.0)
    assert marked(true.text) == ["red"]
    assert len(marked(false.text)) == 1
    assert fuzzing_questions([record("A|\n| hat", 0, 3, 0)], 1.0) == ()


def test_fuzzing_asks_twice_about_five_excerpts_at_most() -> None:
    assert [question.is_true for question in fuzzing_questions(ACTIVE, 2.0)] == [True, False] * 5


def test_every_explanation_of_a_neuron_gets_the_same_questions() -> None:
    assert fuzzing_questions(ACTIVE, 2.0) == fuzzing_questions(list(ACTIVE), 2.0)
    assert fuzzing_questions(ACTIVE[3:], 2.0)[:4] == fuzzing_questions(ACTIVE, 2.0)[6:]


def test_a_question_shows_the_description_and_the_text_and_asks_for_one_word() -> None:
    (question, *_) = detection_questions([*ACTIVE, *SILENT], 2.0)
    system, user = ask_detection("Words for animals.", question)
    assert user == ChatMessage(
        "user",
        "Description: Words for animals.\n\nText:\nAcat0 sat here\n\n"
        "Would it respond anywhere in this text? Answer yes or no.",
    )
    assert system.role == "system"
    (fuzzed, *_) = fuzzing_questions(ACTIVE, 2.0)
    assert "A[[cat0]] sat here" in ask_fuzzing("Words for animals.", fuzzed)[1].content
    assert "[[" not in user.content


@pytest.mark.parametrize(
    "answer", ["yes", "Yes.", " YES!", "yes, it names a month", "**Yes**", '"yes"', "Yes\nBecause."]
)
def test_a_yes(answer: str) -> None:
    assert parsed_answer(answer) is True
    assert parsed_answer(re.sub("yes", "no", answer, flags=re.IGNORECASE)) is False


@pytest.mark.parametrize(
    "answer",
    ["", "maybe", "no idea", "yes and no", "not really", "yesterday", "I would say yes", "no/yes", "none", "[]"],
)
def test_what_is_neither_yes_nor_no(answer: str) -> None:
    assert parsed_answer(answer) is None
