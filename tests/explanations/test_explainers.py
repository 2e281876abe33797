"""Names of explainers, and the settings of a batch's calls."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.explanations.explainers import (
    NO_EXPLAINER,
    Explainer,
    ExplainerSettings,
    cost_usd,
    explainer_settings,
    parse_explainer,
)


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("openai:gpt-4", Explainer("openai", "gpt-4")),
        (" local:smollm2-135m ", Explainer("local", "smollm2-135m")),
        ("local:/models/a:b", Explainer("local", "/models/a:b")),
        ("none", NO_EXPLAINER),
    ],
)
def test_known_explainers(name: str, explainer: Explainer) -> None:
    assert parse_explainer(name) == explainer
    assert str(explainer) == name.strip()


@pytest.mark.parametrize("name", ["gpt-4", "openai:", "local: ", "", "none:x", "anthropic:claude"])
def test_unknown_explainers_say_what_is_expected(name: str) -> None:
    with pytest.raises(InvalidInput, match="expected openai:MODEL, local:NAME-OR-PATH or none"):
        parse_explainer(name)


def test_default_settings_are_the_papers() -> None:
    settings = ExplainerSettings()
    assert (settings.temperature, settings.top_p, settings.max_tokens, settings.n_context) == (1.0, 1.0, 60, 4097)
    assert settings.excerpts == "every4th"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"temperature": 3}, "explainer setting temperature=3: Input should be less than or equal to 2"),
        ({"top_p": 0}, "explainer setting top_p=0: "),
        ({"excerpts": "best"}, "explainer setting excerpts='best': Input should be 'every4th' or 'top5'"),
        ({"api_key": "x"}, "explainer setting api_key: Extra inputs are not permitted"),
        ({"base_url": "localhost:8000"}, "expected a URL that begins with http:// or https://"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInput) as error:
        explainer_settings(values)
    assert complaint in str(error.value)


@pytest.mark.parametrize("url", ["https://me:hunter2@api.test/v1", "https://api.test/v1?key=hunter2"])
def test_a_base_url_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput, match="keys come from the environment only") as error:
        explainer_settings({"base_url": url})
    assert "hunter2" not in str(error.value)


def test_settings_survive_being_stored() -> None:
    settings = ExplainerSettings(base_url="http://127.0.0.1:8000/v1", temperature=0.5, seed=3, excerpts="top5")
    assert explainer_settings(settings.model_dump(mode="json")) == settings


def test_cost_of_a_call() -> None:
    priced = ExplainerSettings(usd_per_million_prompt_tokens=30, usd_per_million_completion_tokens=60)
    gpt, local = Explainer("openai", "gpt-4"), Explainer("local", "smollm2")
    assert cost_usd(gpt, priced, 1000, 50) == pytest.approx(0.033)
    assert cost_usd(gpt, ExplainerSettings(), 1000, 50) is None
    assert cost_usd(gpt, priced, None, None) is None
    assert cost_usd(local, ExplainerSettings(), 1000, 50) == 0.0
    assert cost_usd(NO_EXPLAINER, ExplainerSettings(), 0, 0) == 0.0
