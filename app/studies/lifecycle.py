"""A study's three states: created as a draft, opened (which freezes it), closed. There is no way back.

While it is open it can be paused and resumed.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import Conflict, InvalidInput
from app.neurons.lists import first_reasons
from app.neurons.models import Neuron
from app.neurons.reading import subject_named
from app.studies.audit import CLOSED as CLOSING
from app.studies.audit import COMMAND_LINE, CREATED, OPENED, PAUSED, RESUMED, record_event
from app.studies.conditions import Conditions, check_conditions
from app.studies.dealing.design import design_hash
from app.studies.dealing.showing import explanations_of
from app.studies.drafting.freezing import design_of, frozen_texts, neurons_of, quotas_of
from app.studies.drafting.lint import LintFinding, blocking, finding_words, findings_of, lint_wording
from app.studies.drafting.neuron_sets import NeuronSet, check_conditions_exist, chosen_neurons, described_choice
from app.studies.models import CLOSED, DRAFT, OPEN, Condition, FrozenText, Rater, Study, StudyNeuron
from app.studies.protocol import Protocol, protocol_from
from app.studies.queries import locked_study

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
RESERVED_SLUGS = {"new": "the form for new studies", "import": "the form for designs in files"}
"""Their addresses are pages: a study of that name could not be reached."""
KEY_BYTES = 32
DEFAULT_PROTOCOL = Protocol()
NEUTRAL_TITLE = "Which descriptions of a neuron hold up?"
DEFAULT_INSTRUCTIONS = (
    "You will see the excerpts on which one neuron of a language model was most active, some random ones, and several "
    "descriptions of what the neuron responds to. Judge each description by the activations, not by how well it reads: "
    "how far do you agree that it is a good explanation of the neuron's behavior? Then choose the one that is best."
)


def create_study(
    session: Session,
    *,
    slug: str,
    title: str,
    subject_name: str,
    conditions: Conditions,
    neurons: NeuronSet,
    seed: int,
    instructions: str | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    who: str = COMMAND_LINE,
    now: datetime | None = None,
) -> Study:
    """A new draft. conditions: (method, explainer), two to ten, in the order in which tables show them.

    seed: of the draws of neurons and of those that every rater judges; the key of the orders is random and secret.
    Errors: InvalidInput (slug, title, conditions, neurons), UnknownName (subject, condition), Conflict (slug taken).
    Nothing is stored when it raises.
    """
    check_names(slug, title)
    check_conditions(conditions)
    subject = subject_named(session, subject_name)
    check_conditions_exist(session, subject, conditions)
    chosen = chosen_neurons(session, subject, conditions, neurons, seed)
    study = Study(
        slug=slug,
        title=title.strip(),
        subject_id=subject.id,
        instructions=_told(instructions),
        neuron_set=described_choice(neurons, len(chosen), seed),
        protocol=protocol.as_json(),
    )
    add_draft(session, study, conditions, chosen)
    record_event(session, study, who, CREATED, now or utc_now())
    return study


def add_draft(session: Session, study: Study, conditions: Conditions, neurons: Sequence[Neuron]) -> None:
    """Stores a new draft with a new secret key. Errors: Conflict when the slug is taken."""
    study.order_key = secrets.token_bytes(KEY_BYTES)
    # The unique index decides, not a look beforehand: of two admins with the same slug at the same time one is told so.
    try:
        with session.begin_nested():
            session.add(study)
    except IntegrityError:
        raise Conflict(f"there is a study {study.slug!r} already; choose another slug") from None
    session.add_all(
        Condition(study_id=study.id, position=position, method=method, explainer=explainer)
        for position, (method, explainer) in enumerate(conditions)
    )
    session.add_all(StudyNeuron(study_id=study.id, neuron_id=n.id, position=i) for i, n in enumerate(neurons))
    session.flush()


def check_names(slug: str, title: str) -> None:
    """Errors: InvalidInput."""
    if not SLUG.fullmatch(slug):
        raise InvalidInput(f"slug {slug!r}; expected 1 to 100 of a-z, 0-9 and -, the first not a -")
    if page := RESERVED_SLUGS.get(slug):
        raise InvalidInput(f"slug {slug!r} is the address of {page}; choose another")
    if not 0 < len(title.strip()) <= 200:
        raise InvalidInput(f"a title of {len(title.strip())} characters; expected 1 to 200")


def reword(session: Session, slug: str, *, title: str, instructions: str, consent: str) -> Study:
    """Changes what a draft says to raters. Errors: UnknownName; Conflict unless it is a draft; InvalidInput."""
    study = _locked(session, slug, DRAFT, "only a draft can be changed")
    check_names(slug, title)
    study.title, study.instructions = title.strip(), _told(instructions)
    study.protocol = _with_consent(study.protocol, consent)
    session.flush()
    return study


def open_study(session: Session, slug: str, now: datetime, who: str = COMMAND_LINE) -> Study:
    """Freezes the design and opens the study: from now on raters can be invited. Ends the draft's dry runs.

    Errors: UnknownName; Conflict unless it is a draft; InvalidInput that lists, by neuron and condition, the texts
    that raters must not see and nobody has waived.
    """
    study = _locked(session, slug, DRAFT, "only a draft can be opened")
    waived = _checked(session, study)
    neurons = neurons_of(session, study)
    texts = frozen_texts(study, neurons, explanations_of(session, study))
    session.execute(sa.delete(FrozenText).where(FrozenText.study_id == study.id))
    session.add_all(texts)
    study.design_hash = design_hash(design_of(session, study, neurons, [text.text for text in texts]))
    _set_quotas(session, study, neurons)
    _end_dry_runs(session, study, now)
    study.status, study.opened_at = OPEN, now
    waivers = [{"finding": finding_words(finding), "who": finding.waived_by} for finding in waived]
    record_event(session, study, who, OPENED, now, design=study.design_hash, waivers=waivers)
    session.flush()
    return study


def close_study(session: Session, slug: str, now: datetime, who: str = COMMAND_LINE) -> Study:
    """Ends the judging and opens the results. Errors: UnknownName; Conflict unless the study is open."""
    study = _locked(session, slug, OPEN, "only an open study can be closed")
    study.status, study.closed_at = CLOSED, now
    record_event(session, study, who, CLOSING, now)
    session.flush()
    return study


def pause_study(session: Session, slug: str, now: datetime, who: str = COMMAND_LINE) -> Study:
    """Nobody begins or gets another neuron until it is resumed. Errors: UnknownName; Conflict unless it is open."""
    study = _locked(session, slug, OPEN, "only an open study can be paused")
    if study.paused_at is not None:
        raise Conflict(f"study {slug} is paused already")
    study.paused_at = now
    record_event(session, study, who, PAUSED, now)
    session.flush()
    return study


def resume_study(session: Session, slug: str, now: datetime, who: str = COMMAND_LINE) -> Study:
    """Goes on after a pause. Errors: UnknownName; Conflict unless it is open and paused."""
    study = _locked(session, slug, OPEN, "only an open study can be resumed")
    if study.paused_at is None:
        raise Conflict(f"study {slug} is not paused")
    study.paused_at = None
    record_event(session, study, who, RESUMED, now)
    session.flush()
    return study


def _locked(session: Session, slug: str, status: str, otherwise: str) -> Study:
    study = locked_study(session, slug)
    if study.status != status:
        raise Conflict(f"study {slug} is {study.status}; {otherwise}")
    return study


def _told(instructions: str | None) -> str:
    return (instructions or "").strip() or DEFAULT_INSTRUCTIONS


def _with_consent(protocol: dict[str, Any], consent: str) -> dict[str, Any]:
    return protocol_from(protocol | {"consent": consent}).as_json()


def _checked(session: Session, study: Study) -> list[LintFinding]:
    """The findings that somebody has waived. Errors: InvalidInput when there are others."""
    findings, wording = findings_of(session, study), lint_wording(study)
    reasons = [f"the {each.where} {each.reason}" for each in wording] + list(map(finding_words, blocking(findings)))
    if reasons:
        raise InvalidInput("these texts cannot be shown to raters: " + first_reasons(reasons))
    return [finding for finding in findings if finding.waived_by is not None]


def _set_quotas(session: Session, study: Study, neurons: Sequence[Neuron]) -> None:
    rows = [
        {"study_id": study.id, "neuron_id": neuron.id, "quota": quota}
        for neuron, quota in zip(neurons, quotas_of(study, neurons), strict=True)
    ]
    session.execute(sa.update(StudyNeuron), rows)


def _end_dry_runs(session: Session, study: Study, now: datetime) -> None:
    # They were dealt from texts that could still change.
    mine = sa.update(Rater).where(Rater.study_id == study.id, Rater.is_dry_run, Rater.revoked_at.is_(None))
    session.execute(mine.values(revoked_at=now))
