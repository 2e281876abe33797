"""How many requests are worked on at the same time; the others wait without holding a thread or a connection.

Every step of a request runs in a thread out of a small pool, and a step that waits for the database keeps its thread
waiting. Were all threads waiting for a lock or a connection, whoever holds it would find no thread for the next step,
and the site would stand still until the waiting times out. With fewer turns than threads there is always one left.
"""

from asyncio import Semaphore

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.error_pages import error_response

N_TURNS = 30
"""Fewer than the 40 threads that Starlette keeps; each request has at most two connections, see `app.database`."""


class TakeTurns:
    """Waits for a turn once the whole request is there: a slow browser takes nobody's.

    It holds the body in memory until then, so RequestSizeLimit comes before it.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self.turns = Semaphore(N_TURNS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            arrived = await _whole_request(receive)
        except HTTPException as refused:
            await error_response(Request(scope), refused.status_code, refused.detail)(scope, receive, send)
            return

        async def receive_again() -> Message:
            return arrived.pop(0) if arrived else await receive()

        async with self.turns:
            await self.app(scope, receive_again, send)


async def _whole_request(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages
