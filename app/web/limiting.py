"""How often one place may try to sign in or open invitations. Counted in this process's memory: with several web
processes each counts for itself, so that the bound is at most that many times as high.
"""

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.errors import TooManyAttempts

LIMITS: dict[str, RateLimitItem] = {
    "login": RateLimitItemPerMinute(10, 10),
    "login-anyone": RateLimitItemPerMinute(100, 10),
    "invitation": RateLimitItemPerMinute(30, 1),
    "joining": RateLimitItemPerMinute(60, 1),
}
"""Attempts per stretch of minutes: one name from one address; any name from one address; invitations and joining links
from one address, where opening a link and pressing the button are two.
A whole class behind one address opens its invitations in a few minutes; a code of 128 bits stays unguessable."""


class AttemptCounter:
    """The attempts of the last minutes, of one running site."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, kind: str, *whose: str) -> None:
        """Counts one attempt. kind: a key of LIMITS. Errors: TooManyAttempts, and the attempt is then not made."""
        if not self._limiter.hit(LIMITS[kind], kind, *whose):
            raise TooManyAttempts("Too many attempts from your network. Wait a few minutes, then try again.")


def check_limit(request: Request, kind: str, *whose: str) -> None:
    """Counts an attempt of this client's address, and of `whose` where given. Errors: TooManyAttempts."""
    attempts: AttemptCounter = request.app.state.attempts
    attempts.count(kind, request.client.host if request.client else "unknown", *whose)
