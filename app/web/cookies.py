"""The cookies of the site: who is signed in, the anonymous form token's half, and a notice for the next page."""

from urllib.parse import quote, unquote

from fastapi import Request, Response

from app.settings import Settings

SESSION_COOKIE = "neuronjury_session"
FORM_COOKIE = "neuronjury_form"
NOTICE_COOKIE = "neuronjury_notice"
NOTICE_SECONDS = 60
LONGEST_NOTICE = 300
"""Characters; a cookie holds about 4,000 bytes and a percent-encoded character takes up to 12."""


def session_cookie(request: Request) -> str | None:
    """The value that names this browser's session, valid or not."""
    return request.cookies.get(SESSION_COOKIE)


def set_session_cookie(response: Response, value: str, settings: Settings) -> None:
    _set(response, SESSION_COOKIE, value, settings, max_age=settings.session_hours * 3600)


def clear_session_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(SESSION_COOKIE, path="/", secure=settings.is_https, httponly=True, samesite="lax")


def set_form_cookie(response: Response, value: str, settings: Settings) -> None:
    _set(response, FORM_COOKIE, value, settings, max_age=None)


def set_notice(response: Response, notice: str) -> None:
    """Shows `notice` once, on the next page. It is text, escaped like any other when it is shown."""
    response.set_cookie(
        NOTICE_COOKIE, quote(notice[:LONGEST_NOTICE]), max_age=NOTICE_SECONDS, path="/", httponly=True, samesite="lax"
    )


def notice_of(request: Request) -> str:
    return unquote(request.cookies.get(NOTICE_COOKIE, ""))


def clear_notice(response: Response) -> None:
    response.delete_cookie(NOTICE_COOKIE, path="/", httponly=True, samesite="lax")


def _set(response: Response, name: str, value: str, settings: Settings, max_age: int | None) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=settings.is_https, httponly=True, samesite="lax")
