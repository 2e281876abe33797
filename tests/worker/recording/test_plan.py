"""What a plan says of chunks and of memory, and the draws made before a pass."""

import itertools

import numpy as np
import pytest
import scipy.stats

from app.neurons.records import Polarity
from tests.worker.recording.given_activations import GivenActivations, excerpt_numbers
from worker.recording.drawing import drawn_excerpts, panel_excerpts
from worker.recording.plan import BLOCK, RecordingPlan
from worker.recording.recorder import Recorder


@pytest.mark.parametrize("n_excerpts", [1, 255, 256, 257, 1024, 2048, 60_000, 1_000_003])
def test_chunks_cover_the_corpus_in_whole_blocks_and_are_not_too_many(n_excerpts: int) -> None:
    chunks = RecordingPlan(n_excerpts, 64, 0).chunks

    assert chunks[0].start == 0
    assert chunks[-1].stop == n_excerpts
    assert all(before.stop == after.start for before, after in itertools.pairwise(chunks))
    assert all(chunk.start % BLOCK == 0 for chunk in chunks)
    assert len(chunks) <= 32
    assert all(len(chunk) >= 256 for chunk in chunks[:-1])


def test_the_largest_gpt2_fits_where_it_should() -> None:
    plan = RecordingPlan(60_000, 64, 0, has_statistics=False)

    assert plan.state_bytes(n_layers=48, n_neurons=6400) < 1.3e9


@pytest.mark.parametrize("polarity", ["positive", "both"])
def test_estimates_are_near_what_is_taken(polarity: Polarity) -> None:
    plan = RecordingPlan(512, 64, 0, polarity=polarity)
    activations = np.random.default_rng(0).standard_normal((1, 512, 64, 200)).astype(np.float32)
    recorder = Recorder(GivenActivations(activations), plan)
    n_bytes = 0
    for chunk in plan.chunks:
        recorder.record(excerpt_numbers(plan), chunk, 16, lambda n_seen: None)
        n_bytes += len(recorder.take_part(0))

    assert n_bytes == pytest.approx(plan.part_bytes(1, 200), rel=0.25)


def test_random_excerpts_depend_on_seed_and_layer_alone() -> None:
    draws = [drawn_excerpts(100, 500, 10, seed=seed, layer=layer) for seed, layer in [(0, 0), (0, 0), (1, 0), (0, 1)]]

    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[3])


def test_every_excerpt_is_drawn_equally_often_at_every_rank() -> None:
    drawn = drawn_excerpts(60_000, 12, 10, seed=0, layer=0)

    assert all(len(set(row)) == 10 for row in drawn[:1000].tolist())
    for rank in range(10):
        assert scipy.stats.chisquare(np.bincount(drawn[:, rank], minlength=12)).pvalue > 1e-4


def test_the_panel_is_a_seeded_draw_in_rising_order() -> None:
    panel = panel_excerpts(1000, 400, seed=0)

    assert len(panel) == 400
    assert (np.diff(panel) > 0).all()
    assert np.array_equal(panel, panel_excerpts(1000, 400, seed=0))
    assert not np.array_equal(panel, panel_excerpts(1000, 400, seed=1))
    assert panel_excerpts(30, 400, seed=0).tolist() == list(range(30))
    # An even draw: its own quantiles are near those of the whole.
    assert np.abs(np.quantile(panel, [0.1, 0.5, 0.9]) - [100, 500, 900]).max() < 40
