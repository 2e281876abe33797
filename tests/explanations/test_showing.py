"""What a prompt shows of a stored neuron, by the settings of its batch; on both databases."""

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import InvalidInput
from app.explanations.explainers import ExplainerSettings, explainer_settings
from app.explanations.methods.marking import CutoffRule, parse_cutoff
from app.explanations.methods.prompt import ShownNeuron
from app.explanations.showing import pack_of, shown_neuron
from app.neurons.models import Neuron
from tests.factories import make_bottom_records, make_neuron, make_records, make_subject


def make_one(session: Session) -> Neuron:
    """A neuron with 20 top records, ten random ones, and a quantile of each kind."""
    neuron = make_neuron(session, make_subject(session, polarity="both"), q90=2.0)
    make_records(session, neuron)
    make_bottom_records(session, neuron)
    neuron.q50, neuron.q99, neuron.q999, neuron.q90_negative = 0.5, 3.0, 4.5, 1.5
    session.flush()
    return neuron


def first_tokens(shown: ShownNeuron) -> list[str]:
    return [record.tokens[0] for record in shown.records]


@pytest.mark.parametrize(
    ("changes", "ranks"),
    [
        ({}, [0, 4, 8, 12, 16]),
        ({"n_excerpts": 2}, [0, 4]),
        ({"n_excerpts": 8}, [0, 2, 5, 7, 10, 12, 15, 17]),
        ({"excerpts": "top5"}, [0, 1, 2, 3, 4]),
        ({"excerpts": "top5", "n_excerpts": 8}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"excerpts": "top5", "n_excerpts": 30}, list(range(20))),
    ],
)
def test_excerpts_are_those_chosen_as_far_as_there_are_records(
    database: Database, changes: dict[str, object], ranks: list[int]
) -> None:
    with database.writing() as session:
        shown = shown_neuron(session, make_one(session), explainer_settings(changes))
        assert first_tokens(shown) == [f"top{rank}" for rank in ranks]


@pytest.mark.parametrize(("n_top", "ranks"), [(0, []), (3, [0, 1, 2]), (8, [0, 1, 3, 4, 6])])
def test_of_a_neuron_with_few_records_five_are_shown_all_the_same(
    database: Database, n_top: int, ranks: list[int]
) -> None:
    """Records of the other side and random ones do not count."""
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, polarity="both"), q90=2.0)
        make_records(session, neuron, n_top)
        make_bottom_records(session, neuron)
        assert first_tokens(shown_neuron(session, neuron, ExplainerSettings())) == [f"top{rank}" for rank in ranks]


@pytest.mark.parametrize(
    ("cutoff", "expected"), [("q90", 2.0), ("q50", 0.5), ("q99", 3.0), ("q999", 4.5), ("share:0.25", 1.25)]
)
def test_the_cutoff_is_a_quantile_or_a_share_of_the_largest_activation_shown(
    database: Database, cutoff: str, expected: float
) -> None:
    with database.writing() as session:
        assert shown_neuron(session, make_one(session), ExplainerSettings(cutoff=cutoff)).cutoff == expected


def test_a_quantile_that_an_import_did_not_bring_is_estimated_from_the_random_records(database: Database) -> None:
    with database.writing() as session:
        neuron = make_one(session)
        neuron.q99 = None
        # Of every random record the maximum is 2.5.
        assert shown_neuron(session, neuron, ExplainerSettings(cutoff="q99")).cutoff == pytest.approx(2.5)
        bare = make_neuron(session, neuron.subject, 0, 1)
        make_records(session, bare, n_top=3, n_random=0)
        bare.q99 = None
        maxima = [np.float16(5.0 * (1 - rank / 64)) for rank in range(3)]
        expected = float(np.quantile(np.array(maxima, dtype=np.float64), 0.99))
        assert shown_neuron(session, bare, ExplainerSettings(cutoff="q99")).cutoff == pytest.approx(expected)


def test_the_negative_side_is_shown_with_its_signs_turned(database: Database) -> None:
    with database.writing() as session:
        neuron = make_one(session)
        shown = shown_neuron(session, neuron, ExplainerSettings(side="negative"))
        assert first_tokens(shown)[:2] == ["bottom0", "bottom4"]
        assert (shown.maximum, shown.cutoff) == (4.0, 1.5)
        half = shown_neuron(session, neuron, ExplainerSettings(side="negative", cutoff="share:0.5"))
        assert half.cutoff == 2.0
    with pytest.raises(InvalidInput, match="cutoff q99 with side negative; expected q90 or share:X"):
        explainer_settings({"side": "negative", "cutoff": "q99"})


@pytest.mark.parametrize(
    "text", ["q12", "0.5", "share:0", "share:1", "share:1.5", "share:-0.1", "share:", "", "share:x"]
)
def test_an_unknown_cutoff_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected q50, q90, q99, q999 or share:X with 0 < X < 1"):
        parse_cutoff(text)
    with pytest.raises(InvalidInput, match="cutoff"):
        explainer_settings({"cutoff": text})


def test_cutoffs_have_one_way_to_be_written() -> None:
    assert [str(parse_cutoff(text)) for text in ("q90", "share:0.50", "share:.5")] == ["q90", "share:0.5", "share:0.5"]
    assert ExplainerSettings(cutoff=" share:0.250 ").cutoff == "share:0.25"
    assert CutoffRule() == parse_cutoff("q90")


@pytest.mark.parametrize(("n_few_shots", "n"), [(None, 3), (3, 3), (1, 1), (0, 0)])
def test_as_many_few_shot_neurons_as_asked_for(n_few_shots: int | None, n: int) -> None:
    whole = pack_of(ExplainerSettings())
    pack = pack_of(ExplainerSettings(n_few_shots=n_few_shots))
    assert [few_shot.explanation for few_shot in pack.few_shots] == [each.explanation for each in whole.few_shots[:n]]
    assert pack.identity == whole.identity
