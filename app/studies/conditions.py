"""What a study compares: (method, explainer) pairs, as people write them and as messages name them. Pure."""

from collections.abc import Sequence

from app.errors import InvalidInput
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.methods import TOKENS

FEWEST_CONDITIONS, MOST_CONDITIONS = 2, 10
Conditions = Sequence[tuple[str, str]]
"""(method, explainer) pairs."""


def parse_condition(text: str) -> tuple[str, str]:
    """`summary@openai:gpt-4` as (method, explainer); `tokens` needs no explainer. Errors: InvalidInput."""
    method, _, explainer = text.strip().partition("@")
    if method == TOKENS and not explainer:
        return method, str(NO_EXPLAINER)
    if not method or not explainer:
        raise InvalidInput(f"condition {text!r}; expected METHOD@EXPLAINER such as summary@openai:gpt-4")
    return method, explainer


def condition_name(method: str, explainer: str) -> str:
    """How messages name a condition: `summary@openai:gpt-4`."""
    return f"{method}@{explainer}"


def check_conditions(conditions: Conditions) -> None:
    """Errors: InvalidInput unless they are two to ten different ones."""
    n = len(conditions)
    if n < FEWEST_CONDITIONS:
        raise InvalidInput(f"{n} condition{'' if n == 1 else 's'}; expected two or more to compare")
    if n > MOST_CONDITIONS:
        raise InvalidInput(f"{n} conditions; expected at most ten, which a rater can still compare")
    if twice := {condition for condition in conditions if list(conditions).count(condition) > 1}:
        names = ", ".join(sorted(condition_name(*condition) for condition in twice))
        raise InvalidInput(f"condition {names} is there twice; expected each once")
