"""How pages write figures and moments. Pure; templates use these as filters."""

import re
from datetime import datetime

from markupsafe import Markup

SIGNIFICANT_DIGITS = 3


def number(value: float | None) -> str:
    """A measured value with three significant digits, `1,235` from 1000 on, a true minus sign; an en dash for None."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    # "#" keeps the zeros at the end, so that figures in a column have the same precision.
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.{SIGNIFICANT_DIGITS}g}".rstrip(".")
    return text.replace("-", "−")


def short_number(value: float) -> str:
    """A measured value as `number` writes it, but with three decimals at most: for places where many stand close
    together."""
    return number(value) if abs(value) >= 1 else f"{value:.3f}".replace("-", "−")


def score(value: float) -> str:
    """A score with two decimals and a true minus sign; what rounds to nothing has no sign."""
    return f"{value:z.2f}".replace("-", "−")


def count(value: int) -> str:
    return f"{value:,}"


def percent(share: float | None) -> str:
    """A share of 1 as a percentage with one decimal; an en dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def moment(at: datetime | None) -> Markup:
    """A <time> element in UTC, to the minute; an en dash for None."""
    if at is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%-d %b %Y, %H:%M} UTC"
    )


def paragraphs(text: str) -> tuple[str, ...]:
    """Text split at empty lines."""
    return tuple(part.strip() for part in re.split(r"\r?\n\s*\r?\n", text) if part.strip())
