"""The viewer's queries: scope, order, paging, and that none reads more than it shows."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import UnknownName
from app.neurons import queries
from app.neurons.contexts import NeuronPlace, SubjectSummary
from app.neurons.models import Neuron, Recording, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.records import RANDOM, TOP
from tests.factories import make_neuron, make_record, make_subject


def places(neurons: list[Neuron]) -> list[tuple[int, int]]:
    return [(neuron.layer, neuron.index) for neuron in neurons]


def six_neurons(session: Session) -> SubjectModel:
    """Two layers of three; 0:1 and 1:0 have the same maximum, and 0:1 was stored first."""
    subject = make_subject(session)
    for layer, index, maximum in [(0, 0, 1.0), (0, 1, 4.0), (0, 2, 6.0), (1, 0, 4.0), (1, 1, 5.0), (1, 2, 0.5)]:
        make_neuron(session, subject, layer, index, maximum=maximum)
    return subject


BY_MAXIMUM = [(0, 2), (1, 1), (1, 0), (0, 1), (0, 0), (1, 2)]


def test_neurons_come_strongest_first_and_the_later_stored_of_equals_first(database: Database) -> None:
    with database.writing() as session:
        subject = six_neurons(session)
        assert places(queries.neurons_by_maximum(session, subject.id, None, 10)) == BY_MAXIMUM
        assert places(queries.neurons_by_maximum(session, subject.id, 1, 10)) == [(1, 1), (1, 0), (1, 2)]


@pytest.mark.parametrize("at", range(6))
def test_paging_after_and_before_any_neuron_neither_skips_nor_repeats(database: Database, at: int) -> None:
    with database.writing() as session:
        subject = six_neurons(session)
        here = NeuronPlace(*BY_MAXIMUM[at])
        after = queries.neurons_by_maximum(session, subject.id, None, 10, after=here)
        before = queries.neurons_by_maximum(session, subject.id, None, 10, before=here)
        two_before = queries.neurons_by_maximum(session, subject.id, None, 2, before=here)
        assert places(before) == BY_MAXIMUM[:at]
        assert places(after) == BY_MAXIMUM[at + 1 :]
        assert places(two_before) == BY_MAXIMUM[max(0, at - 2) : at]


def test_paging_from_an_unknown_neuron_is_an_error(database: Database) -> None:
    with database.writing() as session:
        subject = six_neurons(session)
        with pytest.raises(UnknownName, match=r"^there is no recorded neuron 7:7$"):
            queries.neurons_by_maximum(session, subject.id, None, 10, after=NeuronPlace(7, 7))


def test_another_subjects_neurons_stay_out(database: Database) -> None:
    with database.writing() as session:
        subject = six_neurons(session)
        other = make_subject(session, "other")
        make_neuron(session, other, 0, 0, maximum=99.0)
        assert places(queries.neurons_by_maximum(session, subject.id, None, 10)) == BY_MAXIMUM
        assert places(queries.neurons_by_maximum(session, other.id, None, 10)) == [(0, 0)]


def test_a_subject_is_visible_once_its_recording_is_whole(database: Database) -> None:
    with database.writing() as session:
        make_subject(session, "half", recording_status="writing")
        make_subject(session, "whole")
        make_subject(session, "imported", recording_status=None)
        assert [subject.name for subject in queries.recorded_subjects(session)] == ["imported", "whole"]
        with pytest.raises(
            UnknownName, match=r"^there is no recorded subject model 'half'; recorded are: imported, whole$"
        ):
            subject_named(session, "half")


# On SQLite alone: PostgreSQL scans a table as small as a test's, whatever its indexes.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("direction", ["first", "after", "before"])
def test_the_list_is_read_along_its_index(database: Database, layer: int | None, direction: str) -> None:
    statements: list[tuple[str, object]] = []
    with database.writing() as session:
        subject = six_neurons(session)

        def remember(_c: object, _cu: object, statement: str, parameters: object, *_: object) -> None:
            statements.append((statement, parameters))

        sa.event.listen(session.connection(), "before_cursor_execute", remember)
        edge = {} if direction == "first" else {direction: NeuronPlace(0, 1)}
        queries.neurons_by_maximum(session, subject.id, layer, 2, **edge)
        sa.event.remove(session.connection(), "before_cursor_execute", remember)
        statement, parameters = statements[-1]
        plan = session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()  # type: ignore[arg-type]
    index = "ix_neuron_by_maximum" if layer is None else "ix_neuron_by_layer_and_maximum"
    assert len(plan) == 1, "a second step would be a sort"
    assert plan[0][3].startswith(f"SEARCH neuron USING INDEX {index} ")


def test_a_line_shows_the_tokens_around_the_peak_of_the_best_excerpt(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neuron = make_neuron(session, subject)
        tokens = [f" t{number}" for number in range(20)]
        make_record(session, neuron, TOP, 0, tokens=tokens, activations=[0.0] * 10 + [4.0, 2.0] + [0.0] * 8)
        make_record(session, neuron, TOP, 1, activations=[0.0, 3.0, 0.0, 0.0, 0.0])
        make_record(session, neuron, RANDOM, 0, activations=[0.0, 3.0, 0.0, 0.0, 0.0])
        bare = make_neuron(session, subject, 0, 1)
        line, bare_line = queries.lines_of(session, [neuron, bare])
    assert "".join(span.text for span in line.before_peak) == " t4 t5 t6 t7 t8 t9"
    assert [(span.text, span.level) for span in line.from_peak] == [
        (" t10", 10),
        (" t11", 5),
        (" t12 t13 t14 t15 t16", 0),
    ]
    assert (bare_line.before_peak, bare_line.from_peak) == ((), ())


def test_an_excerpt_without_tokens_has_no_peak_to_show(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        record = make_record(session, neuron)
        record.activations = b""
        (line,) = queries.lines_of(session, [neuron])
    assert (line.before_peak, line.from_peak) == ((), ())


STORED = [(0, 0), (0, 2), (2, 5), (4, 0)]
"""A subject of which an import brought four neurons."""


@pytest.mark.parametrize("at", range(4))
def test_neighbours_are_the_nearest_stored_neurons(database: Database, at: int) -> None:
    with database.writing() as session:
        subject = make_subject(session, "imported", recording_status=None, n_layers=5, n_neurons_per_layer=6)
        make_neuron(session, make_subject(session, "other"), 0, 1)
        neurons = [make_neuron(session, subject, *place) for place in STORED]
        before, after = queries.neighbours(session, neurons[at])
    assert before == (NeuronPlace(*STORED[at - 1]) if at > 0 else None)
    assert after == (NeuronPlace(*STORED[at + 1]) if at < 3 else None)


# On SQLite alone, as above.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_neighbours_are_found_along_the_index_of_places(database: Database) -> None:
    plans: list[str] = []
    with database.writing() as session:
        neuron = make_neuron(session, six_neurons(session), 9, 9)
        connection = session.connection()

        def explain(_c: object, _cu: object, statement: str, parameters: object, *_: object) -> None:
            if statement.startswith("SELECT"):
                plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.append(" ".join(str(step[3]) for step in plan.fetchall()))

        sa.event.listen(connection, "before_cursor_execute", explain)
        queries.neighbours(session, neuron)
        sa.event.remove(connection, "before_cursor_execute", explain)
    assert len(plans) == 2
    assert all("USING" in plan and "(subject_id=? AND site=? AND (layer,index)" in plan for plan in plans), plans
    assert all("SORT" not in plan and "B-TREE" not in plan for plan in plans), plans


def test_a_subject_is_summed_up_by_what_is_stored_of_it(database: Database) -> None:
    with database.writing() as session:
        recorded = make_subject(session, "recorded", polarity="both")
        imported = make_subject(session, "imported", recording_status=None)
        make_neuron(session, imported, 1, 2)
        assert queries.summary_of(session, recorded) == SubjectSummary("recorded", 2, 6, has_negative_side=True)
        recording = session.query(Recording).filter_by(subject_id=recorded.id).one()
        recording.settings = recording.settings | {"statistics": False}
        session.flush()
        assert not queries.summary_of(session, recorded).has_negative_side
        assert queries.summary_of(session, imported) == SubjectSummary("imported", 2, 1, has_negative_side=False)


def test_a_neuron_of_which_an_import_brought_the_maximum_alone_has_figures(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None)
        neuron = Neuron(subject_id=subject.id, layer=0, index=0, maximum=3.0)
        session.add(neuron)
        session.flush()
        figures = queries.figures_of(neuron)
        (line,) = queries.lines_of(session, [neuron])
        assert queries.histogram_of(neuron) is None
    assert {value for name, value in vars(figures).items() if name != "maximum"} == {None}
    assert (figures.maximum, line.maximum, line.mean, line.q90, line.share_active) == (3.0, 3.0, None, None, None)
