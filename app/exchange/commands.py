"""`neuronjury import` and `neuronjury export`: the files of other tools into the study data, and out of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.database import Database
from app.errors import InvalidInput
from app.exchange.chosen import chosen_places
from app.exchange.delphi import import_delphi
from app.exchange.explanation_export import export_explanations
from app.exchange.explanation_files import import_explanations
from app.exchange.neuron_record_export import export_neuron_records
from app.exchange.neuron_records import import_neuron_records
from app.exchange.neuronpedia import import_neuronpedia
from app.exchange.neuronpedia_export import export_neuronpedia
from app.exchange.paper_results import import_paper_results
from app.exchange.puzzles import SHIPPED, import_puzzles
from app.exchange.references import EXPLAINER as REFERENCE_EXPLAINER
from app.exchange.references import import_references
from app.exchange.report import ImportReport, counted
from app.exchange.simulation_results import EXPLAINER, METHOD, import_simulation_results
from app.migrating import opened_database
from app.neurons.lists import read_csv
from app.settings import Settings


class ImportKind(StrEnum):
    NEURON_RECORDS = "neuron-records"
    SIMULATION_RESULTS = "simulation-results"
    NEURONPEDIA = "neuronpedia"
    DELPHI = "delphi"
    PUZZLES = "puzzles"
    PAPER_RESULTS = "paper-results"
    REFERENCES = "references"
    EXPLANATIONS = "explanations"


class ExportKind(StrEnum):
    NEURON_RECORDS = "neuron-records"
    NEURONPEDIA = "neuronpedia"
    EXPLANATIONS = "explanations"


_KINDS_BY_OPTION = {
    "method": (ImportKind.SIMULATION_RESULTS,),
    "explainer": (
        ImportKind.SIMULATION_RESULTS,
        ImportKind.DELPHI,
        ImportKind.PAPER_RESULTS,
        ImportKind.REFERENCES,
    ),
    "neuron_set": (ImportKind.PAPER_RESULTS,),
}
"""Which kinds an option is for; with others it would be ignored, and so it is an error."""


@dataclass(frozen=True)
class ImportOptions:
    """What the files do not say, as given on the command line."""

    method: str | None
    explainer: str | None
    neuron_set: str | None


def register(commands: typer.Typer) -> None:
    """Adds both to `neuronjury`."""
    commands.command("import")(import_)
    commands.command("export")(export)


def import_(
    kind: Annotated[ImportKind, typer.Argument(help="What the files hold, or whose they are.")],
    path: Annotated[
        Path, typer.Argument(help=f"The folder, or one file of it; {SHIPPED}: the puzzles that are shipped.")
    ],
    subject: Annotated[str, typer.Option(help="Name of the subject model here, which most kinds make if need be.")],
    method: Annotated[
        str | None, typer.Option(help=f"simulation-results: the method of the explanations; default {METHOD}.")
    ] = None,
    explainer: Annotated[
        str | None,
        typer.Option(
            help=f"Who explained. simulation-results, references: default {EXPLAINER}; delphi, paper-results: needed, "
            "for no file says."
        ),
    ] = None,
    neuron_set: Annotated[
        str | None, typer.Option(help="paper-results: a name under which the neurons of the files stay together.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV file for what could not be taken, and why.")] = None,
) -> None:
    """Import neurons, explanations and scores. Safe to repeat: what is here stays.

    neuron-records, neuronpedia: activations, with explanations where there are any. simulation-results, delphi:
    explanations and scores of neurons that are here. puzzles: ours or in the published format, with their truths.
    paper-results, references, explanations: texts in CSV (explanations also as JSON lines); neurons that are not here
    are made, and take activations that are imported later. A text that two files of paper-results have of one neuron
    and method is one explanation.

    Whatever cannot be used is named on stderr with its file, line and reason; the rest is taken.
    """
    report = ImportReport(kind.value)
    with opened_database(Settings()) as database:
        try:
            _import(database, kind, path, subject, ImportOptions(method, explainer, neuron_set), report)
        finally:
            _tell_rejects(report, rejects)
    if not report.has_taken:
        raise InvalidInput(f"nothing in {path} could be taken as {kind}; {len(report.rejects):,} rejected")
    typer.echo(report.summary())


def _import(
    database: Database, kind: ImportKind, path: Path, subject: str, options: ImportOptions, report: ImportReport
) -> None:
    _check_options(kind, options)
    match kind:
        case ImportKind.NEURON_RECORDS:
            import_neuron_records(database, path, subject=subject, report=report)
        case ImportKind.NEURONPEDIA:
            import_neuronpedia(database, path, subject=subject, report=report)
        case ImportKind.PUZZLES:
            import_puzzles(database, path, subject=subject, report=report)
        case ImportKind.EXPLANATIONS:
            import_explanations(database, path, subject=subject, report=report)
        case ImportKind.REFERENCES:
            explainer = REFERENCE_EXPLAINER if options.explainer is None else options.explainer
            import_references(database, path, subject=subject, explainer=explainer, report=report)
        case ImportKind.SIMULATION_RESULTS:
            method = METHOD if options.method is None else options.method
            explainer = EXPLAINER if options.explainer is None else options.explainer
            import_simulation_results(
                database, path, subject=subject, method=method, explainer=explainer, report=report
            )
        case ImportKind.DELPHI:
            explainer = _needed_explainer(kind, options)
            import_delphi(database, path, subject=subject, explainer=explainer, report=report)
        case ImportKind.PAPER_RESULTS:
            explainer = _needed_explainer(kind, options)
            import_paper_results(
                database, path, subject=subject, explainer=explainer, neuron_set=options.neuron_set, report=report
            )


def _check_options(kind: ImportKind, options: ImportOptions) -> None:
    for name, kinds in _KINDS_BY_OPTION.items():
        value = getattr(options, name)
        if value is not None and kind not in kinds:
            *others, last = kinds
            expected = f"{', '.join(others)} and {last}" if others else last
            raise InvalidInput(f"--{name.replace('_', '-')} is {value!r}; expected with {expected} only")


def _needed_explainer(kind: ImportKind, options: ImportOptions) -> str:
    if options.explainer is None:
        raise InvalidInput(f"the files of {kind} do not say who explained; expected --explainer, e.g. openai:gpt-4")
    return options.explainer


def _tell_rejects(report: ImportReport, to: Path | None) -> None:
    for rejected in report.rejects:
        print(f"{rejected.place}: {rejected.reason}", file=sys.stderr)
    if to is not None:
        try:
            to.write_text(report.rejects_csv(), encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise InvalidInput(f"{to} cannot be written: {error.strerror}") from None


def export(
    kind: Annotated[ExportKind, typer.Argument(help="What to write, in whose format.")],
    subject: Annotated[str, typer.Option(help="Name of the subject model.")],
    to: Annotated[Path, typer.Option(help="Folder to write to, made if need be; explanations: a .csv or .jsonl file.")],
    layer: Annotated[int | None, typer.Option(min=0, help="Only the neurons of this layer.")] = None,
    neurons: Annotated[Path | None, typer.Option(help="Only those of a CSV with the columns layer,neuron.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier export.")] = False,
) -> None:
    """Export neurons (neuron-records) or explanations (neuronpedia, or explanations: a table with their scores)."""
    listed = None if neurons is None else read_csv(neurons)
    with opened_database(Settings()) as database:
        with database.reading() as session:
            places = chosen_places(session, subject, layer=layer, listed=listed)
        writing, noun = _EXPORTS[kind]
        n = writing(database, subject_name=subject, to=to, neurons=places, overwrite=overwrite)
    typer.echo(f"Exported {counted(n, noun)} to {to}")


_EXPORTS: dict[ExportKind, tuple[Callable[..., int], str]] = {
    ExportKind.NEURON_RECORDS: (export_neuron_records, "neuron"),
    ExportKind.NEURONPEDIA: (export_neuronpedia, "explanation"),
    ExportKind.EXPLANATIONS: (export_explanations, "explanation"),
}
"""How each kind is written, and what is counted."""
