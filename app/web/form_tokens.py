"""The token that every form carries, which another site cannot know.

A signed-in browser's token is stored with its session. A browser nobody is signed in on (the login form, an invitation)
gets a random cookie, and its token is that cookie's value under the site's secret: a cookie planted from elsewhere has
no valid token.
"""

import hashlib
import hmac
import secrets

from fastapi import Request

from app.errors import FormExpired
from app.web.cookies import FORM_COOKIE
from app.web.visitors import Visitor

FIELD = "form_token"
HEADER = "x-form-token"


def random_form_cookie() -> str:
    return secrets.token_hex(16)


def anonymous_form_token(signing_key: bytes, form_cookie: str) -> str:
    return hmac.new(signing_key, b"anonymous form:" + form_cookie.encode(), hashlib.sha256).hexdigest()


async def check_form_token(request: Request, visitor: Visitor | None) -> None:
    """Refuses a form that this site did not give to this browser. Errors: FormExpired."""
    expected = _expected_token(request, visitor)
    # Read whole even where the header brings the token: the route's transaction begins after this, and must not stand
    # open, on SQLite with the one write lock, while a slow browser is still sending.
    form = await request.form()
    sent = request.headers.get(HEADER) or form.get(FIELD)
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), expected.encode()):
        raise FormExpired(
            "This form has expired, perhaps because you signed in or out since. Open the page again and retry."
        )


def _expected_token(request: Request, visitor: Visitor | None) -> str:
    if visitor is not None:
        return visitor.form_token
    # Without the cookie nothing can match: a fresh random value stands in for it.
    cookie = request.cookies.get(FORM_COOKIE) or random_form_cookie()
    return anonymous_form_token(request.app.state.settings.signing_key, cookie)
