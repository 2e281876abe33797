"""Creating, opening and closing a study."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import Explanation
from app.neurons.models import Excerpt, Neuron
from app.studies.audit import CLOSED as CLOSING
from app.studies.audit import COMMAND_LINE, CREATED, OPENED, PAUSED, RESUMED, AuditLine, audit_lines
from app.studies.conditions import parse_condition
from app.studies.dealing.design import design_hash
from app.studies.drafting.freezing import evidence_digests, quotas
from app.studies.drafting.neuron_sets import NeuronSet, PerLayer
from app.studies.invitations import dry_run
from app.studies.lifecycle import (
    DEFAULT_PROTOCOL,
    close_study,
    create_study,
    open_study,
    pause_study,
    resume_study,
    reword,
)
from app.studies.models import CLOSED, DRAFT, OPEN, FrozenText, Rater, Study, StudyNeuron
from app.studies.protocol import CROSSED, Protocol
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

LATER = NOW + timedelta(hours=3)


def create(
    session: Session,
    slug: str = "demo",
    subject_name: str = "toy-demo",
    conditions: tuple[tuple[str, str], ...] = CONDITIONS,
    neurons: NeuronSet = PerLayer(1),
    title: str = "A title",
    protocol: Protocol = DEFAULT_PROTOCOL,
) -> Study:
    return create_study(
        session,
        slug=slug,
        title=title,
        subject_name=subject_name,
        conditions=conditions,
        neurons=neurons,
        seed=7,
        protocol=protocol,
        now=NOW,
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


@pytest.mark.parametrize("slug", ["new", "import"])
def test_a_study_cannot_take_the_address_of_a_page(database: Database, slug: str) -> None:
    with pytest.raises(InvalidInput, match=f"slug '{slug}' is the address of the form"), database.writing() as session:
        create(session, slug=slug)


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


def test_two_to_ten_different_conditions_are_needed(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
    with pytest.raises(InvalidInput, match="1 condition; expected two or more"), database.writing() as session:
        create(session, conditions=CONDITIONS[:1])
    with pytest.raises(InvalidInput, match="condition hs@local:toy is there twice"), database.writing() as session:
        create(session, conditions=(*CONDITIONS, ("hs", EXPLAINER)))
    eleven = tuple(("hs", f"openai:{number}") for number in range(11))
    with pytest.raises(InvalidInput, match="11 conditions; expected at most ten"), database.writing() as session:
        create(session, conditions=eleven)
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
        digests = evidence_digests(session, session.scalars(sa.select(Neuron).order_by(Neuron.index)).all())
    texts = [distinct_text(0, index, method) + "." for index in range(2) for method in METHODS]
    assert (study.status, study.opened_at) == (OPEN, NOW)
    assert study.design_hash == design_hash(
        {
            "subject": {
                "name": "toy-demo",
                "revision": "1",
                "architecture": "llama",
                "n_layers": 1,
                "n_neurons_per_layer": 2,
                "dtype": "float32",
                "tokenizer_hash": "0" * 64,
            },
            "conditions": [list(condition) for condition in CONDITIONS],
            "neurons": [["mlp", 0, 0], ["mlp", 0, 1]],
            "quotas": quotas(Protocol.model_validate(study.protocol), [0, 0], 7),
            "texts": texts,
            "evidence": digests,
            "title": "Which description fits?",
            "instructions": "Judge by the activations.",
            "protocol": study.protocol,
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


def test_the_design_hash_depends_on_the_title_the_protocol_and_the_evidence(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        create(session, slug="plain")
        create(session, slug="title", title="Another title")
        create(session, slug="protocol", protocol=CROSSED)
        create(session, slug="evidence")
        hashes = {open_study(session, slug, NOW).design_hash for slug in ("plain", "title", "protocol")}
        for excerpt in session.scalars(sa.select(Excerpt)):
            excerpt.token_texts = ["other", *excerpt.token_texts[1:]]
        session.flush()
        hashes.add(open_study(session, "evidence", NOW).design_hash)
        assert len(hashes) == 4


def test_opening_sets_how_many_raters_judge_each_neuron(database: Database) -> None:
    protocols = {"mixed": Protocol(), "crossed": CROSSED, "overlap": Protocol(sharing="overlap", raters_per_neuron=4)}
    protocols["split"] = Protocol(sharing="split")
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        for slug, protocol in protocols.items():
            create(session, slug=slug, protocol=protocol, neurons=PerLayer(2))
            open_study(session, slug, NOW)
    expected = {"mixed": [1, 1, 1, None], "crossed": [None] * 4, "overlap": [4] * 4, "split": [1] * 4}
    with database.reading() as session:
        query = (
            sa.select(StudyNeuron.quota).join(Study, Study.id == StudyNeuron.study_id).order_by(StudyNeuron.position)
        )
        stored = {slug: session.scalars(query.where(Study.slug == slug)).all() for slug in protocols}
    assert sorted(stored["mixed"], key=str) == expected.pop("mixed")
    assert {slug: stored[slug] for slug in expected} == expected


def test_the_shared_neurons_are_spread_evenly_over_the_layers_and_follow_the_seed() -> None:
    layers = [layer for layer in range(10) for _ in range(3)]
    protocol = Protocol(sharing="mixed", shared_percent=33)
    draws = [quotas(protocol, layers, seed) for seed in range(20)]
    for drawn in draws:
        assert sorted(layer for layer, quota in zip(layers, drawn, strict=True) if quota is None) == list(range(10))
    assert draws[0] == quotas(protocol, layers, 0)
    assert len({tuple(drawn) for drawn in draws}) == 20


def test_opening_lets_nobody_in_who_tried_the_draft(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=1)
        dry_run(session, "demo", NOW, "ada")
        open_study(session, "demo", LATER)
        dry_run(session, "demo", LATER, "ada")
        revoked = session.scalars(sa.select(Rater.revoked_at).order_by(Rater.id)).all()
        assert revoked == [LATER, None]


def test_a_paused_study_is_resumed_and_every_step_is_on_record(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        study = create(session)
        with pytest.raises(Conflict, match="study demo is draft; only an open study can be paused"):
            pause_study(session, "demo", NOW)
        design = open_study(session, "demo", NOW, "ada").design_hash
        with pytest.raises(Conflict, match="study demo is not paused"):
            resume_study(session, "demo", NOW)
        assert pause_study(session, "demo", LATER, "ada").paused_at == LATER
        with pytest.raises(Conflict, match="study demo is paused already"):
            pause_study(session, "demo", LATER)
        assert resume_study(session, "demo", LATER, "grace").paused_at is None
        close_study(session, "demo", LATER)
        with pytest.raises(Conflict, match="study demo is closed; only an open study can be resumed"):
            resume_study(session, "demo", LATER)
        assert audit_lines(session, study) == (
            AuditLine(NOW, COMMAND_LINE, CREATED, {}),
            AuditLine(NOW, "ada", OPENED, {"design": design, "waivers": []}),
            AuditLine(LATER, "ada", PAUSED, {}),
            AuditLine(LATER, "grace", RESUMED, {}),
            AuditLine(LATER, COMMAND_LINE, CLOSING, {}),
        )


def test_a_drafts_words_can_be_changed_until_it_opens(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        create(session)
        study = reword(session, "demo", title=" New title ", instructions="Look closely.", consent="You may stop.")
        assert (study.title, study.instructions) == ("New title", "Look closely.")
        assert study.protocol == Protocol(consent="You may stop.").as_json()
        with pytest.raises(InvalidInput, match="a title of 0 characters"):
            reword(session, "demo", title="", instructions="", consent="")
        open_study(session, "demo", NOW)
        with pytest.raises(Conflict, match="study demo is open; only a draft can be changed"):
            reword(session, "demo", title="Late", instructions="", consent="")


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
