"""Texts that raters must not see: found, waived by name, or left out with their neuron."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import FAILED, Explanation
from app.neurons.models import ActivationRow, Neuron
from app.studies.audit import LEFT_OUT, OPENED, WAIVED, audit_lines
from app.studies.drafting.lint import (
    LintFinding,
    WordingFinding,
    blocking,
    explainer_names,
    leave_out,
    lint_study,
    lint_wording,
    waive,
    waive_all,
)
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.lifecycle import create_study, open_study, reword
from app.studies.models import DRAFT, Condition, FrozenText, Study, StudyNeuron
from tests.studies.factories import EXPLAINER, NOW, distinct_text, make_draft, make_explained_subject

BAD = {
    (0, 1, "hs"): "As an AI, I see words",
    (1, 0, "original"): "...",
    (1, 0, "avhs"): "what the AVHS prompt says",
}


def draft_with(session: Session, texts: dict[tuple[int, int, str], str], slug: str = "demo") -> Study:
    """Two layers of two neurons, five methods; these texts among distinct ones."""
    make_explained_subject(session, f"toy-{slug}", texts=lambda *place: texts.get(place) or distinct_text(*place))
    return make_draft(session, slug, n_per_layer=2)


def reasons(session: Session, slug: str = "demo") -> dict[tuple[int, int, str], str]:
    return {(each.layer, each.index, each.method): each.reason for each in lint_study(session, slug)}


def places(session: Session, slug: str = "demo") -> list[tuple[int, int, int]]:
    """(position, layer, index) of the study's neurons."""
    query = sa.select(StudyNeuron.position, Neuron.layer, Neuron.index).join(StudyNeuron.neuron)
    mine = query.join(Study, Study.id == StudyNeuron.study_id).where(Study.slug == slug)
    return [(row[0], row[1], row[2]) for row in session.execute(mine.order_by(StudyNeuron.position))]


def test_texts_that_raters_must_not_see_keep_a_study_from_opening(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, BAD)
    with pytest.raises(InvalidInput) as refused, database.writing() as session:
        open_study(session, "demo", NOW)
    assert str(refused.value) == (
        "these texts cannot be shown to raters: "
        "neuron 0:1, hs@local:toy: the text speaks as an assistant ('As an AI'); "
        "neuron 1:0, original@local:toy: the text is empty; "
        "neuron 1:0, avhs@local:toy: the text names a method ('AVHS')"
    )
    with database.reading() as session:
        study = session.scalars(sa.select(Study)).one()
        assert (study.status, study.design_hash) == (DRAFT, None)
        assert session.scalars(sa.select(FrozenText)).all() == []


def test_a_finding_names_the_text_and_its_place(database: Database) -> None:
    with database.writing() as session:
        study = draft_with(session, BAD)
        neuron_id = session.scalars(sa.select(Neuron.id).where(Neuron.layer == 1, Neuron.index == 0)).one()
        condition = next(condition for condition in study.conditions if condition.method == "avhs")
        assert lint_study(session, "demo")[2] == LintFinding(
            layer=1,
            index=0,
            method="avhs",
            explainer=EXPLAINER,
            reason="names a method ('AVHS')",
            neuron_id=neuron_id,
            condition_id=condition.id,
            text="what the AVHS prompt says.",
            waived_by=None,
            can_be_waived=True,
        )


def test_the_same_text_for_several_neurons_is_found_in_whatever_spelling_and_by_whichever_method(
    database: Database,
) -> None:
    same = {(0, 0, "hs"): "words about cats", (1, 1, "hs"): "Words about  cats.", (0, 1, "avhs"): '"words about cats"'}
    same |= {(0, 0, "avhs"): "words about cats"}
    same |= {(1, 0, "hs"): "names of rivers", (1, 0, "avhs"): "names of rivers"}
    with database.writing() as session:
        draft_with(session, same)
        twice = "says the same of 2 other neurons"
        assert reasons(session) == {place: twice for place in same if same[place].lower() != "names of rivers"}


def test_very_long_texts_and_names_of_explainers_are_found(database: Database) -> None:
    texts = {(0, 0, "hs"): "a" * 401, (0, 1, "hs"): "b" * 399, (1, 0, "hs"): "What Toy wrote", (1, 1, "hs"): "toys"}
    with database.writing() as session:
        draft_with(session, texts)
        assert reasons(session) == {
            (0, 0, "hs"): "has 402 characters, more than 400",
            (1, 0, "hs"): "names an explainer ('Toy')",
        }


def test_all_that_is_wrong_with_a_text_is_said_at_once(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, {(0, 0, "hs"): "as an AI, toy", (1, 0, "hs"): "as an AI, toy"})
        wrong = "speaks as an assistant ('as an AI') and names an explainer ('toy') and says the same of 1 other neuron"
        assert reasons(session) == {(0, 0, "hs"): wrong, (1, 0, "hs"): wrong}


def test_a_waiver_lets_exactly_this_text_pass(database: Database) -> None:
    with database.writing() as session:
        study = draft_with(session, {(0, 1, "hs"): "As an AI, I see words"})
        waive(session, "demo", 0, 1, "hs", EXPLAINER, NOW, "ada")
        assert [finding.waived_by for finding in lint_study(session, "demo")] == ["ada"]
        mine = sa.update(Explanation).where(Explanation.text == "As an AI, I see words")
        session.execute(mine.values(text="As an AI, I see numbers"))
        assert [finding.waived_by for finding in lint_study(session, "demo")] == [None]
        waive(session, "demo", 0, 1, "hs", EXPLAINER, NOW, "grace")
        open_study(session, "demo", NOW)
        finding = "neuron 0:1, hs@local:toy: the text speaks as an assistant ('As an AI')"
        log = audit_lines(session, study, WAIVED, OPENED)
        assert [(line.who, line.kind) for line in log] == [
            ("ada", WAIVED),
            ("grace", WAIVED),
            ("command line", OPENED),
        ]
        assert log[1].details == {"finding": finding, "text": "As an AI, I see numbers."}
        assert log[2].details["waivers"] == [{"finding": finding, "who": "grace"}]


def test_what_cannot_be_waived_is_said(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, BAD)
        with pytest.raises(InvalidInput, match=r"^neuron 1:0, original@local:toy: the text is empty; expected a text"):
            waive(session, "demo", 1, 0, "original", EXPLAINER, NOW, "ada")
        with pytest.raises(InvalidInput, match="nothing is wrong with the text of neuron 0:0 by hs@local:toy"):
            waive(session, "demo", 0, 0, "hs", EXPLAINER, NOW, "ada")
        with pytest.raises(UnknownName, match="there is no study 'other'"):
            waive(session, "other", 0, 0, "hs", EXPLAINER, NOW, "ada")


def test_all_that_can_be_waived_is_waived_at_once(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, BAD)
        assert waive_all(session, "demo", NOW, "ada") == 2
        assert [finding.reason for finding in blocking(lint_study(session, "demo"))] == ["is empty"]
        assert waive_all(session, "demo", NOW, "ada") == 0


def test_a_waiver_holds_for_its_own_study(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, BAD)
        create_study(
            session,
            slug="second",
            title="Second",
            subject_name="toy-demo",
            conditions=[("hs", EXPLAINER), ("avhs", EXPLAINER)],
            neurons=PerLayer(2),
            seed=1,
        )
        waive_all(session, "second", NOW, "ada")
        assert blocking(lint_study(session, "second")) == []
        assert len(blocking(lint_study(session, "demo"))) == 3


def test_a_neuron_without_a_text_can_be_left_out(database: Database) -> None:
    with database.writing() as session:
        study = draft_with(session, {})
        failed = sa.select(Explanation).join(Explanation.neuron).where(Neuron.layer == 0, Neuron.index == 1)
        explanation = session.scalars(failed.where(Explanation.method == "hs")).one()
        explanation.status, explanation.text, explanation.failure = FAILED, None, "refusal"
        session.flush()
        assert reasons(session) == {(0, 1, "hs"): "is empty"}
        leave_out(session, "demo", 0, 1, NOW, "ada")
        assert lint_study(session, "demo") == ()
        assert places(session) == [(0, 0, 0), (1, 1, 0), (2, 1, 1)]
        assert study.neuron_set == {
            "kind": "per layer",
            "n_per_layer": 2,
            "layers": "all",
            "n_neurons": 3,
            "seed": 7,
            "left_out": ["0:1"],
        }
        assert [(line.who, line.details) for line in audit_lines(session, study, LEFT_OUT)] == [
            ("ada", {"neuron": "0:1"})
        ]
        open_study(session, "demo", NOW)
        assert session.scalar(sa.select(sa.func.count()).select_from(FrozenText)) == 15


def test_the_last_neuron_stays(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, {})
        make_explained_subject(session, "toy-other")
        make_draft(session, "other", n_per_layer=2)
        for layer, index in ((0, 0), (1, 1), (1, 0)):
            leave_out(session, "demo", layer, index, NOW, "ada")
        assert places(session) == [(0, 0, 1)]
        with pytest.raises(Conflict, match="neuron 0:1 is the only one of study demo"):
            leave_out(session, "demo", 0, 1, NOW, "ada")
        with pytest.raises(UnknownName, match="study demo has no neuron 1:1"):
            leave_out(session, "demo", 1, 1, NOW, "ada")
        assert len(places(session, "other")) == 4


def test_an_open_study_is_not_changed(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, {})
        open_study(session, "demo", NOW)
        with pytest.raises(Conflict, match="study demo is open; only a draft can be changed"):
            leave_out(session, "demo", 0, 1, NOW, "ada")
        with pytest.raises(Conflict, match="study demo is open; only a draft can be changed"):
            waive_all(session, "demo", NOW, "ada")


def test_names_in_the_studys_own_words_block_until_they_are_edited(database: Database) -> None:
    with database.writing() as session:
        study = draft_with(session, {})
        words = {"title": "HS or what?", "instructions": "Read.\nThe summary method wins.", "consent": "Toy wrote it."}
        reword(session, "demo", **words)
        assert lint_wording(study) == (
            WordingFinding("title", "names a method ('HS')"),
            WordingFinding("instructions", "names a method ('summary method')"),
            WordingFinding("consent", "names an explainer ('Toy')"),
        )
        with pytest.raises(InvalidInput, match=r"raters: the title names a method \('HS'\); the instructions names"):
            open_study(session, "demo", NOW)
        reword(session, "demo", title="Which one?", instructions="I cannot say more.", consent="I am unable to.")
        assert lint_wording(study) == ()
        open_study(session, "demo", NOW)


def forget_records(session: Session, layer: int, index: int, *bands: str) -> None:
    """As if an import had brought nothing of these bands."""
    neuron = session.scalars(sa.select(Neuron.id).where(Neuron.layer == layer, Neuron.index == index)).one()
    mine = sa.delete(ActivationRow).where(ActivationRow.neuron_id == neuron)
    session.execute(mine.where(ActivationRow.band.in_(bands)))


def test_a_study_does_not_open_while_a_neuron_has_no_excerpt_to_show(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, {(0, 1, "original"): "As an AI"})
        # What was let pass was the text, not that nothing stands beside it.
        waive(session, "demo", 0, 1, "original", EXPLAINER, NOW, "ada")
        forget_records(session, 0, 1, "top", "random")
        (finding,) = lint_study(session, "demo")
        assert (finding.method, finding.reason) == ("original", "would stand without any excerpt beside it")
        assert not finding.can_be_waived
        assert waive_all(session, "demo", NOW, "ada") == 0
        with pytest.raises(InvalidInput, match="without any excerpt beside it; expected excerpts, or the neuron left"):
            waive(session, "demo", 0, 1, "original", EXPLAINER, NOW, "ada")
        with pytest.raises(InvalidInput, match="neuron 0:1, original@local:toy: the text would stand without any"):
            open_study(session, "demo", NOW)
        leave_out(session, "demo", 0, 1, NOW, "ada")
        open_study(session, "demo", NOW)


def test_excerpts_of_a_kind_that_the_protocol_promises_may_be_missing_by_name(database: Database) -> None:
    with database.writing() as session:
        draft_with(session, {(1, 1, "original"): "As an AI"})
        forget_records(session, 0, 0, "random")
        forget_records(session, 1, 1, "top")
        assert reasons(session) == {
            (0, 0, "original"): "would stand without any random excerpt beside it",
            (1, 1, "original"): "speaks as an assistant ('As an AI') and would stand without any top excerpt beside it",
        }
        with pytest.raises(InvalidInput, match="without any random excerpt"):
            open_study(session, "demo", NOW)
        assert waive_all(session, "demo", NOW, "ada") == 2
        open_study(session, "demo", NOW)


def test_an_explainer_is_known_by_its_name_however_it_is_written() -> None:
    explainers = ["gpt-4", "imported:claude", "imported:openai:o3", "local:org/smollm2", "none", "imported:unknown"]
    conditions = [Condition(method="hs", explainer=explainer, position=at) for at, explainer in enumerate(explainers)]
    assert explainer_names(Study(conditions=conditions)) == ("gpt-4", "claude", "o3", "smollm2")
