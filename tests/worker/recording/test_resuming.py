"""A recording that was stopped, killed or ran out of room goes on where it was, to the same rows, on both databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, Unavailable
from app.jobs import migrate_jobs
from app.neurons import recordings, storing
from app.neurons.models import ActivationRow, Neuron, Recording
from app.settings import Settings
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from tests.worker.recording.recordings import (
    N_CHUNKS,
    N_EXCERPTS,
    Progress,
    interrupted_at,
    n_rows,
    no_progress,
    parts_by_chunk,
    small_order,
    stored_rows,
    write_text,
)
from worker.recording.ending import cancel_recording
from worker.recording.here import LOADING, RECORDING, STORING, RecordingStopped, RecordingSummary, record_subject

Record = Callable[..., RecordingSummary]


@pytest.fixture
def record_tiny(settings: Settings, database: Database, tmp_path: Path, tiny_model: MakeModel) -> Record:
    folder, text = tiny_model(), write_text(tmp_path / "words.txt")
    one_thread = settings.model_copy(update={"threads": 1})

    def call(progress: Progress = no_progress, **changes: Any) -> RecordingSummary:
        return record_subject(one_thread, database, small_order(folder, text, **changes), progress)

    return call


@pytest.fixture
def uninterrupted(record_tiny: Record, database: Database) -> list[tuple[Any, ...]]:
    """The rows of a recording that nothing stopped, under another name."""
    record_tiny(name="uninterrupted")
    rows = stored_rows(database, "uninterrupted")
    assert len(rows) > 1000
    return rows


def tokens(n_excerpts: int) -> int:
    return n_excerpts * 64


@pytest.mark.parametrize(
    ("stage", "at", "goes_on_from"),
    [
        (RECORDING, 0, 0),
        (RECORDING, tokens(4), 0),
        (RECORDING, tokens(20), 16),
        (RECORDING, tokens(60), 56),
        (STORING, 0, 60),
        (STORING, 1, 60),
        (STORING, 2, 60),
    ],
)
def test_ctrl_c_keeps_whole_chunks_and_the_same_order_goes_on_from_there(
    stage: str,
    at: int,
    goes_on_from: int,
    record_tiny: Record,
    database: Database,
    uninterrupted: list[tuple[Any, ...]],
) -> None:
    with pytest.raises(RecordingStopped) as stopped:
        record_tiny(interrupted_at(stage, at))
    assert stopped.value.next_excerpt == (60 if stage == STORING else goes_on_from)
    seen: list[tuple[str, int]] = []

    # A layer that was stored is not stored again, an excerpt that was recorded is not recorded again.
    if (stage, at) != (STORING, 2):
        summary = record_tiny(lambda stage, done, total: seen.append((stage, done)))
        assert seen[:2] == [(LOADING, 0), (RECORDING, tokens(goes_on_from))]
        assert not summary.was_done
        assert summary.seconds > 0
    else:
        assert record_tiny().was_done

    assert stored_rows(database) == uninterrupted
    assert n_rows(database)["recording_part"] == 0


def test_ctrl_c_before_the_recording_begins_leaves_nothing(record_tiny: Record, database: Database) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        record_tiny(interrupted_at(LOADING, 0))

    assert not isinstance(stopped.value, RecordingStopped)
    assert set(n_rows(database).values()) == {0}


def test_a_chunk_without_the_parts_of_all_layers_is_recorded_again(
    record_tiny: Record, database: Database, uninterrupted: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(RecordingStopped):
        record_tiny(interrupted_at(STORING, 0))
    assert parts_by_chunk(database) == dict.fromkeys(range(0, N_EXCERPTS, 8), N_LAYERS)
    with database.writing() as session:
        # As after a kill between two layers, and as when a shard in the middle is still missing.
        session.execute(sa.text("DELETE FROM recording_part WHERE first_excerpt = 24 AND layer = 1"))
        session.execute(sa.text("DELETE FROM recording_part WHERE first_excerpt = 40"))
        recording = recordings.recording_named(session, "tiny")
        chunks = [range(first, min(first + 8, N_EXCERPTS)) for first in range(0, N_EXCERPTS, 8)]
        assert recordings.missing_chunks(session, recording, chunks) == [range(24, 32), range(40, 48)]
    seen: list[int] = []

    record_tiny(lambda stage, done, total: seen.append(done) if stage == RECORDING else None)

    assert seen == [tokens(done) for done in (44, 48, 52, 56, 60)]
    assert stored_rows(database) == uninterrupted


def test_what_an_unfinished_recording_with_other_settings_left_is_replaced(
    record_tiny: Record, settings: Settings, database: Database
) -> None:
    migrate_jobs(settings.jobs_database_url)
    with pytest.raises(RecordingStopped):
        record_tiny(interrupted_at(STORING, 1))

    # Other settings are no conflict with something unfinished.
    assert not record_tiny(seed=1).was_done

    with database.reading() as session:
        assert session.scalars(sa.select(Recording)).one().settings["seed"] == 1
    assert n_rows(database) == {
        "subject_model": 1,
        "recording": 1,
        "recording_part": 0,
        "neuron": 48,
        "activation_record": n_rows(database)["activation_record"],
        "corpus": 2,
        "excerpt": 2 * N_EXCERPTS,
    }


def test_two_processes_that_record_the_same_end_in_one_recording(
    record_tiny: Record, database: Database, uninterrupted: list[tuple[Any, ...]]
) -> None:
    def record_meanwhile(stage: str, done: int, total: int) -> None:
        if stage == RECORDING and done == tokens(20):
            assert not record_tiny().was_done

    summary = record_tiny(record_meanwhile)

    assert (summary.name, summary.was_done) == ("tiny", False)
    assert stored_rows(database) == uninterrupted


def test_a_recording_that_another_process_replaces_stops(
    record_tiny: Record, settings: Settings, database: Database
) -> None:
    migrate_jobs(settings.jobs_database_url)

    def record_other_settings(stage: str, done: int, total: int) -> None:
        if stage == RECORDING and done == tokens(20):
            record_tiny(seed=1)

    with pytest.raises(Conflict, match="in the meantime"):
        record_tiny(record_other_settings)

    with database.reading() as session:
        assert session.scalars(sa.select(Recording)).one().settings["seed"] == 1


def test_a_cancelled_recording_stops_keeps_nothing_and_can_begin_again(
    record_tiny: Record, settings: Settings, database: Database, uninterrupted: list[tuple[Any, ...]]
) -> None:
    migrate_jobs(settings.jobs_database_url)

    def cancel(stage: str, done: int, total: int) -> None:
        if stage == RECORDING and done == tokens(20):
            cancel_recording(settings, database, "tiny")

    with pytest.raises(Conflict, match="this recording is cancelled in the meantime"):
        record_tiny(cancel)

    with database.reading() as session:
        assert recordings.recording_named(session, "tiny").status == "cancelled"
    assert parts_by_chunk(database) == {}
    record_tiny()
    assert stored_rows(database) == uninterrupted


def test_a_cancelled_recording_that_was_half_removed_begins_again(
    record_tiny: Record,
    settings: Settings,
    database: Database,
    uninterrupted: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migrate_jobs(settings.jobs_database_url)
    with monkeypatch.context() as patched:
        patched.setattr(storing, "finish_recording", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(RecordingStopped):
            record_tiny()
    remove_layer = storing.remove_layer
    before = n_rows(database)

    def killed_before_layer_1(session: Session, recording: Recording, layer: int) -> None:
        if layer == 1:
            raise KeyboardInterrupt
        remove_layer(session, recording, layer)

    with monkeypatch.context() as patched:
        patched.setattr(recordings, "remove_layer", killed_before_layer_1)
        with pytest.raises(KeyboardInterrupt):
            cancel_recording(settings, database, "tiny")

    # Each layer was a transaction of its own, after that of the end.
    with database.reading() as session:
        assert recordings.recording_named(session, "tiny").status == "cancelled"
    assert n_rows(database)["neuron"] == (before["neuron"] or 0) - N_NEURONS
    record_tiny()
    assert stored_rows(database) == uninterrupted
    assert n_rows(database)["recording_part"] == 0


def test_layers_of_a_part_of_the_corpus_are_not_stored(record_tiny: Record, database: Database) -> None:
    def lose_a_part(stage: str, done: int, total: int) -> None:
        if (stage, done) == (STORING, 1):
            with database.writing() as session:
                session.execute(sa.text("DELETE FROM recording_part WHERE first_excerpt = 24 AND layer = 1"))

    with pytest.raises(Conflict, match="the parts of layer 1 have 52 excerpts, expected 60"):
        record_tiny(lose_a_part)

    assert n_rows(database)["neuron"] == N_NEURONS


def test_a_full_disk_is_told_in_one_line_and_the_recording_goes_on_when_there_is_room(
    tmp_path: Path, empty_sqlite_file: Path, tiny_model: MakeModel
) -> None:
    settings = Settings(data=tmp_path, threads=1)
    # PostgreSQL has no limit like this one; what is stored of a chunk is one transaction per layer on both.
    (tmp_path / "full.sqlite").write_bytes(empty_sqlite_file.read_bytes())
    database = Database(f"sqlite:///{tmp_path / 'full.sqlite'}")
    room = {"pages": 10_000_000}

    @sa.event.listens_for(database.engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {room['pages']}")

    def fill_up(stage: str, done: int, total: int) -> None:
        if stage == RECORDING and done == tokens(20):
            with database.reading() as session:
                room["pages"] = int(session.scalar(sa.text("PRAGMA page_count")) or 0) + 8

    order = small_order(tiny_model(), write_text(tmp_path / "words.txt"))
    record_subject(settings, database, small_order(Path(order.model), order.text, name="uninterrupted"), no_progress)
    with pytest.raises(Unavailable) as error:
        record_subject(settings, database, order, fill_up)

    kept = [first for first, n_layers in sorted(parts_by_chunk(database).items()) if n_layers == N_LAYERS]
    assert 0 < len(kept) < N_CHUNKS
    assert str(error.value) == (
        f"the disk is full: database or disk is full; the same command goes on from excerpt {8 * len(kept)} once there "
        "is room"
    )
    room["pages"] = 10_000_000
    first_seen: list[int] = []
    record_subject(
        settings, database, order, lambda stage, done, total: first_seen.append(done) if stage == RECORDING else None
    )
    assert first_seen[0] == tokens(8 * len(kept))
    assert stored_rows(database) == stored_rows(database, "uninterrupted")
    database.dispose()


def test_nobody_sees_a_recording_under_way(record_tiny: Record, database: Database) -> None:
    with pytest.raises(RecordingStopped):
        record_tiny(interrupted_at(STORING, 1))

    with database.reading() as session:
        assert session.scalars(sa.select(Recording.status)).all() == ["writing"]
        stored = session.scalars(sa.select(Neuron)).all()
        records = session.scalars(sa.select(ActivationRow)).all()
    assert {neuron.layer for neuron in stored} == {0}
    assert all(np.isfinite(record.maximum) for record in records)
