"""Creating, opening and closing a study."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import Explanation
from app.neurons.models import Neuron
from app.studies.design import design_hash
from app.studies.lifecycle import (
    LintFinding,
    close_study,
    create_study,
    lint_study,
    open_study,
    parse_condition,
)
from app.studies.models import CLOSED, DRAFT, OPEN, FrozenText, Study
from app.studies.neuron_sets import NeuronSet, PerLayer
from tests.factories import make_explanation, make_subject
from tests.studies.factories import (
    CONDITIONS,
    EXPLAINER,
    METHODS,
    NOW,
    distinct_text,
    make_draft,
    make_explained_subject,
)


def create(
    session: Session,
    slug: str = "demo",
    subject_name: str = "toy-demo",
    conditions: tuple[tuple[str, str], ...] = CONDITIONS,
    neurons: NeuronSet = PerLayer(1),
    title: str = "A title",
) -> Study:
    return create_study(
        session,
        slug=slug,
        title=title,
        subject_name=subject_name,
        conditions=conditions,
        neurons=neurons,
        seed=7,
    )


def n_studies(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Study)) or 0


def test_a_new_study_is_a_draft_with_its_conditions_in_order_and_a_secret_key(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        study = create(session)
        other = create(session, slug="other")
        assert (study.status, study.design_hash, study.opened_at) == (DRAFT, None, None)
        assert [(c.method, c.explainer) for c in study.conditions] == list(CONDITIONS)
        assert study.neuron_set == {
            "kind": "per layer",
            "n_per_layer": 1,
            "layers": "all",
            "n_neurons": 2,
            "seed": 7,
        }
        assert len(study.order_key) == 32
        assert study.order_key != other.order_key


@pytest.mark.parametrize("slug", ["", "-a", "A", "a_b", "a" * 101, "a\n", "a/b"])
def test_a_slug_that_is_no_slug_is_refused(database: Database, slug: str) -> None:
    with pytest.raises(InvalidInput, match="expected 1 to 100 of a-z, 0-9 and -"), database.writing() as session:
        create(session, slug=slug)


def test_a_study_cannot_take_the_address_of_the_form_for_new_ones(database: Database) -> None:
    with pytest.raises(InvalidInput, match="slug 'new' is the address of the form"), database.writing() as session:
        create(session, slug="new")


def test_a_study_needs_a_title(database: Database) -> None:
    with pytest.raises(InvalidInput, match="a title of 0 characters; expected 1 to 200"), database.writing() as session:
        create(session, title="  ")


def test_a_slug_can_be_taken_once(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        create(session)
    with pytest.raises(Conflict, match="there is a study 'demo' already"), database.writing() as session:
        create(session)
    assert n_studies(database) == 1


def test_two_or_more_different_conditions_are_needed(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
    with pytest.raises(InvalidInput, match="1 condition; expected two or more"), database.writing() as session:
        create(session, conditions=CONDITIONS[:1])
    with pytest.raises(InvalidInput, match="condition hs@local:toy is there twice"), database.writing() as session:
        create(session, conditions=(*CONDITIONS, ("hs", EXPLAINER)))
    assert n_studies(database) == 0


def test_unknown_names_are_refused_with_the_names_there_are(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", texts=distinct_text)
        make_subject(session, "other-subject")
    with pytest.raises(UnknownName) as subject, database.writing() as session:
        create(session, subject_name="nowhere")
    assert str(subject.value) == "there is no recorded subject model 'nowhere'; recorded are: other-subject, toy-demo"
    with pytest.raises(UnknownName) as condition, database.writing() as session:
        create(session, conditions=(("hs", EXPLAINER), ("haiku", EXPLAINER), ("hs", "openai:gpt-9")))
    assert str(condition.value) == (
        "no explanation of toy-demo by haiku@local:toy, hs@openai:gpt-9; there are explanations by: "
        "avhs@local:toy, highlight@local:toy, hs@local:toy, original@local:toy, summary@local:toy"
    )
    with pytest.raises(UnknownName, match="there are explanations by: none yet"), database.writing() as session:
        create(session, subject_name="other-subject")


def test_opening_freezes_the_texts_as_shown_and_the_design(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        make_draft(session, "demo", n_per_layer=2)
        study = open_study(session, "demo", NOW)
    texts = [distinct_text(0, index, method) + "." for index in range(2) for method in METHODS]
    assert (study.status, study.opened_at) == (OPEN, NOW)
    assert study.design_hash == design_hash(
        {
            "subject": "toy-demo",
            "conditions": [list(condition) for condition in CONDITIONS],
            "neurons": [["mlp", 0, 0], ["mlp", 0, 1]],
            "texts": texts,
            "instructions": study.instructions,
            "seed": 7,
        }
    )
    with database.writing() as session:
        session.execute(sa.update(Explanation).values(text="something else"))
    with database.reading() as session:
        frozen = session.scalars(sa.select(FrozenText).order_by(FrozenText.neuron_id, FrozenText.condition_id))
        assert [text.text for text in frozen] == texts


def test_the_design_hash_ignores_the_key_and_depends_on_every_text(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        hashes = []
        for slug in ("first", "second", "third"):
            if slug == "third":
                session.execute(sa.update(Explanation).where(Explanation.method == "hs").values(text="another text"))
            create(session, slug=slug)
            hashes.append(open_study(session, slug, NOW).design_hash)
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_the_first_sample_of_the_newest_prompt_pack_is_frozen(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        neuron = session.scalars(sa.select(Neuron).order_by(Neuron.index)).first()
        assert neuron is not None
        newer = make_explanation(session, neuron, "hs", EXPLAINER, text="newer first sample", sample_number=1)
        newer.prompt_pack, newer.sample_number = "mine@1", 0
        session.flush()
        make_explanation(session, neuron, "hs", EXPLAINER, text="second sample", sample_number=1)
        make_draft(session, "demo", n_per_layer=2)
        open_study(session, "demo", NOW)
        frozen = sa.select(FrozenText.text).join(FrozenText.condition).where(FrozenText.neuron_id == neuron.id)
        assert session.scalars(frozen.filter_by(method="hs")).all() == ["newer first sample."]


def test_texts_that_raters_must_not_see_keep_a_study_from_opening(database: Database) -> None:
    bad = {
        (0, 1, "hs"): "As an AI, I see words",
        (1, 0, "original"): "...",
        (1, 0, "avhs"): "what the AVHS prompt says",
    }
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", texts=lambda *place: bad.get(place) or distinct_text(*place))
        make_draft(session, "demo", n_per_layer=2)
    with pytest.raises(InvalidInput) as refused, database.writing() as session:
        open_study(session, "demo", NOW)
    assert str(refused.value) == (
        "these texts cannot be shown to raters: "
        "neuron 0:1, hs@local:toy: the text speaks as an assistant ('As an AI'); "
        "neuron 1:0, original@local:toy: the text is empty; "
        "neuron 1:0, avhs@local:toy: the text names a method ('AVHS')"
    )
    with database.reading() as session:
        finding = LintFinding(1, 0, "original", EXPLAINER, "is empty")
        assert lint_study(session, "demo") == (
            replace(finding, layer=0, index=1, method="hs", reason="speaks as an assistant ('As an AI')"),
            finding,
            replace(finding, method="avhs", reason="names a method ('AVHS')"),
        )
        study = session.scalars(sa.select(Study)).one()
        assert (study.status, study.design_hash) == (DRAFT, None)
        assert session.scalars(sa.select(FrozenText)).all() == []


def test_a_study_goes_from_draft_to_open_to_closed_and_never_back(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=2)
        with pytest.raises(Conflict, match="study demo is draft; only an open study can be closed"):
            close_study(session, "demo", NOW)
        open_study(session, "demo", NOW)
        with pytest.raises(Conflict, match="study demo is open; only a draft can be opened"):
            open_study(session, "demo", NOW)
        study = close_study(session, "demo", NOW)
        assert (study.status, study.closed_at) == (CLOSED, NOW)
        with pytest.raises(Conflict, match="study demo is closed; only an open study can be closed"):
            close_study(session, "demo", NOW)
        with pytest.raises(Conflict, match="study demo is closed; only a draft can be opened"):
            open_study(session, "demo", NOW)
        with pytest.raises(UnknownName, match="there is no study 'other'"):
            open_study(session, "other", NOW)


def test_a_study_freezes_only_its_own_texts(database: Database) -> None:
    with database.writing() as session:
        for slug in ("demo", "other"):
            make_explained_subject(session, f"toy-{slug}", n_layers=1)
            make_draft(session, slug, n_per_layer=2)
        study = open_study(session, "demo", NOW)
        frozen = session.scalars(sa.select(FrozenText)).all()
        assert {text.study_id for text in frozen} == {study.id}
        assert len(frozen) == 2 * len(METHODS)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("summary@openai:gpt-4", ("summary", "openai:gpt-4")),
        (" hs@local:/models/a@b ", ("hs", "local:/models/a@b")),
        ("tokens", ("tokens", "none")),
    ],
)
def test_conditions_are_written_as_method_at_explainer(text: str, condition: tuple[str, str]) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["", "summary", "summary@", "@openai:gpt-4"])
def test_half_a_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected METHOD@EXPLAINER"):
        parse_condition(text)
