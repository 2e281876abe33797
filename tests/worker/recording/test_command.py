"""`neuronjury record` as a user runs it: in a process of its own, with its lines, exit codes and Ctrl-C."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.database import Database
from app.errors import Unavailable
from tests.worker.conftest import N_LAYERS, N_NEURONS, SENTENCE, MakeModel
from tests.worker.recording.recordings import stored_rows
from worker.cli import needing_the_worker_extra

pytestmark = pytest.mark.long


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An installation of its own, for which the hub is a port where nobody listens."""
    environment = os.environ | {
        "NEURONJURY_DATA": str(tmp_path / "data"),
        "NEURONJURY_THREADS": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hub"),
        "COLUMNS": "200",
    }
    for name in ("NEURONJURY_DATABASE_URL", "NEURONJURY_JOBS_URL", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    assert neuronjury(environment, "init").returncode == 0
    return environment


def neuronjury(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def n_neurons(environment: dict[str, str]) -> int:
    with sqlite3.connect(Path(environment["NEURONJURY_DATA"]) / "neuronjury.sqlite") as connection:
        count: int = connection.execute("SELECT count(*) FROM neuron").fetchone()[0]
    connection.close()
    return count


def write_text(path: Path, n_sentences: int) -> str:
    path.write_text("".join(f"{number}: {SENTENCE}" for number in range(n_sentences)))
    return str(path)


def test_record_says_what_it_does_and_a_second_run_that_it_is_done(
    environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 100)
    arguments = ("record", "--model", str(tiny_model("gpt2")), "--text", text, "--batch-size", "8")

    first = neuronjury(environment, *arguments)

    assert first.returncode == 0, first.stderr
    done = r"tiny-gpt2, 48 neurons in 2 layers on (\d+) of \1 excerpts of words\.txt \(\d+ tokens in \d+ s\)\n"
    assert re.fullmatch(r"words\.txt has \d+ excerpts; all of them were taken\nRecorded: " + done, first.stdout)
    lines = first.stderr.splitlines()
    assert lines[0] == "loading"
    assert re.fullmatch(r"recording: \d+ of \d+ tokens, \d+ tokens/s, \d+ s left", lines[1])
    assert re.fullmatch(r"storing: 2 of 2 layers, \d+ layers/s, 0 s left", lines[-1])
    assert n_neurons(environment) == N_LAYERS * N_NEURONS

    second = neuronjury(environment, *arguments)

    assert second.returncode == 0
    assert re.fullmatch(
        r"words\.txt has \d+ excerpts; all of them were taken\nAlready recorded: " + done, second.stdout
    )
    assert second.stderr == ""


def stopped_by(
    environment: dict[str, str], arguments: Sequence[str], number: signal.Signals, n_lines: int
) -> tuple[int, list[str]]:
    """Exit code and remaining lines of stderr of a recording that gets the signal after some lines of progress."""
    command = [sys.executable, "-m", "app", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for _ in range(n_lines):
            process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read().splitlines()
        return process.wait(timeout=60), rest


def test_ctrl_c_stops_with_one_line_and_the_same_command_goes_on_to_the_same_rows(
    environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 5000)
    arguments = ["record", "--model", str(tiny_model()), "--text", text, "--excerpts", "1000", "--batch-size", "1"]
    code, rest = stopped_by(environment, arguments, signal.SIGINT, n_lines=4)

    assert code == 130
    lines = [line for line in rest if not line.startswith("recording:")]
    assert len(lines) == 1
    goes_on = re.fullmatch(r"neuronjury: stopped; the same command goes on from excerpt (\d+)", lines[0])
    # Three tenths of 1,000 excerpts had been told: one chunk of 256 at least is whole.
    assert goes_on is not None
    assert int(goes_on[1]) in (256, 512, 768, 1000)
    assert n_neurons(environment) == 0

    ended = neuronjury(environment, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert neuronjury(environment, *arguments, "--name", "whole").returncode == 0
    check_equal(environment, "tiny-llama", "whole")


@pytest.mark.parametrize("n_lines", [2, 9])
def test_a_recording_killed_at_any_moment_goes_on_to_the_same_rows(
    n_lines: int, environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 5000)
    arguments = ["record", "--model", str(tiny_model()), "--text", text, "--excerpts", "1000", "--batch-size", "1"]
    code, _ = stopped_by(environment, arguments, signal.SIGKILL, n_lines)
    assert code == -signal.SIGKILL

    ended = neuronjury(environment, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert neuronjury(environment, *arguments, "--name", "whole").returncode == 0
    check_equal(environment, "tiny-llama", "whole")


def check_equal(environment: dict[str, str], name: str, other: str) -> None:
    database = Database(f"sqlite:///{environment['NEURONJURY_DATA']}/neuronjury.sqlite")
    assert len(stored_rows(database, name)) > 1000
    assert stored_rows(database, name) == stored_rows(database, other)
    database.dispose()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 100)
    arguments = ("record", "--model", str(tiny_model("gpt2")), "--text", text, "--excerpts", "20", "--dry-run")

    ended = neuronjury(environment, *arguments)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(
        r"Model: tiny-gpt2 \(gpt2\), 2 layers of 24 neurons, float32 on the CPU\n"
        r"Text: 20 of \d+ excerpts of words\.txt, 1280 tokens\n"
        r"Memory: about [\d.]+ [kM]B: weights [\d.]+ kB, what is kept [\d.]+ [kM]B, a batch of 16 [\d.]+ [kM]B; "
        r"free [\d.]+ [MGT]B\n"
        r"Disk: about [\d.]+ [kM]B, and [\d.]+ [kM]B more until the end; free [\d.]+ [MGT]B\n"
        r"Nothing was recorded\n",
        ended.stdout,
    ), ended.stdout
    with sqlite3.connect(Path(environment["NEURONJURY_DATA"]) / "neuronjury.sqlite") as connection:
        for table in ("subject_model", "recording", "corpus", "excerpt"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()


def test_a_detached_recording_waits_for_a_worker_and_can_be_cancelled(
    environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 2000)
    arguments = ("record", "--model", str(tiny_model("gpt2")), "--text", text, "--excerpts", "600", "--detach")

    ended = neuronjury(environment, *arguments, "--shards", "2")
    assert ended.stdout == "tiny-gpt2: 600 of 600 excerpts in 2 jobs wait for a worker: neuronjury worker\n"
    assert neuronjury(environment, *arguments).stdout == (
        "tiny-gpt2 is left to the workers already: neuronjury worker\n"
    )
    assert neuronjury(environment, "record", "--cancel", "tiny-gpt2").stdout == (
        "Cancelled: tiny-gpt2; what it had recorded is removed\n"
    )
    nobody = neuronjury(environment, "record", "--cancel", "nobody")
    assert (nobody.returncode, nobody.stderr) == (1, "neuronjury: there is no recording nobody\n")
    alone = neuronjury(environment, "record", "--shards", "2")
    assert (alone.returncode, alone.stderr) == (
        1,
        "neuronjury: --shards 2 without --detach; expected both or neither\n",
    )


def test_an_unreachable_hub_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    text = write_text(tmp_path / "words.txt", 10)

    ended = neuronjury(environment, "record", "--model", "nobody/nothing", "--text", text)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(
        r"neuronjury: there is no folder or \.gguf file nobody/nothing, and the model hub cannot be reached \(.*\); "
        r"smollm2-135m needs no hub\n",
        ended.stderr,
    )


def test_a_missing_package_of_the_extra_is_named_with_what_to_install() -> None:
    with pytest.raises(Unavailable) as error, needing_the_worker_extra():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert str(error.value) == (
        "this command needs torch, which is not installed; run `pip install 'neuronjury[worker]'`"
    )


def test_another_missing_module_is_a_fault_of_ours_and_stays_one() -> None:
    with pytest.raises(ModuleNotFoundError), needing_the_worker_extra():
        raise ModuleNotFoundError("No module named 'worker.nothing'", name="worker.nothing")
