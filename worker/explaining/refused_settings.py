"""Settings that a model does not take, learned from how its server refuses them. Asks nobody."""

import re
from dataclasses import dataclass, field
from typing import Any

import openai

CAN_BE_LEFT_OUT = ("seed", "top_p", "temperature")
"""In the order in which they are left out when a refusal names several: the last changes answers most."""
LOGPROBS = ("logprobs", "top_logprobs")
MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
_REFUSING = re.compile(
    r"unsupported|not? (?:longer )?support|does not (?:support|take|accept)|unrecogni[sz]ed|unknown|unexpected"
    r"|deprecated|not permitted|not allowed|extra inputs|extra_forbidden|cannot both|instead",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context|context length|context size|context window|exceed_context", re.IGNORECASE
)


@dataclass
class RefusedSettings:
    """What one model of one server does not take. length_parameter: what it calls the most tokens to write."""

    left_out: list[str] = field(default_factory=list)
    length_parameter: str = MAX_TOKENS

    def request(self, options: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        """The settings of a call, as far as the model takes them."""
        taken = {name: value for name, value in options.items() if name not in self.left_out}
        return taken | {self.length_parameter: max_tokens}

    def learn(self, error: openai.APIStatusError, asked: dict[str, Any]) -> str | None:
        """Which setting a refusal is about, if the call can be tried again without it or under its other name.

        asked: the settings of the refused call. None when the refusal is about something else.
        """
        text = _said(error)
        if is_too_long(error) or not _REFUSING.search(text):
            return None
        if MAX_TOKENS in asked and MAX_COMPLETION_TOKENS in text:
            # Newer models refuse the old name and name its successor, which other servers do not know yet.
            self.length_parameter = MAX_COMPLETION_TOKENS
            return MAX_TOKENS
        refused = named_setting(error, [name for name in CAN_BE_LEFT_OUT if name in asked])
        if refused is not None and refused not in self.left_out:
            self.left_out.append(refused)
        return refused

    @property
    def remark(self) -> str | None:
        """For people: what their order said and the model never got."""
        if not self.left_out:
            return None
        return f"the model does not take {' and '.join(sorted(self.left_out))}: it was asked without"


def named_setting(error: openai.APIStatusError, names: list[str]) -> str | None:
    """The first of these settings that a refusal names: by its field for that, else as a word of its sentence."""
    if error.param in names:
        return error.param
    text = _said(error)
    return next((name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)), None)


def refuses_logprobs(error: openai.APIStatusError) -> bool:
    return named_setting(error, list(LOGPROBS)) is not None and not is_too_long(error)


def is_too_long(error: openai.APIStatusError) -> bool:
    """Whether prompt and answer together are more than the model reads, in the words of the servers in use."""
    return _TOO_LONG.search(_said(error)) is not None


def _said(error: openai.APIStatusError) -> str:
    return f"{error.code} {error.type} {error.message}"
