"""How carefully a rater judges: pace, straight lines, attention checks. Pure. Raters never learn of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from statistics import median
from typing import Any

from app.studies.dealing.checks import has_failed


@dataclass(frozen=True)
class JudgementRow:
    """One judgement, as far as it says nothing about a method.

    position: place in the rater's order, from 1. seconds: from first shown to first submitted; None when the page was
    never marked as shown. cannot_judge: the reason why the rater could not judge, or None. check_rating: 1-5; None
    without a check, or when the rater could not judge. is_straight_line: all cards, three or more, got the same rating.
    evidence: ranks from 0 of the excerpts shown, by band.
    """

    rater_number: int
    layer: int
    neuron: int
    position: int
    submitted_at: datetime
    seconds: float | None
    revisions: int
    cannot_judge: str | None
    comment: str | None
    evidence: dict[str, Any]
    check_rating: int | None
    is_check_best: bool
    is_straight_line: bool

    @property
    def is_check_failed(self) -> bool | None:
        """None where no check was judged."""
        return None if self.check_rating is None else has_failed(self.check_rating, self.is_check_best)


@dataclass(frozen=True)
class RaterQuality:
    """What one rater's judgements say about the rater.

    n_judged: judgements, those of neurons that the rater could not judge (n_cannot_judge) included. n_timed: those of
    known duration, whose median is median_seconds; None without any. n_too_fast: those below the protocol's bound.
    n_straight_line: those in which all cards, three or more, got the same rating.
    n_checks: false explanations judged; n_checks_failed: those rated 4 or 5 or picked as best.
    """

    n_judged: int = 0
    n_cannot_judge: int = 0
    n_timed: int = 0
    median_seconds: float | None = None
    n_too_fast: int = 0
    n_straight_line: int = 0
    n_checks: int = 0
    n_checks_failed: int = 0

    @property
    def n_rated(self) -> int:
        """Judgements with ratings."""
        return self.n_judged - self.n_cannot_judge


NOTHING_JUDGED = RaterQuality()


def rater_quality(judgements: Sequence[JudgementRow], too_fast_seconds: float) -> RaterQuality:
    """The figures of one rater's judgements; too_fast_seconds: a judgement below it is too fast."""
    seconds = [row.seconds for row in judgements if row.seconds is not None]
    checks = [row.is_check_failed for row in judgements if row.is_check_failed is not None]
    return RaterQuality(
        n_judged=len(judgements),
        n_cannot_judge=sum(row.cannot_judge is not None for row in judgements),
        n_timed=len(seconds),
        median_seconds=median(seconds) if seconds else None,
        n_too_fast=sum(is_too_fast(row, too_fast_seconds) for row in judgements),
        n_straight_line=sum(row.is_straight_line for row in judgements),
        n_checks=len(checks),
        n_checks_failed=sum(checks),
    )


def is_too_fast(row: JudgementRow, too_fast_seconds: float) -> bool:
    return row.seconds is not None and row.seconds < too_fast_seconds


def by_rater(rows: Iterable[JudgementRow], too_fast_seconds: float) -> dict[int, RaterQuality]:
    """The figures by rater number. rows: sorted by rater."""
    raters = groupby(rows, key=lambda row: row.rater_number)
    return {number: rater_quality(list(own), too_fast_seconds) for number, own in raters}
