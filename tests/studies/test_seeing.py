"""Whoever has seen where descriptions come from is told apart, whichever way the account was used."""

from collections.abc import Sequence

import sqlalchemy as sa
from fastapi import Request, Response

from app.accounts.known_browser import SEEN_COOKIE, mark_browser
from app.database import Database
from app.explanations.viewing import note_view
from app.main import create_app
from app.neurons.models import Neuron, SubjectModel
from app.settings import Settings
from app.studies.queries import study_named
from app.studies.running.seeing import accounts_of, barred_account, neuron_ids
from app.web.visitors import ADMIN, RATER, Visitor
from tests.factories import make_account, make_neuron
from tests.studies.factories import make_open_study


def barred(database: Database, account_ids: Sequence[int], slug: str = "demo") -> str | None:
    with database.reading() as session:
        return barred_account(session, study_named(session, slug), account_ids)


def test_an_account_is_barred_from_studies_of_neurons_it_has_seen(database: Database) -> None:
    for slug in ("demo", "other"):
        make_open_study(database, slug=slug, n_neurons=2, n_raters=1)
    with database.writing() as session:
        ada, grace = (make_account(session, name).id for name in ("ada", "grace"))
        seen = neuron_ids(session, study_named(session, "demo"))
        subject = session.scalars(sa.select(SubjectModel).where(SubjectModel.name == "toy-demo")).one()
        beside_the_study = make_neuron(session, subject, 5, 0).id
    note_view(database, grace, [beside_the_study])
    assert barred(database, [ada, grace]) is None
    note_view(database, ada, seen[-1:])
    assert barred(database, [grace, ada]) == "ada"
    assert barred(database, [grace]) is None
    assert barred(database, []) is None
    assert barred(database, [ada], "other") is None


def test_the_neurons_of_a_study_are_its_own(database: Database) -> None:
    for slug in ("demo", "other"):
        make_open_study(database, slug=slug, n_neurons=2, n_raters=1)
    with database.reading() as session:
        ids = neuron_ids(session, study_named(session, "other"))
        names = session.scalars(sa.select(SubjectModel.name).join(Neuron).where(Neuron.id.in_(ids)))
        assert (len(ids), set(names)) == (2, {"toy-other"})


def test_signing_out_does_not_help(settings: Settings) -> None:
    """The accounts of a browser are the one signed in and those that its mark names, each once."""
    site = create_app(settings)
    plain = Request({"type": "http", "headers": [], "app": site})
    response = Response()
    mark_browser(plain, response, 4)
    mark = response.headers["set-cookie"].partition(";")[0]
    marked = Request({"type": "http", "headers": [(b"cookie", mark.encode())], "app": site})
    ada, rater = Visitor(ADMIN, "ada", "", account_id=7), Visitor(RATER, "rater", "", rater_id=4)
    assert mark.startswith(SEEN_COOKIE)
    assert accounts_of(plain, ada) == (7,)
    assert accounts_of(marked, ada) == (7, 4)
    assert accounts_of(marked, Visitor(ADMIN, "grace", "", account_id=4)) == (4,)
    assert accounts_of(marked, None) == accounts_of(marked, rater) == (4,)
    assert accounts_of(plain, None) == accounts_of(plain, rater) == ()
