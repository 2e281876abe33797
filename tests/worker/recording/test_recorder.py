"""What the recorder keeps, against a computation by definition over all activations at once: equal to the bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch

from app.errors import InvalidInput
from app.neurons.storing import LayerRecording
from tests.worker.conftest import MakeModel
from tests.worker.recording.brute_force import dense_neuron
from tests.worker.recording.given_activations import GivenActivations, excerpt_numbers
from worker.recording.parts import merged_layer
from worker.recording.plan import RecordingPlan
from worker.recording.recorder import ObservedModel, Recorder
from worker.subjects.subject import load_subject

Array = npt.NDArray[Any]

BATCH_SIZES = [1, 7, 16, 64]


def some_activations(n_excerpts: int = 75, n_neurons: int = 12) -> Array:
    """Two layers; heavy tails, one neuron shifted far from 0, one always negative, one beyond float16, one of few
    values, one that does not vary."""
    activations = np.random.default_rng(0).standard_normal((2, n_excerpts, 9, n_neurons)) ** 3
    activations[..., 0] += 1000
    activations[..., 1] = -np.abs(activations[..., 1])
    activations[..., 2] *= 1e5
    activations[..., 3] = np.round(activations[..., 3])
    activations[..., 4] = 0.1
    return activations.astype(np.float32)


def plan_of(activations: Array, **changes: Any) -> RecordingPlan:
    _, n_excerpts, n_tokens, _ = activations.shape
    return RecordingPlan(**{"n_excerpts": n_excerpts, "n_tokens": n_tokens, "seed": 7, "chunk_length": 16} | changes)


def recorded(
    subject: ObservedModel, plan: RecordingPlan, token_ids: Array, batch_size: int, starts: Sequence[int] = (0,)
) -> list[LayerRecording]:
    """starts: numbers of the chunks at which a new recorder begins, as after a crash or on another worker."""
    parts: list[list[bytes]] = [[] for _ in range(subject.n_layers)]
    for number, chunk in enumerate(plan.chunks):
        if number in starts:
            recorder = Recorder(subject, plan)
        recorder.record(token_ids, chunk, batch_size, lambda n_seen: None)
        for layer, of_layer in enumerate(parts):
            of_layer.append(recorder.take_part(layer))
    return [merged_layer(plan, layer, of_layer) for layer, of_layer in enumerate(parts)]


def recorded_of(activations: Array, plan: RecordingPlan, batch_size: int = 16, **how: Any) -> list[LayerRecording]:
    dtype = how.pop("dtype", torch.float32)
    return recorded(GivenActivations(activations, dtype), plan, excerpt_numbers(plan), batch_size, **how)


def check_against_brute_force(plan: RecordingPlan, layer: LayerRecording, activations: Array) -> None:
    """activations: all of this layer's, float32 (excerpts, tokens, neurons)."""
    for neuron in range(activations.shape[2]):
        expected = dense_neuron(plan, layer.layer, neuron, activations)
        statistics = {name: float(values[neuron]) for name, values in layer.statistics.items()}
        assert {name: None if np.isnan(value) else value for name, value in statistics.items()} == expected.statistics
        assert layer.histogram is not None
        assert layer.histogram[neuron].tolist() == expected.histogram
        assert set(layer.bands) == set(expected.bands)
        for name, band in layer.bands.items():
            kept = [
                (int(excerpt), float(maximum), record.tolist())
                for excerpt, maximum, record in zip(
                    band.excerpts[neuron], band.maxima[neuron], band.activations[neuron], strict=True
                )
                if excerpt >= 0
            ]
            assert kept == expected.bands[name], name


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("starts", [(0,), (0, 1, 2, 3, 4), (0, 3)])
def test_a_recording_equals_the_definition_whatever_the_batches_and_the_shards(
    batch_size: int, starts: tuple[int, ...]
) -> None:
    activations = some_activations()
    plan = plan_of(activations, polarity="both")

    for layer, of_layer in zip(recorded_of(activations, plan, batch_size, starts=starts), activations, strict=True):
        check_against_brute_force(plan, layer, of_layer)


@pytest.mark.parametrize(
    "changes",
    [
        {"polarity": "positive"},
        {"n_ignored": 1},
        {"n_ignored": 8, "polarity": "both"},
        {"n_band": 0},
        {"has_statistics": False},
        {"n_top": 3, "n_random": 2, "n_band": 2},
        {"n_top": 100, "n_random": 100, "n_band": 30},
        {"chunk_length": 256},
        {"seed": 2**63 - 1},
    ],
)
def test_every_setting_keeps_what_it_says(changes: dict[str, Any]) -> None:
    activations = some_activations()
    plan = plan_of(activations, **changes)

    for layer, of_layer in zip(recorded_of(activations, plan), activations, strict=True):
        check_against_brute_force(plan, layer, of_layer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch_size", [3, 16])
def test_activations_of_other_number_types_are_recorded_as_they_are(dtype: torch.dtype, batch_size: int) -> None:
    activations = np.clip(some_activations(), -60000, 60000)
    plan = plan_of(activations, polarity="both")
    as_computed = torch.from_numpy(activations).to(dtype).float().numpy()

    for layer, of_layer in zip(recorded_of(activations, plan, batch_size, dtype=dtype), as_computed, strict=True):
        check_against_brute_force(plan, layer, of_layer)


@pytest.mark.parametrize("n_excerpts", [1, 5, 8, 9, 10, 19, 20, 21])
def test_few_excerpts_give_as_many_records_as_there_are(n_excerpts: int) -> None:
    activations = some_activations(n_excerpts)
    plan = plan_of(activations, polarity="both", chunk_length=8)

    for layer, of_layer in zip(recorded_of(activations, plan, batch_size=4), activations, strict=True):
        check_against_brute_force(plan, layer, of_layer)
        assert layer.bands["top"].excerpts.shape == (12, min(20, n_excerpts))


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_ties_are_broken_by_the_earlier_excerpt(batch_size: int) -> None:
    # Four values only, over more excerpts than are kept: nearly every choice is a tie.
    activations = np.random.default_rng(1).integers(0, 4, (1, 50, 2, 6)).astype(np.float32) - 1.5
    plan = plan_of(activations, polarity="both")

    check_against_brute_force(plan, recorded_of(activations, plan, batch_size, starts=(0, 2))[0], activations[0])


def test_values_that_become_equal_when_stored_are_ties() -> None:
    # 2048 and 2049 - 2**-7 are the same float16, so the first excerpt is the better one, not the last.
    activations = np.full((1, 30, 1, 1), 2048, dtype=np.float32)
    activations[0, 29] += 1 - 2**-7

    layer = recorded_of(activations, plan_of(activations))[0]

    assert layer.bands["top"].excerpts[0].tolist() == list(range(20))


def test_moments_are_those_of_all_tokens() -> None:
    activations = some_activations(600)[:, :, :, :4]

    for layer, of_layer in zip(recorded_of(activations, plan_of(activations)), activations, strict=True):
        tokens = of_layer.reshape(-1, 4).astype(np.float64)
        np.testing.assert_allclose(layer.statistics["mean"], tokens.mean(axis=0), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(layer.statistics["variance"], tokens.var(axis=0), rtol=1e-6)
        np.testing.assert_allclose(layer.statistics["skewness"], scipy.stats.skew(tokens), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(layer.statistics["kurtosis"], scipy.stats.kurtosis(tokens, fisher=False), rtol=1e-5)
        np.testing.assert_array_equal(layer.statistics["share_active"], (tokens > 0).mean(axis=0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_are_refused(value: float) -> None:
    activations = some_activations()
    activations[1, 30, 3, 5] = value

    with pytest.raises(InvalidInput, match=r"^the model's activations in layer 1 are not all finite numbers$"):
        recorded_of(activations, plan_of(activations))


def test_a_token_that_does_not_count_may_be_anything() -> None:
    activations = some_activations()
    plan = plan_of(activations, n_ignored=1)
    expected = recorded_of(activations, plan)[1]
    activations[1, :, 0, :] = np.inf

    layer = recorded_of(activations, plan)[1]

    assert np.array_equal(layer.statistics["mean"], expected.statistics["mean"])
    assert np.array_equal(layer.bands["top"].activations, expected.bands["top"].activations)
    assert not layer.bands["top"].activations[:, :, 0].any()


def test_finite_activations_of_any_size_are_recorded() -> None:
    # Their fourth powers are too large for a number: what follows from them is not defined, all else stands.
    activations = some_activations()
    activations[0, 40, 2, 6] = 1e30

    layer = recorded_of(activations, plan_of(activations))[0]

    assert layer.bands["top"].excerpts[6, 0] == 40
    assert layer.statistics["maximum"][6] == 65504
    assert np.isnan(layer.statistics["kurtosis"][6])
    assert np.isfinite(layer.statistics["kurtosis"][7])


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("batch_size", [1, 5, 30])
def test_a_real_model_is_recorded_as_the_definition_says(
    model_type: str, dtype: str, batch_size: int, tiny_model: MakeModel
) -> None:
    subject = load_subject(tiny_model(model_type), n_tokens=64, n_threads=1, dtype=dtype)
    token_ids = np.random.default_rng(2).integers(0, 300, (30, 64)).astype(np.int32)
    dense: list[list[Array]] = [[] for _ in range(subject.n_layers)]
    with subject.observing(lambda layer, activations: dense[layer].append(activations.float().numpy().copy())):
        for first in range(0, 30, batch_size):
            subject.forward(token_ids[first : first + batch_size])
    plan = RecordingPlan(30, 64, seed=3, polarity="both", chunk_length=32)

    layers = recorded(subject, plan, token_ids, batch_size)

    for layer, of_layer in zip(layers, dense, strict=True):
        check_against_brute_force(plan, layer, np.concatenate(of_layer))


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_recording_of_a_small_model_does_not_depend_on_the_batch_size(
    model_type: str, dtype: str, tiny_model: MakeModel
) -> None:
    subject = load_subject(tiny_model(model_type), n_tokens=64, n_threads=1, dtype=dtype)
    token_ids = np.random.default_rng(2).integers(0, 300, (30, 64)).astype(np.int32)
    plan = RecordingPlan(30, 64, seed=3, polarity="both", chunk_length=8)

    first, *others = [recorded(subject, plan, token_ids, batch_size, [0, 2]) for batch_size in (30, 5, 1)]

    for other in others:
        for layer, expected in zip(other, first, strict=True):
            for name, values in expected.statistics.items():
                assert np.array_equal(layer.statistics[name], values, equal_nan=True), name
            for name, band in expected.bands.items():
                assert np.array_equal(layer.bands[name].excerpts, band.excerpts), name
                assert np.array_equal(layer.bands[name].activations, band.activations), name


def test_progress_counts_the_excerpts_of_a_chunk() -> None:
    activations = some_activations(30)
    plan = plan_of(activations, chunk_length=24)
    seen: list[int] = []
    recorder = Recorder(GivenActivations(activations), plan)

    for chunk in plan.chunks:
        recorder.record(excerpt_numbers(plan), chunk, 10, seen.append)

    assert seen == [10, 20, 24, 6]
