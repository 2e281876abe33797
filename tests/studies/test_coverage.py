"""How far the judging has come, by neuron, layer and condition."""

from app.database import Database
from app.studies.invitations import dry_run
from app.studies.queries import n_wanted, study_named, study_status
from app.studies.running.coverage import (
    ConditionCoverage,
    CoverageStep,
    LayerCoverage,
    NeuronCoverage,
    coverage,
    coverage_steps,
    layer_coverage,
)
from tests.studies.careful_raters import add_dry_run, judge, protocol
from tests.studies.factories import EXPLAINER, METHODS, NOW, make_open_study

NEURONS = [NeuronCoverage(0, 2, 2), NeuronCoverage(0, 0, 1), NeuronCoverage(3, 3, 2), NeuronCoverage(3, 0, 1)]


def test_neurons_are_counted_by_the_judgements_they_have() -> None:
    assert coverage_steps(NEURONS) == (
        CoverageStep(n_wanted=1, n_judged=0, n_neurons=2, n_of=2),
        CoverageStep(n_wanted=2, n_judged=2, n_neurons=1, n_of=2),
        CoverageStep(n_wanted=2, n_judged=3, n_neurons=1, n_of=2),
    )


def test_layers_add_up_their_neurons() -> None:
    assert layer_coverage(NEURONS) == (LayerCoverage(0, 2, 1, 2, 3), LayerCoverage(3, 2, 1, 3, 3))


def test_a_study_is_covered_by_its_own_raters_alone(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=2, protocol=protocol(n_raters=2))
    judge(database, make_open_study(database, slug="other", n_neurons=4, n_raters=1))
    judge(database, study, 1, cannot_judge=(0,))
    with database.writing() as session:
        code = dry_run(session, "demo", NOW, "ada").code
    add_dry_run(database, "demo", code)
    with database.reading() as session:
        found = coverage(session, study_named(session, "demo"), n_raters=2)
        status = study_status(session, "demo")
    assert found.steps == (CoverageStep(2, 1, 4, 4),)
    assert found.layers == (LayerCoverage(0, 2, 0, 2, 4), LayerCoverage(1, 2, 0, 2, 4))
    assert found.conditions == tuple(ConditionCoverage(method, EXPLAINER, 3) for method in METHODS)
    assert (status.n_judged, status.n_wanted, status.n_raters) == (4, 8, 2)


def test_what_the_design_asks_for() -> None:
    assert n_wanted(protocol(n_raters=5), n_raters=2, n_for_everybody=10, n_limited=0) == 50
    assert n_wanted(protocol(n_raters=5), n_raters=7, n_for_everybody=10, n_limited=0) == 70
    assert n_wanted(protocol(n_raters=5), n_raters=0, n_for_everybody=2, n_limited=8) == 18
    assert n_wanted(protocol(n_raters=5, neurons_per_rater=4), n_raters=0, n_for_everybody=10, n_limited=0) == 20
