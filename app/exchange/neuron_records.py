"""Imports a folder of NeuronRecord files, one JSON file per neuron, as one subject model."""

from pathlib import Path

from app.database import Database
from app.errors import InvalidInput
from app.exchange.json_files import files_below, read_json
from app.exchange.neuron_record_format import read_neuron_record
from app.exchange.neurons import NeuronWriter
from app.exchange.report import ImportReport


def import_neuron_records(database: Database, path: Path, *, subject: str, report: ImportReport) -> None:
    """Stores every neuron below the path under the subject's name; what cannot be used becomes a reject of the report.

    Neurons that are there already stay as they are, so an import that was stopped goes on when it is run again.
    Errors: InvalidInput when there is no file or no such name; Conflict when the subject was recorded here.
    """
    files = files_below(path, ".json")
    with NeuronWriter(database, subject, report) as writer:
        for file in files:
            try:
                neuron = read_neuron_record(read_json(file))
            except InvalidInput as error:
                report.reject(str(file), str(error))
            else:
                writer.add(neuron, str(file))
