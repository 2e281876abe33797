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
from app.errors import Conflict, InvalidInput, NeuronJuryError, Unavailable
from app.neurons import storing
from app.neurons.models import Corpus, Neuron, Recording, SubjectModel
from app.neurons.reading import load_records, neuron_at
from app.neurons.records import BANDS
from app.settings import Settings
from tests.factories import make_subject
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from tests.worker.recording.recordings import (
    N_EXCERPTS,
    NOTHING,
    n_rows,
    no_progress,
    small_order,
    stored_rows,
    write_text,
)
from worker.recording import disk
from worker.recording.here import LOADING, RECORDING, STORING, RecordingSummary, record_subject
from worker.recording.order import RecordingOrder
from worker.recording.parts import merged_layer
from worker.recording.plan import RecordingPlan
from worker.recording.recorder import Recorder
from worker.subjects.model_files import find_model
from worker.subjects.subject import load_subject, load_tokenizer
from worker.texts.corpus import cut_excerpts, open_text, tokenizer_hash

pytestmark = pytest.mark.long

Record = Callable[..., RecordingSummary]
N_TOKENS = N_EXCERPTS * 64


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    return Path(write_text(tmp_path / "words.txt"))


@pytest.fixture
def record_tiny(settings: Settings, database: Database, text_file: Path, tiny_model: MakeModel) -> Record:
    """Records a tiny model over 60 excerpts in 8 chunks, or what the call changes of that."""
    folder = tiny_model("gpt2")
    one_thread = settings.model_copy(update={"threads": 1})

    def call(progress: Callable[[str, int, int], None] = no_progress, **changes: Any) -> RecordingSummary:
        return record_subject(one_thread, database, small_order(folder, str(text_file), **changes), progress)

    return call


def is_whole(database: Database, n_recordings: int = 1) -> bool:
    counts = n_rows(database)
    n_neurons = n_recordings * N_LAYERS * N_NEURONS
    return counts["neuron"] == n_neurons and counts["recording"] == n_recordings and counts["recording_part"] == 0


def test_what_is_stored_is_what_the_recorder_kept(
    record_tiny: Record, database: Database, text_file: Path, tiny_model: MakeModel
) -> None:
    folder = tiny_model("gpt2")
    tokenizer = load_tokenizer(folder)
    excerpts = cut_excerpts(open_text(str(text_file)), tokenizer, n_excerpts=N_EXCERPTS, seed=0)
    plan = RecordingPlan(N_EXCERPTS, 64, seed=0)
    recorder = Recorder(load_subject(folder, n_tokens=64, n_threads=1), plan)
    recorder.record(excerpts.token_ids, range(N_EXCERPTS), 8, lambda n_seen: None)
    expected = [merged_layer(plan, layer, [recorder.take_part(layer)]) for layer in range(N_LAYERS)]

    summary = record_tiny()

    assert is_whole(database)
    assert summary == RecordingSummary(
        name="tiny",
        corpus="words.txt",
        n_layers=N_LAYERS,
        n_neurons=N_LAYERS * N_NEURONS,
        n_excerpts=N_EXCERPTS,
        n_available=excerpts.n_available,
        n_invalid_bytes=0,
        n_tokens=N_TOKENS,
        seconds=summary.seconds,
        was_done=False,
    )
    assert summary.seconds > 0
    with database.reading() as session:
        for layer in range(N_LAYERS):
            for index in range(N_NEURONS):
                neuron = neuron_at(session, "tiny", layer, index)
                for column, values in expected[layer].statistics.items():
                    assert getattr(neuron, column) == pytest.approx(values[index], rel=1e-5, abs=1e-6), column
                records = load_records(session, neuron)
                for kept, name in ((records.top, "top"), (records.random, "random")):
                    band = expected[layer].bands[name]
                    ids = excerpts.token_ids[band.excerpts[index]].tolist()
                    texts = [tuple(excerpts.token_texts[token] for token in row) for row in ids]
                    assert [record.tokens for record in kept] == texts
                    assert np.allclose([record.activations for record in kept], band.activations[index], atol=2e-3)


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"batch_size": 60}, {"chunk_length": 64}, {"chunk_length": 24}])
def test_how_the_work_was_cut_decides_no_number(
    changes: dict[str, int], record_tiny: Record, database: Database
) -> None:
    record_tiny()
    record_tiny(name="other", **changes)

    with database.reading() as session:
        maxima = [
            session.scalars(
                sa.select(Neuron.maximum).join(SubjectModel).where(SubjectModel.name == name).order_by(Neuron.id)
            ).all()
            for name in ("tiny", "other")
        ]
    # A matrix product of another number of rows may differ in its last bit; what is kept of it does not depend on it.
    assert maxima[0] == pytest.approx(maxima[1], rel=2e-3)
    if "chunk_length" in changes:
        assert stored_rows(database, "other") == stored_rows(database, "tiny")


def test_settings_and_provenance_say_where_the_numbers_come_from(
    record_tiny: Record, database: Database, text_file: Path, tiny_model: MakeModel
) -> None:
    tokenizer = load_tokenizer(tiny_model("gpt2"))
    excerpts = cut_excerpts(open_text(str(text_file)), tokenizer, n_excerpts=N_EXCERPTS, seed=0)
    revision = find_model(str(tiny_model("gpt2"))).revision

    record_tiny()

    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).one()
        recording = session.scalars(sa.select(Recording)).one()
        corpus = session.scalars(sa.select(Corpus)).one()
    assert (subject.name, subject.revision, subject.architecture) == ("tiny", revision, "gpt2")
    assert (subject.n_layers, subject.n_neurons_per_layer, subject.dtype) == (N_LAYERS, N_NEURONS, "float32")
    assert subject.tokenizer_hash == tokenizer_hash(tokenizer)
    assert (corpus.name, corpus.hash, corpus.excerpt_length, corpus.n_excerpts) == (
        "words.txt",
        excerpts.hash,
        64,
        N_EXCERPTS,
    )
    assert (recording.status, recording.n_tokens) == ("done", N_TOKENS)
    assert recording.settings == {
        "model": revision,
        "text": "words.txt",
        "text_hash": open_text(str(text_file)).hash,
        "excerpts": N_EXCERPTS,
        "excerpt_length": 64,
        "seed": 0,
        "site": "mlp",
        "mlp_module": None,
        "positions": "every token counts; no token is put before an excerpt",
        "top": 20,
        "random": 10,
        "band": 5,
        "statistics": True,
        "dtype": "float32",
        "polarity": "positive",
    }
    packages = ("numba", "numpy", "tokenizers", "torch", "transformers")
    assert recording.provenance == {
        "model": "tiny-gpt2",
        "source": recording.provenance["source"],
        "is_gated": False,
        "tokenizer_hash": tokenizer_hash(tokenizer),
        "devices": ["cpu"],
        "threads": 1,
        "batch_size": 4,
        "chunk_length": 8,
        "corpus": "words.txt",
        "corpus_hash": excerpts.hash,
        "excerpts_available": excerpts.n_available,
        "n_invalid_bytes": 0,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
    }
    # What a worker needs to find the same model.
    assert find_model(recording.provenance["source"]).revision == revision


@pytest.mark.parametrize(
    ("model_type", "changes", "stored"),
    [
        ("llama", {}, {"polarity": "both"}),
        ("llama", {"polarity": "positive"}, {"polarity": "positive"}),
        ("gpt2", {"polarity": "both"}, {"polarity": "both"}),
        (
            "gpt2",
            {"positions": "after-first"},
            {"positions": "the first token of an excerpt does not count; no token is put before an excerpt"},
        ),
        ("gpt2", {"dtype": "bfloat16"}, {"dtype": "bfloat16"}),
        ("gpt2", {"n_top": 3, "n_random": 0}, {"top": 3, "random": 0}),
        ("gpt2", {"has_statistics": False}, {"statistics": False, "band": 0}),
    ],
)
def test_choices_are_stored_and_reach_the_recorder(
    model_type: str,
    changes: dict[str, Any],
    stored: dict[str, Any],
    record_tiny: Record,
    database: Database,
    tiny_model: MakeModel,
) -> None:
    record_tiny(model=str(tiny_model(model_type)), **changes)

    with database.reading() as session:
        recording = session.scalars(sa.select(Recording)).one()
        rows = session.execute(sa.text("SELECT band, count(*) FROM activation_record GROUP BY band")).all()
    kept = {band: n / (N_LAYERS * N_NEURONS) for band, n in rows}
    settings = recording.settings
    assert settings | stored == settings
    assert set(kept) <= set(BANDS)
    assert kept["top"] == settings["top"]
    assert kept.get("random", 0) == settings["random"]
    assert kept.get("bottom", 0) == (settings["top"] if settings["polarity"] == "both" else 0)
    assert ("q50" in kept) == settings["statistics"]
    # Asked again in the same words it is there, whatever was left to the model.
    assert record_tiny(model=str(tiny_model(model_type)), **changes).was_done


def test_progress_counts_tokens_and_then_layers(record_tiny: Record) -> None:
    seen: list[tuple[str, int, int]] = []

    record_tiny(progress=lambda stage, done, total: seen.append((stage, done, total)))

    tokens = [(RECORDING, n_seen * 64, N_TOKENS) for n_seen in range(0, N_EXCERPTS + 1, 4)]
    layers = [(STORING, n_layers, N_LAYERS) for n_layers in range(N_LAYERS + 1)]
    assert seen == [(LOADING, 0, 0), *tokens, *layers]


def test_the_same_recording_again_writes_nothing_and_says_so(record_tiny: Record, database: Database) -> None:
    first = record_tiny()
    seen: list[str] = []

    # The batch size is not among the settings: it does not decide what is kept.
    second = record_tiny(batch_size=5, progress=lambda stage, done, total: seen.append(stage))

    assert second == RecordingSummary(**{**vars(first), "was_done": True})
    assert seen == []
    assert is_whole(database)


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
    assert is_whole(database)

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
    assert record_tiny(name=None).name == "tiny-gpt2"


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
        ({"n_top": 0}, "0 top records; expected 1 to 1000"),
        ({"n_random": -1}, "-1 random records; expected 0 to 1000"),
        ({"positions": "last"}, "positions 'last'; expected all, after-first"),
        ({"polarity": "negative"}, "polarity 'negative'; expected positive, both, auto"),
        ({"dtype": "int8"}, "dtype 'int8'; expected auto, float32, float16, bfloat16"),
        ({"chunk_length": 12}, "chunks of 12 excerpts; expected a multiple of 8"),
        ({"chunk_length": 0}, "chunks of 0 excerpts; expected a multiple of 8"),
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


@pytest.mark.parametrize("content", [b"", b"too short", b"\xe9\xff" * 1000])
def test_a_text_that_cannot_be_used_leaves_the_database_as_it_was(
    content: bytes, record_tiny: Record, database: Database, text_file: Path
) -> None:
    text_file.write_bytes(content)

    with pytest.raises(InvalidInput):
        record_tiny()

    assert n_rows(database) == NOTHING


def test_a_model_without_a_known_mlp_leaves_the_database_as_it_was(record_tiny: Record, database: Database) -> None:
    with pytest.raises(NeuronJuryError, match="no module is named"):
        record_tiny(mlp_module="h.{layer}.nothing")

    assert n_rows(database) == NOTHING


def test_a_disk_without_room_leaves_the_database_as_it_was(
    settings: Settings, database: Database, text_file: Path, tiny_model: MakeModel
) -> None:
    order = small_order(tiny_model("gpt2"), str(text_file))
    if database.engine.dialect.name != "sqlite":
        # The disk of a database server cannot be seen from here.
        assert not record_subject(settings, database, order, no_progress, free=lambda folder: 0).was_done
        return
    with pytest.raises(
        Unavailable, match=r"^the disk of .* has 99 kB left, and this recording needs [\d.]+ MB; expected"
    ):
        record_subject(settings, database, order, no_progress, free=lambda folder: 99_000)

    assert n_rows(database) == NOTHING


def test_a_part_that_no_database_takes_leaves_the_database_as_it_was(
    record_tiny: Record, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LARGEST_VALUE", 10_000)

    with pytest.raises(InvalidInput, match=r"is \d+ kB at a time, more than the 10 kB .*; expected fewer --top$"):
        record_tiny()

    assert n_rows(database) == NOTHING


def test_two_processes_that_begin_the_same_at_the_same_moment_share_it(
    record_tiny: Record, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.engine.dialect.name == "sqlite":
        # Only one at a time begins anything there.
        return
    store_corpus, n_calls = storing.store_corpus, []

    def others_first(*arguments: Any, **named: Any) -> Corpus:
        n_calls.append(1)
        if len(n_calls) == 1:
            record_tiny()
        return store_corpus(*arguments, **named)

    monkeypatch.setattr(storing, "store_corpus", others_first)

    assert record_tiny().was_done
    assert is_whole(database)


def test_activations_that_are_not_numbers_leave_nothing_but_the_excerpts(
    record_tiny: Record, database: Database, tiny_model: MakeModel
) -> None:
    folder = tiny_model()
    weights = load_file(folder / "model.safetensors")
    weights["layers.1.mlp.up_proj.weight"] *= 1e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(InvalidInput, match="the model's activations in layer 1 are not all finite numbers"):
        record_tiny(model=str(folder))

    assert n_rows(database) == NOTHING | {"corpus": 1, "excerpt": N_EXCERPTS}


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
        RecordingOrder(str(bundled_folder), "python-docs", "smollm2-135m", n_excerpts=24, batch_size=8),
        no_progress,
    )

    assert (summary.n_layers, summary.n_neurons, summary.n_excerpts) == (30, 46_080, 24)
    # Enough text for a recording of thousands of excerpts.
    assert summary.n_available > 3000
    assert (n_rows(database)["activation_record"] or 0) >= 46_080 * (20 + 10 + 20)
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
