"""The files of a Delphi run as plain values: names of files, explanations, and what answers come to as scores."""

import math
from typing import Any

import pytest

from app.errors import InvalidInput
from app.exchange.delphi_files import Latent, explanation_in, latent_of, score_in


def example(activating: Any, prediction: Any, **fields: Any) -> dict[str, Any]:
    is_correct = None if prediction is None else bool(activating) == bool(prediction)
    return {
        "str_tokens": ["a", " b"],
        "activations": [0.0, 1.5],
        "activating": activating,
        "prediction": prediction,
        "probability": None,
        "correct": is_correct,
    } | fields


@pytest.mark.parametrize(
    "hookpoint",
    [
        "layers.6.mlp",
        "transformer.h.6.mlp",
        "model.layers.6.mlp.act",
        "h.6.mlp.c_proj",
        "blocks.6.mlp.hook_post",
        "gpt_neox.layers.6.mlp",
    ],
)
def test_a_hookpoint_at_an_mlp_names_its_layer(hookpoint: str) -> None:
    assert latent_of(f"{hookpoint}_latent17.txt") == Latent(hookpoint, 6, 17)


@pytest.mark.parametrize(
    "hookpoint",
    ["layers.6", "layers.6.attn", "layers.mlp", "6.mlp", "layers.6.mlp.layers.7", "layers.six.mlp", "mlp.6"],
)
def test_a_hookpoint_elsewhere_is_refused(hookpoint: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no MLP of a layer; expected one such as layers\.6\.mlp"):
        latent_of(f"{hookpoint}_latent17.txt")


@pytest.mark.parametrize(
    "name",
    ["layers.6.mlp.txt", "layers.6.mlp_latent.txt", "layers.6.mlp_latent1.json", "_latent1.txt", "x_latent-1.txt"],
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a file name of a Delphi run"):
        latent_of(name)


def test_a_place_beyond_every_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neuron index is 9999999999"):
        latent_of("layers.6.mlp_latent9999999999.txt")


@pytest.mark.parametrize("content", [None, 3, ["text"], {"explanation": "text"}])
def test_an_explanation_is_a_string(content: object) -> None:
    assert explanation_in("text") == "text"
    with pytest.raises(InvalidInput, match=f"a JSON {type(content).__name__}; expected a string"):
        explanation_in(content)


def test_balanced_accuracy_weighs_both_sides_alike() -> None:
    # 3 of 4 activating examples and 1 of 2 others are told rightly; one answer could not be read.
    answers = [(True, True)] * 3 + [(True, False), (False, True), (False, False), (False, None)]
    score = score_in([example(*answer) for answer in answers], "detection")
    assert (score.metric, score.scorer, score.reason) == ("detection", "imported", None)
    assert score.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert score.details == {
        "n": 7,
        "n_activating": 4,
        "n_correct": 4,
        "n_unparsed": 1,
        "accuracy": pytest.approx(4 / 6),
    }


@pytest.mark.parametrize(
    ("answers", "reason", "accuracy"),
    [
        ([], "no examples", None),
        ([(True, True)], "no non-activating example", 1.0),
        ([(False, True)], "no activating example", 0.0),
        ([(True, None), (False, False)], "no activating example has a prediction", 1.0),
        ([(True, True), (False, None)], "no non-activating example has a prediction", 1.0),
        ([(True, None), (False, None)], "no activating example has a prediction", None),
    ],
)
def test_without_answers_on_both_sides_there_is_a_reason_and_no_value(
    answers: list[tuple[bool, bool | None]], reason: str, accuracy: float | None
) -> None:
    score = score_in([example(*answer) for answer in answers], "detection")
    assert (score.value, score.reason, score.details["accuracy"]) == (None, reason, accuracy)
    assert score.details["n"] == len(answers)


@pytest.mark.parametrize(("scorer", "metric"), [("fuzz", "fuzzing"), ("detection", "detection"), ("my own", "my own")])
def test_scorers_give_the_metric_its_name(scorer: str, metric: str) -> None:
    assert score_in([example(True, True), example(False, False)], scorer).metric == metric


def test_numbers_and_nan_may_stand_for_truth_and_missing() -> None:
    score = score_in([example(1, 1), example(0, 0), example(0, 1.0), example(1, math.nan, correct=None)], "fuzz")
    assert (score.value, score.details["n_unparsed"]) == (0.75, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"0": {}}, "a JSON dict; expected a list of examples"),
        (0.5, "a JSON float; expected a list of examples"),
        ([[True]], "example 0 is a JSON list; expected an object"),
        ([example(True, True), {"activating": True, "similarity": 0.5}], "example 1 has no prediction"),
        ([example(None, True)], "activating of example 0 is missing"),
        ([example(True, "yes")], "prediction of example 0 is 'yes'; expected true, false or null"),
        ([example(True, -1, correct=None)], "prediction of example 0 is '-1'"),
        ([example([], True)], r"activating of example 0 is '\[\]'"),
        ([example(True, True, correct=False)], "example 0 contradicts itself"),
    ],
)
def test_what_no_classifying_scorer_writes_is_refused(content: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        score_in(content, "detection")
