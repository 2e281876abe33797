"""Who may measure what, and under which name."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import Explainer
from app.explanations.prompt_packs import loading
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.scoring.settings import checked_model, scorer_name, scorer_settings, scoring_model

SHIPPED = Path(loading.__file__).parent / "default"


@pytest.mark.parametrize(
    ("settings", "model", "name"),
    [
        ({"metric": "simulation"}, "local:smollm2-135m", "local:smollm2-135m all-at-once"),
        (
            {"metric": "simulation", "calibration": "percentile"},
            "local:smollm2-135m",
            "local:smollm2-135m all-at-once percentile",
        ),
        ({"metric": "simulation", "simulator": "one-at-a-time"}, "openai:gpt-4o", "openai:gpt-4o one-at-a-time"),
        ({"metric": "simulation", "simulator": "logprob-free"}, "openai:gpt-4o", "openai:gpt-4o logprob-free"),
        (
            {"metric": "simulation", "simulator": "logprob-free", "temperature": 0.7, "seed": 3},
            "openai:gpt-4o",
            "openai:gpt-4o logprob-free temperature 0.7 seed 3",
        ),
        (
            {"metric": "simulation", "simulator": "one-at-a-time", "temperature": 0.7, "seed": 3},
            "openai:gpt-4o",
            "openai:gpt-4o one-at-a-time",
        ),
        ({"metric": "simulation", "temperature": 1, "seed": 3}, "local:toy", "local:toy all-at-once"),
        ({"metric": "adacs"}, "minilm-l6-v2", "minilm-l6-v2"),
        ({"metric": "adacs"}, "openai:text-embedding-ada-002", "openai:text-embedding-ada-002"),
        (
            {"metric": "adacs", "reference_explainer": "openai:gpt-4"},
            "minilm-l6-v2",
            "minilm-l6-v2 against openai:gpt-4",
        ),
        ({"metric": "detection", "calibration": "linear"}, "openai:gpt-4o", "openai:gpt-4o"),
        ({"metric": "fuzzing"}, " local:toy ", "local:toy"),
        ({"metric": "fuzzing", "temperature": 1}, "local:toy", "local:toy temperature 1"),
        ({"metric": "detection", "seed": 0, "top_p": 0.9}, "openai:gpt-4o", "openai:gpt-4o seed 0 top-p 0.9"),
        ({"metric": "adacs", "temperature": 1, "seed": 3}, "minilm-l6-v2", "minilm-l6-v2"),
        ({"metric": "lexical"}, "none", "tf-idf"),
        ({"metric": "lexical"}, "", "tf-idf"),
    ],
)
def test_a_scorer_is_named_after_its_model_and_what_changes_the_value(
    settings: dict[str, Any], model: str, name: str
) -> None:
    parsed = scorer_settings(settings)
    assert scorer_name(parsed, checked_model(parsed, model)) == name


def test_a_changed_prompt_pack_makes_another_scorer(tmp_path: Path) -> None:
    pack = copytree(SHIPPED, tmp_path / "mine")
    settings = scorer_settings({"metric": "simulation", "prompt_pack": str(pack)})
    before = scorer_name(settings, "local:toy")
    assert before == f"local:toy all-at-once pack {load_pack(str(pack)).identity}"
    (pack / "system" / "original.txt").write_text("Explain.", encoding="utf-8")
    after = scorer_name(settings, "local:toy")
    assert after.startswith("local:toy all-at-once pack mine@")
    assert after != before
    with pytest.raises(UnknownName, match="no prompt pack 'no'"):
        scorer_name(scorer_settings({"metric": "simulation", "prompt_pack": "no"}), "local:toy")


@pytest.mark.parametrize(
    ("settings", "model", "complaint"),
    [
        ({"metric": "lexical"}, "openai:gpt-4o", "the metric lexical needs no model, not 'openai:gpt-4o'"),
        ({"metric": "adacs"}, "local:toy", "adacs cannot be measured by 'local:toy'; expected openai:MODEL or minilm"),
        ({"metric": "adacs"}, "none", "expected openai:MODEL or minilm-l6-v2"),
        ({"metric": "detection"}, "minilm-l6-v2", "detection cannot be measured by 'minilm-l6-v2'"),
        ({"metric": "fuzzing"}, "gpt-4o", "unknown scorer 'gpt-4o'; expected openai:MODEL or local:NAME-OR-PATH"),
        ({"metric": "simulation"}, "openai:gpt-4o", "all-at-once reads a local model from within"),
        ({"metric": "simulation", "simulator": "one-at-a-time"}, "local:toy", "asks a server for token probabilities"),
        ({"metric": "simulation", "simulator": "logprob-free"}, "local:toy", "'local:toy' ends each at its first line"),
        ({"metric": "simulation"}, "", "cannot be measured by ''"),
    ],
)
def test_a_model_that_cannot_measure_a_metric_is_refused(settings: dict[str, str], model: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        checked_model(scorer_settings(settings), model)


def test_nobody_is_called_for_what_runs_without_a_chat_model() -> None:
    assert scoring_model("minilm-l6-v2") is None
    assert scoring_model("none") is None
    assert scoring_model("openai:gpt-4o") == Explainer("openai", "gpt-4o")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, r"^scorer setting metric: Field required$"),
        ({"metric": "bleu"}, r"^unknown metric 'bleu'; expected one of simulation, adacs, detection, fuzzing"),
        ({"metric": "adacs", "temperature": 3}, "scorer setting temperature=3: "),
        ({"metric": "simulation", "calibration": "cubic"}, "scorer setting calibration='cubic'"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        scorer_settings(values)


def test_a_key_in_a_wrong_setting_never_reaches_the_message() -> None:
    for values in ({"api_key": "sk-planted"}, {"base_url": "http://me:sk-planted@here"}):
        with pytest.raises(InvalidInput) as refused:
            scorer_settings({"metric": "adacs", **values})
        assert "sk-planted" not in str(refused.value)
