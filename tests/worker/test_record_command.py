"""`neuronjury record` as a user runs it: in a process of its own, with its lines, exit codes and Ctrl-C."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import Unavailable
from tests.worker.conftest import N_LAYERS, N_NEURONS, SENTENCE, MakeModel
from worker.cli import needing_the_worker_extra


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


def test_ctrl_c_stops_with_one_line_and_keeps_nothing(
    environment: dict[str, str], tmp_path: Path, tiny_model: MakeModel
) -> None:
    text = write_text(tmp_path / "words.txt", 20_000)
    command = [sys.executable, "-m", "app", "record", "--model", str(tiny_model()), "--text", text]
    command += ["--excerpts", "100000", "--batch-size", "1"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("recording:"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read().splitlines()
        assert process.wait(timeout=60) == 130

    assert [line for line in rest if not line.startswith("recording:")] == [
        "neuronjury: stopped; nothing of this recording was kept"
    ]
    assert n_neurons(environment) == 0


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
