"""The whole way from a model and a text to stored neurons, on both databases, and everything that can stop it."""

import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors.torch import load_file, save_file

from app.database import Database
from app.errors import Conflict, InvalidInput, NeuronJuryError
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.reading import load_records, neuron_at
from app.settings import Settings
from tests.factories import make_subject
from tests.worker.conftest import N_LAYERS, N_NEURONS, SENTENCE, MakeModel
from worker.corpus import cut_excerpts, open_text, tokenizer_hash
from worker.model_files import find_model
from worker.recorder import record
from worker.recording import LOADING, RECORDING, STORING, RecordingSummary, record_subject
from worker.subject import load_subject, load_tokenizer

Record = Callable[..., RecordingSummary]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("".join(f"{number}: {SENTENCE}" for number in range(200)))
    return path


@pytest.fixture
def record_tiny(settings: Settings, database: Database, text_file: Path, tiny_model: MakeModel) -> Record:
    """Records a tiny model over 25 excerpts, or what the call changes of that."""
    folder = tiny_model()
    one_thread = settings.model_copy(update={"threads": 1})

    def call(**changes: Any) -> RecordingSummary:
        usual = {
            "model": str(folder),
            "text": str(text_file),
            "name": "tiny",
            "n_excerpts": 25,
            "seed": 0,
            "batch_size": 8,
            "progress": lambda stage, done, total: None,
        }
        return record_subject(one_thread, database, **{**usual, **changes})

    return call


def n_rows(database: Database) -> dict[str, int | None]:
    tables = (SubjectModel, Recording, Neuron, ActivationRow, Corpus, Excerpt)
    with database.reading() as session:
        return {table.__tablename__: session.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}


NOTHING = {"subject_model": 0, "recording": 0, "neuron": 0, "activation_record": 0, "corpus": 0, "excerpt": 0}
WHOLE = {
    "subject_model": 1,
    "recording": 1,
    "neuron": N_LAYERS * N_NEURONS,
    "activation_record": N_LAYERS * N_NEURONS * 30,
    "corpus": 1,
    "excerpt": 25,
}


def test_what_is_stored_is_what_the_recorder_kept(
    record_tiny: Record, database: Database, text_file: Path, tiny_model: MakeModel
) -> None:
    folder = tiny_model()
    tokenizer = load_tokenizer(folder)
    excerpts = cut_excerpts(open_text(str(text_file)), tokenizer, n_excerpts=25, seed=0)
    subject = load_subject(folder, n_tokens=64, n_threads=1)
    expected = list(record(subject, excerpts.token_ids, seed=0, batch_size=8, progress=lambda seen: None).layers())

    summary = record_tiny()

    assert n_rows(database) == WHOLE
    assert summary == RecordingSummary(
        name="tiny",
        corpus="words.txt",
        n_layers=N_LAYERS,
        n_neurons=N_LAYERS * N_NEURONS,
        n_excerpts=25,
        n_available=excerpts.n_available,
        n_tokens=25 * 64,
        seconds=summary.seconds,
        was_done=False,
    )
    with database.reading() as session:
        for layer in range(N_LAYERS):
            for index in range(N_NEURONS):
                neuron = neuron_at(session, "tiny", layer, index)
                records = load_records(session, neuron)
                assert neuron.mean == expected[layer].mean[index]
                assert records.cutoff == expected[layer].q90[index]
                for kept, band in ((records.top, expected[layer].top), (records.random, expected[layer].random)):
                    assert np.array_equal([record.activations for record in kept], band.activations[index])
                    ids = excerpts.token_ids[band.excerpts[index]].tolist()
                    texts = [tuple(excerpts.token_texts[token] for token in row) for row in ids]
                    assert [record.tokens for record in kept] == texts


def test_settings_and_provenance_say_where_the_numbers_come_from(
    record_tiny: Record, database: Database, text_file: Path, tiny_model: MakeModel
) -> None:
    tokenizer = load_tokenizer(tiny_model())
    excerpts = cut_excerpts(open_text(str(text_file)), tokenizer, n_excerpts=25, seed=0)
    revision = find_model(str(tiny_model())).revision

    record_tiny()

    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).one()
        recording = session.scalars(sa.select(Recording)).one()
        corpus = session.scalars(sa.select(Corpus)).one()
    assert (subject.name, subject.revision, subject.architecture) == ("tiny", revision, "llama")
    assert (subject.n_layers, subject.n_neurons_per_layer, subject.dtype) == (N_LAYERS, N_NEURONS, "float32")
    assert subject.tokenizer_hash == tokenizer_hash(tokenizer)
    assert (corpus.name, corpus.hash, corpus.excerpt_length, corpus.n_excerpts) == ("words.txt", excerpts.hash, 64, 25)
    assert (recording.status, recording.n_tokens) == ("done", 25 * 64)
    assert recording.settings == {
        "model": revision,
        "text": "words.txt",
        "text_hash": open_text(str(text_file)).hash,
        "excerpts": 25,
        "excerpt_length": 64,
        "seed": 0,
        "site": "mlp",
        "positions": "every token counts; no token is put before an excerpt",
        "top": 20,
        "random": 10,
    }
    assert recording.provenance == {
        "model": "tiny-llama",
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "batch_size": 8,
        "corpus": "words.txt",
        "corpus_hash": excerpts.hash,
        "excerpts_available": excerpts.n_available,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in ("numpy", "tokenizers", "torch", "transformers")},
    }


def test_progress_counts_tokens_and_then_layers(record_tiny: Record) -> None:
    seen: list[tuple[str, int, int]] = []

    record_tiny(progress=lambda stage, done, total: seen.append((stage, done, total)))

    tokens = [(RECORDING, n_excerpts * 64, 1600) for n_excerpts in (0, 8, 16, 24, 25)]
    layers = [(STORING, n_layers, N_LAYERS) for n_layers in range(N_LAYERS + 1)]
    assert seen == [(LOADING, 0, 0), *tokens, *layers]


def test_the_same_recording_again_writes_nothing_and_says_so(record_tiny: Record, database: Database) -> None:
    first = record_tiny()
    seen: list[str] = []

    # The batch size is not among the settings: it does not decide what is kept.
    second = record_tiny(batch_size=5, progress=lambda stage, done, total: seen.append(stage))

    assert second == RecordingSummary(**{**vars(first), "was_done": True})
    assert seen == []
    assert n_rows(database) == WHOLE


def test_a_name_is_not_given_to_a_recording_with_other_settings(
    record_tiny: Record, database: Database, text_file: Path
) -> None:
    record_tiny()

    with pytest.raises(
        Conflict, match=r"^tiny was recorded with seed 0, now it is 1; choose another name with --name$"
    ):
        record_tiny(seed=1)
    text_file.write_text(text_file.read_text() + "One more line.")
    with pytest.raises(Conflict, match=r"^tiny was recorded with text hash \w{20}, now it is \w{20}; choose"):
        record_tiny()
    assert n_rows(database) == WHOLE

    assert not record_tiny(name="tiny-2", seed=1).was_done
    assert n_rows(database)["subject_model"] == 2


def test_a_name_is_not_taken_from_an_imported_subject_model(record_tiny: Record, database: Database) -> None:
    with database.writing() as session:
        make_subject(session, "tiny", recording_status=None)

    with pytest.raises(Conflict, match="the name tiny is taken by an imported subject model"):
        record_tiny()


def test_a_text_with_fewer_excerpts_is_taken_whole(record_tiny: Record) -> None:
    summary = record_tiny(n_excerpts=100_000)

    assert summary.n_excerpts == summary.n_available < 1000


def test_without_a_name_the_subject_is_named_after_the_model(record_tiny: Record) -> None:
    assert record_tiny(name=None).name == "tiny-llama"


@pytest.mark.parametrize(("stage", "at"), [(LOADING, 0), (RECORDING, 1024), (STORING, 1)])
def test_ctrl_c_leaves_nothing_of_a_recording(stage: str, at: int, record_tiny: Record, database: Database) -> None:
    def interrupt(seen: str, done: int, total: int) -> None:
        if seen == stage and done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_tiny(progress=interrupt)

    stored = n_rows(database)
    # The corpus may stay: it is whole, and the next recording of the same text finds it.
    assert {**stored, "corpus": 0, "excerpt": 0} == NOTHING
    record_tiny()
    assert n_rows(database) == WHOLE


def test_what_a_killed_recording_left_is_replaced(record_tiny: Record, database: Database) -> None:
    record_tiny()
    with database.writing() as session:
        # As after a kill between two layers.
        session.execute(sa.update(Recording).values(status="writing"))
        last = sa.select(Neuron.id).where(Neuron.layer == 1)
        session.execute(sa.delete(ActivationRow).where(ActivationRow.neuron_id.in_(last)))
        session.execute(sa.delete(Neuron).where(Neuron.layer == 1))

    # Other settings are no conflict with something unfinished.
    assert not record_tiny(seed=1).was_done

    assert n_rows(database) == {**WHOLE, "corpus": 2, "excerpt": 50}
    with database.reading() as session:
        assert session.scalars(sa.select(Recording)).one().settings["seed"] == 1


def test_another_process_that_records_the_same_meanwhile_wins(record_tiny: Record, database: Database) -> None:
    def record_meanwhile(stage: str, done: int, total: int) -> None:
        if stage == RECORDING and done == total:
            record_tiny()

    with pytest.raises(Conflict, match="tiny was recorded by another process in the meantime"):
        record_tiny(progress=record_meanwhile)

    assert n_rows(database) == WHOLE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "./nothing"}, "there is no model ./nothing"),
        ({"text": "nothing.txt"}, "there is no text nothing.txt"),
        ({"name": "Tiny"}, "the name 'Tiny' cannot stand in an address"),
        ({"name": "a/b"}, "the name 'a/b' cannot stand in an address"),
        ({"name": "a" * 101}, "cannot stand in an address; expected up to 100 of a-z, 0-9, '-' and '.'"),
        ({"name": ""}, "the name '' cannot stand in an address"),
        ({"n_excerpts": 0}, "0 excerpts; expected at least 1"),
        ({"batch_size": 0}, "batch size 0; expected at least 1"),
        ({"seed": -1}, "seed -1; expected 0 to 9223372036854775807"),
        ({"seed": 2**63}, "seed 9223372036854775808; expected 0 to 9223372036854775807"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_is_written(
    changes: dict[str, Any], reason: str, record_tiny: Record, database: Database
) -> None:
    with pytest.raises(InvalidInput) as error:
        record_tiny(**changes)

    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert n_rows(database) == NOTHING


@pytest.mark.parametrize("content", [b"", b"too short", b"caf\xe9 " * 100])
def test_a_text_that_cannot_be_used_leaves_the_database_as_it_was(
    content: bytes, record_tiny: Record, database: Database, text_file: Path
) -> None:
    text_file.write_bytes(content)

    with pytest.raises(InvalidInput):
        record_tiny()

    assert n_rows(database) == NOTHING


def test_a_model_without_a_known_mlp_leaves_the_database_as_it_was(
    record_tiny: Record, database: Database, tiny_model: MakeModel
) -> None:
    with pytest.raises(NeuronJuryError, match="the place of the neurons is not known in models of type 'gpt_neox'"):
        record_tiny(model=str(tiny_model("gpt_neox")))

    assert n_rows(database) == NOTHING


def test_activations_that_are_not_numbers_leave_the_database_as_it_was(
    record_tiny: Record, database: Database, tiny_model: MakeModel
) -> None:
    folder = tiny_model()
    weights = load_file(folder / "model.safetensors")
    weights["layers.1.mlp.up_proj.weight"] *= 1e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(InvalidInput, match="the model's activations in layer 1 are not all finite numbers"):
        record_tiny(model=str(folder))

    assert n_rows(database) == NOTHING


@pytest.mark.real_model
def test_the_bundled_model_is_recorded_on_the_built_in_corpus(
    tmp_path: Path, empty_sqlite_file: Path, bundled_folder: Path
) -> None:
    # How rows are stored does not depend on the model: one database is enough for so many of them.
    shutil.copy(empty_sqlite_file, tmp_path / "study.sqlite")
    database = Database(f"sqlite:///{tmp_path / 'study.sqlite'}")

    summary = record_subject(
        Settings(data=tmp_path, threads=1),
        database,
        model=str(bundled_folder),
        text="python-docs",
        name="smollm2-135m",
        n_excerpts=24,
        seed=0,
        batch_size=8,
        progress=lambda stage, done, total: None,
    )

    assert (summary.n_layers, summary.n_neurons, summary.n_excerpts) == (30, 46_080, 24)
    # Enough text for a recording of thousands of excerpts.
    assert summary.n_available > 3000
    assert n_rows(database)["activation_record"] == 46_080 * 30
    with database.reading() as session:
        neurons = session.scalars(sa.select(Neuron).order_by(Neuron.maximum.desc()).limit(50)).all()
        strongest = [load_records(session, neuron) for neuron in neurons]
    for neuron, records in zip(neurons, strongest, strict=True):
        maxima = [record.maximum for record in records.top]
        assert maxima == sorted(maxima, reverse=True)
        assert maxima[0] == neuron.maximum >= records.cutoff
        assert len(records.random) == 10
        # Real text with its spaces, not a row of bare pieces.
        assert sum(token.startswith(" ") for token in records.top[0].tokens) > 5
    database.dispose()
