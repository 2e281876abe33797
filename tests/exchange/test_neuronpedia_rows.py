"""Rows of a Neuronpedia export as plain values: what is taken, and what is refused with which words."""

import json
import math
from typing import Any

import pytest

from app.errors import InvalidInput
from app.exchange.neuronpedia_rows import (
    BinnedRecord,
    explanation_of,
    model_name_of,
    model_of,
    place_of,
    record_of,
    share_active_of,
    source_layer,
    type_of,
)
from app.exchange.storable import shown

ACTIVATIONS: dict[str, Any] = {"layer": "6-mlp", "index": "17", "tokens": ["a", " b"], "values": [0, 1.5]}
EXPLANATION: dict[str, Any] = {"layer": "6", "index": "17", "description": "names of rivers"}


@pytest.mark.parametrize(
    ("source", "layer"), [("6-mlp", 6), ("0", 0), (11, 11), ("23-mlp-act-neurons", 23), ("7-mlp-neurons", 7)]
)
def test_sources_of_mlp_neurons_name_their_layer(source: object, layer: int) -> None:
    assert source_layer(source) == layer


@pytest.mark.parametrize(
    "source",
    ["6-res-jb", "6-mlp-oai", "6-att-kk", "6-mlp-neurons-res", "mlp", "-1", "6-", "６", "", "6\n", None, True, 6.0, []],
)
def test_every_other_source_is_refused_by_name(source: object) -> None:
    with pytest.raises(InvalidInput, match="no source of MLP neurons; expected") as refused:
        source_layer(source)
    assert f"layer is {shown(source)}, no source" in str(refused.value)


@pytest.mark.parametrize("index", ["", "-1", "1.0", "x", " 1", "²", "99999999999", None, True, 1.0])
def test_an_index_that_is_no_whole_number_is_refused(index: object) -> None:
    with pytest.raises(InvalidInput, match="index is"):
        place_of({"layer": "6-mlp", "index": index})


def test_a_place_may_be_text_or_number() -> None:
    assert place_of({"layer": "6-mlp", "index": "17"}) == place_of({"layer": 6, "index": 17}) == (6, 17)


def test_a_place_beyond_every_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neuron index is 9999999999"):
        place_of({"layer": "6-mlp", "index": "9999999999"})


@pytest.mark.parametrize("model", [None, "", 3, ["gpt2-small"]])
def test_a_model_without_a_name_is_refused(model: object) -> None:
    with pytest.raises(InvalidInput, match="modelId is"):
        model_of({"modelId": model})


def test_an_activation_row_without_a_bin_is_one_of_the_best() -> None:
    assert record_of(ACTIVATIONS) == BinnedRecord(("a", " b"), (0.0, 1.5), None)


@pytest.mark.parametrize(
    ("bins", "bin_upper"),
    [
        ({"binMin": 1.0, "binMax": 2, "binContains": 0.1}, 2.0),
        ({"binMin": 1.0, "binMax": 2.0}, 2.0),
        ({"binMin": None, "binMax": 2.0}, None),
        ({"binMin": 1.0, "binMax": None}, None),
        ({"binMin": 1.0, "binMax": math.nan}, None),
        ({"binMin": -1, "binMax": -1, "binContains": -1}, None),
    ],
)
def test_a_bin_is_known_by_its_upper_edge(bins: dict[str, Any], bin_upper: float | None) -> None:
    assert record_of(ACTIVATIONS | bins).bin_upper == bin_upper


def test_numbers_beyond_every_float_are_infinite() -> None:
    values = json.loads(f"[1e999, -1e999, 1{'0' * 400}, -1{'0' * 400}]")
    record = record_of({"tokens": list("abcd"), "values": values})
    assert record.activations == (math.inf, -math.inf, math.inf, -math.inf)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"values": [0]}, "2 tokens and 1 values"),
        ({"tokens": [], "values": []}, "0 tokens and 0 values"),
        ({"tokens": None}, "not both lists"),
        ({"values": {"0": 1}}, "not both lists"),
        ({"tokens": "ab"}, "not both lists"),
        ({"tokens": ["a", 1]}, r"tokens\[1\] is 1; expected a text"),
        ({"values": [0, None]}, r"values\[1\] is null; expected a number"),
        ({"values": [math.nan, 1]}, r"values\[0\] is nan; expected a number"),
        ({"values": [True, 1]}, r"values\[0\] is True; expected a number"),
        ({"values": ["1", 1]}, r"values\[0\] is '1'; expected a number"),
        ({"binMax": "2"}, "binMax is '2'; expected a number or null"),
    ],
)
def test_an_activation_row_that_says_nothing_certain_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        record_of(ACTIVATIONS | wrong)


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.25), (0, 0.0), (1, 1.0), (None, None), (math.nan, None)])
def test_the_share_of_active_tokens_may_be_missing(share: object, expected: float | None) -> None:
    assert share_active_of({"frac_nonzero": share}) == expected
    assert share_active_of({}) is None


@pytest.mark.parametrize("share", [-0.1, 1.1, "0.5", True, math.inf, [0.5]])
def test_a_share_outside_its_range_is_refused(share: object) -> None:
    with pytest.raises(InvalidInput, match=r"frac_nonzero is .* from 0 to 1"):
        share_active_of({"frac_nonzero": share})


@pytest.mark.parametrize(
    ("type_name", "model", "names"),
    [
        ("oai_token-act-pair", "gpt-4", ("original", "openai:gpt-4", "imported:oai_token-act-pair")),
        ("neuronjury_hs", "local:smollm2", ("hs", "local:smollm2", "imported:neuronjury_hs")),
        ("np_max-act", "claude-3-5", ("imported", "imported:claude-3-5", "imported:np_max-act")),
        ("neuronjury_cot", "none", ("cot", "none", "imported:neuronjury_cot")),
        ("neuronjury_No name", "none", ("imported", "none", "imported:neuronjury_No name")),
        (None, "", ("imported", "imported:unknown", "imported:unknown")),
    ],
)
def test_type_and_model_tell_who_explained_and_how(
    type_name: str | None, model: str, names: tuple[str, str, str]
) -> None:
    said = explanation_of(EXPLANATION | {"typeName": type_name, "explanationModelName": model})
    assert (said.method, said.explainer, said.prompt_pack) == names
    assert (said.layer, said.index, said.text, said.failure) == (6, 17, "names of rivers", None)


@pytest.mark.parametrize("description", [None, "", " \n", "...", "\u200b", 3, ["x"]])
def test_an_explanation_without_words_is_refused(description: object) -> None:
    with pytest.raises(InvalidInput, match=r"description is .*; expected a text with words"):
        explanation_of(EXPLANATION | {"description": description})


@pytest.mark.parametrize("field", ["typeName", "explanationModelName"])
def test_a_name_that_is_no_text_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field} is 7; expected a name"):
        explanation_of(EXPLANATION | {field: 7})


@pytest.mark.parametrize("explainer", ["openai:gpt-4", "openai:o3", "local:smollm2", "none", "imported:gemini-pro"])
def test_an_explainers_name_survives_export_and_import(explainer: str) -> None:
    row = EXPLANATION | {"explanationModelName": model_name_of(explainer)}
    assert explanation_of(row).explainer == explainer


@pytest.mark.parametrize("explainer", ["imported:gpt-4", "imported:none", "imported:local:x"])
def test_so_do_names_that_look_like_others_without_their_prefix(explainer: str) -> None:
    assert explanation_of(EXPLANATION | {"explanationModelName": model_name_of(explainer)}).explainer == explainer


@pytest.mark.parametrize("method", ["original", "summary", "highlight", "hs", "avhs", "tokens", "cot", "imported"])
def test_a_method_survives_export_and_import(method: str) -> None:
    type_name = type_of(method, "default@0123456789ab")
    assert explanation_of(EXPLANATION | {"typeName": type_name}).method == method


def test_an_imported_type_is_exported_as_it_came() -> None:
    assert type_of("imported", "imported:np_max-act") == "np_max-act"
    assert type_of("original", "imported:oai_token-act-pair") == "oai_token-act-pair"
    assert type_of("original", "default@0123456789ab") == "oai_token-act-pair"
    assert type_of("cot", "imported:neuronjury_cot") == "neuronjury_cot"


def test_a_bin_beyond_every_float_is_the_highest() -> None:
    assert record_of(ACTIVATIONS | {"binMin": 1, "binMax": 10**400, "binContains": 10**400}).bin_upper == math.inf
