"""What servers say of settings that they do not take, in their own ways."""

from typing import Any

import httpx2
import openai
import pytest

from worker.explaining.refused_settings import RefusedSettings, is_too_long, refuses_logprobs

ASKED = {"temperature": 0.5, "top_p": 0.9, "seed": 1, "max_tokens": 60}


def refusal(message: str, status: int = 400, **fields: Any) -> openai.APIStatusError:
    body = {"message": message, **fields}
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://127.0.0.1"))
    return openai.BadRequestError(message, response=response, body=body)


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (refusal("Only the default is supported.", param="temperature", code="unsupported_value"), "temperature"),
        (refusal("seed: Extra inputs are not permitted"), "seed"),
        (refusal("`temperature` and `top_p` cannot both be specified"), "top_p"),
        (refusal("Unrecognized request argument supplied: top_p"), "top_p"),
        (refusal("Use 'max_completion_tokens' instead of 'max_tokens'.", param="max_tokens"), "max_tokens"),
    ],
)
def test_a_setting_that_is_refused_is_left_out_or_renamed(error: openai.APIStatusError, setting: str) -> None:
    refused = RefusedSettings()
    assert refused.learn(error, ASKED) == setting
    options = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    again = refused.request(options, 60)
    assert setting not in again
    assert len(again) == (4 if setting == "max_tokens" else 3)


@pytest.mark.parametrize(
    "error",
    [
        refusal("temperature must be at most 1", param="temperature", code="decimal_above_max_value"),
        refusal("'max_tokens' or 'max_completion_tokens' is too large: the maximum context length is 4096"),
        refusal("Unsupported language in the messages"),
        refusal("unsupported value for temperature_scale"),
    ],
)
def test_other_refusals_change_nothing(error: openai.APIStatusError) -> None:
    refused = RefusedSettings()
    assert refused.learn(error, ASKED) is None
    assert refused == RefusedSettings()


def test_what_was_left_out_is_said_once() -> None:
    refused = RefusedSettings()
    assert refused.remark is None
    for _ in range(2):
        refused.learn(refusal("temperature is not supported", param="temperature"), ASKED)
    refused.learn(refusal("seed is not supported"), ASKED)
    assert refused.remark == "the model does not take seed and temperature: it was asked without"


def test_too_long_and_logprobs_are_told_apart() -> None:
    assert is_too_long(refusal("x", code="context_length_exceeded"))
    assert is_too_long(refusal("the request exceeds the available context size", type="exceed_context_size_error"))
    assert not is_too_long(refusal("temperature is not supported"))
    assert refuses_logprobs(refusal("logprobs are not supported with this model"))
    assert not refuses_logprobs(refusal("seed is not supported"))
