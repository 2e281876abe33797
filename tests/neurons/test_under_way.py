"""Recordings that cannot be read yet, as the list of neurons tells of them."""

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.database import Database
from app.neurons.contexts import UnfinishedRecording
from app.neurons.models import Corpus, Recording, RecordingPart
from app.neurons.under_way import unfinished_recordings
from tests.factories import make_subject


def make_unfinished(session: Session, name: str, status: str = "writing", failure: str | None = None) -> Recording:
    """Of a subject with two layers, on 200 excerpts."""
    subject = make_subject(session, name, recording_status=status)
    recording = session.query(Recording).filter_by(subject_id=subject.id).one()
    recording.failure = failure
    session.get_one(Corpus, recording.corpus_id).n_excerpts = 200
    session.flush()
    return recording


def add_part(session: Session, recording: Recording, first_excerpt: int, layer: int, n_excerpts: int = 37) -> None:
    part = RecordingPart(recording_id=recording.id, first_excerpt=first_excerpt, layer=layer)
    part.n_excerpts, part.seconds, part.content = n_excerpts, 1.0, b"."
    session.add(part)
    session.flush()


def test_a_stretch_is_read_once_its_last_layer_is_there(database: Database) -> None:
    with database.writing() as session:
        recording, other = make_unfinished(session, "toy"), make_unfinished(session, "other")
        for first_excerpt in (0, 37):
            for layer in range(2):
                add_part(session, recording, first_excerpt, layer)
        add_part(session, recording, 74, 0)
        make_subject(session, "whole")
        make_unfinished(session, "given-up", "cancelled")
        make_unfinished(session, "broken", "failed", "the disk is full")
        assert unfinished_recordings(session) == (
            UnfinishedRecording("broken", 200, 0, "the disk is full"),
            UnfinishedRecording("other", 200, 0, None),
            UnfinishedRecording("toy", 200, 74, None),
        )
        assert other.id != recording.id


@pytest.mark.parametrize(("n_read", "percent"), [(0, 0), (1, 0), (75, 37), (199, 99), (200, 100)])
def test_the_share_read_is_rounded_down(n_read: int, percent: int) -> None:
    assert UnfinishedRecording("toy", 200, n_read, None).percent_read == percent


def test_a_corpus_without_excerpts_is_no_division_by_zero() -> None:
    assert UnfinishedRecording("toy", 0, 0, None).percent_read == 0


def test_the_list_says_how_far_a_recording_is(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        recording = make_unfinished(session, "toy")
        add_part(session, recording, 0, 1, n_excerpts=75)
    assert "toy is being recorded: 37 % of 200 excerpts" in admin_client.get("/neurons").text
    with database.writing() as session:
        add_part(session, recording, 75, 1, n_excerpts=125)
        make_subject(session, "whole")
    html = admin_client.get("/neurons").text
    assert "toy is being recorded: all 200 excerpts are read, its neurons are being stored" in html


def test_why_a_recording_failed_is_told_to_admins(
    admin_client: TestClient, researcher_client: TestClient, database: Database
) -> None:
    with database.writing() as session:
        make_unfinished(session, "toy", "failed", "the disk is full")
    assert "The recording of toy failed: the disk is full" in admin_client.get("/neurons").text
    assert "the disk is full" not in researcher_client.get("/neurons").text
