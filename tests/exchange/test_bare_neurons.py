"""Neurons of which only texts were imported: how they look, what refuses them, and that activations fill them."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.errors import InvalidInput
from app.exchange.explanations import ExplanationWriter, ImportedExplanation
from app.exchange.neuron_record_export import export_neuron_records
from app.exchange.neuron_records import import_neuron_records
from app.exchange.neuronpedia import import_neuronpedia
from app.exchange.report import ImportReport
from app.neurons.bare import bare_among, is_bare
from app.neurons.models import Neuron
from app.neurons.reading import neuron_at
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.lifecycle import create_study, open_study
from tests.exchange.foreign_files import CAT, DOG, SUBJECT, neuron_record, records_of, statistics_of, write_neurons
from tests.exchange.neuronpedia_exports import activation_row, write_batch
from tests.exchange.paper_files import said
from tests.exchange.stopping_database import stopped_at
from tests.factories import make_neuron, make_record, make_subject
from tests.studies.factories import NOW, PLAIN

BARE = {"maximum": 0.0}
"""The statistics of a neuron without activations that are not null."""


def tell(database: Database, *places: tuple[int, int]) -> ImportReport:
    """Imports two texts about each of these neurons."""
    report = ImportReport("explanations")
    with ExplanationWriter(database, SUBJECT, report, makes_neurons=True) as writer:
        for layer, index in places:
            for method in ("hs", "avhs"):
                text = f"{method} cats {layer} {index}"
                writer.add(ImportedExplanation(layer, index, method, "openai:x", "p", text, None), "FILE")
    return report


def bare_places(database: Database) -> set[tuple[int, int]]:
    with database.reading() as session:
        neurons = session.scalars(sa.select(Neuron)).all()
        bare = bare_among(session, [neuron.id for neuron in neurons])
        assert {neuron.id for neuron in neurons if is_bare(session, neuron)} == bare
        return {(neuron.layer, neuron.index) for neuron in neurons if neuron.id in bare}


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_neurons_are_made_once_and_say_nothing_of_activations(database: Database) -> None:
    assert tell(database, (0, 1), (2, 0), (0, 1)).remarks == ["2 neurons made without activations"]
    assert tell(database, (0, 1), (2, 0)).remarks == []
    assert statistics_of(database) == {(0, 1): BARE, (2, 0): BARE}
    assert bare_places(database) == {(0, 1), (2, 0)}


def test_a_neuron_that_never_activates_is_not_bare(database: Database, tmp_path: Path) -> None:
    silent = neuron_record(0, 0, top=[(["a"], [0.0])], random=[], mean=None, variance=None, kurtosis=None)
    import_neuron_records(
        database, write_neurons(tmp_path, [silent]), subject=SUBJECT, report=ImportReport("neuron-records")
    )
    with database.writing() as session:
        kept = make_neuron(session, make_subject(session, "other"), maximum=0.0)
        kept.mean = None
        make_record(session, kept, activations=(0.0,) * 5)
    assert bare_places(database) == set()


def test_activations_that_come_later_fill_the_neuron_and_keep_its_texts(database: Database, tmp_path: Path) -> None:
    tell(database, (0, 1), (0, 2))
    told = said(database, SUBJECT)
    folder = write_neurons(tmp_path, [neuron_record(0, 0, top=[DOG]), neuron_record(0, 1)])
    for n_new in (2, 0):
        report = ImportReport("neuron-records")
        import_neuron_records(database, folder, subject=SUBJECT, report=report)
        assert (report.n_neurons, report.n_already_there) == (n_new, 2 - n_new)
    assert records_of(database)[0, 1, "top"] == [CAT]
    assert records_of(database)[0, 1, "random"] == [DOG]
    assert statistics_of(database) == {
        (0, 0): {"maximum": 2.5, "mean": 0.5, "variance": 1.5, "kurtosis": 3.0},
        (0, 1): {"maximum": 5.0, "mean": 0.5, "variance": 1.5, "kurtosis": 3.0},
        (0, 2): BARE,
    }
    with database.reading() as session:
        assert neuron_at(session, SUBJECT, 0, 1).maximum_token == 1
    assert said(database, SUBJECT) == told


def test_an_import_of_activations_that_was_stopped_fills_the_rest(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.neurons.N_NEURONS_PER_BATCH", 2)
    tell(database, *[(0, index) for index in range(5)])
    folder = write_neurons(tmp_path, [neuron_record(0, index) for index in range(5)])
    with stopped_at(database, 2) as stopping, pytest.raises(KeyboardInterrupt):
        import_neuron_records(stopping, folder, subject=SUBJECT, report=ImportReport("neuron-records"))
    assert bare_places(database) == {(0, 2), (0, 3), (0, 4)}
    report = ImportReport("neuron-records")
    import_neuron_records(database, folder, subject=SUBJECT, report=report)
    assert (report.n_neurons, report.n_already_there, bare_places(database)) == (3, 2, set())


def test_a_neuronpedia_export_fills_it_too(database: Database, tmp_path: Path) -> None:
    tell(database, (6, 1))
    write_batch(tmp_path, "activations", [activation_row(1, [0.5, 3.0])])
    import_neuronpedia(database, tmp_path, subject=SUBJECT, report=ImportReport("neuronpedia"))
    assert bare_places(database) == set()


def test_the_page_says_that_no_activations_are_here(admin_client: TestClient, database: Database) -> None:
    tell(database, (0, 1), (0, 2))
    html = admin_client.get(f"/neurons/{SUBJECT}/0/1").text
    assert "No activations are here Only texts about this neuron were imported." in text_of(html)
    assert "Hs cats 0 1." in text_of(html)
    assert "Strongest activation" not in html
    assert "None is kept" not in html
    answer = admin_client.get(f"/api/v1/neurons/{SUBJECT}/0/1").json()
    assert (answer["maximum"], answer["mean"], answer["top"]) == (None, None, [])
    assert [said["text"] for said in answer["explanations"]] == ["Hs cats 0 1.", "Avhs cats 0 1."]


def test_the_list_shows_no_maximum_of_it(admin_client: TestClient, database: Database, tmp_path: Path) -> None:
    folder = write_neurons(tmp_path, [neuron_record(0, 0)])
    import_neuron_records(database, folder, subject=SUBJECT, report=ImportReport("neuron-records"))
    tell(database, (0, 1))
    html = admin_client.get(f"/neurons?subject={SUBJECT}").text
    rows = [text_of(row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]
    assert rows[1].startswith("0:0 5.00")
    assert rows[2] == "0:1 – – – – no activations here"


def test_neuron_records_have_no_place_for_it(database: Database, tmp_path: Path) -> None:
    folder = write_neurons(tmp_path / "in", [neuron_record(0, 0)])
    import_neuron_records(database, folder, subject=SUBJECT, report=ImportReport("neuron-records"))
    tell(database, (0, 1))
    assert export_neuron_records(database, subject_name=SUBJECT, to=tmp_path / "out") == 1
    with pytest.raises(InvalidInput, match="has no neuron with activations among those asked for"):
        export_neuron_records(database, subject_name=SUBJECT, to=tmp_path / "none", neurons=[(0, 1)])


def test_a_study_of_it_cannot_be_opened(database: Database) -> None:
    tell(database, (0, 1))
    with database.writing() as session:
        create_study(
            session,
            slug="bare",
            title="Which description fits?",
            subject_name=SUBJECT,
            conditions=[("hs", "openai:x"), ("avhs", "openai:x")],
            neurons=PerLayer(1),
            seed=7,
            instructions="Judge by the activations.",
            protocol=PLAIN,
        )
    with pytest.raises(InvalidInput) as refused, database.writing() as session:
        open_study(session, "bare", NOW)
    assert "neuron 0:1, hs@openai:x: the text would stand without any excerpt beside it" in str(refused.value)
