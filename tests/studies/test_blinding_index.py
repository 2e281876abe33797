"""Whether raters could tell where descriptions came from."""

import pytest
from scipy.stats import binomtest

from app.database import Database
from app.studies.queries import study_named
from app.studies.results.blinding_index import GuessRow, blinding_index, guesses_of, wilson_interval
from tests.studies.careful_raters import CHECKED, guess
from tests.studies.factories import distinct_text, make_open_study


def guesses(*pairs: tuple[int | None, set[int]]) -> list[GuessRow]:
    return [GuessRow(guessed, frozenset(true)) for guessed, true in pairs]


def test_a_guess_is_right_when_the_card_stands_for_it_among_others() -> None:
    index = blinding_index(guesses((1, {1, 2}), (2, {2}), (3, {4}), (None, {1})), n_conditions=5)
    assert (index.n, index.n_right, index.n_cannot_tell) == (3, 2, 1)
    assert index.share_right == pytest.approx(2 / 3)
    assert index.chance == pytest.approx((2 + 1 + 1) / 15)


@pytest.mark.parametrize(("n_right", "n"), [(0, 1), (1, 1), (3, 10), (48, 240), (240, 240)])
def test_the_interval_is_wilsons(n_right: int, n: int) -> None:
    oracle = binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize(
    ("n_right", "sentence"),
    [
        (20, "Raters guessed no better than by chance: nothing suggests that the blinding was broken."),
        (60, "Raters guessed right more often than by chance: read the results with that in mind."),
        (2, "Raters guessed right less often than by chance: their idea of the methods was a wrong one."),
    ],
)
def test_one_sentence_says_what_it_means(n_right: int, sentence: str) -> None:
    made = guesses(*[(1, {1})] * n_right, *[(1, {2})] * (100 - n_right))
    assert blinding_index(made, n_conditions=5).sentence == sentence


def test_without_guesses_nothing_is_claimed() -> None:
    index = blinding_index(guesses((None, {1})), n_conditions=4)
    assert (index.n, index.n_cannot_tell, index.share_right, index.low, index.chance) == (0, 1, None, None, 0.25)
    assert index.sentence == "Nobody guessed where a description came from."


def same_twice(layer: int, index: int, method: str) -> str:
    return f"the same of {layer}:{index}" if method in ("hs", "avhs") else distinct_text(layer, index, method)


def test_stored_guesses_of_one_study_with_shared_cards(database: Database) -> None:
    for slug in ("demo", "other"):
        make_open_study(database, slug=slug, n_neurons=2, n_raters=3, texts=same_twice, protocol=CHECKED)
    assert guess(database, "demo", 1, "hs") == 8
    assert guess(database, "demo", 2, None) == 8
    assert guess(database, "other", 1, "summary") == 8
    with database.reading() as session:
        study = study_named(session, "demo")
        index = blinding_index(guesses_of(session, study), 5)
        without_first = blinding_index(guesses_of(session, study, excluded=[1]), 5)
    assert (index.n, index.n_right, index.n_cannot_tell) == (8, 2, 8)
    assert index.chance == pytest.approx(10 / 40)
    assert (without_first.n, without_first.n_cannot_tell) == (0, 8)
