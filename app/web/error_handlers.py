"""The one place that turns errors into HTTP answers."""

import logging
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import FormExpired, NeuronJuryError, SignInNeeded
from app.web.cookies import session_cookie
from app.web.error_pages import error_response, wants_json
from app.web.security import AGAIN, add_security_headers, is_entrance
from app.web.templating import redirect

log = logging.getLogger(__name__)

NOT_FOUND = "No page has this address. The link may be old or mistyped."
INTERNAL = "The error has been written to the log. What you saved before is safe; try again in a moment."


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(NeuronJuryError, on_known_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, on_unexpected_error)


def on_known_error(request: Request, error: Exception) -> Response:
    status = error.http_status if isinstance(error, NeuronJuryError) else 500
    if isinstance(error, SignInNeeded) and request.method == "GET" and not wants_json(request):
        return redirect(f"/login?next={quote(_local_address(request))}")
    if isinstance(error, FormExpired) and _may_be_second_click(request):
        link = request.url.include_query_params(**{AGAIN: 1})
        return redirect(f"{link.path}?{link.query}")
    return error_response(request, status, _as_sentence(str(error)))


def on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return on_unexpected_error(request, error)
    message = NOT_FOUND if error.status_code == 404 and error.detail == "Not Found" else _as_sentence(str(error.detail))
    response = error_response(request, error.status_code, message)
    response.headers.update(error.headers or {})
    return response


def on_invalid_request(request: Request, error: Exception) -> Response:
    problems: list[dict[str, Any]] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    if any(problem["loc"][0] == "path" for problem in problems):
        return error_response(request, 404, NOT_FOUND)
    return error_response(request, 422, *(_problem(problem) for problem in problems))


def on_unexpected_error(request: Request, error: Exception) -> Response:
    # The path alone: a query or a header could carry what has no place in a log. No more has the code of a link.
    path = next((f"{room}..." for room in ("/r/", "/join/") if request.url.path.startswith(room)), request.url.path)
    log.error("unexpected error at %s %s", request.method, path, exc_info=error)
    response = error_response(request, 500, INTERNAL)
    # This handler answers outside every middleware, so it brings the security headers itself.
    add_security_headers(response.headers, request.app.state.settings)
    return response


def _may_be_second_click(request: Request) -> bool:
    """At an entrance the first of two clicks may have begun a session, or ended the one before, between the two."""
    return is_entrance(request.url.path) and session_cookie(request) is not None and not wants_json(request)


def _problem(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"][1:]) or "request"
    return _as_sentence(f"{where}: {problem['msg'].removeprefix('Value error, ')}")


def _as_sentence(message: str) -> str:
    sentence = message[:1].upper() + message[1:]
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _local_address(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
