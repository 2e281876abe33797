"""The admin's pages of batches: order one, watch it, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.batches import pages
from app.batches.choosing import chosen_neurons
from app.batches.forms import NewBatchForm, SentNewBatch
from app.batches.launching import BatchOrder, launch_batch, withdraw_batch
from app.errors import NeuronJuryError
from app.web.dependencies import CurrentAdmin, SessionDep, SettingsDep
from app.web.templating import page, redirect

BatchId = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(prefix="/batches")


@router.get("")
def list_batches(request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.batch_list_page(session))


@router.get("/new")
def new_batch(request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.new_batch_page(session, NewBatchForm()))


# The batch is stored in a transaction of its own, not in the request's: it has to be there before workers hear of it.
@router.post("/new")
def order_batch(request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentNewBatch) -> Response:
    database = request.app.state.database
    try:
        explainer_settings = form.explainer_settings()
        with database.reading() as session:
            neuron_ids = chosen_neurons(session, form.subject, form.chosen_neurons(), explainer_settings.side)
        order = BatchOrder(form.subject, neuron_ids, form.methods, form.explainer, explainer_settings)
        batch_id = launch_batch(settings, database, order)
    except NeuronJuryError as error:
        with database.reading() as session:
            return page(request, pages.new_batch_page(session, form, str(error)), status=400)
    if batch_id is None:
        return redirect("/batches", notice="All of these explanations are there already.")
    return redirect(f"/batches/{batch_id}")


@router.get("/{batch_id}")
def batch(batch_id: BatchId, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.batch_page(session, batch_id))


@router.get("/{batch_id}/progress")
def progress(batch_id: BatchId, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, pages.batch_progress_part(session, batch_id))


@router.post("/{batch_id}/cancel")
def cancel(batch_id: BatchId, request: Request, settings: SettingsDep, _: CurrentAdmin) -> Response:
    withdraw_batch(settings, request.app.state.database, batch_id)
    return redirect(f"/batches/{batch_id}", notice="The batch is cancelled. What was done stays.")
