"""Errors as visitors see them: a page for browsers, `{"error": ...}` for programs. Nothing here tells how the site is
built."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from fastapi import Request
from starlette.responses import JSONResponse, Response

from app.web.templating import PageContext, page

TITLES = {
    400: "That cannot be used",
    401: "Please sign in",
    403: "This is not open to you",
    404: "There is nothing here",
    405: "That is not possible here",
    409: "That does not fit the present state",
    413: "That is too large",
    415: "That cannot be read",
    422: "Something in the form is missing or wrong",
    429: "Too many attempts",
    500: "Something went wrong on our side",
    503: "Something this needs cannot be reached",
}


@dataclass(frozen=True)
class ErrorPage(PageContext):
    """What templates/errors/error.html shows.

    status: the HTTP status, for people who report the problem.
    title: what happened, in a few words.
    messages: what was wrong and what to do, one sentence each.
    way_out: a path that this visitor may open from here.
    way_out_text: what that link says.
    """

    template: ClassVar[str] = "errors/error.html"
    status: int
    title: str
    messages: tuple[str, ...]
    way_out: str
    way_out_text: str


def error_response(request: Request, status: int, *messages: str) -> Response:
    """The answer to a request that went wrong, in the form that its sender can read."""
    if wants_json(request):
        return JSONResponse({"error": " ".join(messages)}, status_code=status)
    title = TITLES.get(status) or HTTPStatus(status).phrase
    way_out, way_out_text = _way_out(request)
    return page(request, ErrorPage(status, title, messages, way_out, way_out_text), status=status)


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith("/api/") or ("application/json" in accepted and "text/html" not in accepted)


def _way_out(request: Request) -> tuple[str, str]:
    visitor = getattr(request.state, "visitor", None)
    if visitor is not None and visitor.is_rater:
        return "/rate", "Back to your ratings"
    if request.url.path.startswith(("/r/", "/join/")):
        # The link itself, with what a recruiting site added to it: without a session there is no other way in.
        return request.url.path + (f"?{request.url.query}" if request.url.query else ""), "Try again"
    return ("/rate", "Try again") if request.url.path.startswith("/rate") else ("/", "To the start page")
