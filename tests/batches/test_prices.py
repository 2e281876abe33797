"""Prices of models: entered, corrected, copied into orders, and what a budget needs them for."""

from datetime import date

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.batches.models import ModelPrice
from app.batches.prices import Price, all_prices, check_budget, delete_price, enter_price, price_on, priced
from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import ExplainerSettings, parse_explainer
from tests.forms import submit

GPT = "openai:gpt-4"
DAY = date(2026, 5, 1)
TYPED = {"model": GPT, "as_of": "2026-05-01", "prompt": "30", "completion": "60", "source": "the price list"}


def price(**changes: object) -> Price:
    values: dict[str, object] = {
        "model": GPT,
        "as_of": DAY,
        "usd_per_million_prompt_tokens": 30.0,
        "usd_per_million_completion_tokens": 60.0,
        "source": "the price list",
    }
    return Price(**(values | changes))  # type: ignore[arg-type]


def n_stored(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(ModelPrice)) or 0


def test_no_price_comes_with_the_program(database: Database) -> None:
    with database.reading() as session:
        assert all_prices(session) == ()


def test_the_latest_price_that_is_not_from_the_future_counts(database: Database) -> None:
    with database.writing() as session:
        old, new, future = (price(as_of=date(2026, month, 1)) for month in (1, 5, 9))
        for each in (new, future, old, price(model="openai:other")):
            assert enter_price(session, each)
        gpt = parse_explainer(GPT)
        assert price_on(session, gpt, date(2026, 5, 1)) == new
        assert price_on(session, gpt, date(2026, 4, 30)) == old
        assert price_on(session, gpt, date(2025, 12, 31)) is None
        assert price_on(session, parse_explainer("openai:gpt-4o"), DAY) is None
        assert all_prices(session) == (future, new, old, price(model="openai:other"))


def test_another_price_of_the_same_day_corrects_it(database: Database) -> None:
    with database.writing() as session:
        assert enter_price(session, price())
        assert not enter_price(session, price(usd_per_million_prompt_tokens=3.0, source="read again"))
        assert all_prices(session) == (price(usd_per_million_prompt_tokens=3.0, source="read again"),)
        delete_price(session, GPT, DAY)
        assert all_prices(session) == ()
        with pytest.raises(UnknownName, match="no price of openai:gpt-4 of 2026-05-01"):
            delete_price(session, GPT, DAY)


WRONG_PRICES: tuple[tuple[dict[str, object], str], ...] = (
    ({"model": "gpt-4"}, "unknown explainer 'gpt-4'"),
    ({"model": "local:toy"}, "price of 'local:toy'; expected a model as explainers name it, openai:MODEL"),
    ({"model": " openai:gpt-4"}, "expected a model as explainers name it"),
    ({"usd_per_million_prompt_tokens": -1.0}, "price of prompt tokens -1; expected dollars from 0 to 100,000"),
    ({"usd_per_million_completion_tokens": float("inf")}, "price of answer tokens inf; expected dollars"),
    ({"usd_per_million_completion_tokens": float("nan")}, "price of answer tokens nan; expected dollars"),
    ({"source": " "}, "expected where the price was read"),
)


def test_a_wrong_price_is_refused_and_not_stored(database: Database) -> None:
    with database.writing() as session:
        for changes, complaint in WRONG_PRICES:
            with pytest.raises(InvalidInput, match=complaint):
                enter_price(session, price(**changes))
        assert n_stored(session) == 0


def test_an_order_keeps_the_price_of_its_day_and_no_other(database: Database) -> None:
    with database.writing() as session:
        enter_price(session, price())
        bare = ExplainerSettings()
        with_price = priced(session, parse_explainer(GPT), bare, date(2026, 6, 1))
        assert with_price.price_as_of == DAY
        assert (with_price.usd_per_million_prompt_tokens, with_price.usd_per_million_completion_tokens) == (30, 60)
        given = ExplainerSettings(usd_per_million_prompt_tokens=1, usd_per_million_completion_tokens=2)
        assert priced(session, parse_explainer(GPT), given, date(2026, 6, 1)) == given
        assert priced(session, parse_explainer("local:gpt-4"), bare, date(2026, 6, 1)) == bare
        assert priced(session, parse_explainer("openai:other"), bare, date(2026, 6, 1)) == bare


@pytest.mark.parametrize(
    ("explainer", "usd", "tokens", "complaint"),
    [
        (GPT, 5.0, None, f"a budget in dollars cannot be kept: no price is known for {GPT}; enter one under Prices"),
        ("local:toy", 0.0, None, "budget of 0 dollars; expected more than 0"),
        ("local:toy", float("nan"), None, "budget of nan dollars"),
        ("local:toy", None, 0, "budget of 0 tokens; expected at least 1"),
        ("local:toy", None, 10**16, "budget of 10000000000000000 tokens"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(
    explainer: str, usd: float | None, tokens: int | None, complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        check_budget(parse_explainer(explainer), ExplainerSettings(), usd, tokens)


def test_budgets_that_can_be_kept() -> None:
    settings = ExplainerSettings(usd_per_million_prompt_tokens=1, usd_per_million_completion_tokens=2)
    check_budget(parse_explainer(GPT), settings, 5.0, 1)
    check_budget(parse_explainer(GPT), ExplainerSettings(), None, 10**9)
    check_budget(parse_explainer("local:toy"), ExplainerSettings(), 5.0, None)


def test_an_admin_enters_corrects_and_deletes_a_price(admin_client: TestClient, database: Database) -> None:
    page = admin_client.get("/prices")
    assert "No price is entered yet." in page.text
    assert submit(admin_client, page, action="/prices", **TYPED).headers["location"] == "/prices"
    page = admin_client.get("/prices")
    assert "The price of openai:gpt-4 is entered." in page.text
    assert '<td class="num">$30.00</td>' in page.text
    page = admin_client.get("/prices?model=openai:gpt-4&as_of=2026-05-01")
    submit(admin_client, page, action="/prices", prompt="0.25")
    with database.reading() as session:
        assert all_prices(session) == (price(usd_per_million_prompt_tokens=0.25),)
    page = admin_client.get("/prices")
    assert "is corrected" in page.text
    submit(admin_client, page, action="/prices/delete")
    with database.reading() as session:
        assert n_stored(session) == 0


MISTAKES: tuple[tuple[dict[str, str], str], ...] = (
    ({"as_of": "1 May"}, "day &#39;1 May&#39;; expected year-month-day such as 2026-05-31"),
    ({"prompt": "-3"}, "price of prompt tokens is &#39;-3&#39;; expected a number such as 20 or 0.5"),
    ({"completion": "1e3"}, "price of answer tokens is &#39;1e3&#39;"),
    ({"prompt": ""}, "price of prompt tokens is &#39;&#39;"),
    ({"model": "gpt-4"}, "unknown explainer"),
)


def test_a_mistake_in_a_price_is_named_and_what_was_typed_stays(admin_client: TestClient, database: Database) -> None:
    page = admin_client.get("/prices")
    for changes, problem in MISTAKES:
        response = submit(admin_client, page, action="/prices", **(TYPED | changes))
        assert response.status_code == 400
        assert problem in response.text
        assert 'value="the price list"' in response.text
    with database.reading() as session:
        assert n_stored(session) == 0


def test_prices_are_for_admins(researcher_client: TestClient) -> None:
    assert researcher_client.get("/prices").status_code == 403
