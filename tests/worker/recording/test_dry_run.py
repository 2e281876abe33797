"""What a dry run says: sizes by an independent count, and a warning for everything that there is too little of."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.database import Database
from app.errors import InvalidInput
from app.settings import Settings
from tests.worker.conftest import MakeModel
from tests.worker.recording.recordings import NOTHING, n_rows, small_order, write_text
from worker.recording.disk import in_words
from worker.recording.dry_run import DryRun, dry_run, free_memory

LARGE = DryRun(
    name="qwen",
    model_type="qwen3",
    n_layers=36,
    n_neurons_per_layer=9728,
    dtype="bfloat16",
    device="CPU",
    text="words.txt",
    n_excerpts=1000,
    n_available=4000,
    n_tokens=64_000,
    batch_size=16,
    weights=8_000_000_000,
    recorder=1_500_000_000,
    batch=160_000_000,
    parts=3_000_000_000,
    rows=4_200_000_000,
    free_memory=16_000_000_000,
    free_gpu=None,
    free_disk=8_000_000_000,
)
LINES = [
    "Model: qwen (qwen3), 36 layers of 9728 neurons, bfloat16 on the CPU",
    "Text: 1000 of 4000 excerpts of words.txt, 64000 tokens",
    "Memory: about 9.7 GB: weights 8.0 GB, what is kept 1.5 GB, a batch of 16 160 MB; free 16 GB",
    "Disk: about 4.2 GB, and 3.0 GB more until the end; free 8.0 GB",
]


def test_the_lines_of_a_dry_run() -> None:
    assert LARGE.lines() == [*LINES, "Nothing was recorded"]


def test_too_little_memory_and_room_are_warned_of() -> None:
    small = replace(LARGE, free_memory=9_000_000_000, free_disk=7_000_000_000).lines()

    assert small[-3:] == [
        "Warning: too little memory; expected a smaller --batch-size, fewer --top, or --dtype bfloat16",
        "Warning: too little room on the disk; expected fewer --top, or --no-statistics",
        "Nothing was recorded",
    ]


def test_on_a_gpu_weights_and_batch_lie_there_and_what_is_kept_does_not() -> None:
    enough = replace(LARGE, device="GPU (1)", free_gpu=8_200_000_000, free_memory=2_000_000_000)

    assert enough.lines() == [
        "Model: qwen (qwen3), 36 layers of 9728 neurons, bfloat16 on the GPU (1)",
        LINES[1],
        "Memory of the GPU: about 8.2 GB: weights 8.0 GB, a batch of 16 160 MB; free 8.2 GB",
        "Memory: what is kept 1.5 GB; free 2.0 GB",
        LINES[3],
        "Nothing was recorded",
    ]
    assert "Warning: too little memory" in replace(enough, free_gpu=8_100_000_000).lines()[-2]
    assert "Warning: too little memory" in replace(enough, free_memory=1_000_000_000).lines()[-2]


@pytest.mark.parametrize(("gpus", "free"), [([], None), ([10**9, 3 * 10**9], 3 * 10**9), ([9000, 8000], 17_000)])
def test_the_free_memory_is_that_of_the_gpus_that_the_weights_go_to(
    gpus: list[int], free: int | None, settings: Settings, database: Database, tmp_path: Path, tiny_model: MakeModel
) -> None:
    order = small_order(tiny_model("gpt2"), write_text(tmp_path / "words.txt"))

    assert dry_run(settings, database, order, gpu_memory=lambda: gpus).free_gpu == free


def test_what_cannot_be_known_is_said_to_be_unknown() -> None:
    unknown = replace(LARGE, free_memory=None, free_disk=None).lines()

    assert [line.rpartition("; ")[2] for line in unknown[2:4]] == ["free unknown", "free unknown"]
    assert len(unknown) == 5


def test_a_dry_run_reads_the_model_and_cuts_the_text_and_writes_nothing(
    settings: Settings, database: Database, tmp_path: Path, tiny_model: MakeModel
) -> None:
    order = small_order(tiny_model("gpt2"), write_text(tmp_path / "words.txt"))

    run = dry_run(settings, database, order, free=lambda folder: 12_345)

    assert (run.name, run.model_type, run.n_layers, run.n_neurons_per_layer) == ("tiny", "gpt2", 2, 24)
    assert (run.n_excerpts, run.n_tokens, run.batch_size) == (60, 60 * 64, 4)
    assert run.n_available > 60
    # Token and position embeddings, two layers of about 2,300 weights, four bytes each.
    assert run.weights == pytest.approx(4 * (300 * 16 + 128 * 16 + 2 * 2300), rel=0.2)
    assert run.free_disk == (12_345 if database.engine.dialect.name == "sqlite" else None)
    assert n_rows(database) == NOTHING
    with pytest.raises(InvalidInput, match="0 excerpts"):
        dry_run(settings, database, replace(order, n_excerpts=0))


def test_free_memory_is_read_where_the_system_tells_it(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  16 kB\nMemFree:  1 kB\nMemAvailable:    8 kB\n")

    assert free_memory(tmp_path / "meminfo") == 8192
    assert free_memory(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (9_960, "10 kB"), (999_600, "1.0 MB")],
)
def test_sizes_in_words(n_bytes: int, words: str) -> None:
    assert in_words(n_bytes) == words
