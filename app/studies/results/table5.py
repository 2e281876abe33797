"""Table 5 of arXiv 2310.06200: mean rating with its standard error and share chosen best, per condition. Pure."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

NO_NUMBER = "–"


@dataclass(frozen=True)
class JudgedText:
    """One condition's part in one judgement.

    judgement: which judgement it belongs to; equal for all conditions that were judged together.
    rating: 1-5. best_share: 1 for the best pick, split equally among the conditions of a shared card; 0 for the others.
    """

    judgement: Hashable
    method: str
    explainer: str
    rating: int
    best_share: float


@dataclass(frozen=True)
class Table5Row:
    """One condition's line. A figure is None without ratings; the standard error also with a single one."""

    method: str
    explainer: str
    n: int
    mean_rating: float | None
    sem: float | None
    share_best: float | None


def table5(judged: Iterable[JudgedText], conditions: Sequence[tuple[str, str]]) -> tuple[Table5Row, ...]:
    """One row per condition, (method, explainer), in the order given; a condition without ratings has a row with n = 0.

    share_best is the sum of the condition's best shares over the number of judgements in which its explainer took part.
    """
    ratings: dict[tuple[str, str], list[int]] = defaultdict(list)
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    judgements: dict[str, set[Hashable]] = defaultdict(set)
    for one in judged:
        ratings[one.method, one.explainer].append(one.rating)
        shares[one.method, one.explainer].append(one.best_share)
        judgements[one.explainer].add(one.judgement)
    return tuple(_row(*c, ratings[c], math.fsum(shares[c]), len(judgements[c[1]])) for c in conditions)


def _row(method: str, explainer: str, ratings: list[int], best: float, n_judgements: int) -> Table5Row:
    n = len(ratings)
    mean = sum(ratings) / n if n else None
    share = best / n_judgements if n_judgements else None
    return Table5Row(method, explainer, n, mean, _standard_error(ratings), share)


def _standard_error(ratings: list[int]) -> float | None:
    """SD (n - 1) / sqrt(n).

    The sums are exact integers, so that the order of the ratings cannot change the last digit.
    """
    n = len(ratings)
    if n < 2:
        return None
    squares = n * sum(value * value for value in ratings) - sum(ratings) ** 2
    return math.sqrt(squares / (n * (n - 1))) / math.sqrt(n)


def mean_cell(row: Table5Row) -> str:
    """`3.487 ± 0.075`, as the paper prints it."""
    return f"{_decimal(row.mean_rating)} ± {_decimal(row.sem)}"


def share_cell(row: Table5Row) -> str:
    """`14.17 %`, as the paper prints it."""
    return NO_NUMBER if row.share_best is None else f"{100 * row.share_best:.2f} %"


def _decimal(value: float | None) -> str:
    return NO_NUMBER if value is None else f"{value:.3f}"


def format_table5(rows: Sequence[Table5Row]) -> str:
    """The table as plain text, its columns aligned, for a terminal."""
    header = ("explainer", "method", "n", "mean rating ± SEM", "chosen best")
    lines = [header, *((r.explainer, r.method, str(r.n), mean_cell(r), share_cell(r)) for r in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    left = (True, True, False, False, False)
    return "\n".join("  ".join(_padded(*cell) for cell in zip(line, widths, left, strict=True)) for line in lines)


def _padded(cell: str, width: int, is_left: bool) -> str:
    return cell.ljust(width) if is_left else cell.rjust(width)
