"""Who saw which method wrote what is remembered, once."""

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.models import DONE, QUEUED, ExplanationView
from app.explanations.viewing import note_view
from tests.factories import make_account, make_explanation, make_neuron, make_records, make_subject


def views(database: Database) -> list[tuple[int, int]]:
    with database.reading() as session:
        query = sa.select(ExplanationView.account_id, ExplanationView.neuron_id)
        return sorted((row.account_id, row.neuron_id) for row in session.execute(query))


def test_a_view_is_noted_once(database: Database) -> None:
    with database.writing() as session:
        account_id = make_account(session).id
        subject = make_subject(session, n_neurons_per_layer=3)
        neuron_ids = [make_neuron(session, subject, 0, index).id for index in range(3)]
    note_view(database, account_id, neuron_ids[:1])
    with database.reading() as session:
        first_at = session.scalar(sa.select(ExplanationView.at))
    note_view(database, account_id, neuron_ids[:1])
    note_view(database, account_id, neuron_ids[:2])
    note_view(database, account_id, [])
    assert views(database) == [(account_id, neuron_ids[0]), (account_id, neuron_ids[1])]
    with database.reading() as session:
        kept = sa.select(ExplanationView.at).where(ExplanationView.neuron_id == neuron_ids[0])
        assert session.scalar(kept) == first_at


def neuron_with(database: Database, status: str | None) -> int:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), 0, 0)
        make_records(session, neuron)
        if status is not None:
            make_explanation(session, neuron, status=status)
        return neuron.id


PATHS = ("/neurons/toy/0/0", "/api/v1/neurons/toy/0/0")


@pytest.mark.parametrize("path", PATHS)
def test_a_neurons_page_notes_who_saw_its_descriptions(database: Database, admin_client: TestClient, path: str) -> None:
    neuron_id = neuron_with(database, DONE)
    assert views(database) == []
    for _ in range(2):
        assert admin_client.get(path).status_code == 200
    assert [neuron for _, neuron in views(database)] == [neuron_id]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [None, QUEUED])
def test_a_neuron_without_a_description_betrays_nothing(
    database: Database, admin_client: TestClient, path: str, status: str | None
) -> None:
    neuron_with(database, status)
    assert admin_client.get(path).status_code == 200
    assert views(database) == []


def test_excerpts_alone_betray_nothing(database: Database, admin_client: TestClient) -> None:
    neuron_with(database, DONE)
    assert admin_client.get("/neurons/toy/0/0/more/top").status_code == 200
    assert views(database) == []
