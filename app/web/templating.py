"""From a page's context to a response: Jinja, the form token, gzip, ETag. Templates see nothing but what is listed
here."""

import gzip
import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar

import jinja2
from fastapi import Request
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.paths import shipped
from app.web import cookies, form_tokens, formatting
from app.web.static_files import static_url
from app.web.visitors import Visitor

SMALLEST_GZIPPED = 1000
"""Bytes; below that gzip saves nothing."""

ALWAYS_THERE = ("visitor", "path", "notice", "visit")
"""What every template can name beside its context's fields."""


@dataclass(frozen=True)
class PageContext:
    """Base of the contexts: one frozen dataclass per page, its fields documented as `name: text` in its docstring."""

    template: ClassVar[str]


class Visit:
    """One rendering for one browser: who is there, and whether the page has handed out a form token."""

    def __init__(self, request: Request):
        self.request = request
        self.visitor: Visitor | None = getattr(request.state, "visitor", None)
        self.notice = cookies.notice_of(request)
        self.has_form = False
        self.new_form_cookie: str | None = None

    def issue_form_token(self) -> str:
        self.has_form = True
        if self.visitor is not None:
            return self.visitor.form_token
        cookie = self.request.cookies.get(cookies.FORM_COOKIE) or self.new_form_cookie
        if cookie is None:
            cookie = self.new_form_cookie = form_tokens.random_form_cookie()
        return form_tokens.anonymous_form_token(self.request.app.state.settings.signing_key, cookie)


def page(request: Request, context: PageContext, *, status: int = 200, etag: bool = False) -> Response:
    """The page of a context.

    etag: the browser may keep the page for itself and ask whether it is still the same (304); else nothing is stored.
    """
    visit = Visit(request)
    html = render(context, visit)
    response: Response = HTMLResponse(html, status_code=status)
    if visit.new_form_cookie is not None:
        cookies.set_form_cookie(response, visit.new_form_cookie, request.app.state.settings)
    if visit.notice:
        cookies.clear_notice(response)
    elif etag:
        response = _revalidated(request, response)
    return response if visit.has_form else _gzipped(request, response)


def render(context: PageContext, visit: Visit) -> str:
    # asdict would copy nested dataclasses into dicts; templates read attributes.
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    always = {"visitor": visit.visitor, "path": visit.request.url.path, "notice": visit.notice, "visit": visit}
    return environment().get_template(context.template).render(always | values)


def redirect(path: str, notice: str = "") -> Response:
    """See Other, to a path of this site; `notice` is shown once on the page that follows."""
    response = RedirectResponse(path, status_code=303)
    if notice:
        cookies.set_notice(response, notice)
    return response


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=static_url, form_token_field=_form_token_field)
    for name in ("number", "short_number", "score", "count", "percent", "moment"):
        environment.filters[name] = getattr(formatting, name)
    return environment


@jinja2.pass_context
def _form_token_field(context: Context) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(
        form_tokens.FIELD, context["visit"].issue_form_token()
    )


def _revalidated(request: Request, response: Response) -> Response:
    tag = f'W/"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Cookie, Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


def _gzipped(request: Request, response: Response) -> Response:
    # A page with a form token stays uncompressed: where a secret and text of the visitor's choosing are compressed
    # together, the length of the response betrays the secret bit by bit (BREACH). Pages without a form, the large ones,
    # are compressed.
    body = bytes(response.body)
    if len(body) < SMALLEST_GZIPPED or "gzip" not in request.headers.get("accept-encoding", ""):
        return response
    response.body = gzip.compress(body, compresslevel=5, mtime=0)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Content-Length"] = str(len(response.body))
    response.headers.setdefault("Vary", "Accept-Encoding")
    return response
