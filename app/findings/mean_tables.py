"""Tables 1 to 4 out of numbers per neuron: a row per neuron set and explainer, a column per method. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.explanations.methods import METHOD_TITLES, method_title
from app.findings.paired import differences
from app.findings.table import Cell, Column, Range, Table
from app.findings.values import Block, ByMethod, estimate, in_table_order

ORIGINAL = next(iter(METHOD_TITLES))
OF_NEURONS = (
    "Mean over neurons and its standard error (SD / √n); n is the number of neurons. Several explanations of a neuron "
    "by one method are averaged first."
)
OF_PAIRS = (
    "Over the neurons that both methods have: mean difference, its 95 % interval, and the "
    "probability by a paired sign-flip test, as it is and corrected (Holm) for all pairs of the comparison."
)
CONDITION = (
    Column("neurons", "Neurons", is_group=True),
    Column("scorer", "Scorer", "code", is_group=True),
    Column("explainer", "Explainer", "code", is_group=True),
    Column("prompt_pack", "Prompt pack", "code", is_group=True),
)
UNSCORED_CONDITION = tuple(column for column in CONDITION if column.name != "scorer")
OF_DIFFERENCES = (
    Column("method", "Method"),
    Column("other", "Minus"),
    Column("n", "n", "count"),
    Column("n_left_out", "Left out", "count"),
    Column("difference", "Difference", "number", 4),
    Column("low", "From", "number", 4),
    Column("high", "To", "number", 4),
    Column("p", "p", "p"),
    Column("p_holm", "p (Holm)", "p"),
)


@dataclass(frozen=True)
class Heading:
    """What a table is called. noun: what is averaged, for the title of its differences. Else as in `Table`."""

    name: str
    number: str
    title: str
    noun: str
    subject: str
    hint: str
    command: str


def mean_table(heading: Heading, found: Sequence[Block], notes: Sequence[str]) -> Table:
    """Tables 2, 3 and 4."""
    methods = in_table_order({method for block in found for method in block.methods})
    columns = (*CONDITION, Column("n", "n", "range"), *(_method_column(method, 4) for method in methods))
    rows = [(*_condition_cells(block), _n(block.methods), *_estimates(block, methods)) for block in found]
    return _table(heading, columns, rows, notes, OF_NEURONS)


def difference_table(heading: Heading, found: Sequence[Block], notes: Sequence[str]) -> Table:
    """All pairs of methods of each block, each on the neurons that both have."""
    rows = [row for block in found for row in _difference_rows(block)]
    return Table(
        name=f"{heading.name}-differences",
        number=f"{heading.number}, differences",
        title=f"Differences between methods: {heading.noun}",
        subject=heading.subject,
        caption=OF_PAIRS,
        columns=(*CONDITION, *OF_DIFFERENCES),
        rows=rows,
        notes=notes,
        hint=heading.hint,
        command=heading.command,
    )


def length_table(heading: Heading, found: Sequence[Block], notes: Sequence[str]) -> Table:
    """Table 1: a row per neuron set, explainer and method. ratio: tokens of Original over its own."""
    columns = (
        *UNSCORED_CONDITION,
        Column("method", "Method"),
        Column("n", "n", "count"),
        Column("tokens", "Tokens", "number", 1),
        Column("sem", "SEM", "number", 1),
        Column("ratio", "Ratio", "number", 2),
    )
    rows = [row for block in found for row in _length_rows(block)]
    return _table(
        heading,
        columns,
        rows,
        notes,
        f"Tokens of prompt and completion. Ratio: how many times as many Original takes. {OF_NEURONS}",
    )


def _table(
    heading: Heading, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], notes: Sequence[str], caption: str
) -> Table:
    place = (heading.name, heading.number, heading.title, heading.subject)
    return Table(*place, caption, columns, rows, notes, heading.hint, heading.command)


def _method_column(method: str, decimals: int) -> Column:
    return Column(method, method_title(method), "estimate", decimals, is_method=True)


def _condition_cells(block: Block) -> tuple[str, ...]:
    condition = block.condition
    return (block.neurons, condition.scorer, condition.explainer, condition.prompt_pack)


def _n(methods: ByMethod) -> Range:
    """How many neurons; from the fewest to the most, where methods differ."""
    counts = [len(values.values) for values in methods.values()]
    return Range(min(counts), max(counts))


def _estimates(block: Block, methods: Sequence[str]) -> list[Cell]:
    return [estimate(block.methods[method].values) if method in block.methods else None for method in methods]


def _difference_rows(block: Block) -> list[tuple[Cell, ...]]:
    return [
        (
            *_condition_cells(block),
            method_title(one.method),
            method_title(one.other),
            one.n,
            one.n_left_out,
            one.mean,
            one.low,
            one.high,
            one.p,
            one.p_holm,
        )
        for one in differences(block.methods)
    ]


def _length_rows(block: Block) -> list[tuple[Cell, ...]]:
    condition = block.condition
    means = {method: estimate(values.values) for method, values in block.methods.items()}
    original = means.get(ORIGINAL)
    rows: list[tuple[Cell, ...]] = []
    for method in in_table_order(set(means)):
        mean = means[method]
        if mean is not None:
            ratio = original.value / mean.value if original is not None and mean.value > 0 else None
            place = (block.neurons, condition.explainer, condition.prompt_pack, method_title(method))
            rows.append((*place, mean.n, mean.value, mean.sem, ratio))
    return rows
