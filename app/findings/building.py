"""Which tables there are, and each one made from what is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote

from sqlalchemy.orm import Session

from app.errors import UnknownName
from app.findings import queries
from app.findings.batch_costs import finished_batches
from app.findings.costs import cost_table
from app.findings.evaluations import evaluations
from app.findings.figure3 import figure3_tables
from app.findings.mean_tables import Heading, difference_table, length_table, mean_table
from app.findings.ranks import rank_table
from app.findings.table import Table
from app.findings.values import Block, Neurons, blocks
from app.neurons.models import SubjectModel

EXPLAIN_FIRST = "Have neurons explained first."
SCORE_FIRST = "Have their explanations scored first."
Build = Callable[[Session, SubjectModel, str | None], tuple[Table, ...]]


@dataclass(frozen=True)
class Finding:
    """One of the paper's tables, with the tables that belong to it. number: in addresses. tables: names of its tables.

    build: from the subject model and the name of a neuron set (None: all neurons, and every set); UnknownName for a
    set that is not there.
    """

    number: str
    title: str
    tables: tuple[str, ...]
    build: Build


def _table1(session: Session, subject: SubjectModel, set_name: str | None) -> tuple[Table, ...]:
    found = blocks(queries.length_values(session, subject.id), queries.neurons_compared(session, subject.id, set_name))
    kinds = {block.condition.explainer.partition(":")[0] for block in found}
    words = {
        "openai": "Tokens of openai: explainers are as their servers counted them.",
        "local": "Tokens of local: explainers are counted with the model's own tokenizer.",
    }
    notes = [words[kind] for kind in sorted(kinds) if kind in words]
    heading = Heading("1", "Table 1", "Prompt length", "tokens", subject.name, EXPLAIN_FIRST, _explain(subject.name))
    return (length_table(heading, found, notes),)


def _table2(session: Session, subject: SubjectModel, set_name: str | None) -> tuple[Table, ...]:
    command = _score(subject.name, queries.SIMULATION)
    title = "Mean simulation score"
    heading = Heading("2", "Table 2", title, "simulation score", subject.name, SCORE_FIRST, command)
    return _scored(session, subject, set_name, queries.SIMULATION, heading)


def _table3(session: Session, subject: SubjectModel, set_name: str | None) -> tuple[Table, ...]:
    hint = "It compares explanations with reference explanations: import those, and have the similarity scored."
    references = f"neuronjury import references FILE.csv --subject {quote(subject.name)}"
    command = f"{references}\n{_score(subject.name, queries.ADACS)}"
    heading = Heading("3", "Table 3", "Mean AdaCS", "AdaCS", subject.name, hint, command)
    return _scored(session, subject, set_name, queries.ADACS, heading)


def _scored(
    session: Session, subject: SubjectModel, set_name: str | None, metric: str, heading: Heading
) -> tuple[Table, ...]:
    sets = queries.neurons_compared(session, subject.id, set_name)
    found = blocks(queries.score_values(session, subject.id, [metric]), sets)
    notes = queries.notes_without_value(session, subject.id, [metric], sets)
    return _with_differences(heading, found, notes)


def _with_differences(heading: Heading, found: Sequence[Block], notes: Sequence[str]) -> tuple[Table, ...]:
    return mean_table(heading, found, notes), difference_table(heading, found, notes)


def _table4(session: Session, subject: SubjectModel, _: str | None) -> tuple[Table, ...]:
    """Of all puzzles, whichever subject model is asked for."""
    subjects = queries.puzzle_subjects(session)
    found = [
        block
        for puzzles in subjects
        for block in blocks(queries.score_values(session, puzzles.id, [queries.ADACS]), [Neurons(puzzles.name, None)])
    ]
    notes = [
        note
        for puzzles in subjects
        for note in queries.notes_without_value(session, puzzles.id, [queries.ADACS], [Neurons(puzzles.name, None)])
    ]
    name = subjects[0].name if subjects else "puzzles"
    imported = "" if subjects else "neuronjury import puzzles default --subject puzzles\n"
    hint = "Have puzzles explained and scored like the neurons of any model."
    command = f"{imported}{_explain(name)}\n{_score(name, queries.ADACS)}"
    title = "Mean AdaCS on neuron puzzles"
    heading = Heading("4", "Table 4", title, "AdaCS on puzzles", subject.name, hint, command)
    return _with_differences(heading, found, notes)


def _table6(session: Session, subject: SubjectModel, set_name: str | None) -> tuple[Table, ...]:
    hint = "Methods are ranked as soon as two of them have scores, or a study of them is closed."
    ranked = evaluations(session, subject, set_name)
    return (rank_table(subject.name, ranked.found, ranked.notes, hint, _score(subject.name, queries.SIMULATION)),)


def _table7(session: Session, subject: SubjectModel, _: str | None) -> tuple[Table, ...]:
    finished = finished_batches(session, subject.id)
    left_out = (
        (finished.n_partial, "a part of what was ordered was there already"),
        (finished.n_negative, "about negative activations, or about both sides"),
    )
    notes = [f"{n:,} {'batch' if n == 1 else 'batches'} left out: {why}." for n, why in left_out if n]
    hint = "It is made of batches that have finished."
    if finished.costs:
        notes = ["Answers that were paid for before are not counted again.", *notes]
    return (cost_table(subject.name, finished.costs, notes, hint, _explain(subject.name)),)


def _figure3(session: Session, subject: SubjectModel, set_name: str | None) -> tuple[Table, ...]:
    chosen = None if set_name is None else queries.neurons_compared(session, subject.id, set_name)[0]
    scored = queries.scored_neurons(session, subject, chosen)
    command = _score(subject.name, queries.SIMULATION)
    return figure3_tables(subject.name, subject.n_layers, scored, SCORE_FIRST, command)


def _explain(subject_name: str) -> str:
    return f"neuronjury explain --subject {quote(subject_name)} --method original --method summary --explainer ..."


def _score(subject_name: str, metric: str) -> str:
    return f"neuronjury score --subject {quote(subject_name)} --metric {metric} --scorer ..."


FINDINGS = {
    finding.number: finding
    for finding in (
        Finding("1", "Prompt length", ("1",), _table1),
        Finding("2", "Simulation", ("2", "2-differences"), _table2),
        Finding("3", "AdaCS", ("3", "3-differences"), _table3),
        Finding("4", "Puzzles", ("4", "4-differences"), _table4),
        Finding("6", "Ranks", ("6",), _table6),
        Finding("7", "Money and time", ("7",), _table7),
        Finding("figure3", "Scores", ("figure3-layers", "figure3-scores"), _figure3),
    )
}
"""By number. Table 5 is made of people's ratings, study by study: app/studies/results."""
TABLE_NAMES = tuple(name for finding in FINDINGS.values() for name in finding.tables)


def finding_numbered(number: str) -> Finding:
    """Errors: UnknownName, which lists those there are."""
    if number not in FINDINGS:
        raise UnknownName(f"there is no table {number!r} here; {_there_are(FINDINGS)}")
    return FINDINGS[number]


def finding_of(table_name: str) -> Finding:
    """Of which a table is part. Errors: UnknownName, which lists those there are."""
    for finding in FINDINGS.values():
        if table_name in finding.tables:
            return finding
    raise UnknownName(f"there is no table {table_name!r} here; {_there_are(TABLE_NAMES)}")


def _there_are(names: Sequence[str] | dict[str, Finding]) -> str:
    return f"expected {', '.join(names)}; Table 5 is with each study's results"
