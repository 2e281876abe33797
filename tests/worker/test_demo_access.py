"""How one gets into the demo: made once, and made again where the process died before the database had it."""

from app.database import Database, utc_now
from app.settings import Settings
from app.studies import lifecycle
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.invitations import redeem_invitation
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from worker.demo import demo_access


def test_access_of_a_demo_that_died_before_its_commit_is_made_again(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, "toy", n_layers=1))
        make_records(session, neuron)
        for method in ("original", "summary"):
            make_explanation(session, neuron, method, "local:toy", text=f"Cats, number {len(method)}.")
        lifecycle.create_study(
            session,
            slug="demo",
            title="Which hold up?",
            subject_name="toy",
            conditions=[("original", "local:toy"), ("summary", "local:toy")],
            neurons=PerLayer(1),
            seed=0,
        )
        lifecycle.open_study(session, "demo", utc_now())
    settings.data.mkdir()
    (settings.data / "demo-access.json").write_text('{"admin": "x", "password": "y", "links": ["http://z/r/0"]}')

    access = demo_access(settings, database)

    with database.reading() as session:
        numbers = [redeem_invitation(session, link.split("/")[-1], utc_now()).number for link in access["links"]]
    assert numbers == [1, 2, 3]
    assert demo_access(settings, database) == access
