"""A signed mark in a browser: which accounts were ever signed in on it. Signing out does not remove it.

Whoever has seen where descriptions come from must not become a rater by signing out first.
"""

import hashlib
import hmac

from fastapi import Request, Response

from app.settings import Settings

SEEN_COOKIE = "neuronjury_seen"
SEEN_SECONDS = 365 * 24 * 3600
MOST_ACCOUNTS = 50
"""A cookie holds some 4,000 bytes; of more accounts on one browser the latest are kept."""


def mark_browser(request: Request, response: Response, account_id: int) -> None:
    """Adds the account to the browser's mark, which then holds for another year."""
    settings: Settings = request.app.state.settings
    others = [known for known in marked_accounts(request) if known != account_id]
    ids = ".".join(str(known) for known in [*others, account_id][-MOST_ACCOUNTS:])
    response.set_cookie(
        SEEN_COOKIE,
        f"{ids}~{_signature(settings, ids)}",
        max_age=SEEN_SECONDS,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


def marked_accounts(request: Request) -> tuple[int, ...]:
    """The ids of the accounts in the browser's mark; none without a mark that this site signed."""
    ids, _, signature = request.cookies.get(SEEN_COOKIE, "").partition("~")
    if not ids or not hmac.compare_digest(signature.encode(), _signature(request.app.state.settings, ids).encode()):
        return ()
    return tuple(int(known) for known in ids.split("."))


def _signature(settings: Settings, ids: str) -> str:
    return hmac.new(settings.signing_key, b"accounts seen here:" + ids.encode(), hashlib.sha256).hexdigest()
