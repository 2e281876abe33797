"""A design in a file: the same study elsewhere, and nothing of what belongs to the first lab alone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import Explanation
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.reading import load_records
from app.studies.audit import IMPORTED, audit_lines
from app.studies.drafting.design_file import export_design, import_design, is_same_design
from app.studies.drafting.design_format import plain_activations
from app.studies.drafting.lint import lint_study, waive_all
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.lifecycle import create_study, open_study
from app.studies.models import DRAFT, Rater, Study
from app.studies.protocol import Protocol
from app.tables import metadata
from tests.factories import TOKENS, make_corpus, make_explanation
from tests.studies.factories import (
    CONDITIONS,
    EXPLAINER,
    METHODS,
    NOW,
    distinct_text,
    judge_everything,
    make_draft,
    make_explained_subject,
    make_open_study,
)

PROTOCOL = Protocol(n_raters=2, consent="You may stop at any time.", shared_percent=50)


@pytest.fixture
def other_lab(tmp_path: Path) -> Iterator[Database]:
    """Another, empty installation: on SQLite, whichever database the first lab has."""
    database = Database(f"sqlite:///{tmp_path / 'other-lab.sqlite'}")
    metadata.create_all(database.engine)
    yield database
    database.dispose()


def exported(database: Database, slug: str = "demo", *, is_open: bool = True) -> str:
    """The file of a study over four neurons and five methods."""
    with database.writing() as session:
        make_explained_subject(session, f"toy-{slug}")
        make_draft(session, slug, n_per_layer=2, protocol=PROTOCOL)
        if is_open:
            open_study(session, slug, NOW)
        return export_design(session, slug)


def hash_of(database: Database, slug: str = "demo") -> str | None:
    with database.reading() as session:
        return session.scalars(sa.select(Study.design_hash).where(Study.slug == slug)).one()


def contents(session: Session) -> dict[str, int]:
    return {
        table.name: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        for table in metadata.sorted_tables
    }


def test_another_lab_runs_the_same_study_from_the_file(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        draft = import_design(session, text, now=NOW, who="grace")
        assert (draft.slug, draft.status, draft.design_hash) == ("demo", DRAFT, None)
        assert is_same_design(session, draft, str(hash_of(database)))
        assert lint_study(session, "demo") == ()
        assert [(line.who, line.details) for line in audit_lines(session, draft, IMPORTED)] == [
            ("grace", {"slug": "demo", "design": hash_of(database)})
        ]
        open_study(session, "demo", NOW)
    assert hash_of(other_lab) == hash_of(database)
    with other_lab.reading() as session:
        again = export_design(session, "demo")
    assert again == text


def test_the_other_labs_rows_are_the_first_labs(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
    for lab in (database, other_lab):
        with lab.reading() as session:
            subject = session.scalars(sa.select(SubjectModel)).one()
            assert (subject.name, subject.architecture, subject.n_layers, subject.dtype) == (
                "toy-demo",
                "llama",
                2,
                "float32",
            )
            neurons = session.scalars(sa.select(Neuron).order_by(Neuron.layer, Neuron.index)).all()
            assert [(n.layer, n.index, n.q90, n.skewness, n.maximum) for n in neurons] == [
                (layer, index, 2.0, 1.5, 5.0) for layer in range(2) for index in range(2)
            ]
            records = load_records(session, neurons[3])
            assert [record.tokens[0] for record in (*records.top, *records.random)] == ["top0", "top1", "random0"]
            expected = np.array([0, 5 * 63 / 64, 1.25 * 63 / 64, -0.25 * 63 / 64, 2.5 * 63 / 64], dtype=np.float16)
            assert records.top[1].activations.tolist() == expected.tolist()
            row = session.get_one(ActivationRow, (neurons[0].id, "top", 1))
            assert row.maximum == 5 * 63 / 64
            excerpt = session.get_one(Excerpt, row.excerpt_id)
            assert np.frombuffer(excerpt.token_ids, "<i4").tolist() == [0, 1, 2, 3, 4]
            texts = session.scalars(sa.select(Explanation.text).order_by(Explanation.id)).all()
            assert [str(said).rstrip(".") for said in texts] == [
                distinct_text(layer, index, method) for layer in range(2) for index in range(2) for method in METHODS
            ]


def test_a_design_is_imported_beside_its_own_study(database: Database) -> None:
    text = exported(database)
    with database.writing() as session:
        before = contents(session)
        import_design(session, text, "again", now=NOW)
        after = contents(session)
        grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        # Nothing is recorded or explained twice.
        assert grown == {"study": 1, "condition": 5, "study_neuron": 4, "study_event": 1, "frozen_text": 20}
        open_study(session, "again", NOW)
        keys = session.scalars(sa.select(Study.order_key)).all()
        assert len(set(keys)) == 2
    assert hash_of(database, "again") == hash_of(database)


def test_a_design_is_imported_twice_elsewhere(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        import_design(session, text, "second", now=NOW)
        assert session.scalar(sa.select(sa.func.count()).select_from(Excerpt)) == 12
        open_study(session, "second", NOW)
    assert hash_of(other_lab, "second") == hash_of(database)


def test_the_texts_stay_the_files_whatever_is_explained_here(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        subject = make_explained_subject(session, "toy-demo", texts=lambda *place: f"another view of {place}")
        create_study(
            session,
            slug="own",
            title="Own",
            subject_name="toy-demo",
            conditions=CONDITIONS,
            neurons=PerLayer(2),
            seed=1,
        )
        import_design(session, text, now=NOW)
        neuron = session.scalars(sa.select(Neuron).where(Neuron.subject_id == subject.id)).first()
        assert neuron is not None
        later = make_explanation(session, neuron, "hs", EXPLAINER, text="a later text", sample_number=7)
        later.prompt_pack, later.sample_number = "newer@1", 0
        session.flush()
        own = json.loads(export_design(session, "own"))
        open_study(session, "demo", NOW)
        # The lab's own drafts keep the lab's texts.
        assert own["neurons"][1]["texts"][0] == "another view of (0, 1, 'original')."
    assert hash_of(other_lab) == hash_of(database)


def test_two_designs_over_one_imported_subject_share_it(database: Database, other_lab: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=1)
        first = export_design(session, "demo")
    other = json.loads(first)
    for neuron in other["neurons"]:
        neuron["index"] = 1 - neuron["index"]
    with other_lab.writing() as session:
        import_design(session, first, now=NOW)
        import_design(session, json.dumps(other), "other", now=NOW)
        assert session.scalar(sa.select(sa.func.count()).select_from(SubjectModel)) == 1
        assert session.scalar(sa.select(sa.func.count()).select_from(Neuron)) == 4


def test_a_draft_can_be_exported_with_the_texts_it_lacks(database: Database, other_lab: Database) -> None:
    with database.writing() as session:
        make_explained_subject(
            session, "toy-demo", texts=lambda *place: "" if place[2] == "hs" else distinct_text(*place)
        )
        make_draft(session, "demo", n_per_layer=1)
        text = export_design(session, "demo")
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        assert {(each.method, each.reason) for each in lint_study(session, "demo")} == {("hs", "is empty")}


def test_waivers_stay_at_home(database: Database, other_lab: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", texts=lambda layer, index, method: f"kind {method} here")
        make_draft(session, "demo", n_per_layer=1)
        assert waive_all(session, "demo", NOW, "ada") == 10
        open_study(session, "demo", NOW)
        text = export_design(session, "demo")
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        assert [each.waived_by for each in lint_study(session, "demo")] == [None] * 10


def test_the_file_has_neither_the_key_nor_raters_nor_answers(database: Database) -> None:
    study = make_open_study(database, n_raters=1, protocol=PROTOCOL)
    judge_everything(database, study)
    with database.reading() as session:
        text = export_design(session, "demo")
        key = session.scalars(sa.select(Study.order_key)).one()
        rater = session.scalars(sa.select(Rater)).one()
    assert key.hex() not in text
    assert rater.invitation_hash not in text
    assert study.invitations[0].code not in text
    assert set(json.loads(text)) == {
        "format_version", "app_version", "design_hash", "slug", "title", "instructions", "protocol", "seed", "subject",
        "conditions", "corpus", "excerpts", "neurons",
    }  # fmt: skip


def test_the_file_says_what_a_neuron_is_shown_with(database: Database) -> None:
    design = json.loads(exported(database))
    neuron = design["neurons"][0]
    first = neuron["evidence"]["top"][0]
    assert first["activations"] == [0.0, 5.0, 1.25, -0.25, 2.5]
    assert design["excerpts"][first["excerpt"]] == {"token_ids": [0, 1, 2, 3, 4], "token_texts": ["top0", *TOKENS[1:]]}
    assert neuron["texts"] == [distinct_text(0, 0, method) + "." for method in METHODS]
    assert sorted(str(each["quota"]) for each in design["neurons"]) == ["1", "1", "None", "None"]
    assert design["conditions"] == [{"method": method, "explainer": by} for method, by in CONDITIONS]


def test_activations_keep_every_bit_of_a_float16() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    written = json.loads(json.dumps(plain_activations(finite.astype("<f2").tobytes())))
    assert np.asarray(written, "<f2").tobytes() == finite.astype("<f2").tobytes()


def test_evidence_that_differs_from_what_is_recorded_here_is_refused(database: Database) -> None:
    design = json.loads(exported(database))
    design["neurons"][2]["evidence"]["random"][0]["activations"][1] += 0.25
    with pytest.raises(Conflict, match="the evidence of neuron 1:0 of toy-demo differs"), database.writing() as session:
        import_design(session, json.dumps(design), "again", now=NOW)


def test_another_model_of_the_same_name_is_refused(database: Database) -> None:
    design = json.loads(exported(database))
    design["subject"]["revision"] = "2"
    with pytest.raises(Conflict) as refused, database.writing() as session:
        import_design(session, json.dumps(design), "again", now=NOW)
    assert str(refused.value) == "revision of the subject model toy-demo is '1' here; the design has '2'"


def test_an_imported_subject_that_has_grown_takes_the_design_a_smaller_one_does_not(
    database: Database, other_lab: Database
) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        subject = session.scalars(sa.select(SubjectModel)).one()
        subject.n_layers, subject.n_neurons_per_layer = 3, 5
        assert import_design(session, text, "again", now=NOW).subject_id == subject.id
        assert (subject.n_layers, subject.n_neurons_per_layer) == (3, 5)
        subject.n_layers = 1
        with pytest.raises(Conflict, match="n_layers of the subject model toy-demo is 1 here; the design has 2"):
            import_design(session, text, "third", now=NOW)


def test_a_recorded_subject_of_another_size_is_refused(database: Database) -> None:
    text = exported(database)
    with database.writing() as session:
        session.scalars(sa.select(SubjectModel)).one().n_layers = 3
        with pytest.raises(Conflict, match="n_layers of the subject model toy-demo is 3 here; the design has 2"):
            import_design(session, text, "again", now=NOW)


@pytest.mark.parametrize("name", [".", "..", " toy", "a/b"])
def test_a_subject_of_an_impossible_name_is_refused(database: Database, other_lab: Database, name: str) -> None:
    design = json.loads(exported(database))
    design["subject"]["name"] = name
    with pytest.raises(InvalidInput, match="the subject name is"), other_lab.writing() as session:
        import_design(session, json.dumps(design), now=NOW)


def test_a_neuron_that_the_recording_here_lacks_is_refused(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        subject = make_explained_subject(session, "toy-demo", n_layers=1)
        subject.n_layers = 2
    with (
        pytest.raises(Conflict, match="neuron 1:0 of toy-demo is not in the recording"),
        other_lab.writing() as session,
    ):
        import_design(session, text, now=NOW)


def test_a_subject_that_is_just_being_recorded_is_refused(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        make_explained_subject(session, "toy-demo")
        session.execute(sa.update(Recording).values(status="writing"))
    with (
        pytest.raises(Conflict, match=r"the recording of toy-demo is not done \(writing\)"),
        other_lab.writing() as session,
    ):
        import_design(session, text, now=NOW)


def test_the_imported_excerpts_do_not_pass_for_the_whole_corpus(database: Database, other_lab: Database) -> None:
    text = exported(database)
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        corpus = session.scalars(sa.select(Corpus)).one()
        assert (corpus.name, corpus.n_excerpts, corpus.excerpt_length) == ("toy-corpus", 12, 5)
        assert make_corpus(session, "another").hash != corpus.hash
    with database.reading() as session:
        assert corpus.hash != session.scalars(sa.select(Corpus.hash)).one()


def test_a_changed_file_is_another_design(database: Database, other_lab: Database) -> None:
    design = json.loads(exported(database))
    design["instructions"] += " Be quick."
    with other_lab.writing() as session:
        study = import_design(session, json.dumps(design), now=NOW)
        assert not is_same_design(session, study, str(design["design_hash"]))


def spoil(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(design: dict[str, Any]) -> None:
        place: Any = design
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to

    return change


RECORD = ("neurons", 0, "evidence", "top", 0)
SPOILT = {
    "version": (spoil("format_version", to=2), "format_version: Input should be 1"),
    "unknown field": (spoil("extra", to=1), "extra: Extra inputs are not permitted"),
    "no neurons": (spoil("neurons", to=[]), "neurons: List should have at least 1"),
    "text missing": (spoil("neurons", 1, "texts", to=["a"]), "neuron 0:1 has 1 texts; expected one for each of"),
    "unknown excerpt": (spoil(*RECORD, "excerpt", to=12), "neuron 0:0 has excerpt 12; expected one of the 12"),
    "few activations": (spoil(*RECORD, "activations", to=[1.0]), "neuron 0:0 has 1 activations; expected one for"),
    "large activation": (spoil(*RECORD, "activations", 0, to=70000.0), "less than or equal to 65504"),
    "endless activation": (spoil(*RECORD, "activations", 0, to=float("inf")), "finite number"),
    "NUL": (spoil("title", to="a\0b"), "title: a character that no text can hold"),
    "NUL in the consent": (spoil("protocol", "consent", to="a\0b"), "a character that no text can hold"),
    "half a character": (spoil("neurons", 0, "texts", 0, to="\ud800"), "neurons.0.texts.0: "),
    "twice": (spoil("neurons", 0, "index", to=1), "a neuron is there twice; expected each once"),
    "beyond the layers": (spoil("neurons", 0, "layer", to=2), "neuron 2:0 is beyond the 2 layers of toy-demo"),
    "protocol": (spoil("protocol", "n_raters", to=0), "protocol.n_raters: Input should be greater than or equal to 1"),
    "token ids": (spoil("excerpts", 0, "token_ids", to=[1]), "excerpt 0 has 1 token ids; expected one for each text"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_a_file_that_is_no_design_is_one_error_and_nothing_stored(
    database: Database, other_lab: Database, what: str
) -> None:
    change, problem = SPOILT[what]
    design = json.loads(exported(database))
    change(design)
    with pytest.raises(InvalidInput) as refused, other_lab.writing() as session:
        import_design(session, json.dumps(design), now=NOW)
    assert str(refused.value).startswith("this is no design: ")
    assert problem in str(refused.value)
    with other_lab.reading() as session:
        assert set(contents(session).values()) == {0}


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{", "[" * 100_000])
def test_what_is_not_even_json_is_refused(database: Database, text: str) -> None:
    with pytest.raises(InvalidInput, match="this is no design"), database.writing() as session:
        import_design(session, text, now=NOW)


def test_conditions_slug_and_a_taken_slug_are_checked_as_for_any_study(database: Database) -> None:
    text = exported(database)
    with pytest.raises(Conflict, match="there is a study 'demo' already"), database.writing() as session:
        import_design(session, text, now=NOW)
    with pytest.raises(InvalidInput, match="slug 'No'"), database.writing() as session:
        import_design(session, text, "No", now=NOW)
    with pytest.raises(InvalidInput, match="slug ''"), database.writing() as session:
        import_design(session, text, "", now=NOW)
    design = json.loads(text)
    design["conditions"][0] = design["conditions"][1]
    with pytest.raises(InvalidInput, match="condition summary@local:toy is there twice"), database.writing() as session:
        import_design(session, json.dumps(design), "again", now=NOW)
    with pytest.raises(UnknownName, match="there is no study 'absent'"), database.reading() as session:
        export_design(session, "absent")
