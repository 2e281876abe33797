"""A server on localhost that speaks OpenAI's chat format and misbehaves on demand. Standard library only."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer. seconds: how long the server waits before it. is_dropped: hangs up without a word instead."""

    status: int = 200
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    is_dropped: bool = False


def completion_reply(
    content: str | None,
    *,
    finish_reason: str = "stop",
    refusal: str | None = None,
    has_usage: bool = True,
    logprobs: dict[str, float] | None = None,
) -> Reply:
    """logprobs: of the likeliest tokens at the answer's only place."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, "refusal": refusal},
    }
    if logprobs is not None:
        tops = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in logprobs.items()]
        choice["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None}
    body: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]}
    if has_usage:
        body["usage"] = {"prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 129}
    return Reply(body=body)


def embedding_reply(*vector: float) -> Reply:
    one = {"object": "embedding", "index": 0, "embedding": list(vector)}
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return Reply(body={"object": "list", "model": "fake", "data": [one], "usage": usage})


def error_reply(status: int, code: str, message: str, **headers: str) -> Reply:
    return Reply(status, {"error": {"message": message, "type": code, "code": code}}, headers)


DROPPED = Reply(is_dropped=True)


class FakeOpenAI:
    """Answers the n-th chat with the n-th reply, and every later one with the last.

    chats: the JSON of each request for a completion. keys: the Authorization header of each request.
    """

    def __init__(self, *replies: Reply, models: Reply | None = None):
        self.replies = list(replies)
        self.models = models or Reply(body={"object": "list", "data": []})
        self.chats: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.n_running = 0
        self.most_running = 0
        self.base_url = ""
        self._lock = threading.Lock()

    def next_reply(self, chat: dict[str, Any]) -> Reply:
        with self._lock:
            self.chats.append(chat)
            return self.replies[min(len(self.chats), len(self.replies)) - 1]

    @contextmanager
    def running_request(self) -> Iterator[None]:
        with self._lock:
            self.n_running += 1
            self.most_running = max(self.most_running, self.n_running)
        yield
        with self._lock:
            self.n_running -= 1

    @contextmanager
    def serving(self) -> Iterator["FakeOpenAI"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _handler_of(fake: FakeOpenAI) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.keys.append(self.headers.get("Authorization", ""))
            self._send(fake.models)

        def do_POST(self) -> None:
            fake.keys.append(self.headers.get("Authorization", ""))
            chat = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.running_request():
                self._send(fake.next_reply(chat))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.seconds)
            if reply.is_dropped:
                self.close_connection = True
                return
            body = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except BrokenPipeError:
                return  # The caller had given up waiting, which is what a stalling reply is for.

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests read what was asked from `chats`."""

    return Handler
