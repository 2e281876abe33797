"""What an explanation is scored on, out of the tables. On both databases."""

from sqlalchemy.orm import Session

from app.database import Database
from app.explanations.models import Explanation
from app.explanations.scoring.evidence import ScoredExcerpt, load_evidence, load_reference
from app.neurons.models import Neuron
from app.neurons.records import RANDOM, TOP
from tests.factories import (
    TOKENS,
    make_bottom_records,
    make_explanation,
    make_neuron,
    make_record,
    make_records,
    make_subject,
)


def neuron_with_records(session: Session, n_top: int = 20, n_random: int = 10) -> Neuron:
    neuron = make_neuron(session, make_subject(session))
    make_records(session, neuron, n_top, n_random)
    return neuron


def explanation_of(session: Session, neuron: Neuron, prompt_pack: str = "default@01") -> Explanation:
    explanation = make_explanation(session, neuron)
    explanation.prompt_pack = prompt_pack
    return explanation


def names(excerpts: tuple[ScoredExcerpt, ...]) -> list[str]:
    return [excerpt.record.tokens[0] for excerpt in excerpts]


def test_the_papers_splits_as_far_as_records_are_there(database: Database) -> None:
    with database.writing() as session:
        evidence = load_evidence(session, explanation_of(session, neuron_with_records(session)))
    assert names(evidence.top) == ["top2", "top6", "top10", "top14", "top18"]
    assert names(evidence.random) == ["random1", "random4", "random7", "random2", "random5"]
    assert names(evidence.calibration) == [
        *("top1", "top5", "top9", "top13", "top17"),
        *("random0", "random3", "random6", "random9"),
    ]
    assert (evidence.maximum, evidence.cutoff) == (5.0, 2.0)


def test_what_the_five_best_showed_is_not_scored_on(database: Database) -> None:
    with database.writing() as session:
        evidence = load_evidence(session, explanation_of(session, neuron_with_records(session), "default@01+top5"))
    assert names(evidence.top) == ["top6", "top9", "top12", "top15", "top18"]
    assert not {f"top{rank}" for rank in range(5)} & set(names(evidence.calibration))


def test_a_text_that_the_explainer_saw_is_not_scored_on_though_it_was_drawn_again(database: Database) -> None:
    with database.writing() as session:
        neuron = neuron_with_records(session, n_random=0)
        for rank, first_token in enumerate(["a", "top4", "c", "top1", "top2", "f", "g", "h"]):
            make_record(session, neuron, RANDOM, rank, tokens=(first_token, *TOKENS[1:]))
        evidence = load_evidence(session, explanation_of(session, neuron))
    # Of the random ones 1, 4, 7, 2 and 5 are scored, 0, 3 and 6 calibrate; 1 was shown, 3 and 4 are top ones taken
    # already.
    assert names(evidence.random) == ["h", "c", "f"]
    assert names(evidence.calibration)[5:] == ["a", "g"]


def test_a_single_unseen_top_excerpt_is_scored_on_and_of_none_there_is_nothing(database: Database) -> None:
    with database.writing() as session:
        neuron = neuron_with_records(session)
        one_left = load_evidence(session, explanation_of(session, neuron, "default@01+top5+19excerpts"))
        none_left = load_evidence(session, explanation_of(session, neuron, "default@02+top5+20excerpts"))
    assert (names(one_left.top), none_left.top) == (["top19"], ())
    assert [name for name in names(one_left.calibration) if name.startswith("top")] == []


def test_excerpts_keep_their_ids_for_what_is_simulated_on_them(database: Database) -> None:
    with database.writing() as session:
        neuron = neuron_with_records(session, n_top=6, n_random=0)
        last = make_record(session, neuron, TOP, 6, tokens=("6",), activations=[1])
        evidence = load_evidence(session, explanation_of(session, neuron))
        assert [excerpt.excerpt_id for excerpt in evidence.top] == [last.excerpt_id]
        assert names(evidence.calibration) == ["top3"]


def test_the_negative_side_is_scored_on_its_own_excerpts_with_their_sign_turned(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, polarity="both"))
        make_records(session, neuron)
        make_bottom_records(session, neuron)
        evidence = load_evidence(session, make_explanation(session, neuron, side="negative"))
    assert names(evidence.top) == ["bottom2", "bottom6", "bottom10", "bottom14", "bottom18"]
    assert evidence.maximum == 4.0


def test_a_neuron_without_records_gives_nothing_to_score_on(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        evidence = load_evidence(session, explanation_of(session, neuron))
    assert (evidence.top, evidence.random, evidence.calibration, evidence.maximum) == ((), (), (), 0.0)


def test_the_reference_is_of_the_same_neuron_and_side_and_the_first_sample(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        other = make_neuron(session, neuron.subject, index=1)
        explanation = make_explanation(session, neuron)
        assert load_reference(session, explanation, None) is None
        make_explanation(session, other, "reference", "openai:a", text="Of another neuron.")
        make_explanation(session, neuron, "reference", "openai:a", text="Negative.", side="negative")
        make_explanation(session, neuron, "reference", "openai:a", text="Failed.", status="failed")
        make_explanation(session, neuron, "reference", "openai:c", text="Of c.")
        make_explanation(session, neuron, "reference", "openai:b", text="Second of b.", sample_number=1)
        make_explanation(session, neuron, "reference", "openai:b", text="First of b.")
        by_name, chosen = load_reference(session, explanation, None), load_reference(session, explanation, "openai:c")
        assert by_name is not None
        assert (by_name.explainer, by_name.text) == ("openai:b", "First of b.")
        assert chosen is not None
        assert chosen.text == "Of c."
        assert load_reference(session, explanation, "openai:z") is None
