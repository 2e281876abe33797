"""Calls under way are paid for: a worker that is stopped and an `explain` whose batch is paused keep their answers."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.batches.launching import pause
from app.batches.progress import BatchProgress, batch_progress
from app.database import Database
from app.settings import Settings
from tests.factories import make_neuron, make_records_of_its_own, make_subject
from tests.fake_openai_server import FakeOpenAI, Reply, completion_reply
from tests.worker.recording.worker_process import PATIENCE_SECONDS, environment_of, new_installation

pytestmark = pytest.mark.long

N_IN_FLIGHT = 8
N_SAMPLES = 20
ANSWER_SECONDS = 2.0


@pytest.fixture
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    request.param = "sqlite"
    settings, database = new_installation(request, tmp_path)
    with database.writing() as session:
        subject = make_subject(session, "toy", n_layers=1, n_neurons_per_layer=1)
        make_records_of_its_own(session, make_neuron(session, subject))
    yield settings, database
    database.dispose()


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    body = completion_reply("words about cats.").body
    with FakeOpenAI(Reply(body=body, seconds=ANSWER_SECONDS)).serving() as serving:
        yield serving


@pytest.fixture
def explaining(
    installation: tuple[Settings, Database], server: FakeOpenAI
) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Begins `explain` with more samples than calls at once; returns when all of these calls are under way."""
    running: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "app", "explain", "--subject", "toy", "--method", "original"]
        command += ["--per-layer", "1", "--explainer", "openai:fake", "--base-url", server.base_url]
        command += ["--samples", str(N_SAMPLES), "--budget-tokens", "1000000"]
        process = subprocess.Popen(
            command, env=environment_of(installation[0]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        running.append(process)
        for _ in range(PATIENCE_SECONDS * 20):
            if server.n_running == N_IN_FLIGHT:
                return process
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(process.communicate()[0])
        raise AssertionError(f"{server.n_running} calls are under way after {PATIENCE_SECONDS} s")

    yield start
    for process in running:
        process.kill()
        process.communicate()


def only_batch(database: Database) -> BatchProgress:
    with database.reading() as session:
        return batch_progress(session, 1)


def test_explain_ends_a_paused_batch_with_the_answers_under_way(
    installation: tuple[Settings, Database], server: FakeOpenAI, explaining: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = explaining()
    pause(installation[1], 1)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    paused = only_batch(installation[1])
    assert f"Batch 1 paused: {paused.n_done} done, 0 failed" in said
    assert paused.n_done == len(server.chats) == paused.n_calls < N_SAMPLES
    assert process.returncode == 0


def test_a_worker_that_is_stopped_waits_for_calls_under_way(
    installation: tuple[Settings, Database],
    server: FakeOpenAI,
    explaining: Callable[[], "subprocess.Popen[str]"],
) -> None:
    process = explaining()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    stopped = only_batch(installation[1])
    assert stopped.status == "running"
    assert stopped.n_done == len(server.chats) < N_SAMPLES


def test_a_second_signal_ends_a_worker_at_once(
    installation: tuple[Settings, Database], explaining: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = explaining()
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=ANSWER_SECONDS / 4)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=ANSWER_SECONDS / 4)
    assert process.returncode == -signal.SIGTERM
    assert only_batch(installation[1]).n_done == 0
