"""`neuronjury score`: what it prints, how it ends, and what it leaves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.batches.models import Batch, ModelPrice
from app.database import Database, utc_now
from app.explanations.models import Score
from app.jobs import migrate_jobs
from app.migrating import upgrade
from tests.command_line import Run, command_line
from tests.factories import make_explanation, make_neuron, make_records, make_subject


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Database]:
    """The database that the commands work on: one neuron, three explanations."""
    database = Database(f"sqlite:///{tmp_path / 'neuronjury.sqlite'}")
    upgrade(database)
    migrate_jobs(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_records(session, neuron)
        make_explanation(session, neuron, "summary", text="Words for cats.")
        make_explanation(session, neuron, "reference", "none", text="Names of cats.")
        make_explanation(session, neuron, "false", "none", text="Numbers.")
    yield database
    database.dispose()


@pytest.fixture
def run(stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NEURONJURY_DATABASE_URL", "NEURONJURY_JOBS_URL"):
        monkeypatch.delenv(name, raising=False)
    return command_line(monkeypatch, capsys)


def test_a_dry_run_says_what_a_batch_would_take_and_orders_nothing(run: Run, stored: Database) -> None:
    with stored.writing() as session:
        session.add(
            ModelPrice(
                model="openai:gpt-x",
                as_of=utc_now().date(),
                usd_per_million_prompt_tokens=2.0,
                usd_per_million_completion_tokens=8.0,
                source="test",
            )
        )
    ended = run(
        *("score", "--subject", "toy", "--metric", "fuzzing", "--scorer", "openai:gpt-x", "--method", "summary"),
        *("--max-tokens", 4, "--requests-per-minute", 60, "--dry-run"),
    )
    assert ended.exit_code == 0, ended.err
    lines = dict(line.split(":", 1) for line in ended.out.splitlines())
    assert lines["Scores"].strip() == "1 to make by openai:gpt-x"
    # Five excerpts, each with the right tokens marked and with others.
    assert lines["Calls"].strip() == "about 10 to openai:gpt-x"
    assert lines["Answer tokens"].strip() == "up to about 40"
    assert "from what all scores ask, counted by " in lines["Prompt tokens"]
    n_prompt_tokens = int(lines["Prompt tokens"].split("about ")[1].split(", from")[0].replace(",", ""))
    assert 500 < n_prompt_tokens < 3000
    assert float(lines["Money"].split("$")[1]) == pytest.approx((n_prompt_tokens * 2 + 40 * 8) / 1e6, rel=0.05)
    assert lines["Time"].strip() == "at least 10 s at the given limit"
    with stored.reading() as session:
        assert session.scalars(sa.select(Batch)).all() == []


def test_a_detached_batch_waits_for_a_worker_and_is_ordered_once(run: Run, stored: Database) -> None:
    order = ("score", "--subject", "toy", "--metric", "lexical", "--method", "summary", "--method", "false", "--detach")
    order += ("--timeout", "120", "--in-flight", "3")
    assert run(*order).out == "Batch 1 waits for a worker: neuronjury worker\n"
    assert run(*order).out == "All of these scores are there already\n"
    with stored.reading() as session:
        (batch,) = session.scalars(sa.select(Batch))
        assert (batch.kind, batch.status, batch.n_explanations, batch.methods) == (
            "scores",
            "queued",
            2,
            ["summary", "false"],
        )
        assert (batch.settings["timeout_seconds"], batch.settings["n_in_flight"]) == (120.0, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--metric", "bleu"), "unknown metric 'bleu'; expected one of simulation, adacs, detection"),
        (("--metric", "detection"), "detection cannot be measured by 'none'; expected openai:MODEL or local:"),
        (("--metric", "detection", "--scorer", "openai:gpt-x"), "no key: set OPENAI_API_KEY"),
        (("--metric", "adacs", "--scorer", "openai:embed"), "no key: set OPENAI_API_KEY"),
        (("--metric", "lexical", "--method", "hs"), "'toy' has no done explanation of the methods hs"),
        (("--metric", "lexical", "--neuron-set", "best"), "best"),
        (
            (
                "--metric",
                "detection",
                "--scorer",
                "openai:x",
                "--base-url",
                "http://here",
                "--budget-usd",
                5,
                "--dry-run",
            ),
            "no price is known for openai:x",
        ),
    ],
)
def test_a_wrong_order_ends_with_one_line_and_stores_nothing(
    run: Run, stored: Database, arguments: tuple[object, ...], complaint: str
) -> None:
    ended = run("score", "--subject", "toy", *arguments)
    assert ended.exit_code == 1
    assert complaint in ended.err
    assert len(ended.err.splitlines()) == 1
    with stored.reading() as session:
        assert session.scalars(sa.select(Batch)).all() == []


@pytest.mark.real_model
def test_scores_are_made_here_by_the_embedder_that_comes_in_a_package(stored: Database, tmp_path: Path) -> None:
    environment = os.environ | {"NEURONJURY_DATA": str(tmp_path), "NEURONJURY_THREADS": "1", "COLUMNS": "200"}
    for name in ("NEURONJURY_DATABASE_URL", "NEURONJURY_JOBS_URL"):
        environment.pop(name, None)
    arguments = ("score", "--subject", "toy", "--metric", "adacs", "--scorer", "minilm-l6-v2")
    command = [sys.executable, "-m", "app", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "Batch 1 done: 3 done, 0 failed\n", ended.stderr
    with stored.reading() as session:
        summary, reference, false = session.scalars(sa.select(Score).order_by(Score.explanation_id))
        assert (summary.metric, summary.scorer, summary.status) == ("adacs", "minilm-l6-v2", "done")
        assert reference.value == pytest.approx(1.0)
        assert summary.value is not None
        assert 1.0 > summary.value > 0.6 > (false.value or 0.0)
