"""Prices of models: an admin enters, corrects and deletes them."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from app.batches.prices import delete_price, enter_price
from app.batches.prices_page import SentPrice, form_to_correct, prices_page, typed_day
from app.database import utc_now
from app.errors import NeuronJuryError
from app.web.dependencies import CurrentAdmin, SessionDep
from app.web.templating import page, redirect

router = APIRouter(prefix="/prices")


@router.get("")
def list_prices(request: Request, session: SessionDep, _: CurrentAdmin, model: str = "", as_of: str = "") -> Response:
    """model, as_of: of a price to correct."""
    return page(request, prices_page(session, form_to_correct(session, model, as_of, utc_now().date())))


@router.post("")
def enter(request: Request, session: SessionDep, _: CurrentAdmin, form: SentPrice) -> Response:
    try:
        price = form.price()
        is_new = enter_price(session, price)
    except NeuronJuryError as error:
        return page(request, prices_page(session, form, str(error)), status=400)
    return redirect("/prices", notice=f"The price of {price.model} is {'entered' if is_new else 'corrected'}.")


@router.post("/delete")
def delete(
    session: SessionDep, _: CurrentAdmin, model: Annotated[str, Form()] = "", as_of: Annotated[str, Form()] = ""
) -> Response:
    delete_price(session, model, typed_day(as_of))
    return redirect("/prices", notice=f"The price of {model} of {as_of} is deleted.")
