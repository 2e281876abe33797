"""The web site: puts routers, static files, error pages and security headers together. Run with `neuronjury serve`."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response

from app import home
from app.accounts import routes as accounts
from app.accounts.sessions import find_visitor
from app.batches import price_routes as prices
from app.batches import routes as batches
from app.batches import score_routes as scores
from app.database import Database
from app.explanations import preview_routes as prompt_previews
from app.explanations import score_routes as score_pages
from app.explanations.beside_neuron import explanations_beside
from app.explanations.viewing import note_view
from app.findings import routes as findings
from app.neurons import routes as neurons
from app.neurons import set_routes as neuron_sets
from app.paths import shipped
from app.settings import Settings
from app.studies import routes as studies
from app.web.dependencies import ON_EVERY_ROUTE, CurrentResearcher, SessionDep
from app.web.error_handlers import add_error_handlers
from app.web.limiting import AttemptCounter
from app.web.security import RequestSizeLimit, SameOriginOnly, SecurityHeaders
from app.web.static_files import HashedStaticFiles
from app.web.turns import TakeTurns

log = logging.getLogger(__name__)

API = "/api/v1"


def create_app(settings: Settings) -> FastAPI:
    """The site of one installation. Errors: InvalidInput when the settings hold no usable secret."""
    settings.signing_key  # noqa: B018  (read now: a bad secret stops the start, not the first form)
    site = FastAPI(
        title="NeuronJury",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # The redirect would name the host that the request claims to be for.
        redirect_slashes=False,
        lifespan=_lifespan,
        dependencies=ON_EVERY_ROUTE,
        middleware=[
            Middleware(SecurityHeaders, settings=settings),
            Middleware(RequestSizeLimit),
            Middleware(SameOriginOnly, settings=settings),
            Middleware(TakeTurns),
        ],
    )
    site.state.settings = settings
    site.state.find_visitor = find_visitor
    site.state.explanations_beside = explanations_beside
    site.state.note_view = note_view
    add_error_handlers(site)
    for routes in (
        home,
        accounts,
        neurons,
        neuron_sets,
        prompt_previews,
        score_pages,
        batches,
        scores,
        prices,
        studies,
        findings,
    ):
        site.include_router(routes.router, include_in_schema=False)
    site.include_router(neurons.api, prefix=API)
    site.add_api_route("/healthz", health, include_in_schema=False)
    site.add_api_route(f"{API}/openapi.json", api_description, include_in_schema=False)
    site.mount("/static", GZipMiddleware(HashedStaticFiles(directory=shipped("static"))))
    return site


def create_app_from_environment() -> FastAPI:
    """For servers that start several processes, each with its own site."""
    return create_app(Settings())


@asynccontextmanager
async def _lifespan(site: FastAPI) -> AsyncIterator[None]:
    site.state.database = Database(site.state.settings.data_database_url)
    site.state.attempts = AttemptCounter()
    yield
    site.state.database.dispose()


def health(session: SessionDep) -> Response:
    """Whether the site answers and reaches its database: 200, or 503 with nothing told about why."""
    try:
        session.execute(sa.text("SELECT 1"))
    except sa.exc.SQLAlchemyError:
        log.exception("the database cannot be reached")
        return JSONResponse({"status": "no database"}, status_code=503)
    return JSONResponse({"status": "ok"})


def api_description(request: Request, visitor: CurrentResearcher) -> Response:
    """The OpenAPI document, for researchers and admins."""
    return JSONResponse(request.app.openapi())
