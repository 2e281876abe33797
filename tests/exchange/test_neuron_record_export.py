"""Writing NeuronRecord files: whole files compared, and that what was imported comes out again."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.exchange.neuron_record_export import export_neuron_records
from app.exchange.neuron_records import import_neuron_records
from app.exchange.report import ImportReport
from tests.exchange.foreign_files import (
    CAT,
    DOG,
    SUBJECT,
    Json,
    Record,
    activation_record,
    neuron_record,
    records_of,
    statistics_of,
    write_json,
    write_neurons,
)
from tests.factories import make_neuron, make_record, make_subject

NUMBERS = itertools.count()
FINITE = st.floats(allow_nan=False, allow_infinity=False)
STATISTIC = st.none() | FINITE


def imported(database: Database, path: Path, subject: str = SUBJECT) -> None:
    report = ImportReport("neuron-records")
    import_neuron_records(database, path, subject=subject, report=report)
    assert report.rejects == []


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def files_in(folder: Path) -> dict[str, Any]:
    return {str(file.relative_to(folder)): read(file) for file in folder.rglob("*") if file.is_file()}


def test_what_was_imported_comes_out_the_same(database: Database, tmp_path: Path) -> None:
    quantiles = [[([" low"], [0.5])], [], [([" mid"], [1.0])], [([" high"], [2.0])]]
    whole = neuron_record(
        1,
        12,
        top=[CAT, DOG],
        random=[DOG, CAT],
        random_sample_by_quantile=[[activation_record(one) for one in band] for band in quantiles],
        quantile_boundaries=[None, 0.1, None, 2.5, 4.5, None],
        skewness=-0.1,
    )
    bare = neuron_record(0, 3, top=[], random=[DOG])
    imported(database, write_neurons(tmp_path / "in", [whole, bare]))
    assert export_neuron_records(database, subject_name=SUBJECT, to=tmp_path / "out") == 2
    assert files_in(tmp_path / "out") == {"1/12.json": whole, "0/3.json": bare}


def test_a_recorded_neuron_is_written_with_its_bands(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), 1, 2)
        for band in ("top", "q50", "q999", "random", "bottom"):
            make_record(session, neuron, band, tokens=[band], activations=[0.5])
        make_record(session, neuron, "top", rank=1, tokens=["weaker"], activations=[0.25])
        neuron.skewness = float("nan")
        neuron.kurtosis = None
    export_neuron_records(database, subject_name="toy", to=tmp_path)
    written = read(tmp_path / "1" / "2.json")
    top = [activation_record((["top"], [0.5])), activation_record((["weaker"], [0.25]))]
    assert written["most_positive_activation_records"] == top
    assert written["random_sample"] == [activation_record((["random"], [0.5]))]
    by_quantile = [[activation_record((["q50"], [0.5]))], [], [], [activation_record((["q999"], [0.5]))]]
    assert written["random_sample_by_quantile"] == by_quantile
    assert written["quantile_boundaries"] == [None, None, 2.0, None, None, None]
    assert (written["mean"], written["skewness"], written["kurtosis"]) == (0.25, None, None)


def test_nan_is_written_as_null(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        row = make_record(session, make_neuron(session, make_subject(session)))
        row.activations = np.array([1.5, np.nan, np.inf], "<f2").tobytes()
    export_neuron_records(database, subject_name="toy", to=tmp_path)
    written = read(tmp_path / "0" / "0.json")
    assert written["most_positive_activation_records"][0]["activations"] == [1.5, None, None]


def test_only_the_neurons_asked_for_are_written(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path / "in", [neuron_record(layer, 0) for layer in range(3)]))
    imported(database, write_neurons(tmp_path / "in", [neuron_record(0, 0)]), "other")
    to = tmp_path / "out"
    assert export_neuron_records(database, subject_name=SUBJECT, to=to, neurons=[(1, 0), (2, 0), (9, 9)]) == 2
    assert set(files_in(to)) == {"1/0.json", "2/0.json"}
    with pytest.raises(InvalidInput, match="no neuron with activations among those asked for"):
        export_neuron_records(database, subject_name=SUBJECT, to=to, neurons=[(9, 9)])
    with pytest.raises(UnknownName, match="nobody"):
        export_neuron_records(database, subject_name="nobody", to=to)


def test_no_file_is_written_over_unless_asked_to(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path / "in", [neuron_record(0, 0), neuron_record(0, 1)]))
    to = tmp_path / "out"
    kept = write_json(to / "0" / "1.json", "mine")
    with pytest.raises(Conflict, match=r"1\.json is there already"):
        export_neuron_records(database, subject_name=SUBJECT, to=to)
    assert files_in(to) == {"0/1.json": "mine"}
    assert export_neuron_records(database, subject_name=SUBJECT, to=to, overwrite=True) == 2
    assert read(kept) == neuron_record(0, 1)


def test_a_folder_that_cannot_be_written_is_named(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path / "in", [neuron_record(0, 0)]))
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(InvalidInput, match="cannot be written"):
        export_neuron_records(database, subject_name=SUBJECT, to=tmp_path / "out")


def test_more_neurons_than_one_query_takes_are_all_written(database: Database, tmp_path: Path) -> None:
    records = [neuron_record(0, index, top=[([f"{index}"], [1.0])]) for index in range(250)]
    imported(database, write_neurons(tmp_path / "in", records))
    assert export_neuron_records(database, subject_name=SUBJECT, to=tmp_path / "out") == 250
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


@st.composite
def record(draw: st.DrawFn) -> Record:
    tokens = draw(st.lists(st.text(max_size=5), min_size=1, max_size=6))
    activations = draw(st.lists(FINITE, min_size=len(tokens), max_size=len(tokens)))
    return tokens, activations


@st.composite
def any_neuron_record(draw: st.DrawFn) -> Json:
    band = st.lists(record(), max_size=4)
    quantiles = draw(st.none() | st.lists(band, min_size=4, max_size=4))
    return neuron_record(
        draw(st.integers(0, 99)),
        draw(st.integers(0, 9999)),
        top=draw(st.lists(record(), min_size=1, max_size=5)),
        random=draw(band),
        random_sample_by_quantile=quantiles and [[activation_record(one) for one in band] for band in quantiles],
        quantile_boundaries=draw(st.none() | st.lists(STATISTIC, min_size=4, max_size=6).filter(lambda b: len(b) != 5)),
        **{name: draw(STATISTIC) for name in ("mean", "variance", "skewness", "kurtosis")},
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=any_neuron_record())
def test_an_export_imports_as_what_it_was_made_of(database: Database, tmp_path: Path, wanted: Json) -> None:
    number = next(NUMBERS)
    first, second, folder = f"first {number}", f"second {number}", tmp_path / str(number)
    imported(database, write_json(folder / "any.json", wanted), first)
    export_neuron_records(database, subject_name=first, to=folder / "out")
    imported(database, folder / "out", second)
    assert records_of(database, second) == records_of(database, first)
    assert statistics_of(database, second) == statistics_of(database, first)
    export_neuron_records(database, subject_name=second, to=folder / "again")
    assert files_in(folder / "again") == files_in(folder / "out")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=any_neuron_record())
def test_an_import_keeps_every_value_up_to_float16(database: Database, tmp_path: Path, wanted: Json) -> None:
    number = next(NUMBERS)
    name = f"kept {number}"
    imported(database, write_json(tmp_path / f"{number}.json", wanted), name)
    place = (wanted["neuron_id"]["layer_index"], wanted["neuron_id"]["neuron_index"])
    stored = records_of(database, name).get((*place, "random"), [])
    assert [tokens for tokens, _ in stored] == [
        [token.replace("\0", "␀") for token in one["tokens"]] for one in wanted["random_sample"]
    ]
    for (_, activations), one in zip(stored, wanted["random_sample"], strict=True):
        clipped = [min(max(value, -65504.0), 65504.0) for value in one["activations"]]
        assert activations == [float(np.float16(value)) for value in clipped]
    mean = statistics_of(database, name)[place].get("mean")
    assert mean == wanted["mean"]
