"""The same calls without this program: OpenAI's client in a loop, in a process of its own so that nothing else is
counted."""

import argparse
import asyncio
import json
import subprocess
import sys
import time

import openai

_EXAMPLE = " ".join(f"word{number}" for number in range(150))
PROMPT = [{"role": role, "content": _EXAMPLE} for role in ("system", *("user", "assistant") * 3, "user")]
"""Eight messages, as prompts have."""


def ask_all(url: str, n_calls: int, n_in_flight: int) -> tuple[float, float]:
    """Processor seconds and seconds of so many calls; starting the process is left out."""
    command = [sys.executable, "-m", "tests.benchmarks.bare_client", url, str(n_calls), str(n_in_flight)]
    spent, seconds = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return spent, seconds


async def _ask_all(url: str, n_calls: int, n_in_flight: int) -> None:
    numbers = iter(range(n_calls))

    async def run(client: openai.AsyncOpenAI) -> None:
        for number in numbers:
            await client.chat.completions.create(
                model="gpt-x", messages=PROMPT, temperature=1, top_p=1, max_tokens=60, seed=number
            )

    async with openai.AsyncOpenAI(api_key="a key", base_url=url) as client:
        await asyncio.gather(*(run(client) for _ in range(n_in_flight)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("n_calls", type=int)
    parser.add_argument("n_in_flight", type=int)
    arguments = parser.parse_args()
    began, spent_before = time.perf_counter(), time.process_time()
    asyncio.run(_ask_all(arguments.url, arguments.n_calls, arguments.n_in_flight))
    print(json.dumps([time.process_time() - spent_before, time.perf_counter() - began]))


if __name__ == "__main__":
    main()
