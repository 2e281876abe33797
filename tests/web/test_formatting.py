"""How figures and moments are written."""

from datetime import UTC, datetime

import pytest

from app.web import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (5, "5.00"),
        (0.1417, "0.142"),
        (-0.25, "−0.250"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234.5, "1,234"),
        (46080.0, "46,080"),
    ],
)
def test_a_number_has_three_significant_digits(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(2.125, "2.12"), (-0.0002, "−0.000"), (0.25, "0.250"), (-3.0, "−3.00")])
def test_a_short_number_has_three_decimals_at_most(value: float, text: str) -> None:
    assert formatting.short_number(value) == text


def test_counts_and_shares_are_written_for_people() -> None:
    assert formatting.count(46080) == "46,080"
    assert formatting.percent(0.1417) == "14.2 %"
    assert formatting.percent(None) == "–"


def test_a_moment_is_a_time_element_in_utc() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert formatting.moment(at) == '<time datetime="2026-03-04T05:06:07+00:00">4 Mar 2026, 05:06 UTC</time>'
    assert formatting.moment(None) == "–"


def test_text_is_split_at_empty_lines() -> None:
    assert formatting.paragraphs("one\r\ntwo\r\n\r\nthree\n \n\nfour\n") == ("one\r\ntwo", "three", "four")
