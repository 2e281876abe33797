"""A server that speaks OpenAI's format, as this worker meets it: its key, its connections, how fast it may be asked.

The key comes from the environment and stays here. Every request takes its turn below the client's own retries, so that
each further try waits for one too.
"""

import asyncio
import email.utils
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import openai

from app.batches.allowances import REQUESTS, TOKENS
from app.errors import ExplainerUnreachable, Unavailable
from app.explanations import failures
from app.explanations.explainers import CallSettings
from worker.explaining.chat import CallFailed, ServerRefuses, still_wanted
from worker.explaining.limits import TakeBlock, Turns, blocks_of_this_process
from worker.explaining.refused_settings import RefusedSettings, is_too_long

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "no-key"
"""Sent to servers that ask for none; the client insists on some text."""
FEWEST_LETTERS_OF_A_SECRET = 16
"""Shorter keys are placeholders that servers of one's own are given ("none", "1"): they occur in any text."""
MAX_CHECK_SECONDS = 15.0
MAX_DETAIL_LENGTH = 500
CLIENT_WAITS_UP_TO = 50.0
"""Seconds of Retry-After that every version of the client waits itself; when told to wait longer, some give up."""
LONGEST_WAIT = 3600.0
"""Seconds of Retry-After that are waited for at all; a call that is told to wait longer fails."""
MOST_IN_VAIN = 10
"""Calls, beside those in flight at the same moment, each with all its tries, that a model's server leaves without an
answer, one after the other. Further ones would most likely end the same way: whoever pays is asked first."""
_IN_VAIN = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError, openai.NotFoundError)
"""What says nothing of the call itself. Not found: no such model, or nobody who speaks this format."""
_MODERATED = re.compile(r"moderation|flagged", re.IGNORECASE)
for _library in ("httpcore", "httpcore2"):
    # At level DEBUG they write every header they send, and with it the key.
    logging.getLogger(_library).setLevel(logging.INFO)


@dataclass
class _Shared:
    """What all calls of one event loop to one server share. turns: by model and unit."""

    turns: dict[tuple[str, str], Turns] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """What a request that is sent belongs to. n_tokens: of prompt and answer, about."""

    model: str
    settings: CallSettings
    n_tokens: int


_asked: ContextVar[_Asked | None] = ContextVar("_asked", default=None)


class OpenAIServer:
    """One server. Clients are made for one batch's settings each and have its calls at once; turns are of them all."""

    def __init__(self, settings: CallSettings, take: TakeBlock | None = None):
        """take: of the rate that all workers share; None: of one that nobody shares.

        Errors: Unavailable when there is neither a key nor a server of one's own, which may need none; when the URL in
        the environment has a secret in it.
        """
        self.url = server_url(settings)
        self._key = os.environ.get("OPENAI_API_KEY") or NO_KEY
        self._take = take or blocks_of_this_process()
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()
        self._refused: dict[str, RefusedSettings] = {}
        self._n_in_vain: Counter[str] = Counter()

    def client(self, settings: CallSettings) -> openai.AsyncOpenAI:
        """A client with its own connections, to be closed by whoever asked for it.

        A batch that begins, or goes on, gives the server its chance anew.
        """
        self._n_in_vain.clear()
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.url,
            timeout=settings.timeout_seconds,
            max_retries=settings.n_retries,
            http_client=_TurnTaking(self, settings.n_in_flight, timeout=settings.timeout_seconds),
        )

    def refused_by(self, model: str) -> RefusedSettings:
        return self._refused.setdefault(model, RefusedSettings())

    @contextmanager
    def asking(self, model: str, settings: CallSettings, n_tokens: int) -> Iterator[None]:
        """Requests sent inside the block take their turns as calls of that model. n_tokens: prompt and answer, about.

        Errors: CallFailed in place of the client's own; ServerRefuses when every other call would end the same way.
        """
        token = _asked.set(_Asked(model, settings, n_tokens))
        try:
            yield
        except openai.OpenAIError as error:
            why = _why_all_are_refused(error)
            failed = self.call_failed(error)
            self._n_in_vain[model] = self._n_in_vain[model] + 1 if isinstance(error, _IN_VAIN) else 0
            if why is None and self._n_in_vain[model] >= MOST_IN_VAIN + settings.n_in_flight:
                why = f"has left {self._n_in_vain[model]} calls in a row without an answer"
            if why is not None:
                raise ServerRefuses(f"the server at {self.url} {why}: {failed.detail}") from error
            raise failed from error
        else:
            self._n_in_vain[model] = 0
        finally:
            _asked.reset(token)

    def count_used(self, model: str, settings: CallSettings, estimated: int, used: int) -> None:
        """Mends a turn that was taken with an estimate of its tokens."""
        if settings.tokens_per_minute is not None:
            self._turns(model, TOKENS).correct(estimated, used, settings.tokens_per_minute)

    def call_failed(self, error: openai.OpenAIError) -> CallFailed:
        return CallFailed(_failure(error), self._said(error))

    def _said(self, error: openai.OpenAIError) -> str:
        return self.without_key(str(error))[:MAX_DETAIL_LENGTH]

    def without_key(self, text: str) -> str:
        """What is stored and shown: some servers repeat the key in what they answer."""
        return text.replace(self._key, "(key)") if _is_secret(self._key) else text

    async def check(self) -> None:
        """Asks for the list of models: a server that answers anything but "unknown key" will do.

        Errors: ExplainerUnreachable; Unavailable when it refuses the key.
        """
        client = self.client(CallSettings(timeout_seconds=MAX_CHECK_SECONDS, n_retries=1))
        try:
            await client.models.list()
        except openai.APIConnectionError as error:
            raise ExplainerUnreachable(f"the explainer at {self.url} cannot be reached: {error}") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise Unavailable(f"the explainer at {self.url} refuses the key in OPENAI_API_KEY") from error
        except openai.OpenAIError:
            return  # Many servers have no list of models; that they answer is enough.
        finally:
            await client.close()

    async def wait_for_turn(self, asked: _Asked) -> None:
        """Tokens first: the turn among requests is taken last, right before the request is sent."""
        settings = asked.settings
        if settings.tokens_per_minute is not None:
            await self._turns(asked.model, TOKENS).wait(asked.n_tokens, settings.tokens_per_minute)
        if settings.requests_per_minute is not None:
            await self._turns(asked.model, REQUESTS).wait(1, settings.requests_per_minute)

    def _turns(self, model: str, unit: str) -> Turns:
        turns = self._of_this_loop().turns
        if (model, unit) not in turns:
            turns[model, unit] = Turns(f"{self.url} {model}", unit, self._take)
        return turns[model, unit]

    def _of_this_loop(self) -> _Shared:
        # Locks belong to the event loop that they were first waited for in.
        return self._shared.setdefault(asyncio.get_running_loop(), _Shared())


class _TurnTaking(openai.DefaultAsyncHttpxClient):
    """The HTTP client below the OpenAI client: sends nothing before its turn.

    n_in_flight: as many requests are under way at once.
    """

    def __init__(self, server: OpenAIServer, n_in_flight: int, **options: Any):
        super().__init__(**options)
        self._openai_server = server
        # Of each client its own: calls of a batch with few at once would wait for all those of one with many.
        self._places = asyncio.Semaphore(n_in_flight)

    async def send(self, request: Any, **options: Any) -> Any:
        asked = _asked.get()
        if asked is None:
            return await super().send(request, **options)
        began = time.monotonic()
        async with self._places:
            await self._openai_server.wait_for_turn(asked)
            await _raise_if_unwanted(request, time.monotonic() - began)
            response = await super().send(request, **options)
        await _wait_as_told(response)
        return response


async def _raise_if_unwanted(request: Any, waited: float) -> None:
    # Whoever asks has looked right before asking. Further tries and long queues are what takes time.
    is_again = request.headers.get("x-stainless-retry-count", "0") != "0"
    check = still_wanted.get()
    if check is not None and (is_again or waited > 1):
        await check()


async def _wait_as_told(response: Any) -> None:
    """Waits here what the client above would not, and has it try again at once; an empty account is not tried again."""
    if response.status_code == 429 and b"insufficient_quota" in response.content:
        response.headers["x-should-retry"] = "false"
        return
    seconds = retry_after(response.headers.get("retry-after"), time.time())
    if seconds is not None and CLIENT_WAITS_UP_TO < seconds <= LONGEST_WAIT and response.status_code in (429, 503):
        await asyncio.sleep(seconds)
        response.headers["retry-after"] = "0.001"


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number of them, or a date. now: seconds since 1970."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else email.utils.mktime_tz(date) - now


def server_url(settings: CallSettings) -> str:
    """Errors: Unavailable, see OpenAIServer."""
    in_environment = os.environ.get("OPENAI_BASE_URL") or None
    key = os.environ.get("OPENAI_API_KEY")
    url = settings.base_url or in_environment
    if url is None and not key:
        raise Unavailable("no key: set OPENAI_API_KEY, or the base URL of a server that needs none")
    parts = urlsplit(url or OPENAI_URL)
    if parts.username or parts.password or parts.query or (_is_secret(key) and key in parts.geturl()):
        raise Unavailable(
            "the explainer's URL has a user, a password, a query or the key in it; expected a plain URL: the key comes "
            "from OPENAI_API_KEY alone"
        )
    return parts.geturl().rstrip("/")


def _is_secret(key: str | None) -> TypeGuard[str]:
    return key is not None and len(key) >= FEWEST_LETTERS_OF_A_SECRET


def _why_all_are_refused(error: openai.OpenAIError) -> str | None:
    """What every further call would meet as well, for people; None when the refusal is about this call alone."""
    if not isinstance(error, openai.APIStatusError):
        return None
    if error.status_code == 402 or error.code == "insufficient_quota":
        return "says that the account is used up"
    # Some servers forbid what they find indecent in the same way as they forbid everything to unknown callers.
    if error.status_code == 401 or (error.status_code == 403 and not _MODERATED.search(error.message)):
        return "refuses the key in OPENAI_API_KEY"
    return None


def _failure(error: openai.OpenAIError) -> str:
    """The reason, out of `app.explanations.failures`, for which a call came to nothing."""
    if isinstance(error, openai.APIStatusError) and error.status_code < 500 and is_too_long(error):
        return failures.TOO_LONG
    if isinstance(error, openai.RateLimitError):
        return failures.RATE_LIMIT
    if isinstance(error, openai.APIConnectionError | openai.InternalServerError):
        return failures.CONNECTION
    return failures.REJECTED
