"""Explanations as rows of a table: our own form for exchanging them, as CSV or JSON lines. Pure, in both directions.

    layer, neuron   from 0
    method          such as hs, or a name of one's own: a-z, 0-9, _ and -
    explainer       such as openai:gpt-4; `none` where no model was asked
    explanation     the text as people see it; empty with a failure
    sample          from 0; empty takes the next number that is free
    prompt_pack     empty means `imported`
    side            positive or negative; empty means positive
    failure         why there is no explanation, empty where there is one
    received        what the explainer answered, verbatim; empty where the explanation says the same
    scores          a list of {metric, scorer, value, reason, details}; in a CSV as JSON in one cell

The first five have to be there, the others may be missing; columns of other names are ignored.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import InvalidInput
from app.exchange.csv_files import whole_number
from app.exchange.explained import ImportedExplanation, ImportedScore
from app.exchange.storable import finite, shown
from app.explanations.methods import IMPORTED

NEEDED = ("layer", "neuron", "method", "explainer", "explanation")
OPTIONAL = ("sample", "prompt_pack", "side", "failure", "received", "scores")
COLUMNS = (*NEEDED, *OPTIONAL)
Row = Mapping[str, Any]


def of_csv(cells: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a CSV row as the values that a JSON line has; empty ones are missing.

    Errors: InvalidInput for a number that is none and for scores that are not JSON.
    """
    values: dict[str, Any] = {name: cells[name] for name in COLUMNS if cells.get(name)}
    for name in (*NEEDED[:-1], *OPTIONAL):
        # White space is part of what was received, and of nothing else.
        if name in values and name != "received":
            values[name] = values[name].strip() or None
    for name in ("layer", "neuron", "sample"):
        if values.get(name) is not None:
            values[name] = whole_number(values[name], name)
    if values.get("scores") is not None:
        values["scores"] = _parsed(values["scores"])
    return values


def _parsed(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InvalidInput(f"the scores are {shown(cell)}; expected a list in JSON") from None


def imported(row: Row) -> ImportedExplanation:
    """A row as values of JSON. Errors: InvalidInput for what is missing or of another type."""
    for name in NEEDED[:-1]:
        if row.get(name) is None:
            raise InvalidInput(f"no {name}; expected {', '.join(NEEDED)}")
    said, received, failure = (_text(row, name) for name in ("explanation", "received", "failure"))
    if not said and not failure:
        raise InvalidInput("the explanation is empty; expected a text, or why there is none as failure")
    if said and failure:
        raise InvalidInput(f"both an explanation and the failure {shown(failure)}; expected one of them")
    return ImportedExplanation(
        layer=row["layer"],
        index=row["neuron"],
        method=row["method"],
        explainer=row["explainer"],
        prompt_pack=_text(row, "prompt_pack") or IMPORTED,
        text=received or said,
        text_shown=said,
        failure=failure,
        side=row.get("side") or "positive",
        sample_number=row.get("sample"),
        scores=[_score(score, index) for index, score in enumerate(_scores(row))],
    )


def _text(row: Row, name: str) -> str | None:
    """None for an empty one."""
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"the {name} is {shown(value)}; expected a text")
    return value if value and (value.strip() or name == "received") else None


def _scores(row: Row) -> Sequence[Any]:
    scores = row.get("scores")
    if scores is not None and not isinstance(scores, list):
        raise InvalidInput(f"the scores are {shown(scores)}; expected a list")
    return scores or []


def _score(score: Any, index: int) -> ImportedScore:
    if not isinstance(score, dict) or not isinstance(score.get("details", {}), dict):
        raise InvalidInput(f"score {index} is {shown(score)}; expected metric, scorer, value, reason and details")
    value = score.get("value")
    if value is not None and finite(value) is None:
        raise InvalidInput(f"the value of score {index} is {shown(value)}; expected a finite number or null")
    return ImportedScore(
        metric=score.get("metric", ""),
        scorer=score.get("scorer", ""),
        value=value,
        reason=_text(score, "reason"),
        details=score.get("details", {}),
    )


def as_csv(row: Row) -> list[str]:
    """The cells of a row of all COLUMNS, in their order."""
    cells = dict(row) | {"scores": json.dumps(row["scores"], ensure_ascii=False) if row["scores"] else None}
    return ["" if cells[name] is None else str(cells[name]) for name in COLUMNS]
