"""Simulate and score as a whole: what a score is made of, what is kept beside it, and when there is none."""

import asyncio
import json
from collections.abc import Sequence

import numpy as np
import pytest

from app.errors import InvalidInput
from app.explanations.scoring.settings import ScorerSettings
from app.explanations.scoring.simulating.examples import Excerpt
from tests.worker.explaining.tiny_model import tiny_model, tiny_tokenizer
from tests.worker.scoring.fakes import FEW_SHOTS, ScriptedPaidChat, evidence, likely, scored, written
from worker.explaining.chat import Completion
from worker.explaining.local_chat import LocalChat
from worker.scoring.calls import Spent
from worker.scoring.scored import Evidence, Result
from worker.scoring.simulating.scorer import SimulationScorer, SimulatorCalls, simulation_scorer
from worker.scoring.simulating.simulation import Simulation

TOP = [scored(11, "a| b| c", 0, 5, 1), scored(12, "d| e", -1, 4)]
RANDOM = [scored(13, "f| g", 0.5, -0.25)]
CALIBRATION = [scored(14, "h| i| j", 0, 2, 1), scored(15, "k| l", 0.5, 3)]
EVIDENCE = evidence(TOP, RANDOM, CALIBRATION)
PREDICTIONS = {"a": 0, " b": 9, " c": 1, "d": 3, " e": 8, "f": 1, " g": 0, "h": 1, " i": 6, " j": 1, "k": 0, " l": 7}
TRUE = np.array([0, 5, 1, -1, 4, 0.5, -0.25])
PREDICTED = np.array([0, 9, 1, 3, 8, 1, 0], dtype=float)


class ScriptedSimulator:
    """Knows what each token is worth; keeps which excerpts it was given."""

    def __init__(self, values: dict[str, float] | None = None, reason: str | None = None):
        self._values = PREDICTIONS if values is None else values
        self._reason = reason
        self.given: list[Excerpt] = []

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        self.given += excerpts
        spent = Spent(50, 7, 0.5)
        if self._reason is not None:
            return Simulation(None, self._reason, spent)
        values = [np.array([self._values[token] for token in excerpt], dtype=np.float32) for excerpt in excerpts]
        return Simulation(tuple(values), spent=spent, details={"scale": "0-10"})


def result(simulator: ScriptedSimulator, calibration: str = "none", on: Evidence = EVIDENCE) -> Result:
    scorer = SimulationScorer(simulator, "all-at-once", calibration)  # type: ignore[arg-type]
    return asyncio.run(scorer.score("Cats.", on, attempt=0))


def test_a_score_is_the_correlation_over_all_tokens_of_all_scored_excerpts() -> None:
    simulator = ScriptedSimulator()
    found = result(simulator)
    in_raw_units = PREDICTED * 5 / 10
    assert found.value == pytest.approx(np.corrcoef(TRUE, PREDICTED)[0, 1])
    assert found.reason is None
    assert found.details == {
        "simulator": "all-at-once",
        "scale": "0-10",
        "n_excerpts": 3,
        "n_top_excerpts": 2,
        "n_tokens": 7,
        "top_correlation": pytest.approx(np.corrcoef(TRUE[:5], PREDICTED[:5])[0, 1]),
        "random_correlation": pytest.approx(1.0),
        "rsquared_score": pytest.approx(1 - np.mean((TRUE - in_raw_units) ** 2) / np.mean(TRUE**2)),
        "absolute_dev_explained_score": pytest.approx(1 - np.mean(abs(TRUE - in_raw_units)) / np.mean(abs(TRUE))),
        "calibration": {"kind": "none"},
    }
    assert json.loads(json.dumps(found.details)) == found.details
    assert (found.n_prompt_tokens, found.n_completion_tokens, found.cost_usd) == (50, 7, 0.5)
    assert simulator.given == [excerpt.record.tokens for excerpt in (*TOP, *RANDOM)]


@pytest.mark.parametrize("calibration", ["none", "linear"])
def test_the_viewer_gets_what_was_expected_before_calibration(calibration: str) -> None:
    found = result(ScriptedSimulator(), calibration)
    assert [on.excerpt_id for on in found.simulated] == [11, 12, 13]
    assert [on.expected.tolist() for on in found.simulated] == [[0.0, 9.0, 1.0], [3.0, 8.0], [1.0, 0.0]]
    assert all(on.expected.dtype == np.float32 for on in found.simulated)
    assert found.simulated[0].correlation == pytest.approx(np.corrcoef([0, 5, 1], [0, 9, 1])[0, 1])
    assert found.simulated[1].correlation == pytest.approx(1.0)


def test_a_calibration_is_fitted_on_the_calibration_excerpts_alone() -> None:
    simulator = ScriptedSimulator()
    found = result(simulator, "linear")
    slope, intercept = np.polyfit([1, 6, 1, 0, 7], [0, 2, 1, 0.5, 3], 1)
    assert found.details["calibration"] == {
        "kind": "linear",
        "slope": pytest.approx(slope),
        "intercept": pytest.approx(intercept),
        "n_tokens": 5,
    }
    assert found.value == pytest.approx(np.corrcoef(TRUE, PREDICTED)[0, 1])
    residuals = TRUE - (slope * PREDICTED + intercept)
    assert found.details["rsquared_score"] == pytest.approx(1 - np.mean(residuals**2) / np.mean(TRUE**2))
    assert simulator.given == [excerpt.record.tokens for excerpt in (*TOP, *RANDOM, *CALIBRATION)]


def test_a_calibration_by_ranks_may_change_the_score() -> None:
    found = result(ScriptedSimulator(), "percentile")
    # Predictions 0, 1, 1, 6, 7 fall to the activations 0, 0.5, 1, 2, 3.
    calibrated = np.interp(PREDICTED, [0, 1, 6, 7], [0, 0.75, 2, 3])
    assert found.value == pytest.approx(np.corrcoef(TRUE, calibrated)[0, 1])
    assert found.value != pytest.approx(np.corrcoef(TRUE, PREDICTED)[0, 1])


def test_constant_predictions_have_no_score_and_say_why() -> None:
    found = result(ScriptedSimulator(dict.fromkeys(PREDICTIONS, 2.0)))
    assert (found.value, found.reason) == (None, "the predicted activations are all alike")
    assert [on.correlation for on in found.simulated] == [None, None, None]
    assert found.details["rsquared_score"] is not None


def test_without_anything_to_calibrate_on_there_is_no_score() -> None:
    found = result(ScriptedSimulator(), "linear", evidence(TOP, RANDOM))
    assert (found.value, found.reason) == (None, "not calibrated: there is no excerpt to calibrate on")
    assert found.details["calibration"] == {"kind": "linear"}
    assert len(found.simulated) == 3


def test_without_an_unseen_top_excerpt_there_is_no_score_and_nothing_is_asked() -> None:
    simulator = ScriptedSimulator()
    for on in (evidence([]), evidence([], RANDOM, CALIBRATION)):
        found = result(simulator, on=on)
        assert (found.value, found.reason) == (None, "no top excerpt that the explainer did not see")
        assert (found.cost_usd, list(found.simulated)) == (0.0, [])
    assert simulator.given == []


def test_what_could_not_be_simulated_has_its_reason_and_what_it_cost() -> None:
    found = result(ScriptedSimulator(reason="unsupported: no"))
    assert (found.value, found.reason, found.cost_usd) == (None, "unsupported: no", 0.5)
    assert list(found.simulated) == []


def by_settings(simulator: str, calls: SimulatorCalls) -> Result:
    settings = ScorerSettings(metric="simulation", simulator=simulator)  # type: ignore[arg-type]
    return asyncio.run(simulation_scorer(settings, calls).score("Cats.", EVIDENCE, attempt=0))


def test_settings_choose_the_simulator() -> None:
    def repeated(question: str) -> Completion:
        return written("\n".join(f"{line} {len(line) % 7}" for line in question.split("\n")[1:]))

    at_a_time = by_settings(
        "one-at-a-time", SimulatorCalls(FEW_SHOTS, chat=ScriptedPaidChat(lambda q: likely({str(len(q) % 7): 1.0})))
    )
    free = by_settings("logprob-free", SimulatorCalls(FEW_SHOTS, chat=ScriptedPaidChat(repeated)))
    model = tiny_model()
    model.config.max_position_embeddings = 2048
    at_once = by_settings("all-at-once", SimulatorCalls(FEW_SHOTS[:1], local=LocalChat(model, tiny_tokenizer())))
    for found, name in ((at_a_time, "one-at-a-time"), (free, "logprob-free"), (at_once, "all-at-once")):
        assert found.details["simulator"] == name
        assert [len(on.expected) for on in found.simulated] == [3, 2, 2]


@pytest.mark.parametrize(
    ("simulator", "expected"),
    [("all-at-once", "a model in this process"), ("one-at-a-time", "a chat model"), ("logprob-free", "a chat model")],
)
def test_a_simulator_without_its_model_is_refused(simulator: str, expected: str) -> None:
    with pytest.raises(InvalidInput, match=f"the simulator {simulator} needs {expected}"):
        by_settings(simulator, SimulatorCalls(FEW_SHOTS))
