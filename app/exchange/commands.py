"""`neuronjury import` and `neuronjury export`: the files of other tools into the study data, and out of it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.database import Database
from app.errors import InvalidInput
from app.exchange.chosen import chosen_places
from app.exchange.delphi import import_delphi
from app.exchange.neuron_record_export import export_neuron_records
from app.exchange.neuron_records import import_neuron_records
from app.exchange.neuronpedia import import_neuronpedia
from app.exchange.neuronpedia_export import export_neuronpedia
from app.exchange.report import ImportReport
from app.exchange.simulation_results import EXPLAINER, METHOD, import_simulation_results
from app.migrating import opened_database
from app.neurons.lists import read_csv
from app.settings import Settings


class ImportKind(StrEnum):
    NEURON_RECORDS = "neuron-records"
    SIMULATION_RESULTS = "simulation-results"
    NEURONPEDIA = "neuronpedia"
    DELPHI = "delphi"


class ExportKind(StrEnum):
    NEURON_RECORDS = "neuron-records"
    NEURONPEDIA = "neuronpedia"


def register(commands: typer.Typer) -> None:
    """Adds both to `neuronjury`."""
    commands.command("import")(import_)
    commands.command("export")(export)


def import_(
    kind: Annotated[ImportKind, typer.Argument(help="Whose files they are.")],
    path: Annotated[Path, typer.Argument(help="The folder, or one file of it.")],
    subject: Annotated[str, typer.Option(help="Name of the subject model here; activations make it if need be.")],
    method: Annotated[
        str | None, typer.Option(help=f"simulation-results: the method of the explanations; default {METHOD}.")
    ] = None,
    explainer: Annotated[
        str | None,
        typer.Option(help=f"Who explained. simulation-results: default {EXPLAINER}; delphi: needed, for no file says."),
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV file for what could not be taken, and why.")] = None,
) -> None:
    """Import neurons, explanations and scores from another tool's files. Safe to repeat: what is here stays.

    Whatever cannot be used is named on stderr with its file, line and reason; the rest is taken.
    """
    report = ImportReport(kind.value)
    with opened_database(Settings()) as database:
        try:
            _import(database, kind, path, subject, method, explainer, report)
        finally:
            _tell_rejects(report, rejects)
    if not report.has_taken:
        raise InvalidInput(f"nothing in {path} could be taken as {kind}; {len(report.rejects):,} rejected")
    typer.echo(report.summary())


def _import(
    database: Database,
    kind: ImportKind,
    path: Path,
    subject: str,
    method: str | None,
    explainer: str | None,
    report: ImportReport,
) -> None:
    if method is not None and kind != ImportKind.SIMULATION_RESULTS:
        raise InvalidInput(f"--method is {method!r}; expected with simulation-results only")
    if explainer is not None and kind not in (ImportKind.SIMULATION_RESULTS, ImportKind.DELPHI):
        raise InvalidInput(f"--explainer is {explainer!r}; expected with simulation-results and delphi only")
    if kind == ImportKind.NEURON_RECORDS:
        import_neuron_records(database, path, subject=subject, report=report)
    elif kind == ImportKind.NEURONPEDIA:
        import_neuronpedia(database, path, subject=subject, report=report)
    elif kind == ImportKind.SIMULATION_RESULTS:
        import_simulation_results(
            database,
            path,
            subject=subject,
            report=report,
            method=METHOD if method is None else method,
            explainer=EXPLAINER if explainer is None else explainer,
        )
    elif explainer is None:
        raise InvalidInput("the files of delphi do not say who explained; expected --explainer, e.g. openai:gpt-4")
    else:
        import_delphi(database, path, subject=subject, explainer=explainer, report=report)


def _tell_rejects(report: ImportReport, to: Path | None) -> None:
    for rejected in report.rejects:
        print(f"{rejected.place}: {rejected.reason}", file=sys.stderr)
    if to is not None:
        try:
            to.write_text(report.rejects_csv(), encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise InvalidInput(f"{to} cannot be written: {error.strerror}") from None


def export(
    kind: Annotated[ExportKind, typer.Argument(help="Whose format to write.")],
    subject: Annotated[str, typer.Option(help="Name of the subject model.")],
    to: Annotated[Path, typer.Option(help="Folder to write to, made if need be.")],
    layer: Annotated[int | None, typer.Option(min=0, help="Only the neurons of this layer.")] = None,
    neurons: Annotated[Path | None, typer.Option(help="Only those of a CSV with the columns layer,neuron.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier export.")] = False,
) -> None:
    """Export neurons (neuron-records) or explanations (neuronpedia) as another tool's files."""
    listed = None if neurons is None else read_csv(neurons)
    with opened_database(Settings()) as database:
        with database.reading() as session:
            places = chosen_places(session, subject, layer=layer, listed=listed)
        if kind == ExportKind.NEURON_RECORDS:
            n = export_neuron_records(database, subject_name=subject, to=to, neurons=places, overwrite=overwrite)
            noun = "neuron"
        else:
            n = export_neuronpedia(database, subject_name=subject, to=to, neurons=places, overwrite=overwrite)
            noun = "explanation"
    typer.echo(f"Exported {n:,} {noun}{'' if n == 1 else 's'} to {to}")
