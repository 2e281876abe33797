"""Money, time and numbers as people read them."""

import pytest

from app.batches.wording import about, counted, dollars, duration


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0"),
        (1e-9, "less than $0.000001"),
        (0.000123, "$0.00012"),
        (0.0021, "$0.0021"),
        (0.002, "$0.002"),
        (0.01, "$0.01"),
        (0.45, "$0.45"),
        (0.5, "$0.50"),
        (3.0, "$3.00"),
        (1234.5, "$1,234.50"),
        (10_000_000.0, "$10,000,000.00"),
    ],
)
def test_dollars(usd: float, text: str) -> None:
    assert dollars(usd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3540, "59 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400, "1 day"),
        (190_000, "2 days 5 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert [about(n) for n in (0, 999, 1_234, 108_418)] == ["about 0", "about 999", "about 1,230", "about 108,000"]
    assert [counted(n, "call") for n in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
