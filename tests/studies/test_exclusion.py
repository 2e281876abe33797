"""The rules that were declared before the opening, applied to raters."""

import pytest

from app.studies.protocol import Protocol
from app.studies.results.exclusion import declared_rules, excluded_raters, exclusion_reason
from app.studies.results.quality import NOTHING_JUDGED, RaterQuality

RULES = Protocol(
    exclude_failed_checks_percent=50,
    exclude_too_fast_percent=20,
    exclude_straight_line_percent=0,
    too_fast_seconds=4.5,
)
NO_RULES = Protocol(exclude_failed_checks_percent=None, exclude_too_fast_percent=None)


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (RaterQuality(n_checks=4, n_checks_failed=3), "failed 3 of 4 checks"),
        (RaterQuality(n_checks=6, n_checks_failed=3), None),
        (RaterQuality(n_judged=9, n_timed=9, n_too_fast=2), "too fast in 2 of 9 judgements"),
        (RaterQuality(n_judged=10, n_timed=10, n_too_fast=2), None),
        (
            RaterQuality(n_judged=9, n_cannot_judge=2, n_straight_line=1),
            "the same rating for all cards in 1 of 7 judgements",
        ),
        (RaterQuality(n_judged=9, n_cannot_judge=2), None),
    ],
)
def test_a_rater_above_a_share_is_left_out(quality: RaterQuality, reason: str | None) -> None:
    assert exclusion_reason(quality, RULES) == reason
    assert exclusion_reason(quality, NO_RULES) is None


def test_a_rule_with_nothing_to_count_leaves_nobody_out() -> None:
    assert exclusion_reason(NOTHING_JUDGED, RULES) is None


def test_only_those_left_out_have_a_reason() -> None:
    qualities = {1: RaterQuality(n_checks=1, n_checks_failed=1), 2: RaterQuality(n_checks=1)}
    assert excluded_raters(qualities, RULES) == {1: "failed 1 of 1 checks"}


def test_the_rules_in_words() -> None:
    assert declared_rules(RULES) == (
        "Raters who failed more than 50 % of their attention checks are left out.",
        "Raters who took less than 4.5 seconds in more than 20 % of their judgements are left out.",
        "Raters who gave all cards the same rating in more than 0 % of their judgements are left out.",
    )
    assert declared_rules(NO_RULES) == ()
