"""A server of OpenAI's chat format that answers in 50 ms and fails now and then. Runs by itself, to be a process of its
own: `python -m tests.benchmarks.failing_server --port 8001`. GET /log tells what it was asked."""

import argparse
import asyncio
import hashlib
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

ANSWER_SECONDS = 0.05
STALL_SECONDS = 60.0
ANSWERED, LIMITED, DROPPED, STALLED = "answered", "429", "dropped", "stalled"
WORDS = "animals, colors and words about them"


@dataclass
class FailingServer:
    """is_reliable: fails never. asked: per request its time in seconds since 1970, whose it is, and what came of it."""

    is_reliable: bool
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    asked: list[tuple[float, str, str]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _request(reader):
                method, body = request
                if method == "GET":
                    await _send(writer, 200, {"asked": self.asked, "object": "list", "data": []})
                elif not await self._answer(writer, body):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # Whoever asked is gone, killed for example.
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        """Whether the connection goes on."""
        outcome = self._outcome()
        messages = json.dumps(json.loads(body)["messages"]).encode()
        self.asked.append((time.time(), hashlib.sha1(messages).hexdigest(), outcome))
        if outcome == DROPPED:
            return False
        if outcome == STALLED:
            await asyncio.sleep(STALL_SECONDS)
            return False
        if outcome == LIMITED:
            error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded", "param": None}
            await _send(writer, 429, {"error": error}, "Retry-After: 1\r\n")
            return True
        await asyncio.sleep(ANSWER_SECONDS)
        await _send(writer, 200, _completion())
        return True

    def _outcome(self) -> str:
        if self.is_reliable:
            return ANSWERED
        outcomes, weights = (ANSWERED, LIMITED, DROPPED, STALLED), (89.3, 10, 0.5, 0.2)
        return self.draw.choices(outcomes, weights)[0]


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    lengths = [line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
    return head.partition(" ")[0], await reader.readexactly(int(lengths[0]) if lengths else 0)


async def _send(writer: asyncio.StreamWriter, status: int, body: dict[str, Any], headers: str = "") -> None:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    writer.write(head.encode() + content)
    await writer.drain()


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": f" {WORDS}"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 900, "completion_tokens": 8, "total_tokens": 908}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "x", "choices": [choice], "usage": usage}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reliable", action="store_true")
    arguments = parser.parse_args()
    failing = FailingServer(arguments.reliable)
    server = await asyncio.start_server(failing.serve, "127.0.0.1", arguments.port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
