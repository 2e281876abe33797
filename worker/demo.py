"""`neuronjury demo`: the whole main job with nothing faked, on the bundled model. What is done is not done again.

Real text -> SmolLM2-135M-Instruct -> recorded activations -> explanations by the five prompts and the baseline -> an
open study with three invited raters. The neurons: one from each of the first layers, see `neurons_with_a_clear_peak`.
"""

import json
import os
import secrets
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from app.accounts.creating import create_account
from app.accounts.models import ADMIN
from app.accounts.queries import account_named
from app.batches.choosing import neurons_with_a_clear_peak
from app.batches.launching import BatchOrder, launch_batch
from app.database import Database, utc_now
from app.errors import Unavailable
from app.explanations.explainers import NO_EXPLAINER, ExplainerSettings
from app.explanations.methods import METHOD_TITLES, TOKENS
from app.explanations.models import DONE
from app.migrating import opened_database, prepare_databases
from app.neurons.lists import ListedNeurons
from app.settings import Settings
from app.studies import lifecycle, queries
from app.studies.audit import COMMAND_LINE
from app.studies.drafting import lint
from app.studies.drafting.neuron_sets import qualifying_neurons
from app.studies.invitations import invite_raters
from app.studies.protocol import Protocol
from worker import progress
from worker.batches.here import check_explainer, models_of, work_here, work_until_stopped
from worker.recording.here import record_subject
from worker.recording.order import RecordingOrder

SUBJECT = "smollm2-135m"
TEXT = "python-docs"
STUDY = "demo"
ADMIN_NAME = "demo-admin"
N_RATERS = 3
SEED = 0
BATCH_SIZE = 16
N_ATTEMPTS = 8
"""A small model often fails to say one sentence; failures are asked again with another seed."""


def run_demo(settings: Settings, *, serve: bool, n_excerpts: int, n_neurons: int) -> None:
    """Makes everything ready, prints how to get in, and serves beside a worker unless told not to."""
    prepare_databases(settings)
    with opened_database(settings) as database:
        prepare_demo(settings, database, n_excerpts=n_excerpts, n_neurons=n_neurons)
        access = demo_access(settings, database)
    say(f"\nAdmin     {settings.public_url}/login   name {access['admin']}   password {access['password']}")
    for number, link in enumerate(access["links"], start=1):
        say(f"Rater {number}   {link}")
    if serve:
        say(f"\nServing {settings.public_url} and a worker; stop with Ctrl-C")
        serve_and_work(settings)
    else:
        say("\nServe it with: neuronjury serve")


def prepare_demo(settings: Settings, database: Database, *, n_excerpts: int, n_neurons: int) -> None:
    """Records, explains and opens the study; does again only what is missing."""
    with database.reading() as session:
        if any(study.slug == STUDY for study in queries.list_studies(session)):
            # Its subject model may have been recorded by an older version, which kept less.
            say(f"The study {STUDY!r} is there already.")
            return
    with progress.shown() as shown:
        order = RecordingOrder(SUBJECT, TEXT, SUBJECT, n_excerpts=n_excerpts, seed=SEED, batch_size=BATCH_SIZE)
        summary = record_subject(settings, database, order, shown)
    say(f"Recorded {summary.n_neurons} neurons of {SUBJECT} on {summary.n_excerpts} excerpts of {TEXT}.")
    with database.reading() as session:
        neuron_ids = neurons_with_a_clear_peak(session, SUBJECT, range(n_neurons), per_layer=1, seed=SEED)
    explainer = demo_explainer()
    explain_demo_neurons(settings, database, neuron_ids, explainer)
    open_demo_study(database, explainer)


def demo_explainer() -> str:
    """OpenAI's format where a key is in the environment, else the subject model explains itself."""
    if os.environ.get("OPENAI_API_KEY"):
        return f"openai:{os.environ.get('EXPLAINER', 'gpt-4')}"
    return f"local:{SUBJECT}"


def explain_demo_neurons(settings: Settings, database: Database, neuron_ids: list[int], explainer: str) -> None:
    """One batch; what failed is asked again in further ones."""
    models = models_of(settings)
    for attempt in range(N_ATTEMPTS):
        order = BatchOrder(
            subject_name=SUBJECT,
            neuron_ids=neuron_ids,
            methods=list(METHOD_TITLES),
            explainer=explainer,
            settings=ExplainerSettings(seed=SEED + attempt, temperature=temperature_of(explainer, attempt)),
        )
        check_explainer(models, order)
        batch_id = launch_batch(settings, database, order)
        if batch_id is None:
            return
        ended = work_here(settings, database, batch_id, models)
        if ended.status != DONE:
            raise Unavailable(f"the explanations are {ended.status}; run the demo again to go on")
        say(f"Explained by {explainer}: {ended.n_done} done, {ended.n_failed} failed, {ended.seconds:.0f} s of work.")


def temperature_of(explainer: str, attempt: int) -> float:
    """The paper's 1, but for the local model: at 1 so small a model writes noise, at 0 it repeats the examples.

    It starts in between and rises with each attempt, for the prompts that the model answers wrongly again and again.
    """
    return min(2.0, 0.5 + 0.2 * attempt) if explainer.startswith("local:") else 1.0


def open_demo_study(database: Database, explainer: str) -> None:
    """All neurons for which every method has a description, in a study over all six methods."""
    conditions = [(method, str(NO_EXPLAINER) if method == TOKENS else explainer) for method in METHOD_TITLES]
    with database.writing() as session:
        neurons = qualifying_neurons(session, SUBJECT, conditions)
        rows = "".join(f"{layer},{index}\n" for layer, index in neurons)
        lifecycle.create_study(
            session,
            slug=STUDY,
            title=lifecycle.NEUTRAL_TITLE,
            subject_name=SUBJECT,
            conditions=conditions,
            neurons=ListedNeurons("demo.csv", f"layer,neuron\n{rows}"),
            seed=SEED,
            protocol=Protocol(sharing="crossed", n_raters=N_RATERS),
        )
        _resolve_findings(session)
        lifecycle.open_study(session, STUDY, utc_now())
        n_neurons = queries.study_status(session, STUDY).n_neurons
    say(f"Opened the study {STUDY!r}: {n_neurons} neurons, {len(conditions)} descriptions each.")


def _resolve_findings(session: Session) -> None:
    """So small a model says the same of several neurons, which raters may see; a neuron of which it says anything worse
    is left out."""
    for finding in lint.blocking(lint.lint_study(session, STUDY)):
        place = (finding.layer, finding.index)
        if finding.reason.startswith(lint.REPEATED):
            lint.waive(session, STUDY, *place, finding.method, finding.explainer, utc_now(), COMMAND_LINE)
        elif place in {(each.layer, each.index) for each in lint.lint_study(session, STUDY)}:
            lint.leave_out(session, STUDY, *place, utc_now(), COMMAND_LINE)


def demo_access(settings: Settings, database: Database) -> dict[str, Any]:
    """{"admin": ..., "password": ..., "links": [...]}: made once and kept in the data folder, readable by its owner.

    Only the demo keeps them: a real installation stores hashes and prints each secret once.
    """
    path = settings.data / "demo-access.json"
    with database.reading() as session:
        is_made = account_named(session, ADMIN_NAME) is not None
    # The file is written before the transaction is over: where the process died in between, it names nobody.
    if is_made and path.exists():
        access: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return access
    password, now = secrets.token_urlsafe(12), utc_now()
    with database.writing() as session:
        create_account(session, ADMIN_NAME, ADMIN, password)
        invitations = invite_raters(session, STUDY, N_RATERS, now, now + timedelta(days=365))
        links = [f"{settings.public_url}/r/{each.code}" for each in invitations]
        access = {"admin": ADMIN_NAME, "password": password, "links": links}
        _write_private(path, json.dumps(access, indent=2))
    return access


def serve_and_work(settings: Settings) -> None:
    """The site in another process and a worker in this one, so that batches ordered in the browser are worked on."""
    port = urlsplit(settings.public_url).port or 8000
    site = subprocess.Popen([sys.executable, "-m", "app", "serve", "--port", str(port)])
    try:
        with opened_database(settings) as database:
            work_until_stopped(settings, database, models_of(settings))
    finally:
        site.terminate()
        site.wait()


def say(line: str) -> None:
    print(line, flush=True)


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
