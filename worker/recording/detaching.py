"""Hands a recording to the workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app import jobs
from app.database import Database, utc_now
from app.neurons import recordings
from app.settings import Settings
from worker.recording import disk
from worker.recording.beginning import Progress, StoredRecording, begin_recording
from worker.recording.order import RecordingOrder


@dataclass(frozen=True)
class DetachedRecording:
    """n_missing: excerpts that were handed over. n_shards: in how many jobs. was_done: it was there already.
    was_under_way: its jobs were, all of them."""

    name: str
    n_missing: int
    n_excerpts: int
    n_shards: int
    was_done: bool
    was_under_way: bool


def detach_recording(
    settings: Settings,
    database: Database,
    order: RecordingOrder,
    progress: Progress,
    *,
    n_shards: int | None,
    free: disk.FreeBytes = disk.free_bytes,
) -> DetachedRecording:
    """Stores the recording, then hands what is missing of it over, in n_shards jobs; None: one for each live worker.

    A process that dies on the way leaves a recording, or a part of its jobs; the same command hands over the rest.
    Errors: as begin_recording.
    """
    begun = begin_recording(settings, database, order, progress, free)
    if isinstance(begun, StoredRecording):
        n_excerpts = begun.recording.n_tokens // begun.recording.settings["excerpt_length"]
        return DetachedRecording(begun.subject.name, 0, n_excerpts, 0, was_done=True, was_under_way=False)
    recording, chunks = begun.stored.recording, begun.plan.chunks
    with database.reading() as session:
        missing = recordings.missing_chunks(session, recording, chunks)
        n_workers = len(jobs.live_workers(session, utc_now()))
    identity = (settings.jobs_database_url, recording.id, recording.created_at)
    left = jobs.chunks_left_to_workers(*identity)
    places = [index for index, chunk in enumerate(chunks) if chunk in missing and index not in (left or ())]
    shards = shards_of(places, n_workers if n_shards is None else n_shards)
    was_under_way = left is not None and not shards
    if not was_under_way:
        jobs.submit_recording(*identity, shards, utc_now())
    return DetachedRecording(
        name=begun.stored.subject.name,
        n_missing=sum(len(chunks[index]) for index in places),
        n_excerpts=begun.plan.n_excerpts,
        n_shards=len(shards),
        was_done=False,
        was_under_way=was_under_way,
    )


def shards_of(missing: Sequence[int], n_shards: int) -> list[tuple[int, int]]:
    """Missing chunks in n_shards stretches of about the same number, each (first chunk, number of chunks); fewer when
    there are fewer chunks. A stretch may span chunks that are there, which are skipped."""
    n_shards = min(max(n_shards, 1), len(missing))
    bounds = [number * len(missing) // n_shards for number in range(n_shards + 1)] if n_shards else []
    stretches = [missing[first:end] for first, end in pairwise(bounds)]
    return [(stretch[0], stretch[-1] - stretch[0] + 1) for stretch in stretches]
