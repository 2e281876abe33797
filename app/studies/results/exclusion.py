"""Which raters the analysis leaves out, by the rules that were declared before the opening. Pure: deletes nothing."""

from collections.abc import Mapping

from app.studies.protocol import Protocol
from app.studies.results.quality import RaterQuality


def exclusion_reason(quality: RaterQuality, protocol: Protocol) -> str | None:
    """Why the declared rules leave this rater out, the first that does; None: the rater stays in.

    A rule excludes whose share is above its percentage; one that has nothing to count excludes nobody.
    """
    q = quality
    if _is_above(q.n_checks_failed, q.n_checks, protocol.exclude_failed_checks_percent):
        return f"failed {q.n_checks_failed} of {q.n_checks} checks"
    if _is_above(q.n_too_fast, q.n_timed, protocol.exclude_too_fast_percent):
        return f"too fast in {q.n_too_fast} of {q.n_timed} judgements"
    if _is_above(q.n_straight_line, q.n_rated, protocol.exclude_straight_line_percent):
        return f"the same rating for all cards in {q.n_straight_line} of {q.n_rated} judgements"
    return None


def excluded_raters(qualities: Mapping[int, RaterQuality], protocol: Protocol) -> dict[int, str]:
    """The reason by number of each rater whom the rules leave out."""
    reasons = {number: exclusion_reason(quality, protocol) for number, quality in qualities.items()}
    return {number: reason for number, reason in reasons.items() if reason is not None}


def declared_rules(protocol: Protocol) -> tuple[str, ...]:
    """The rules in words, one sentence each; none: nobody is left out."""
    rules = (
        (protocol.exclude_failed_checks_percent, "failed more than {} % of their attention checks"),
        (
            protocol.exclude_too_fast_percent,
            f"took less than {protocol.too_fast_seconds:g} seconds in more than {{}} % of their judgements",
        ),
        (
            protocol.exclude_straight_line_percent,
            "gave all cards the same rating in more than {} % of their judgements",
        ),
    )
    return tuple(f"Raters who {rule.format(bound)} are left out." for bound, rule in rules if bound is not None)


def _is_above(n: int, n_of: int, percent: int | None) -> bool:
    # In whole numbers: 3 of 6 is not above 50 %, whatever a division would round to.
    return percent is not None and 100 * n > percent * n_of
