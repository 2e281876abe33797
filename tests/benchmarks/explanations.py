"""Explanation batches by the numbers: a server that fails now and then, two workers one of which is killed, on SQLite
and on PostgreSQL; and how many tokens the prompts of each method take.

`make bench-explanations`; `python -m tests.benchmarks.explanations --explanations 200` is a quick look.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from app.batches import launching
from app.batches.allowances import MAKE_UP_SECONDS
from app.batches.launching import BatchOrder
from app.batches.models import DONE, Batch
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods import PROMPT_METHODS
from app.explanations.models import Explanation
from app.neurons.models import Neuron
from tests.benchmarks.bare_client import ask_all
from tests.benchmarks.batch_installation import BatchInstallation, Served, installed_on, postgres_server, served
from tests.benchmarks.failing_server import ANSWERED
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from tests.benchmarks.prompt_tokens import token_figures

N_WORKERS = 2
N_IN_FLIGHT = 24
"""Of each worker: most wait for a second after a 429, or for a stalled answer to time out."""
TIMEOUT_SECONDS = 5.0
MOST_REPEATED, LEAST_RATE, MOST_OVERHEAD, MOST_SECONDS_TO_STOP = 2.0, 90.0, 5.0, 3.0
SECONDS_WATCHED_AFTER_CANCEL = 6.0
MOST_SECONDS = 900.0
SCATTER_SECONDS = 0.1
"""Between a call's turn and its arrival, when the machine is busy: so much later than the one before it some are."""
SECONDS_TO_REST, SECONDS_AT_REST = 3.0, 10.0

Asked = list[tuple[float, str, str]]
"""What a server was asked: seconds since 1970, which prompt, what came of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explanations", type=int, default=5000)
    parser.add_argument("--requests-per-minute", type=float, default=3000)
    parser.add_argument("--only", choices=["sqlite", "postgresql", "tokens"])
    arguments = parser.parse_args()
    print_machine()
    figures: list[Figure] = []
    for dialect in ("sqlite", "postgresql"):
        if arguments.only in (None, dialect):
            figures += on_database(dialect, arguments.explanations, arguments.requests_per_minute)
    if arguments.only in (None, "tokens"):
        figures += token_figures()
    print_figures(figures)


def on_database(dialect: str, n_explanations: int, per_minute: float) -> list[Figure]:
    n_neurons = -(-n_explanations // len(PROMPT_METHODS))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(postgres_server(folder)) if dialect == "postgresql" else None
        installation = installed_on(folder, postgres, n_neurons)
        figures = with_failures(installation, per_minute)
        figures += without_failures(installation)
    return [Figure(f"{dialect}: {one.figure}", one.value, one.unit, one.bound, one.at_least) for one in figures]


def with_failures(installation: BatchInstallation, per_minute: float) -> list[Figure]:
    """The whole batch at a limited rate with two kills, then another one that is cancelled."""
    with served() as server, installation.workers(N_WORKERS) as workers:
        batch_id = launched(installation, server.url, per_minute)
        n_all = progress(installation, batch_id)[1]
        for share in (1 / 3, 2 / 3):
            wait_until(installation, batch_id, share)
            workers.kill_and_restart(0)
        wait_until(installation, batch_id, 1.0)
        asked = server.asked()
        figures = [*kept_figures(installation, batch_id, asked), *rate_figures(asked, n_all, per_minute)]
        seconds = seconds_to_stop(installation, server, per_minute)
    return [*figures, Figure("from cancel to the last new call", seconds, "s", MOST_SECONDS_TO_STOP)]


def kept_figures(installation: BatchInstallation, batch_id: int, asked: Asked) -> list[Figure]:
    """What is stored, beside what was answered."""
    of_batch = Explanation.batch_id == batch_id
    same = (Explanation.neuron_id, Explanation.method, Explanation.sample_number)
    with installation.database.reading() as session:
        n_rows = session.scalar(sa.select(sa.func.count()).where(of_batch)) or 0
        n_done = session.scalar(sa.select(sa.func.count()).where(of_batch, Explanation.status == DONE)) or 0
        distinct = sa.select(*same).where(of_batch).distinct().subquery()
        n_distinct = session.scalar(sa.select(sa.func.count()).select_from(distinct)) or 0
        batch = session.get_one(Batch, batch_id)
        n_wanted = len(PROMPT_METHODS) * (session.scalar(sa.select(sa.func.count()).select_from(Neuron)) or 0)
    answers = [prompt for _, prompt, outcome in asked if outcome == ANSWERED]
    n_repeated = len(answers) - len(set(answers))
    return [
        Figure("explanations wanted", n_wanted, ""),
        Figure("lost or failed", n_wanted - n_done, "", 0),
        Figure("stored twice", n_rows - n_distinct, "", 0),
        Figure("batches that did not end as done", int(batch.status != DONE), "", 0),
        Figure("calls repeated that had been answered", 100 * n_repeated / n_wanted, "%", MOST_REPEATED),
        Figure("calls counted as paid / answers kept", batch.n_calls / n_done, "times"),
        Figure("requests / explanations", len(asked) / n_wanted, "times"),
    ]


def rate_figures(asked: Asked, n_all: int, per_minute: float) -> list[Figure]:
    """The rate from the first request until the last prompt was sent for the first time: while there was enough to
    do."""
    first_times: dict[str, float] = {}
    for moment, prompt, _ in asked:
        first_times.setdefault(prompt, moment)
    begin, end = min(first_times.values()), max(first_times.values())
    n_requests = sum(moment <= end for moment, _, _ in asked)
    share = 100 * n_requests / ((end - begin) / 60 * per_minute)
    moments = sorted(moment for moment, _, _ in asked)
    busiest = max(sum(start <= moment < start + 10 for moment in moments) for start in moments[:: max(1, n_all // 100)])
    allowed_in_ten = (10 + MAKE_UP_SECONDS + SCATTER_SECONDS) * per_minute / 60 + 1
    return [
        Figure("allowed rate", per_minute / 60, "calls/s"),
        Figure("share of the allowed rate used", share, "%", LEAST_RATE, at_least=True),
        Figure("busiest ten seconds / what is allowed in them", busiest / allowed_in_ten, "times", 1.0),
    ]


def seconds_to_stop(installation: BatchInstallation, server: Served, per_minute: float) -> float:
    """How long after a cancelling the last request comes in; 0 when none comes at all."""
    batch_id = launched(installation, server.url, per_minute, samples=2)
    wait_until(installation, batch_id, 0.1)
    cancelled_at = time.time()
    launching.withdraw_batch(installation.settings, installation.database, batch_id)
    time.sleep(SECONDS_WATCHED_AFTER_CANCEL)
    return max(0.0, max(moment for moment, _, _ in server.asked()) - cancelled_at)


def without_failures(installation: BatchInstallation) -> list[Figure]:
    """What the engine adds to a call: processor time of the workers while they call, less what they take when there is
    nothing to do, less that of a loop that does nothing but the same calls with the same client, also at once."""
    with served(is_reliable=True) as server, installation.workers(N_WORKERS) as workers:
        # The first calls load what later ones find loaded.
        batch_id = launched(installation, server.url, None, samples=3)
        wait_until(installation, batch_id, 0.1)
        n_before, spent_before, began = progress(installation, batch_id)[0], workers.processor_seconds(), time.time()
        wait_until(installation, batch_id, 0.9)
        n_calls = progress(installation, batch_id)[0] - n_before
        spent, seconds = workers.processor_seconds() - spent_before, time.time() - began
        wait_until(installation, batch_id, 1.0)
        time.sleep(SECONDS_TO_REST)
        spent_before = workers.processor_seconds()
        time.sleep(SECONDS_AT_REST)
        at_rest = (workers.processor_seconds() - spent_before) / SECONDS_AT_REST
    with served(is_reliable=True) as server:
        bare_spent, bare_seconds = ask_all(server.url, n_calls, N_WORKERS * N_IN_FLIGHT)
    overhead = 1000 * (spent - at_rest * seconds - bare_spent) / n_calls
    return [
        Figure("engine overhead a call, processor time", overhead, "ms", MOST_OVERHEAD),
        Figure("processor time a call, workers", 1000 * spent / n_calls, "ms"),
        Figure("processor time a call, bare client", 1000 * bare_spent / n_calls, "ms"),
        Figure("two workers with nothing to do", 100 * at_rest, "% of a core"),
        Figure("calls at no limit, two workers", n_calls / seconds, "calls/s"),
        Figure("calls at no limit, bare client", n_calls / bare_seconds, "calls/s"),
    ]


def launched(installation: BatchInstallation, url: str, per_minute: float | None, samples: int = 1) -> int:
    """A batch of all neurons by all prompt methods; samples made before are reused."""
    settings = ExplainerSettings(
        base_url=url,
        requests_per_minute=per_minute,
        n_in_flight=N_IN_FLIGHT,
        timeout_seconds=TIMEOUT_SECONDS,
        n_retries=8,
    )
    with installation.database.reading() as session:
        neuron_ids = list(session.scalars(sa.select(Neuron.id)))
    order = BatchOrder(
        installation.subject_name,
        neuron_ids,
        list(PROMPT_METHODS),
        "openai:gpt-x",
        settings,
        samples,
        budget_tokens=10**10,
    )
    batch_id = launching.launch_batch(installation.settings, installation.database, order)
    if batch_id is None:
        raise RuntimeError("there was nothing to explain")
    return batch_id


def progress(installation: BatchInstallation, batch_id: int) -> tuple[int, int]:
    """Rows that are finished, and all of a batch."""
    finished = sa.func.count(Explanation.finished_at)
    with installation.database.reading() as session:
        row = session.execute(sa.select(finished, sa.func.count()).where(Explanation.batch_id == batch_id)).one()
    return int(row[0]), int(row[1])


def wait_until(installation: BatchInstallation, batch_id: int, share: float) -> None:
    """Until that share of a batch's rows is finished."""
    give_up_at = time.monotonic() + MOST_SECONDS
    for n_finished, n_all in iter(lambda: progress(installation, batch_id), None):
        if n_finished >= share * n_all:
            return
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{n_finished} of {n_all} explanations after {MOST_SECONDS:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
