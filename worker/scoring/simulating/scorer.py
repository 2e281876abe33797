"""Scores an explanation by how well a simulator that reads it foretells the neuron's activations. Knows no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.explanations.methods.prompt import FewShotNeuron
from app.explanations.scoring.correlation import absolute_deviation_explained, correlation, rsquared
from app.explanations.scoring.settings import ScorerSettings
from worker.batches.making import Float32Array, SimulatedOn
from worker.scoring.calls import PaidModel
from worker.scoring.scored import NO_UNSEEN_TOP, Evidence, Result, ScoredExcerpt, Scorer
from worker.scoring.simulating.all_at_once import AllAtOnce, LocalModel
from worker.scoring.simulating.calibration import Calibration, CalibrationKind, NotCalibrated, fitted
from worker.scoring.simulating.logprob_free import LogprobFree
from worker.scoring.simulating.one_at_a_time import OneAtATime
from worker.scoring.simulating.simulation import Simulation, Simulator


@dataclass(frozen=True)
class SimulatorCalls:
    """What simulators work with.

    few_shots: neurons of a prompt pack. local: for `all-at-once`. chat: for the other two.
    """

    few_shots: Sequence[FewShotNeuron]
    local: LocalModel | None = None
    chat: PaidModel | None = None


def simulation_scorer(settings: ScorerSettings, calls: SimulatorCalls) -> Scorer:
    """A scorer for all explanations of a batch: what it has read of the prompt's beginning is kept for the next one.

    Errors: InvalidInput when the simulator cannot work with what it is given.
    """
    return SimulationScorer(_simulator(settings, calls), settings.simulator, settings.calibration)


def _simulator(settings: ScorerSettings, calls: SimulatorCalls) -> Simulator:
    if settings.simulator == "all-at-once":
        if calls.local is None:
            raise InvalidInput("the simulator all-at-once needs a model in this process; expected local:NAME-OR-PATH")
        return AllAtOnce(calls.local, calls.few_shots)
    if calls.chat is None:
        raise InvalidInput(f"the simulator {settings.simulator} needs a chat model; expected openai:MODEL")
    if settings.simulator == "one-at-a-time":
        return OneAtATime(calls.chat, calls.few_shots, settings.seed)
    return LogprobFree(
        calls.chat, calls.few_shots, temperature=settings.temperature, top_p=settings.top_p, seed=settings.seed
    )


class SimulationScorer:
    """One simulator and one calibration.

    The score is Pearson's correlation of true and predicted activations over all tokens of all scored excerpts.
    """

    def __init__(self, simulator: Simulator, simulator_name: str, calibration: CalibrationKind):
        self._simulator = simulator
        self._simulator_name = simulator_name
        self._calibration = calibration

    async def score(self, text: str, evidence: Evidence, *, attempt: int) -> Result:
        if not evidence.top:
            return Result(None, NO_UNSEEN_TOP, {"simulator": self._simulator_name}, (), 0, 0, 0.0)
        scored = evidence.top + evidence.random
        fitted_on = evidence.calibration if self._calibration != "none" else ()
        excerpts = [excerpt.record.tokens for excerpt in (*scored, *fitted_on)]
        simulation = await self._simulator.simulate(text, excerpts, attempt=attempt)
        details = {"simulator": self._simulator_name, "n_excerpts": len(scored), **simulation.details}
        if simulation.expected is None:
            return _result(simulation, None, simulation.reason, details)
        expected, on_calibration = simulation.expected[: len(scored)], simulation.expected[len(scored) :]
        simulated = [_simulated_on(*pair) for pair in zip(scored, expected, strict=True)]
        try:
            calibration = fitted(
                self._calibration,
                true=_true(fitted_on),
                predicted=_joined(on_calibration),
                maximum=evidence.maximum,
            )
        except NotCalibrated as error:
            details["calibration"] = {"kind": self._calibration}
            return _result(simulation, None, f"not calibrated: {error}", details, simulated)
        details |= _measures(evidence, expected, calibration)
        total = correlation(_true(scored), calibration.calibrated(_joined(expected)))
        return _result(simulation, total.value, total.reason, details, simulated)


def _measures(evidence: Evidence, expected: Sequence[Float32Array], calibration: Calibration) -> dict[str, Any]:
    """What is said beside the score: of the top and the random excerpts by themselves, and other measures of fit.

    They compare calibrated predictions; uncalibrated ones as if 10 were the neuron's largest activation.
    """
    n_top = len(evidence.top)
    true = _true(evidence.top + evidence.random)
    predicted = calibration.calibrated(_joined(expected))
    n_top_tokens = len(_true(evidence.top))
    return {
        "n_top_excerpts": n_top,
        "n_tokens": len(true),
        "top_correlation": correlation(true[:n_top_tokens], predicted[:n_top_tokens]).value,
        "random_correlation": correlation(true[n_top_tokens:], predicted[n_top_tokens:]).value,
        "rsquared_score": rsquared(true, predicted),
        "absolute_dev_explained_score": absolute_deviation_explained(true, predicted),
        "calibration": dict(calibration.parameters),
    }


def _simulated_on(excerpt: ScoredExcerpt, expected: Float32Array) -> SimulatedOn:
    """For the viewer, which shows the scale 0-10: before any calibration."""
    return SimulatedOn(excerpt.excerpt_id, expected, correlation(excerpt.record.activations, expected).value)


def _true(excerpts: Sequence[ScoredExcerpt]) -> Float32Array:
    return _joined([excerpt.record.activations.astype(np.float32) for excerpt in excerpts])


def _joined(arrays: Sequence[Float32Array]) -> Float32Array:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.float32)


def _result(
    simulation: Simulation,
    value: float | None,
    reason: str | None,
    details: dict[str, Any],
    simulated: Sequence[SimulatedOn] = (),
) -> Result:
    spent = simulation.spent
    return Result(value, reason, details, simulated, spent.n_prompt_tokens, spent.n_completion_tokens, spent.cost_usd)
