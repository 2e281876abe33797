"""The page of prices: what models cost, as an admin entered it."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar

from fastapi import Form
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.batches.prices import Price, all_prices
from app.batches.typed_numbers import typed_decimal
from app.batches.wording import dollars
from app.errors import InvalidInput
from app.web.templating import PageContext


class PriceForm(BaseModel):
    """A price as typed. as_of: `2026-05-31`. Both prices are US dollars for a million tokens."""

    model: str = ""
    as_of: str = ""
    prompt: str = ""
    completion: str = ""
    source: str = ""

    def price(self) -> Price:
        """Errors: InvalidInput, which names the field."""
        return Price(
            model=self.model.strip(),
            as_of=typed_day(self.as_of),
            usd_per_million_prompt_tokens=typed_decimal(self.prompt, "price of prompt tokens"),
            usd_per_million_completion_tokens=typed_decimal(self.completion, "price of answer tokens"),
            source=self.source.strip(),
        )


SentPrice = Annotated[PriceForm, Form()]


@dataclass(frozen=True)
class PriceLine:
    """One price. prompt, completion: in dollars for a million tokens, as people read them."""

    model: str
    as_of: date
    prompt: str
    completion: str
    source: str


@dataclass(frozen=True)
class PricesPage(PageContext):
    """What templates/batches/prices.html shows.

    prices: by model, the newest first.
    form: what was typed, or the price to correct.
    problem: why it could not be stored, or empty.
    """

    template: ClassVar[str] = "batches/prices.html"
    prices: tuple[PriceLine, ...]
    form: PriceForm
    problem: str


def prices_page(session: Session, form: PriceForm, problem: str = "") -> PricesPage:
    lines = tuple(
        PriceLine(
            price.model,
            price.as_of,
            dollars(price.usd_per_million_prompt_tokens),
            dollars(price.usd_per_million_completion_tokens),
            price.source,
        )
        for price in all_prices(session)
    )
    return PricesPage(lines, form, problem)


def form_to_correct(session: Session, model: str, as_of: str, today: date) -> PriceForm:
    """The form filled with a stored price; as good as empty, with today, where there is none."""
    for price in all_prices(session):
        if (price.model, price.as_of.isoformat()) == (model, as_of):
            prompt, completion = price.usd_per_million_prompt_tokens, price.usd_per_million_completion_tokens
            return PriceForm(
                model=model, as_of=as_of, prompt=f"{prompt:.12g}", completion=f"{completion:.12g}", source=price.source
            )
    return PriceForm(as_of=today.isoformat())


def typed_day(text: str) -> date:
    """Errors: InvalidInput."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"day {text.strip()!r}; expected year-month-day such as 2026-05-31") from None
