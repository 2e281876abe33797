"""Imports NeuronSimulationResults: what an explainer said of a neuron, and how well a simulator did with that.

Source: github.com/openai/automated-interpretability. A file `L/N.jsonl` has a line per neuron, mostly one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.database import Database
from app.errors import InvalidInput
from app.exchange.explained import checked_explainer, checked_method
from app.exchange.explanations import ExplanationWriter, ImportedExplanation, ImportedScore, SimulatedSequence
from app.exchange.json_files import files_below, read_json_lines
from app.exchange.neuron_record_format import read_list, read_object
from app.exchange.report import ImportReport
from app.exchange.storable import finite
from app.explanations.methods import IMPORTED

METHOD, EXPLAINER = "original", "openai:gpt-4"
PROMPT_PACK = IMPORTED
METRIC, SCORER = "simulation", IMPORTED
VALUE = "ev_correlation_score"
OTHER_VALUES = ("rsquared_score", "absolute_dev_explained_score")
UNDEFINED = f"the imported file gives no {VALUE}, as for activations that are all the same"


def import_simulation_results(
    database: Database,
    path: Path,
    *,
    subject: str,
    report: ImportReport,
    method: str = METHOD,
    explainer: str = EXPLAINER,
) -> None:
    """Stores the explanations and scores of every line below the path for neurons that are here already.

    method, explainer: whose the explanations are, which the files do not say. An explanation that cannot be used with
    all its scores is a reject, and nothing of it is stored.
    Errors: InvalidInput when there is no file, or for a name that cannot be stored; UnknownName without the subject.
    """
    checked_method(method)
    checked_explainer(explainer)
    files = files_below(path, ".jsonl")
    with ExplanationWriter(database, subject, report) as writer:
        for file in files:
            for place, content in _lines(file, report):
                try:
                    explanations = read_simulation_results(content, method, explainer)
                except InvalidInput as error:
                    report.reject(place, str(error))
                    continue
                for explanation in explanations:
                    writer.add(explanation, place)


def _lines(file: Path, report: ImportReport) -> Iterator[tuple[str, Any]]:
    try:
        for number, content in read_json_lines(file):
            place = f"{file}, line {number}"
            if isinstance(content, InvalidInput):
                report.reject(place, str(content))
            else:
                yield place, content
    except InvalidInput as error:
        report.reject(str(file), str(error))


def read_simulation_results(content: Any, method: str, explainer: str) -> list[ImportedExplanation]:
    """A NeuronSimulationResults as parsed JSON. Errors: InvalidInput for a wrong shape."""
    fields = read_object(content, "the line")
    neuron_id = read_object(fields.get("neuron_id"), "neuron_id")
    scored = read_list(fields.get("scored_explanations"), "scored_explanations")
    if not scored:
        raise InvalidInput("scored_explanations is empty; expected one or more")
    return [
        _explanation(neuron_id, read_object(one, f"scored_explanations[{index}]"), method, explainer)
        for index, one in enumerate(scored)
    ]


def _explanation(
    neuron_id: Mapping[str, Any], scored: Mapping[str, Any], method: str, explainer: str
) -> ImportedExplanation:
    simulation = scored.get("scored_simulation")
    return ImportedExplanation(
        layer=neuron_id.get("layer_index", "missing"),
        index=neuron_id.get("neuron_index", "missing"),
        method=method,
        explainer=explainer,
        prompt_pack=PROMPT_PACK,
        text=scored.get("explanation", ""),
        failure=None,
        scores=() if simulation is None else (_score(read_object(simulation, "scored_simulation")),),
    )


def _score(simulation: Mapping[str, Any]) -> ImportedScore:
    name = "scored_sequence_simulations"
    sequences = [
        _sequence(read_object(one, f"{name}[{rank}]"), rank)
        for rank, one in enumerate(read_list(simulation.get(name), name))
    ]
    counts = {"n_sequences": len(sequences), "n_tokens": sum(len(sequence.tokens) for sequence in sequences)}
    return ImportedScore(
        metric=METRIC,
        scorer=SCORER,
        value=finite(simulation.get(VALUE)),
        reason=UNDEFINED,
        details={name: finite(simulation.get(name)) for name in OTHER_VALUES} | counts,
        simulated=sequences,
    )


def _sequence(scored: Mapping[str, Any], rank: int) -> SimulatedSequence:
    """The simulation is called `simulation` in some files, `sequence_simulation` in others."""
    content = scored.get("simulation") or scored.get("sequence_simulation")
    simulation = read_object(content, f"the simulation of scored sequence {rank}")
    tokens = read_list(simulation.get("tokens"), f"the tokens of scored sequence {rank}")
    expected = read_list(simulation.get("expected_activations"), f"expected_activations of scored sequence {rank}")
    return SimulatedSequence(tokens, expected, finite(scored.get(VALUE)))
