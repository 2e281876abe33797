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
    Column("settings", "Prompt pack or scorer", "code"),
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

    work: `Explain`, `Score: AdaCS`, ... model: who was asked. settings: the prompt pack with its options, or the
    scorer's name. methods: whose explanations were made or scored. n_neurons: those it has something of. n_each: its
    explanations of one neuron by one method, above 0. usd, tokens, seconds: of the whole batch; None where unknown,
    which is not 0.
    """

    work: str
    model: str
    settings: str
    methods: frozenset[str]
    n_neurons: int
    n_each: float
    usd: float | None
    tokens: int | None
    seconds: float | None


def cost_table(subject: str, batches: Iterable[BatchCost], notes: Sequence[str], hint: str, command: str) -> Table:
    """A row per work, model, settings and choice of methods."""
    alike: dict[tuple[str, str, str, tuple[str, ...]], list[BatchCost]] = defaultdict(list)
    for batch in batches:
        if batch.n_neurons:
            alike[batch.work, batch.model, batch.settings, tuple(sorted(batch.methods))].append(batch)
    rows = [
        (
            work,
            model,
            settings,
            ", ".join(method_title(method) for method in in_table_order(set(methods))),
            len(group),
            sum(batch.n_neurons for batch in group),
            _per_thousand(group, [batch.usd for batch in group]),
            _per_thousand(group, [batch.tokens for batch in group]),
            _hours(group),
        )
        for (work, model, settings, methods), group in sorted(alike.items())
    ]
    return Table(
        name="7",
        number="Table 7",
        title="Money and time per 1,000 neurons",
        subject=subject,
        caption="Of finished batches, for one explanation by each method of the row. A batch's time is from its order "
        "to its end; unknown where one was paused, or asked again for what had failed.",
        columns=COLUMNS,
        rows=rows,
        notes=notes,
        hint=hint,
        command=command,
    )


def _per_thousand(group: Sequence[BatchCost], figures: Sequence[float | None]) -> float | None:
    """None as soon as one of them is unknown: the sum of the others would be too small."""
    known = [figure for figure in figures if figure is not None]
    n = sum(batch.n_neurons * batch.n_each for batch in group)
    return PER * sum(known) / n if len(known) == len(figures) else None


def _hours(group: Sequence[BatchCost]) -> float | None:
    seconds = _per_thousand(group, [batch.seconds for batch in group])
    return None if seconds is None else seconds / SECONDS_PER_HOUR
