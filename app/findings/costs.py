"""Table 7: what a thousand neurons cost in money and time. Pure: knows no batch, only what was added up of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.explanations.methods import method_title
from app.findings.table import UNKNOWN, Column, Table
from app.findings.values import in_table_order

PER = 1000
SECONDS_PER_HOUR = 3600
COLUMNS = (
    Column("work", "Work"),
    Column("model", "Model", "code"),
    Column("methods", "Methods"),
    Column("n_batches", "Batches", "count"),
    Column("n_neurons", "Neurons", "count"),
    Column("usd", "US$", "number", 2, UNKNOWN),
    Column("tokens", "Tokens", "number", 0, UNKNOWN),
    Column("hours", "Hours", "number", 2, UNKNOWN),
)


@dataclass(frozen=True)
class BatchCost:
    """What one finished batch took.

    work: `Explain`, `Score: AdaCS`, ... model: who was asked. methods: whose explanations were made or scored.
    n_neurons: it was for. usd, tokens, seconds: of the whole batch; None where unknown, which is not 0.
    """

    work: str
    model: str
    methods: frozenset[str]
    n_neurons: int
    usd: float | None
    tokens: int | None
    seconds: float | None


def cost_table(subject: str, batches: Iterable[BatchCost], notes: Sequence[str], hint: str, command: str) -> Table:
    """A row per work, model and choice of methods."""
    alike: dict[tuple[str, str, frozenset[str]], list[BatchCost]] = defaultdict(list)
    for batch in batches:
        if batch.n_neurons:
            alike[batch.work, batch.model, batch.methods].append(batch)
    rows = [
        (
            work,
            model,
            ", ".join(method_title(method) for method in in_table_order(set(methods))),
            len(group),
            sum(batch.n_neurons for batch in group),
            _per_thousand(group, [batch.usd for batch in group]),
            _per_thousand(group, [batch.tokens for batch in group]),
            _hours(group),
        )
        for (work, model, methods), group in sorted(alike.items(), key=lambda one: (*one[0][:2], sorted(one[0][2])))
    ]
    return Table(
        name="7",
        number="Table 7",
        title="Money and time per 1,000 neurons",
        subject=subject,
        caption="Of finished batches, for all methods of the row together. A batch's time is from its order to its "
        "end, waiting and pauses included.",
        columns=COLUMNS,
        rows=rows,
        notes=notes,
        hint=hint,
        command=command,
    )


def _per_thousand(group: Sequence[BatchCost], figures: Sequence[float | None]) -> float | None:
    """None as soon as one of them is unknown: the sum of the others would be too small."""
    known = [figure for figure in figures if figure is not None]
    return PER * sum(known) / sum(batch.n_neurons for batch in group) if len(known) == len(figures) else None


def _hours(group: Sequence[BatchCost]) -> float | None:
    seconds = _per_thousand(group, [batch.seconds for batch in group])
    return None if seconds is None else seconds / SECONDS_PER_HOUR
