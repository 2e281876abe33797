"""Imports puzzles as neurons of a subject of their own, so that they are looked at, explained and scored as any neuron
is: puzzle N is the neuron 0:N, its truth is the reference, and its false explanations are there too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.exchange.activations import CheckedNeuron, ImportedNeuron, ImportedRecord, checked_neuron
from app.exchange.explanations import ExplanationWriter
from app.exchange.neurons import NeuronWriter
from app.exchange.puzzle_truths import said_of_puzzle, stored_truths, truth_of
from app.exchange.report import ImportReport
from app.exchange.storable import shown
from app.explanations.methods import FALSE
from app.explanations.texts import as_shown
from app.neurons.names import PUZZLES
from app.neurons.reading import load_records, neuron_at
from app.neurons.records import RANDOM, TOP, ActivationRecord, NeuronRecords
from app.puzzles.loading import CUTOFF, Puzzle, load_puzzles
from app.puzzles.published import PublishedPuzzle, Sentence, published_puzzles

SHIPPED = "default"
"""Stands for the puzzles that come with the program, where a path is expected."""


@dataclass(frozen=True)
class PuzzleNeuron:
    """A puzzle on its way to a neuron. place: "FILE, puzzle NAME"."""

    place: str
    neuron: ImportedNeuron
    truth: str
    falses: tuple[str, ...]


def import_puzzles(database: Database, path: Path, *, subject: str, report: ImportReport) -> None:
    """Stores every puzzle of a folder of ours, of a file in the published format, or those that are shipped: `default`.

    A puzzle that is not the one that is here under its number is a reject, and so is one that cannot be read.
    Errors: InvalidInput when there is nothing to read, or when a puzzle of ours cannot be; Conflict for a subject whose
    neurons are no puzzles.
    """
    read = list(_puzzles(path, report))
    with NeuronWriter(database, subject, report, PUZZLES) as neurons:
        truths = stored_truths(database, subject)
        puzzles = _those_that_fit(database, subject, read, truths, report)
        for puzzle in puzzles:
            neurons.add(puzzle.neuron, puzzle.place)
    if not puzzles:
        return
    with ExplanationWriter(database, subject, report, makes_neurons=True, architecture=PUZZLES) as texts:
        for puzzle in puzzles:
            index = puzzle.neuron.index
            # It is the one that is here, as shown: the paper's results may have brought it with another capital.
            if index in truths:
                report.n_already_there += 1
            else:
                texts.add(truth_of(index, puzzle.truth), puzzle.place)
            for number, text in enumerate(puzzle.falses):
                texts.add(said_of_puzzle(index, FALSE, text, number), puzzle.place)


def _puzzles(path: Path, report: ImportReport) -> Iterator[PuzzleNeuron]:
    """Those that can be read, with their numbers; the others are reported, and keep theirs."""
    if path.is_file():
        for index, (name, read) in enumerate(published_puzzles(path)):
            place = f"{path}, puzzle {shown(name)}"
            if isinstance(read, InvalidInput):
                report.reject(place, str(read))
            else:
                yield _of_published(read, index, place)
        return
    if str(path) != SHIPPED and not path.is_dir():
        raise InvalidInput(f"there is no file or folder {path}; expected one with puzzles, or {SHIPPED}")
    for puzzle in load_puzzles(None if str(path) == SHIPPED else path):
        yield _of_ours(puzzle, f"{path}, puzzle {shown(puzzle.name)}")


def _of_ours(puzzle: Puzzle, place: str) -> PuzzleNeuron:
    bands = {TOP: puzzle.records.top, RANDOM: puzzle.records.random}
    records = {band: [_record(record) for record in kept] for band, kept in bands.items()}
    return PuzzleNeuron(place, _neuron(puzzle.records.index, records), puzzle.truth, puzzle.falses)


def _record(record: ActivationRecord) -> ImportedRecord:
    return ImportedRecord(record.tokens, record.activations.tolist())


def _of_published(puzzle: PublishedPuzzle, index: int, place: str) -> PuzzleNeuron:
    bands = {TOP: puzzle.top, RANDOM: puzzle.random}
    records = {band: [_record_of_sentence(sentence) for sentence in kept] for band, kept in bands.items()}
    return PuzzleNeuron(place, _neuron(index, records), puzzle.truth, puzzle.falses)


def _record_of_sentence(sentence: Sentence) -> ImportedRecord:
    return ImportedRecord([token for token, _ in sentence], [activation for _, activation in sentence])


def _neuron(index: int, bands: Mapping[str, Sequence[ImportedRecord]]) -> ImportedNeuron:
    # The cutoff of a neuron is its 0.9 quantile, so this column is where that of the puzzles goes.
    return ImportedNeuron(0, index, bands, {"q90": CUTOFF})


def _those_that_fit(
    database: Database,
    subject: str,
    puzzles: Sequence[PuzzleNeuron],
    truths: Mapping[int, str],
    report: ImportReport,
) -> list[PuzzleNeuron]:
    """Without those under whose number another puzzle is here, which are reported. truths: of those that are here, as
    shown, by index."""
    fitting = []
    for puzzle in puzzles:
        try:
            _check_fits(database, subject, puzzle, truths.get(puzzle.neuron.index))
        except InvalidInput as error:
            report.reject(puzzle.place, str(error))
        else:
            fitting.append(puzzle)
    return fitting


def _check_fits(database: Database, subject: str, puzzle: PuzzleNeuron, stored_truth: str | None) -> None:
    """Errors: InvalidInput for a puzzle that cannot be stored, or not under its number. stored_truth: of the puzzle
    that is there, as shown."""
    checked = checked_neuron(puzzle.neuron)
    name = f"neuron {checked.layer}:{checked.index}"
    if stored_truth is not None and stored_truth != as_shown(puzzle.truth):
        found = f"{subject} has another puzzle as {name}, of which {stored_truth!r} is true"
        raise InvalidInput(f"{found}; expected the same, or another --subject")
    stored = _stored_records(database, subject, checked)
    if stored is not None and not _are_those_of(checked, stored):
        raise InvalidInput(f"{subject} has this puzzle as {name} with other excerpts; expected another --subject")


def _stored_records(database: Database, subject: str, checked: CheckedNeuron) -> NeuronRecords | None:
    """None of a puzzle that is not here, or without its excerpts."""
    with database.reading() as session:
        try:
            stored = load_records(session, neuron_at(session, subject, checked.layer, checked.index))
        except UnknownName:
            return None
    return stored if stored.top or stored.random else None


def _are_those_of(checked: CheckedNeuron, stored: NeuronRecords) -> bool:
    return all(
        [(record.text.tokens, record.activations.tobytes()) for record in checked.bands.get(band, ())]
        == [(record.tokens, record.activations.tobytes()) for record in kept]
        for band, kept in ((TOP, stored.top), (RANDOM, stored.random))
    )
