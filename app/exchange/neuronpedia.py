"""Imports a Neuronpedia export of MLP neurons: their best excerpts, and what was said about them. Features of sparse
autoencoders are refused, for every neuron here is one of a model's MLP.

A neuron's rows may lie in any files and lines, so they first go into a file of their own (`neuronpedia_spool`); an
import that was stopped reads the export again and stores what is missing.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.exchange.activations import ImportedNeuron, ImportedRecord
from app.exchange.explanations import ExplanationWriter
from app.exchange.neuronpedia_files import (
    ACTIVATIONS,
    EXPLANATIONS,
    FEATURES,
    TABLES,
    BatchFile,
    LostRow,
    Row,
    batch_files,
)
from app.exchange.neuronpedia_rows import explanation_of, model_of, place_of, record_of, share_active_of, source_layer
from app.exchange.neuronpedia_spool import Spool, SpooledNeuron
from app.exchange.neurons import NeuronWriter, Place
from app.exchange.report import ImportReport, counted
from app.neurons.records import N_TOP_RECORDS, TOP

Batches = dict[str, list[BatchFile]]
"""The files of each of TABLES."""


def import_neuronpedia(database: Database, path: Path, *, subject: str, report: ImportReport) -> None:
    """Takes in every source below the folder `path`, each with batches of features, explanations and activations.

    A subject model that was recorded here takes the explanations alone. Errors: InvalidInput when there are no batches,
    when rows are not of MLP neurons or of several models; UnknownName when there is no subject for the explanations.
    """
    batches = {table: [BatchFile(file, path) for file in batch_files(path, table)] for table in TABLES}
    if not batches[ACTIVATIONS] and not batches[EXPLANATIONS]:
        raise InvalidInput(f"{path} has no batches; expected e.g. activations/batch-0.jsonl.gz in or below it")
    model = _model_of_all(file for table in TABLES for file in batches[table])
    if batches[ACTIVATIONS]:
        try:
            _import_neurons(database, batches, model, subject, report)
        except Conflict as error:
            report.reject(ACTIVATIONS, str(error))
    if batches[EXPLANATIONS]:
        try:
            _import_explanations(database, batches[EXPLANATIONS], model, subject, report)
        except UnknownName as error:
            # Where activations were there and none could be used, their rejects say more than this error alone.
            if not report.rejects:
                raise
            report.reject(EXPLANATIONS, str(error))


def _model_of_all(files: Iterable[BatchFile]) -> str | None:
    """The one model that the first row of every file is of; None when no file has a row that says so.

    Errors: InvalidInput when one is of another model, or not of MLP neurons.
    """
    first_places: dict[str, str] = {}
    for file in files:
        # What cannot be read is reported when all rows are read.
        with closing(file.rows(ImportReport("first rows"))) as rows:
            row = next((row for row in rows if isinstance(row, Row)), None)
        if row is None:
            continue
        if isinstance(source := row.fields.get("layer"), str):
            try:
                source_layer(source)
            except InvalidInput as error:
                raise InvalidInput(f"{row.place}: {error}") from None
        if isinstance(model := row.fields.get("modelId"), str):
            first_places.setdefault(model, row.place)
    if len(first_places) > 1:
        found = ", ".join(f"{model!r} ({place})" for model, place in first_places.items())
        raise InvalidInput(f"the export has several models: {found}; expected one")
    return next(iter(first_places), None)


def _rows(files: Iterable[BatchFile], model: str | None, report: ImportReport) -> Iterator[Row]:
    """The rows of the files that can be used; the others are reported."""
    return (row for _, row in _placed_rows(files, model, report) if isinstance(row, Row))


def _placed_rows(
    files: Iterable[BatchFile], model: str | None, report: ImportReport
) -> Iterator[tuple[Place | None, Row | LostRow]]:
    """All rows of the files with their neuron; None and a LostRow where it is unknown, which is reported."""
    for row in (row for file in files for row in file.rows(report)):
        place = _place_in(row, model, report) if isinstance(row, Row) else None
        yield (None, LostRow(row.place)) if place is None else (place, row)


def _place_in(row: Row, model: str | None, report: ImportReport) -> Place | None:
    try:
        found = model_of(row.fields)
        if found != model:
            raise InvalidInput(f"modelId is {found!r}; expected {model!r} as in the first row")
        return place_of(row.fields)
    except InvalidInput as error:
        report.reject(row.place, str(error))
        return None


def _import_neurons(
    database: Database, batches: Batches, model: str | None, subject: str, report: ImportReport
) -> None:
    with (
        NeuronWriter(database, subject, report) as writer,
        TemporaryDirectory(prefix="neuronjury-") as folder,
        Spool(Path(folder) / "rows.sqlite") as spool,
    ):
        _spool_activations(spool, batches[ACTIVATIONS], model, report)
        _spool_features(spool, batches[FEATURES], model, report)
        n_kept = 0
        for neuron in spool.neurons():
            n_kept += len(neuron.top)
            writer.add(_imported(neuron), neuron.place)
        if n_unused := spool.n_records() - n_kept:
            why = f"lower bins, beyond the best {N_TOP_RECORDS}, the same twice"
            report.remarks.append(f"{counted(n_unused, 'activation row')} not kept: {why}")
        if n_silent := spool.n_without_records():
            report.remarks.append(f"{counted(n_silent, 'neuron')} not taken: a feature row but no activation row")


def _spool_activations(spool: Spool, files: Iterable[BatchFile], model: str | None, report: ImportReport) -> None:
    """A neuron of which a row cannot be used is left out whole: nobody knows whether that row was its best. A row
    that does not say whose it is counts for the neurons of the rows before and behind it: rows come by neuron."""
    for _, of_source in groupby(files, key=lambda file: file.folder):
        before: Place | None = None
        lost: LostRow | None = None
        for place, row in _placed_rows(of_source, model, report):
            if isinstance(row, LostRow) or place is None:
                lost = LostRow(row.place)
                _leave_out(spool, before, lost, report)
                continue
            if lost is not None and place != before:
                _leave_out(spool, place, lost, report)
            before, lost = place, None
            _spool_record(spool, place, row, report)


def _leave_out(spool: Spool, place: Place | None, lost: LostRow, report: ImportReport) -> None:
    if place is not None and spool.leave_out(*place):
        report.reject(lost.place, f"neuron {place[0]}:{place[1]} is left out, for this may be a row of it")


def _spool_record(spool: Spool, place: Place, row: Row, report: ImportReport) -> None:
    try:
        spool.add_record(*place, record_of(row.fields), row.place)
    except InvalidInput as error:
        report.reject(row.place, f"{error}; neuron {place[0]}:{place[1]} is left out")
        spool.leave_out(*place)


def _spool_features(spool: Spool, files: Iterable[BatchFile], model: str | None, report: ImportReport) -> None:
    for row in _rows(files, model, report):
        try:
            layer, index = place_of(row.fields)
            if not spool.add_feature(layer, index, share_active_of(row.fields)):
                report.reject(row.place, f"the features of neuron {layer}:{index} are there twice; the first count")
        except InvalidInput as error:
            report.reject(row.place, str(error))


def _imported(neuron: SpooledNeuron) -> ImportedNeuron:
    top = [ImportedRecord(record.tokens, record.activations) for record in neuron.top]
    # Theirs is the share of tokens that are not 0, ours of those above 0: the same only where nothing is below.
    is_above_0 = all(min(record.activations) >= 0 for record in neuron.top)
    share_active = neuron.share_active if is_above_0 else None
    return ImportedNeuron(neuron.layer, neuron.index, {TOP: top}, {"share_active": share_active})


def _import_explanations(
    database: Database, files: Iterable[BatchFile], model: str | None, subject: str, report: ImportReport
) -> None:
    with ExplanationWriter(database, subject, report) as writer:
        for row in _rows(files, model, report):
            try:
                writer.add(explanation_of(row.fields), row.place)
            except InvalidInput as error:
                report.reject(row.place, str(error))
