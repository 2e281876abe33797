"""What models cost, as an admin entered it; and the price and the budget of an order. No price is known without an
admin: prices change, and this program does not guess them."""

import math
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import ModelPrice
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import OPENAI, CallSettings, Explainer, parse_explainer

LARGEST_PRICE = 100_000.0
LARGEST_BUDGET_USD = 1e9
LARGEST_BUDGET_TOKENS = 10**15
LONGEST_SOURCE = 500

SomeSettings = TypeVar("SomeSettings", bound=CallSettings)


@dataclass(frozen=True)
class Price:
    """What a model costs from a day on, in US dollars for a million tokens. source: where that was read."""

    model: str
    as_of: date
    usd_per_million_prompt_tokens: float
    usd_per_million_completion_tokens: float
    source: str


def all_prices(session: Session) -> tuple[Price, ...]:
    """By model, the newest first."""
    rows = session.scalars(sa.select(ModelPrice).order_by(ModelPrice.model, ModelPrice.as_of.desc()))
    return tuple(_price(row) for row in rows)


def price_on(session: Session, explainer: Explainer, day: date) -> Price | None:
    """The latest price of a model that is not from after this day; None where none is entered."""
    row = session.scalar(
        sa.select(ModelPrice)
        .where(ModelPrice.model == str(explainer), ModelPrice.as_of <= day)
        .order_by(ModelPrice.as_of.desc())
        .limit(1)
    )
    return None if row is None else _price(row)


def enter_price(session: Session, price: Price) -> bool:
    """Stores a price, or corrects the one of the same model and day; whether it is new.

    Batches keep the price they were ordered at. Errors: InvalidInput.
    """
    _check(price)
    row = session.get(ModelPrice, (price.model, price.as_of))
    is_new = row is None
    if row is None:
        row = ModelPrice(model=price.model, as_of=price.as_of)
        session.add(row)
    row.usd_per_million_prompt_tokens = price.usd_per_million_prompt_tokens
    row.usd_per_million_completion_tokens = price.usd_per_million_completion_tokens
    row.source = price.source
    session.flush()
    return is_new


def delete_price(session: Session, model: str, as_of: date) -> None:
    """Errors: UnknownName."""
    row = session.get(ModelPrice, (model, as_of))
    if row is None:
        raise UnknownName(f"no price of {model} of {as_of}")
    session.delete(row)


def priced(session: Session, explainer: Explainer, settings: SomeSettings, today: date) -> SomeSettings:
    """The settings with the price of today and its day, as the batch keeps them; as they are where none is known."""
    if explainer.kind != OPENAI or settings.usd_per_million_prompt_tokens is not None:
        return settings
    price = price_on(session, explainer, today)
    if price is None:
        return settings
    return settings.model_copy(
        update={
            "usd_per_million_prompt_tokens": price.usd_per_million_prompt_tokens,
            "usd_per_million_completion_tokens": price.usd_per_million_completion_tokens,
            "price_as_of": price.as_of,
        }
    )


def has_price(explainer: Explainer, settings: CallSettings) -> bool:
    """Whether it is known what a call costs; what runs on this machine costs nothing."""
    known = (settings.usd_per_million_prompt_tokens, settings.usd_per_million_completion_tokens)
    return explainer.kind != OPENAI or None not in known


def no_price(explainer: Explainer) -> str:
    return f"no price is known for {explainer}; enter one under Prices"


def check_budget(explainer: Explainer, settings: CallSettings, usd: float | None, tokens: int | None) -> None:
    """Errors: InvalidInput for a budget out of range, and for one in dollars where a call's price is unknown."""
    if usd is not None:
        if not (math.isfinite(usd) and 0 < usd <= LARGEST_BUDGET_USD):
            raise InvalidInput(f"budget of {usd:g} dollars; expected more than 0, at most {LARGEST_BUDGET_USD:,.0f}")
        if not has_price(explainer, settings):
            raise InvalidInput(f"a budget in dollars cannot be kept: {no_price(explainer)}, or give a budget in tokens")
    if tokens is not None and not 0 < tokens <= LARGEST_BUDGET_TOKENS:
        raise InvalidInput(f"budget of {tokens} tokens; expected at least 1, at most {LARGEST_BUDGET_TOKENS:,}")


def _check(price: Price) -> None:
    if parse_explainer(price.model).kind != OPENAI or str(parse_explainer(price.model)) != price.model:
        raise InvalidInput(f"price of {price.model!r}; expected a model as explainers name it, openai:MODEL")
    for name, value in (
        ("prompt", price.usd_per_million_prompt_tokens),
        ("answer", price.usd_per_million_completion_tokens),
    ):
        if not (math.isfinite(value) and 0 <= value <= LARGEST_PRICE):
            raise InvalidInput(f"price of {name} tokens {value:g}; expected dollars from 0 to {LARGEST_PRICE:,.0f}")
    if not price.source.strip() or len(price.source) > LONGEST_SOURCE:
        raise InvalidInput(
            f"source {price.source!r}; expected where the price was read, in up to {LONGEST_SOURCE} characters"
        )


def _price(row: ModelPrice) -> Price:
    return Price(
        row.model,
        row.as_of,
        row.usd_per_million_prompt_tokens,
        row.usd_per_million_completion_tokens,
        row.source,
    )
