"""What studies are said to be in words."""

from datetime import timedelta
from typing import Any

import pytest

from app.studies.audit import AuditLine
from app.studies.protocol import Protocol
from app.studies.wording import (
    ago,
    checks_in_words,
    counted,
    evidence_in_words,
    said,
    sharing_in_words,
    steps_in_words,
)
from tests.studies.factories import NOW


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=119), "just now"),
        (timedelta(minutes=2), "2 minutes ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=400), "400 days ago"),
    ],
)
def test_how_long_ago(passed: timedelta, words: str) -> None:
    assert ago(NOW - passed, NOW) == words


def test_what_never_was() -> None:
    assert ago(None, NOW) == "never"


def test_numbers_of_things() -> None:
    assert (counted(1, "rater"), counted(0, "rater"), counted(1200, "rater")) == ("1 rater", "0 raters", "1,200 raters")


@pytest.mark.parametrize(
    ("kind", "details", "words"),
    [
        ("opened", {}, "Opened"),
        ("invited", {"n_raters": 3, "first": "rater-4"}, "Invited: 3 raters, first rater-4"),
        ("reclaimed", {"rater": "rater-2", "n_neurons": 1}, "Reclaimed: rater-2, 1 neuron"),
        ("extended", {"raters_per_neuron": 3, "n_neurons": 16}, "Extended: raters per neuron 3, 16 neurons"),
        ("unmasked", {"reason": "curious", "n_judgements": 12}, "Unmasked: “curious”, 12 judgements"),
        ("opened", {"waived": ["0:1 hs", "0:2 hs"], "none": []}, "Opened: waived 0:1 hs; 0:2 hs"),
        ("waived", {"is_last": True, "is_first": False, "nothing": None}, "Waived: is last"),
    ],
)
def test_the_log_in_words(kind: str, details: dict[str, Any], words: str) -> None:
    assert said(AuditLine(NOW, "ada", kind, details)) == words


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (Protocol(sharing="split"), "each neuron by one rater"),
        (Protocol(sharing="crossed"), "every neuron by every rater"),
        (Protocol(sharing="overlap", raters_per_neuron=3), "each neuron by 3 raters"),
        (Protocol(sharing="mixed", shared_percent=20), "20 % of the neurons by every rater, the others by one"),
    ],
)
def test_who_judges_what(protocol: Protocol, words: str) -> None:
    assert sharing_in_words(protocol) == words


def test_the_rest_of_a_protocol() -> None:
    protocol = Protocol(shows_explained=False, consent="yes?", n_puzzles=3, n_right_to_pass=2, check_percent=10)
    assert evidence_in_words(protocol) == "up to 20 top and 10 random, without those that the explainer saw"
    assert steps_in_words(protocol) == (
        "consent, instructions, practice on 3 puzzles, 2 right to pass, neurons, guesses of the method, a last comment"
    )
    assert checks_in_words(protocol) == "a false description among the cards of 10 % of a rater’s neurons"
    assert checks_in_words(Protocol(check_percent=0)) == "none"
