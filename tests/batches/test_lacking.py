"""What an order comes to: neurons of which there is nothing to show are refused before anything is paid."""

import pytest
import sqlalchemy as sa

from app.batches.models import Batch
from app.database import Database
from app.errors import InvalidInput
from app.exchange.bare_neurons import make_bare
from tests.batches.test_planning import plan
from tests.factories import make_neuron, make_subject


def test_neurons_without_activations_are_refused_by_number_and_name(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None)
        bare = make_bare(session, subject, [(0, 1), (0, 2)])
        neurons = [make_neuron(session, subject).id, *bare.values()]
    with database.writing() as session, pytest.raises(InvalidInput, match=r"2 of these neurons .* neuron 0:1 first"):
        plan(session, neurons)
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0
