"""The admin's form of a new batch of scores. The batch itself is watched and steered like any other."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.batches.score_estimating import estimate_scores, score_estimate_in_words
from app.batches.score_forms import NewScoresForm, SentNewScores
from app.batches.score_launching import launch_scores
from app.batches.score_pages import new_scores_page
from app.database import utc_now
from app.errors import NeuronJuryError
from app.explanations.counting_here import counter_here
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.scoring.settings import checked_model, scoring_model
from app.web.dependencies import CurrentAdmin, SessionDep, SettingsDep
from app.web.templating import page, redirect

router = APIRouter(prefix="/batches/scores")


@router.get("/new")
def new_scores(request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, new_scores_page(session, NewScoresForm()))


# The batch is stored in a transaction of its own, not in the request's: it has to be there before workers hear of it.
@router.post("/new")
def order_scores(request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentNewScores) -> Response:
    try:
        batch_id = launch_scores(settings, request.app.state.database, form.order())
    except NeuronJuryError as error:
        return _form_again(request, form, error)
    if batch_id is None:
        return redirect("/batches", notice="All of these scores are there already.")
    return redirect(f"/batches/{batch_id}")


# Questions are built and counted; nobody else has to wait for that, so it is no writing transaction.
@router.post("/new/estimate")
def estimate(request: Request, settings: SettingsDep, _: CurrentAdmin, form: SentNewScores) -> Response:
    try:
        order = form.order()
        who = scoring_model(checked_model(order.settings, order.model)) or NO_EXPLAINER
        with request.app.state.database.reading() as session:
            counter = counter_here(session, who, order.settings, settings.models_folder)
            estimated = estimate_scores(session, order, counter, utc_now().date())
            return page(request, new_scores_page(session, form, estimate=score_estimate_in_words(estimated)))
    except NeuronJuryError as error:
        return _form_again(request, form, error)


def _form_again(request: Request, form: NewScoresForm, error: NeuronJuryError) -> Response:
    with request.app.state.database.reading() as session:
        return page(request, new_scores_page(session, form, str(error)), status=400)
