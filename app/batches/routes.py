"""The admin's pages of batches: order one, watch it, pause and resume it, ask again for what failed, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import Response

from app.batches import launching, life, pages
from app.batches.estimate_in_words import estimate_in_words
from app.batches.estimating import estimate_batch
from app.batches.forms import NewBatchForm, SentBudget, SentNewBatch
from app.batches.models import PAUSED
from app.batches.new_page import fresh_form, new_batch_page
from app.batches.ordering import order_of
from app.batches.progress import batch_progress
from app.database import utc_now
from app.errors import InvalidInput, NeuronJuryError
from app.explanations.counting_here import counter_here
from app.explanations.explainers import parse_explainer
from app.web.dependencies import CurrentAdmin, SessionDep, SettingsDep
from app.web.templating import page, redirect

BatchId = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(prefix="/batches")


@router.get("")
def list_batches(request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.batch_list_page(session))


@router.get("/new")
def new_batch(request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, new_batch_page(session, fresh_form(session)))


# The batch is stored in a transaction of its own, not in the request's: it has to be there before workers hear of it.
@router.post("/new")
def order_batch(request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentNewBatch) -> Response:
    database = request.app.state.database
    try:
        with database.reading() as session:
            order = order_of(session, form.wish())
        batch_id = launching.launch_batch(settings, database, order)
    except NeuronJuryError as error:
        return _form_again(request, form, error)
    if batch_id is None:
        return redirect("/batches", notice="All of these explanations are there already.")
    return redirect(f"/batches/{batch_id}")


# Prompts are built and counted; nobody else has to wait for that, so it is no writing transaction.
@router.post("/new/estimate")
def estimate(request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentNewBatch) -> Response:
    try:
        with request.app.state.database.reading() as session:
            wish = form.wish()
            counter = counter_here(session, parse_explainer(wish.explainer), wish.settings, settings.models_folder)
            estimated = estimate_batch(session, order_of(session, wish), counter, utc_now().date())
            return page(request, new_batch_page(session, form, estimate=estimate_in_words(estimated)))
    except NeuronJuryError as error:
        return _form_again(request, form, error)


def _form_again(request: Request, form: NewBatchForm, error: NeuronJuryError) -> Response:
    with request.app.state.database.reading() as session:
        return page(request, new_batch_page(session, form, str(error)), status=400)


@router.get("/{batch_id}")
def batch(batch_id: BatchId, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.batch_page(session, batch_id))


@router.get("/{batch_id}/progress")
def progress(
    batch_id: BatchId,
    request: Request,
    session: SessionDep,
    _: CurrentAdmin,
    seen: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """seen: the state of the batch on the page that asks."""
    part = pages.batch_progress_part(session, batch_id)
    response = page(request, part)
    if not part.batch.is_followed or (part.batch.status == PAUSED) != (seen == PAUSED):
        # Only a page whose batch was followed asks for this: its buttons are no longer the right ones.
        response.headers["HX-Refresh"] = "true"
    return response


@router.post("/{batch_id}/pause")
def pause(batch_id: BatchId, request: Request, _: CurrentAdmin) -> Response:
    launching.pause(request.app.state.database, batch_id)
    return redirect(f"/batches/{batch_id}", notice="The batch is paused. Answers that are under way are kept.")


@router.post("/{batch_id}/resume")
def resume(batch_id: BatchId, request: Request, settings: SettingsDep, _: CurrentAdmin) -> Response:
    launching.resume(settings, request.app.state.database, batch_id)
    return redirect(f"/batches/{batch_id}", notice="The batch goes on.")


@router.post("/{batch_id}/retry")
def retry(
    batch_id: BatchId,
    request: Request,
    settings: SettingsDep,
    _: CurrentAdmin,
    reason: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """reason: only what failed for it; nothing asks for all that failed."""
    database = request.app.state.database
    with database.reading() as session:
        n_waiting = batch_progress(session, batch_id).n_queued
    n_retried = launching.retry_failed(settings, database, batch_id, [reason] if reason else None)
    waiting = f" The {n_waiting:,} that waited go on too." if n_waiting else ""
    notice = f"{n_retried:,} asked again.{waiting}" if n_retried else "Nothing of this batch has failed so."
    return redirect(f"/batches/{batch_id}", notice=notice)


@router.post("/{batch_id}/budget")
def raise_budget(
    batch_id: BatchId, request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentBudget
) -> Response:
    """A batch that waits for money goes on with it."""
    database = request.app.state.database
    try:
        with database.writing() as session:
            life.raise_budget(session, batch_id, form.usd(), form.tokens())
            is_paused = life.find_batch(session, batch_id).status == PAUSED
    except InvalidInput as error:
        with database.reading() as session:
            return page(request, pages.batch_page(session, batch_id, form, str(error)), status=400)
    if is_paused:
        launching.resume(settings, database, batch_id)
    return redirect(
        f"/batches/{batch_id}", notice="The budget is changed." + (" The batch goes on." if is_paused else "")
    )


@router.post("/{batch_id}/cancel")
def cancel(batch_id: BatchId, request: Request, settings: SettingsDep, _: CurrentAdmin) -> Response:
    launching.withdraw_batch(settings, request.app.state.database, batch_id)
    return redirect(f"/batches/{batch_id}", notice="The batch is cancelled. What was done stays.")
