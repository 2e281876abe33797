"""Writing a recording into the tables and reading its neurons back, on both databases."""

from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, UnknownName
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.reading import load_records, neuron_at
from app.neurons.recordings import (
    NewPart,
    add_devices,
    add_up_seconds,
    cancel_recording,
    fail_recording,
    missing_chunks,
    parts_of_layer,
    recording_named,
    remove_cancelled_layer,
    reopen_recording,
    store_part,
    token_ids_of,
)
from app.neurons.storing import (
    Band,
    LayerRecording,
    begin_recording,
    finish_recording,
    remove_unfinished,
    store_corpus,
    store_layer,
)

N_NEURONS = 3
TOKEN_IDS = np.array([[0, 1, 2], [3, 1, 0], [2, 2, 2], [1, 0, 3]], dtype=np.int32)
TOKEN_TEXTS = {0: "The", 1: " cat", 2: "\n", 3: "�"}


def band(layer: int, n_records: int, seed: int) -> Band:
    generator = np.random.default_rng([layer, seed])
    excerpts = np.array([generator.permutation(len(TOKEN_IDS))[:n_records] for _ in range(N_NEURONS)])
    activations = generator.standard_normal((N_NEURONS, n_records, TOKEN_IDS.shape[1])).astype(np.float16)
    return Band(excerpts, activations.max(axis=2).astype(np.float64), activations)


def layer_recording(layer: int) -> LayerRecording:
    column = np.arange(N_NEURONS) + layer * 10.0
    return LayerRecording(
        layer=layer,
        statistics={
            "maximum": column + 0.125,
            "maximum_excerpt": np.array([3.0, 0.0, np.nan]),
            "mean": column + 0.25,
            "variance": column + 0.5,
            "skewness": np.array([1.5, np.nan, 2.5]),
            "kurtosis": np.array([np.nan, 3.5, 4.5]),
            "share_active": np.array([0.0, 0.5, 1.0]),
            "q90": column + 0.75,
        },
        histogram=np.arange(N_NEURONS * 64, dtype=np.int32).reshape(N_NEURONS, 64),
        bands={"top": band(layer, 4, seed=0), "random": band(layer, 2, seed=1)},
    )


def stored_corpus(session: Session, hash: str = "c" * 64) -> Corpus:
    return store_corpus(session, name="words", hash=hash, token_ids=TOKEN_IDS, token_texts=TOKEN_TEXTS)


def begun(session: Session, name: str = "toy") -> Recording:
    subject = SubjectModel(
        name=name,
        revision="sha256:0",
        architecture="llama",
        n_layers=2,
        n_neurons_per_layer=N_NEURONS,
        dtype="float32",
        tokenizer_hash="0" * 64,
    )
    recording = Recording(settings={}, provenance={}, n_tokens=TOKEN_IDS.size, seconds=1.0)
    begin_recording(session, subject, recording, stored_corpus(session))
    return recording


def stored_whole(session: Session, name: str = "toy") -> Recording:
    recording = begun(session, name)
    for layer in range(2):
        store_layer(session, recording, layer_recording(layer))
    finish_recording(session, recording)
    return recording


def n_rows(session: Session) -> dict[str, int | None]:
    tables = (SubjectModel, Recording, Neuron, ActivationRow, Corpus, Excerpt)
    return {table.__tablename__: session.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}


def test_a_stored_neuron_reads_back_as_it_was_recorded(database: Database) -> None:
    with database.writing() as session:
        # Another subject first, so that ids, places and positions differ.
        stored_corpus(session, hash="d" * 64)
        stored_whole(session, "other")
        stored_whole(session)
    recorded = layer_recording(1)

    with database.reading() as session:
        for index in range(N_NEURONS):
            neuron = neuron_at(session, "toy", 1, index)
            records = load_records(session, neuron)

            assert (records.subject, records.layer, records.index) == ("toy", 1, index)
            assert records.cutoff == recorded.statistics["q90"][index]
            for kept, expected in ((records.top, recorded.bands["top"]), (records.random, recorded.bands["random"])):
                assert len(kept) == expected.excerpts.shape[1]
                for rank, record in enumerate(kept):
                    ids = TOKEN_IDS[expected.excerpts[index, rank]].tolist()
                    assert record.tokens == tuple(TOKEN_TEXTS[token] for token in ids)
                    assert record.activations.dtype == np.float16
                    assert np.array_equal(record.activations, expected.activations[index, rank])
                    assert not record.activations.flags.writeable


def test_statistics_are_stored_and_undefined_ones_are_null(database: Database) -> None:
    with database.writing() as session:
        stored_whole(session)

    with database.reading() as session:
        neurons = [neuron_at(session, "toy", 1, index) for index in range(N_NEURONS)]

    assert [neuron.site for neuron in neurons] == ["mlp"] * 3
    assert [neuron.maximum for neuron in neurons] == [10.125, 11.125, 12.125]
    assert [neuron.mean for neuron in neurons] == [10.25, 11.25, 12.25]
    assert [neuron.variance for neuron in neurons] == [10.5, 11.5, 12.5]
    assert [neuron.skewness for neuron in neurons] == [1.5, None, 2.5]
    assert [neuron.kurtosis for neuron in neurons] == [None, 3.5, 4.5]
    assert [neuron.share_active for neuron in neurons] == [0.0, 0.5, 1.0]
    assert [neuron.maximum_excerpt for neuron in neurons] == [3, 0, None]
    assert [neuron.minimum for neuron in neurons] == [None] * 3
    histograms = [np.frombuffer(neuron.histogram or b"", "<i4").tolist() for neuron in neurons]
    assert histograms == [list(range(index * 64, index * 64 + 64)) for index in range(N_NEURONS)]


def test_the_maximum_of_each_stored_record_is_its_own(database: Database) -> None:
    with database.writing() as session:
        stored_whole(session)

    with database.reading() as session:
        rows = session.scalars(sa.select(ActivationRow)).all()

    assert len(rows) == 2 * N_NEURONS * (4 + 2)
    assert all(row.maximum == np.frombuffer(row.activations, "<f2").max() for row in rows)


def test_a_corpus_is_stored_once(database: Database) -> None:
    with database.writing() as session:
        first = stored_corpus(session).id
    with database.writing() as session:
        assert stored_corpus(session).id == first
        assert n_rows(session)["excerpt"] == len(TOKEN_IDS)
        excerpt = session.scalars(sa.select(Excerpt).where(Excerpt.position == 1)).one()

    assert np.frombuffer(excerpt.token_ids, "<i4").tolist() == [3, 1, 0]
    assert excerpt.token_texts == ["�", " cat", "The"]


def test_nobody_reads_a_recording_before_it_is_finished(database: Database) -> None:
    with database.writing() as session:
        recording = begun(session)
        store_layer(session, recording, layer_recording(0))
    with database.reading() as session, pytest.raises(UnknownName, match=r"no recorded neuron 0:0 of .* 'toy'"):
        neuron_at(session, "toy", 0, 0)
    with database.writing() as session, pytest.raises(Conflict, match=r"^1 of 2 layers of this recording are stored"):
        finish_recording(session, recording)

    with database.writing() as session:
        store_layer(session, recording, layer_recording(1))
        finish_recording(session, recording)
    with database.reading() as session:
        assert neuron_at(session, "toy", 0, 0).index == 0


@pytest.mark.parametrize(("name", "layer", "index"), [("nobody", 0, 0), ("toy", 2, 0), ("toy", 0, 3), ("toy", -1, 0)])
def test_a_neuron_that_does_not_exist_has_an_unknown_name(
    name: str, layer: int, index: int, database: Database
) -> None:
    with database.writing() as session:
        stored_whole(session)

    with database.reading() as session, pytest.raises(UnknownName):
        neuron_at(session, name, layer, index)


def test_removing_an_unfinished_recording_leaves_others_and_the_corpus(database: Database) -> None:
    with database.writing() as session:
        stored_whole(session, "other")
        before = n_rows(session)
        recording = begun(session)
        store_layer(session, recording, layer_recording(0))

    with database.writing() as session:
        remove_unfinished(session, recording)

    with database.reading() as session:
        assert n_rows(session) == before
        assert len(load_records(session, neuron_at(session, "other", 0, 0)).top) == 4


def test_a_finished_recording_is_not_removed(database: Database) -> None:
    with database.writing() as session:
        recording = stored_whole(session)
        before = n_rows(session)

    with database.writing() as session:
        remove_unfinished(session, recording)
        assert n_rows(session) == before


def test_a_layer_is_stored_once_and_takes_its_parts_with_it(database: Database) -> None:
    with database.writing() as session:
        recording = begun(session)
        for layer in range(2):
            store_part(session, recording, NewPart(layer, range(0, 2), 1.0, b"part"))
            store_part(session, recording, NewPart(layer, range(2, 4), 2.0, b"rest"))
        # Of the same stretch, what is there stays.
        store_part(session, recording, NewPart(0, range(0, 2), 9.0, b"again"))
        assert parts_of_layer(session, recording, 0, 4) == [b"part", b"rest"]
        assert missing_chunks(session, recording, [range(0, 2), range(2, 4)]) == []
        # Of another plan's chunks nothing is there, wherever they begin.
        assert missing_chunks(session, recording, [range(0, 3), range(3, 4)]) == [range(0, 3), range(3, 4)]
        add_up_seconds(session, recording)
        store_layer(session, recording, layer_recording(0))
        before = n_rows(session)

    with database.writing() as session:
        store_layer(session, recording, layer_recording(0))
        # With the parts of a layer gone, nothing is to be recorded again and no time is lost.
        assert missing_chunks(session, recording, [range(0, 2), range(2, 4)]) == []
        add_up_seconds(session, recording)

    with database.reading() as session:
        assert n_rows(session) == before
        assert parts_of_layer(session, recording, 0, 4) == []
        assert parts_of_layer(session, recording, 1, 4) == [b"part", b"rest"]
        with pytest.raises(Conflict, match="the parts of layer 1 have 4 excerpts, expected 6"):
            parts_of_layer(session, recording, 1, 6)
        assert session.get_one(Recording, recording.id).seconds == 3.0


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_recording_that_has_ended_takes_nothing_more_until_it_is_reopened(end: str, database: Database) -> None:
    with database.writing() as session:
        recording = begun(session)
        begun(session, "other")
        store_part(session, recording, NewPart(0, range(0, 2), 1.0, b"part"))
    with database.writing() as session:
        if end == "failed":
            fail_recording(session, recording, "the disk is full")
        else:
            cancel_recording(session, "toy")
            remove_cancelled_layer(session, recording, 0)

    with database.reading() as session:
        ended = recording_named(session, "toy")
        assert (ended.status, ended.failure) == (end, "the disk is full" if end == "failed" else None)
        assert recording_named(session, "other").status == "writing"
        # What a failed recording has is kept, for it may go on; a cancelled one keeps nothing.
        assert parts_of_layer(session, recording, 0, 2) == ([b"part"] if end == "failed" else [])
    with database.writing() as session, pytest.raises(Conflict, match=f"^this recording is {end} in the meantime$"):
        store_part(session, recording, NewPart(0, range(2, 4), 1.0, b"rest"))
    with database.writing() as session:
        reopened = reopen_recording(session, recording)
    with database.writing() as session:
        assert recording_named(session, "toy").failure is None
        # A cancelled layer is removed late: what has been recorded since stays.
        store_part(session, reopened, NewPart(1, range(2, 4), 1.0, b"rest"))
        remove_cancelled_layer(session, recording, 1)
        remove_cancelled_layer(session, reopened, 1)
        assert parts_of_layer(session, reopened, 1, 2) == [b"rest"]
    # Whoever worked on it before is no part of what goes on.
    with database.writing() as session, pytest.raises(Conflict, match="another process"):
        store_part(session, recording, NewPart(0, range(2, 4), 1.0, b"rest"))
    with database.writing() as session, pytest.raises(Conflict, match="another process"):
        reopen_recording(session, recording)


def test_a_finished_recording_is_neither_cancelled_nor_failed(database: Database) -> None:
    with database.writing() as session:
        recording = stored_whole(session)
    with database.writing() as session, pytest.raises(Conflict, match="the recording toy is done and cannot be"):
        cancel_recording(session, "toy")
    with database.writing() as session:
        fail_recording(session, recording, "no reason")
        reopen_recording(session, recording)
    with database.reading() as session:
        assert (recording_named(session, "toy").status, recording_named(session, "toy").failure) == ("done", None)


def test_the_excerpts_of_a_corpus_come_back_in_their_order(database: Database) -> None:
    with database.writing() as session:
        stored_corpus(session, hash="d" * 64)
        corpus = stored_corpus(session)
        assert np.array_equal(token_ids_of(session, corpus.id), TOKEN_IDS)


def test_storing_stops_when_another_process_has_taken_the_name_over(database: Database) -> None:
    with database.writing() as session:
        mine = begun(session)
    with database.writing() as session:
        remove_unfinished(session, mine)
        theirs = begun(session)

    # SQLite gives their recording the id that mine had.
    with database.writing() as session, pytest.raises(Conflict, match="another process"):
        store_layer(session, mine, layer_recording(0))
    with database.writing() as session, pytest.raises(Conflict, match="another process"):
        finish_recording(session, mine)
    with database.writing() as session:
        remove_unfinished(session, mine)
        fail_recording(session, mine, "a fault of mine")
        add_devices(session, mine, ["cpu"])
        store_layer(session, theirs, layer_recording(0))
    with database.reading() as session:
        assert (recording_named(session, "toy").status, recording_named(session, "toy").provenance) == ("writing", {})


def test_a_part_of_another_plan_is_replaced(database: Database) -> None:
    with database.writing() as session:
        recording = begun(session)
        store_part(session, recording, NewPart(0, range(0, 2), 1.0, b"short"))
        store_part(session, recording, NewPart(0, range(0, 4), 1.0, b"whole"))

        assert parts_of_layer(session, recording, 0, 4) == [b"whole"]


def test_a_recording_is_removed_with_what_was_being_stored_at_the_same_moment(database: Database) -> None:
    with database.writing() as session:
        recording = begun(session)
        stored_corpus(session)

    def remove() -> None:
        with database.writing() as session:
            remove_unfinished(session, recording)

    with ThreadPoolExecutor(max_workers=1) as others:
        with database.writing() as session:
            store_part(session, recording, NewPart(0, range(0, 2), 1.0, b"part"))
            removal = others.submit(remove)
            if database.engine.dialect.name == "postgresql":
                # On SQLite it waits for its turn to write.
                wait_for_a_lock(database, removal)
        removal.result()

    with database.reading() as session:
        assert n_rows(session)["recording"] == 0


def wait_for_a_lock(database: Database, waiting: Future[None]) -> None:
    for _ in range(1000):
        with database.reading() as session:
            if session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        wait([waiting], timeout=0.01)
    raise AssertionError("nobody waits for a lock")
