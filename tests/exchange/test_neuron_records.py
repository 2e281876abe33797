"""Importing NeuronRecord files: what of them is stored, what is refused and why, and that a stopped import goes on."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.neuron_records import import_neuron_records
from app.exchange.report import ImportReport
from app.neurons.models import Neuron, SubjectModel
from app.neurons.reading import load_records, neuron_at
from tests.exchange.foreign_files import (
    CAT,
    DOG,
    SUBJECT,
    Json,
    activation_record,
    n_excerpts,
    neuron_record,
    records_of,
    statistics_of,
    write_json,
    write_neurons,
)
from tests.factories import make_neuron, make_subject


def imported(database: Database, path: Path, subject: str = SUBJECT) -> ImportReport:
    report = ImportReport("neuron-records")
    import_neuron_records(database, path, subject=subject, report=report)
    return report


def reasons(report: ImportReport) -> list[str]:
    return [rejected.reason for rejected in report.rejects]


def test_a_neuron_record_is_stored_with_all_it_says(database: Database, tmp_path: Path) -> None:
    quantiles = [[([" low"], [0.5])], [([" mid"], [1.0])], [], [([" high"], [2.0]), ([" higher"], [3.0])]]
    record = neuron_record(
        3,
        17,
        top=[CAT, DOG],
        random=[DOG],
        random_sample_by_quantile=[[activation_record(one) for one in band] for band in quantiles],
        quantile_boundaries=[None, 0.5, 1.5, 2.5, 4.5, None],
    )
    report = imported(database, write_json(tmp_path / "3" / "17.json", record))
    assert (report.n_neurons, report.n_records, report.rejects) == (1, 7, [])
    moments = {"mean": 0.5, "variance": 1.5, "kurtosis": 3.0}
    boundaries = {"q50": 0.5, "q90": 1.5, "q99": 2.5, "q999": 4.5}
    assert statistics_of(database) == {(3, 17): {"maximum": 5.0} | moments | boundaries}
    assert records_of(database) == {
        (3, 17, "top"): [CAT, DOG],
        (3, 17, "random"): [DOG],
        (3, 17, "q50"): [([" low"], [0.5])],
        (3, 17, "q90"): [([" mid"], [1.0])],
        (3, 17, "q999"): [([" higher"], [3.0]), ([" high"], [2.0])],
    }


def test_what_is_imported_reads_as_a_neuron_of_a_model_of_its_size(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path, [neuron_record(2, 5), neuron_record(1, 9)]))
    with database.reading() as session:
        neuron = neuron_at(session, SUBJECT, 2, 5)
        records = load_records(session, neuron)
        assert (neuron.subject.n_layers, neuron.subject.n_neurons_per_layer) == (3, 10)
        assert [record.tokens for record in records.top] == [tuple(CAT[0])]
        assert (neuron.maximum_excerpt, neuron.maximum_token) == (0, 1)


def test_a_later_import_makes_the_subject_larger_never_smaller(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path / "first", [neuron_record(1, 9)]))
    imported(database, write_neurons(tmp_path / "second", [neuron_record(4, 2)]))
    imported(database, write_neurons(tmp_path / "third", [neuron_record(0, 0)]))
    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).one()
    assert (subject.n_layers, subject.n_neurons_per_layer) == (5, 10)
    assert set(statistics_of(database)) == {(0, 0), (1, 9), (4, 2)}


@pytest.mark.parametrize("ends", [(None, None), (0.0, 9.0), ("NaN", None), ()])
def test_quantile_boundaries_are_taken_by_meaning(database: Database, tmp_path: Path, ends: tuple[Any, ...]) -> None:
    inner = [0.5, 1.5, None, 4.5]
    boundaries = [ends[0], *inner, ends[1]] if ends else inner
    content = json.dumps(neuron_record(quantile_boundaries=boundaries)).replace('"NaN"', "NaN")
    (tmp_path / "0.json").write_text(content)
    imported(database, tmp_path)
    statistics = statistics_of(database)[0, 0]
    assert [statistics.get(name) for name in ("q50", "q90", "q99", "q999")] == inner


def test_top_records_are_put_best_first_and_equal_ones_keep_their_order(database: Database, tmp_path: Path) -> None:
    top = [(["b"], [1.0]), (["a"], [1.0]), (["best"], [2.0]), (["c"], [1.0])]
    imported(database, write_neurons(tmp_path, [neuron_record(top=top, random=top)]))
    stored = records_of(database)
    assert [tokens for tokens, _ in stored[0, 0, "top"]] == [["best"], ["b"], ["a"], ["c"]]
    assert stored[0, 0, "random"] == top


def test_lists_of_any_length_are_taken(database: Database, tmp_path: Path) -> None:
    many = [([f"word {number}"], [number / 8]) for number in range(70, 0, -1)]
    records = [neuron_record(0, 0, top=many, random=[]), neuron_record(0, 1, top=[], random=many[:1])]
    records.append(neuron_record(0, 2, most_positive_activation_records=None))
    assert imported(database, write_neurons(tmp_path, records)).n_records == 72
    stored = records_of(database)
    assert stored[0, 0, "top"] == many
    assert set(stored) == {(0, 0, "top"), (0, 1, "random"), (0, 2, "random")}


def test_activations_beyond_float16_are_clipped_as_in_a_recording(database: Database, tmp_path: Path) -> None:
    text = json.dumps(neuron_record(top=[(list("abcde"), [1e9, -1e9, "inf", "-inf", 1.5])]))
    huge = "1" + "0" * 400
    text = text.replace('"inf"', "Infinity").replace('"-inf"', f"-{huge}")
    (tmp_path / "0.json").write_text(text)
    imported(database, tmp_path)
    assert records_of(database)[0, 0, "top"] == [(list("abcde"), [65504.0, -65504.0, 65504.0, -65504.0, 1.5])]
    assert statistics_of(database)[0, 0]["maximum"] == 65504.0


def test_characters_that_a_database_refuses_are_replaced(database: Database, tmp_path: Path) -> None:
    text = json.dumps(neuron_record(top=[(["a\0b", "half \ud83d", "whole 😀", "\\u0000"], [4, 3, 2, 1])]))
    (tmp_path / "0.json").write_text(text)
    imported(database, tmp_path)
    assert records_of(database)[0, 0, "top"][0][0] == ["a␀b", "half �", "whole 😀", "\\u0000"]


def test_an_excerpt_that_recurs_is_stored_once(database: Database, tmp_path: Path) -> None:
    first = write_neurons(tmp_path / "first", [neuron_record(0, 0, top=[CAT, CAT]), neuron_record(0, 1)])
    imported(database, first)
    assert n_excerpts(database) == 2
    other = (["The", " cat", " sat", "."], [0.0, 1.0, 0.0, 0.0])
    joined = (["The cat", " sat"], [1.0, 0.0])
    imported(database, write_neurons(tmp_path / "second", [neuron_record(0, 2, top=[other, joined])]))
    assert n_excerpts(database) == 4
    assert records_of(database)[0, 2, "top"] == [other, joined]


def test_two_subjects_do_not_share_neurons(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path, [neuron_record(0, 0)]))
    assert imported(database, tmp_path, "other").n_neurons == 1
    assert records_of(database, "other") == records_of(database)


def broken(**others: Any) -> Json:
    return neuron_record(0, 1, **others)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (broken(top=[(["a", "b"], [1.0, None])]), "activation 1 of top record 0 is null; expected a number"),
        (broken(random=[(["a"], [float("nan")])]), "activation 0 of random record 0 is nan; expected a number"),
        (broken(top=[(["a"], ["1.5"])]), "activation 0 of top record 0 is '1.5'; expected a number"),
        (broken(top=[(["a"], [True])]), "activation 0 of top record 0 is True"),
        (broken(top=[CAT, (["a", "b"], [1.0])]), "top record 1 has 2 tokens and 1 activations"),
        (broken(top=[([], [])]), "top record 0 has no tokens"),
        (broken(top=[(["a", 5], [1.0, 2.0])]), "token 1 of top record 0 is 5; expected a text"),
        (broken(top=[("word", [1.0])]), "top record 0 has no tokens; expected a list"),
        (broken(top=[(["a"], 1.0)]), "the activations of top record 0 are float; expected a list"),
        (broken(top=[], random=[]), "neuron 0:1 has no record"),
        (broken(random_sample="none"), "random_sample is a text; expected a list"),
        (broken(random_sample=[3]), "random_sample[0] is a number; expected an object"),
        (broken(random_sample_by_quantile=[[], []]), "random_sample_by_quantile has 2 lists; expected 4"),
        (broken(quantile_boundaries=[0.1] * 5), "quantile_boundaries has 5 numbers; expected 4 or 6"),
        (broken(quantile_boundaries=[0.1, 0.2, "x", 0.4]), "q99 is 'x'; expected a number or null"),
        (broken(mean="high"), "mean is 'high'; expected a number or null"),
        (neuron_record(-1, 1), "the layer is -1; expected a whole number"),
        (neuron_record(0, 10**12), "the neuron index is 1000000000000; expected a whole number"),
        (neuron_record(0, 1.5), "the neuron index is 1.5"),
        (neuron_record(True, 1), "the layer is True"),
        ({"neuron_id": {"layer_index": 0}}, "the neuron index is 'missing'"),
        ({"tokens": ["a"]}, "neuron_id is missing or null; expected an object"),
        ([1, 2], "a neuron record is a list; expected an object"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_the_rest_is_taken(
    database: Database, tmp_path: Path, record: Any, reason: str
) -> None:
    write_neurons(tmp_path, [neuron_record(0, 0)])
    file = write_json(tmp_path / "0" / "1.json", record)
    report = imported(database, tmp_path)
    assert [rejected.place for rejected in report.rejects] == [str(file)]
    assert reason in reasons(report)[0]
    assert set(statistics_of(database)) == {(0, 0)}
    assert n_excerpts(database) == 2


def test_a_neuron_that_is_there_twice_is_taken_once(database: Database, tmp_path: Path) -> None:
    first = write_json(tmp_path / "a.json", neuron_record(3, 17, top=[DOG]))
    second = write_json(tmp_path / "b.json", neuron_record(3, 17))
    report = imported(database, tmp_path)
    assert [(rejected.place, rejected.reason) for rejected in report.rejects] == [
        (str(second), f"neuron 3:17 is there twice, first in {first}")
    ]
    assert records_of(database)[3, 17, "top"] == [DOG]


def test_files_that_cannot_be_read_are_named(database: Database, tmp_path: Path) -> None:
    write_neurons(tmp_path, [neuron_record(0, 0)])
    (tmp_path / "0" / "1.json").write_text('{"neuron_id": ')
    (tmp_path / "0" / "2.json").write_bytes(b"\xff\xff\xff{}")
    packed = gzip.compress(json.dumps(neuron_record(0, 3)).encode())
    (tmp_path / "0" / "3.json.gz").write_bytes(packed)
    (tmp_path / "0" / "4.json.gz").write_bytes(packed[:-20])
    (tmp_path / "0" / "5.json.gz").write_bytes(b"no gzip")
    (tmp_path / "0" / "6.json").write_text("[" * 100_000)
    (tmp_path / "0" / "7.json").write_text("1" * 5000)
    (tmp_path / "notes.txt").write_text("not looked at")
    report = imported(database, tmp_path)
    assert set(statistics_of(database)) == {(0, 0), (0, 3)}
    assert [rejected.place.rpartition("/")[2] for rejected in report.rejects] == [
        *("1.json", "2.json", "4.json.gz", "5.json.gz", "6.json", "7.json")
    ]
    assert reasons(report) == [
        "not JSON: expecting value at character 14",
        "not UTF-8 text; expected JSON",
        "the file is not a whole gzip file",
        "the file is not a whole gzip file",
        "the JSON is nested too deeply",
        "a number in the JSON has too many digits",
    ]


def test_a_recorded_subject_takes_no_foreign_activations(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, SUBJECT))
    with pytest.raises(Conflict, match="gpt2-tiny was recorded here"):
        imported(database, write_neurons(tmp_path, [neuron_record(1, 1)]))
    assert set(statistics_of(database)) == {(0, 0)}


@pytest.mark.parametrize("name", ["", " ", "a/b", "x" * 101, "line\nbreak"])
def test_a_name_that_no_page_could_have_is_refused(database: Database, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="the subject name is"):
        imported(database, write_neurons(tmp_path, [neuron_record()]), name)


def test_an_import_of_nothing_leaves_nothing(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file or folder"):
        imported(database, tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"has no file that ends in \.json"):
        imported(database, tmp_path)
    write_json(tmp_path / "0.json", [])
    assert not imported(database, tmp_path).has_taken
    with database.reading() as session:
        assert session.scalars(sa.select(SubjectModel)).all() == []


class Stopped(Exception):
    """Somebody pulls the plug."""


class StoppingDatabase(Database):
    """Fails in the last moment of a transaction, after some that were whole."""

    def __init__(self, url: str, n_whole: int) -> None:
        super().__init__(url)
        self.n_whole = n_whole

    @contextmanager
    def writing(self) -> Iterator[Session]:
        with super().writing() as session:
            yield session
            if self.n_whole == 0:
                raise Stopped
            self.n_whole -= 1


def test_an_import_that_was_stopped_goes_on_and_ends_like_one_that_was_not(database: Database, tmp_path: Path) -> None:
    records = [
        neuron_record(layer, index, top=[([f"word {(index + layer) % 50}"], [index / 4])])
        for layer in range(2)
        for index in range(250)
    ]
    write_neurons(tmp_path, records)
    stopping = StoppingDatabase(database.engine.url.render_as_string(hide_password=False), n_whole=1)
    with pytest.raises(Stopped):
        imported(stopping, tmp_path)
    stopping.dispose()
    assert len(statistics_of(database)) == 200
    report = imported(database, tmp_path)
    assert (report.n_neurons, report.n_already_there, report.rejects) == (300, 200, [])
    imported(database, tmp_path, "whole")
    assert records_of(database) == records_of(database, "whole")
    assert statistics_of(database) == statistics_of(database, "whole")
    assert n_excerpts(database) == n_excerpts(database, "whole") == 51


def test_an_import_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    imported(database, write_neurons(tmp_path, [neuron_record(0, 0)]))
    write_neurons(tmp_path, [neuron_record(0, 0, top=[DOG], mean=9.0)])
    report = imported(database, tmp_path)
    assert (report.n_neurons, report.n_records, report.n_already_there) == (0, 0, 1)
    assert records_of(database)[0, 0, "top"] == [CAT]
    assert statistics_of(database)[0, 0]["mean"] == 0.5


def test_two_imports_at_once_store_each_neuron_once(database: Database, tmp_path: Path) -> None:
    write_neurons(tmp_path, [neuron_record(0, index) for index in range(210)])
    reports: list[ImportReport] = []
    threads = [Thread(target=lambda: reports.append(imported(database, tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.n_neurons for report in reports) == 210
    assert sum(report.n_already_there for report in reports) == 420
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Neuron.id))) == 210
    assert n_excerpts(database) == 2
