"""What keeps browsers safe, in pure ASGI: response headers, a bound on request sizes, no unsafe request from another
site."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import Settings
from app.web.error_pages import error_response

LARGEST_REQUEST = 1024 * 1024
"""Bytes of a request's body; a CSV of a thousand neurons has about 20,000."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")

ROOMS_OF_RATERS = ("/r", "/join", "/rate", "/static", "/healthz")
"""The only paths, and those below them, that a rater's browser may visit. Nothing else decides this."""

ENTRANCES = ("/r", "/join")
"""The paths, and those below them, where raters come in: a second click may come with the first one's session, and the
old form's token. Signing in takes too long for that."""
AGAIN = "again"
"""In the query of an entrance: its form was pressed, and its token was none of this browser's session."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


def is_room_of_raters(path: str) -> bool:
    return _is_below(path, ROOMS_OF_RATERS)


def is_entrance(path: str) -> bool:
    return _is_below(path, ENTRANCES)


def _is_below(path: str, rooms: Sequence[str]) -> bool:
    return any(path == room or path.startswith(room + "/") for room in rooms)


def security_headers(settings: Settings) -> dict[str, str]:
    # Under no-referrer browsers send "Origin: null" with a form, and the origin check would refuse every form.
    # base.html therefore asks for same-origin in a <meta>: other sites still learn nothing. Whatever is not one of our
    # pages keeps the strict header.
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if settings.is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def add_security_headers(headers: MutableHeaders, settings: Settings) -> None:
    """Adds the headers of every response; Cache-Control only where the response does not bring its own."""
    headers.update(security_headers(settings))
    headers.setdefault("Cache-Control", "no-store")


class SecurityHeaders:
    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message), self.settings)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class RequestSizeLimit:
    """Answers 413 to a body over LARGEST_REQUEST, before it is read where the browser states its length, and 415 to one
    whose reading would cost far more than its size: in another encoding than UTF-8."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _stated_length(scope) > LARGEST_REQUEST:
            await error_response(Request(scope), 413, _too_large())(scope, receive, send)
        elif not _is_utf8(scope):
            await error_response(Request(scope), 415, "Forms are read in UTF-8 only.")(scope, receive, send)
        else:
            await self.app(scope, _bounded(receive), send)


def _stated_length(scope: Scope) -> int:
    stated = Headers(scope=scope).get("content-length", "0")
    return int(stated) if stated.isdecimal() else 0


def _is_utf8(scope: Scope) -> bool:
    # The form parser would decode with any codec of Python's that the request names: a megabyte of "punycode" keeps the
    # whole site waiting for a minute, "unicode_escape" makes characters that nothing can encode. Browsers name none.
    _, options = parse_options_header(Headers(scope=scope).get("content-type"))
    return options.get(b"charset", b"utf-8").lower() in (b"utf-8", b"utf8")


def _too_large() -> str:
    return f"The request is larger than {LARGEST_REQUEST // 1024} KiB."


def _bounded(receive: Receive) -> Receive:
    n_received = 0

    async def receive_bounded() -> Message:
        nonlocal n_received
        message = await receive()
        n_received += len(message.get("body", b""))
        if n_received > LARGEST_REQUEST:
            # Form parsers pass an HTTPException on; anything else they would report as a malformed form.
            raise HTTPException(413, _too_large())
        return message

    return receive_bounded


class SameOriginOnly:
    """Answers 403 to an unsafe request that another site's page caused, or one that does not say where it comes
    from."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app = app
        self.own_origin = _origin_of(settings.public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not self._is_ours(Request(scope)):
            message = "The request came from another site, so it was not carried out."
            await error_response(Request(scope), 403, message)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_ours(self, request: Request) -> bool:
        origin = request.headers.get("origin") or _origin_of(request.headers.get("referer", ""))
        # Behind a proxy the public address and the request's own host may differ; either is this site.
        return origin != "" and origin in (self.own_origin, f"{request.url.scheme}://{request.url.netloc}")


def _origin_of(url: str) -> str:
    """`scheme://host[:port]` as browsers write it, without a default port; empty for anything that is not a web
    address."""
    try:
        parts = urlsplit(url.lower())
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return ""
    default_port = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].removesuffix(default_port)}"
