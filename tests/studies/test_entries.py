"""What a rater entered, whole or in part, and which of it can be stored."""

import pytest
from starlette.datastructures import FormData

from app.errors import InvalidJudgement
from app.studies.rating.entries import (
    CANNOT_JUDGE,
    LONGEST_COMMENT,
    Entries,
    Judgement,
    card_letter,
    check_complete,
    checked_entries,
)
from app.studies.rating.forms import JudgementForm, judgement_form

TOKENS = ["a-token", "b-token", "c-token"]


@pytest.mark.parametrize(
    ("ratings", "best", "reason"),
    [
        ({"a-token": 1, "b-token": 2, "c-token": 7}, TOKENS[:1], "rating 7 on card C; expected 1-5"),
        ({"a-token": "0", "b-token": 2, "c-token": 3}, TOKENS[:1], "rating 0 on card A; expected 1-5"),
        ({"a-token": 1, "b-token": "6", "c-token": 3}, TOKENS[:1], "rating 6 on card B; expected 1-5"),
        ({"a-token": 1, "b-token": "2.0", "c-token": 3}, TOKENS[:1], "rating 2.0 on card B; expected 1-5"),
        ({"a-token": 1, "b-token": "²", "c-token": 3}, TOKENS[:1], "rating ² on card B; expected 1-5"),
        ({"a-token": 1, "b-token": True, "c-token": 3}, TOKENS[:1], "rating True on card B; expected 1-5"),
        ({"a-token": 1, "b-token": "", "c-token": 3}, TOKENS[:1], "no rating on card B; expected 1-5"),
        ({"a-token": 1, "c-token": 3}, TOKENS[:1], "no rating on card B; expected 1-5"),
        ({"a-token": 1, "b-token": 2, "c-token": 3}, [], "no best pick; expected exactly one of the cards A, B, C"),
        (
            {"a-token": 1, "b-token": 2, "c-token": 3},
            TOKENS[:2],
            "2 best picks; expected exactly one of the cards A, B, C",
        ),
        (
            {"a-token": 1, "b-token": 2, "c-token": 3, "x": 4},
            TOKENS[:1],
            "answers for 1 cards that are not on this page; reload it and judge again",
        ),
        (
            {"a-token": 1, "b-token": 2, "c-token": 3},
            ["x"],
            "answers for 1 cards that are not on this page; reload it and judge again",
        ),
    ],
)
def test_what_is_no_judgement_is_refused(ratings: dict[str, int | str], best: list[str], reason: str) -> None:
    with pytest.raises(InvalidJudgement) as refused:
        check_complete(TOKENS, checked_entries(TOKENS, Entries(ratings, best)))
    assert str(refused.value) == reason


def test_answers_as_forms_send_them_are_a_judgement() -> None:
    ratings: dict[str, int | str] = {"c-token": "5", "a-token": 1, "b-token": "3"}
    judgement = checked_entries(TOKENS, Entries(ratings, ["b-token"]))
    assert judgement == Judgement({0: 1, 1: 3, 2: 5}, 1)
    assert judgement.is_complete(3)


# In part --------------------------------------------------------------------------------------------------------------


def test_entries_may_be_incomplete() -> None:
    assert checked_entries(TOKENS, Entries()) == Judgement()
    partial = checked_entries(TOKENS, Entries({"b-token": "4", "c-token": ""}, comment=" so far \r\n so good\n"))
    assert partial == Judgement({1: 4}, None, None, "so far \n so good")
    assert not partial.is_complete(3)


def test_with_a_reason_nothing_needs_to_be_rated() -> None:
    for reason in CANNOT_JUDGE:
        judgement = checked_entries(TOKENS, Entries({"a-token": "2"}, cannot_judge=reason))
        check_complete(TOKENS, judgement)
        assert judgement == Judgement({0: 2}, None, reason)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (
            Entries(cannot_judge="bored"),
            "reason 'bored'; expected one of not_understood, no_pattern, display, other",
        ),
        (Entries(comment="x" * 2001), "comment of 2001 characters; expected at most 2000"),
        (Entries({"a-token": "9"}, cannot_judge="other"), "rating 9 on card A; expected 1-5"),
        (Entries(best=TOKENS[:2], cannot_judge="other"), "2 best picks; expected exactly one of the cards A, B, C"),
    ],
)
def test_entries_that_nobody_can_store_are_refused(entries: Entries, reason: str) -> None:
    with pytest.raises(InvalidJudgement) as refused:
        checked_entries(TOKENS, entries)
    assert str(refused.value) == reason


def test_a_comment_is_measured_without_the_blanks_around_it() -> None:
    longest = "x" * LONGEST_COMMENT
    assert checked_entries(TOKENS, Entries(comment=f"  {longest}\n")).comment == longest


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (Judgement({0: 5}, None), Judgement({0: 5, 1: 2, 2: 3}, 1)),
        (Judgement({}, 2, None, "hm"), Judgement({0: 1, 1: 2, 2: 3}, 2, None, "hm")),
        (Judgement({0: 4, 1: 4, 2: 4}, 0), Judgement({0: 4, 1: 4, 2: 4}, 0)),
        (Judgement({}, None, "other"), Judgement({0: 1, 1: 2, 2: 3}, 1, "other")),
    ],
)
def test_a_judgement_that_counts_keeps_the_answers_that_a_change_leaves_out(
    sent: Judgement, expected: Judgement
) -> None:
    assert sent.completed_by(Judgement({0: 1, 1: 2, 2: 3}, 1), 3) == expected


def test_a_reason_stays_until_the_ratings_that_replace_it_are_all_there() -> None:
    earlier = Judgement({}, None, "no_pattern")
    assert Judgement({0: 4}).completed_by(earlier, 3) == Judgement({0: 4}, None, "no_pattern")
    assert Judgement({0: 4, 1: 4, 2: 1}, 0).completed_by(earlier, 3) == Judgement({0: 4, 1: 4, 2: 1}, 0)


def test_a_judgement_on_record_names_what_is_missing_with_null() -> None:
    assert Judgement({2: 1, 0: 4}).as_json() == {
        "ratings": {"0": 4, "2": 1},
        "best": None,
        "cannot_judge": None,
        "comment": None,
    }


def test_cards_are_lettered_beyond_the_alphabet() -> None:
    assert [card_letter(position) for position in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]


# As browsers send it --------------------------------------------------------------------------------------------------


def test_a_judgement_arrives_as_it_was_sent() -> None:
    sent = FormData(
        [
            ("rating-aa", "4"),
            ("rating-bb", "2"),
            ("rating-bb", "5"),
            ("best", "aa"),
            ("best", "bb"),
            ("cannot_judge", "other"),
            ("comment", "why\nnot"),
            ("version", "12"),
            ("x", "1"),
        ]
    )
    form = judgement_form(sent)
    assert form == JudgementForm({"aa": "4", "bb": "2, 5"}, ("aa", "bb"), "other", "why\nnot", 12)
    assert form.entries == Entries({"aa": "4", "bb": "2, 5"}, ("aa", "bb"), "other", "why\nnot")


def test_an_empty_form_is_an_empty_judgement() -> None:
    assert judgement_form(FormData()) == JudgementForm()


@pytest.mark.parametrize("version", ["", "null", "-1", "1.5", "²", "9" * 10])
def test_what_is_no_version_is_none(version: str) -> None:
    assert judgement_form(FormData([("version", version)])).version is None
