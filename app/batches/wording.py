"""How pages and the command line write money, time and numbers of things. Pure."""

import math

SMALLEST_SHOWN = 0.000001
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400


def dollars(usd: float) -> str:
    """$0, $0.0021, $0.45, $1,234.50: two digits that say something, however little it is."""
    if usd == 0:
        return "$0"
    if usd < SMALLEST_SHOWN:
        return f"less than ${SMALLEST_SHOWN:.6f}"
    n_decimals = max(2, 1 - math.floor(math.log10(usd)))
    whole, _, decimals = f"{usd:,.{n_decimals}f}".partition(".")
    return f"${whole}.{decimals.rstrip('0').ljust(2, '0')}"


def about(n: int) -> str:
    """108,418 -> about 108,000: three digits of a number that is no better known. Below 1,000 all of them."""
    digits = max(0, len(str(n)) - 3)
    return f"about {round(n, -digits):,}"


def duration(seconds: float) -> str:
    """40 s, 12 min, 3 h 20 min, 2 days 5 h: two units at most."""
    if seconds < SECONDS_PER_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_MINUTE:.0f} min"
    if seconds < SECONDS_PER_DAY:
        hours, minutes = divmod(round(seconds / SECONDS_PER_MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / SECONDS_PER_HOUR), 24)
    return counted(days, "day") + (f" {hours} h" if hours else "")


def as_a_sentence_begins(text: str) -> str:
    """With a capital letter; the rest, which may be names, as it is."""
    return text[:1].upper() + text[1:]


def counted(n: int, what: str) -> str:
    """1 call, 1,200 calls."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
