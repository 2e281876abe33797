"""A study's three states: created as a draft, opened (which freezes it), closed. There is no way back."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.methods import TOKENS
from app.explanations.models import DONE, Explanation
from app.neurons.lists import first_reasons
from app.neurons.models import Neuron
from app.neurons.reading import subject_named
from app.studies.blinding import reason_not_to_show, shown_text
from app.studies.design import design_hash
from app.studies.models import CLOSED, DRAFT, OPEN, Condition, FrozenText, Study, StudyNeuron
from app.studies.neuron_sets import (
    Conditions,
    NeuronSet,
    check_conditions_exist,
    chosen_neurons,
    condition_name,
    described_choice,
)
from app.studies.queries import condition_names, locked_study, study_named

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
RESERVED_SLUG = "new"
"""/studies/new is the form of a new study: a study of that name could not be reached."""
KEY_BYTES = 32
DEFAULT_INSTRUCTIONS = (
    "You will see the excerpts on which one neuron of a language model was most active, some random ones, and several "
    "descriptions of what the neuron responds to. Judge each description by the activations, not by how well it reads: "
    "how far do you agree that it is a good explanation of the neuron's behavior? Then choose the one that is best."
)


@dataclass(frozen=True)
class LintFinding:
    """A text that raters must not see, and why."""

    layer: int
    index: int
    method: str
    explainer: str
    reason: str


def parse_condition(text: str) -> tuple[str, str]:
    """`summary@openai:gpt-4` as (method, explainer); `tokens` needs no explainer. Errors: InvalidInput."""
    method, _, explainer = text.strip().partition("@")
    if method == TOKENS and not explainer:
        return method, str(NO_EXPLAINER)
    if not method or not explainer:
        raise InvalidInput(f"condition {text!r}; expected METHOD@EXPLAINER such as summary@openai:gpt-4")
    return method, explainer


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
) -> Study:
    """A new draft. conditions: (method, explainer), two or more, in the order in which tables show them.

    seed: of the draw of neurons; the key of the orders is random and secret.
    Errors: InvalidInput (slug, title, conditions, neurons), UnknownName (subject, condition), Conflict (slug taken).
    Nothing is stored when it raises.
    """
    _check_names(slug, title)
    _check_conditions(conditions)
    subject = subject_named(session, subject_name)
    check_conditions_exist(session, subject, conditions)
    chosen = chosen_neurons(session, subject, conditions, neurons, seed)
    study = Study(
        slug=slug,
        title=title.strip(),
        subject_id=subject.id,
        instructions=(instructions or "").strip() or DEFAULT_INSTRUCTIONS,
        neuron_set=described_choice(neurons, len(chosen), seed),
        order_key=secrets.token_bytes(KEY_BYTES),
    )
    _add(session, study)
    session.add_all(_conditions(study, conditions))
    session.add_all(StudyNeuron(study_id=study.id, neuron_id=n.id, position=i) for i, n in enumerate(chosen))
    session.flush()
    return study


def _check_names(slug: str, title: str) -> None:
    if not SLUG.fullmatch(slug):
        raise InvalidInput(f"slug {slug!r}; expected 1 to 100 of a-z, 0-9 and -, the first not a -")
    if slug == RESERVED_SLUG:
        raise InvalidInput(f"slug {slug!r} is the address of the form for new studies; choose another")
    if not 0 < len(title.strip()) <= 200:
        raise InvalidInput(f"a title of {len(title.strip())} characters; expected 1 to 200")


def _check_conditions(conditions: Conditions) -> None:
    if len(conditions) < 2:
        raise InvalidInput(f"{len(conditions)} condition; expected two or more to compare")
    if twice := {condition for condition in conditions if list(conditions).count(condition) > 1}:
        names = ", ".join(sorted(condition_name(*condition) for condition in twice))
        raise InvalidInput(f"condition {names} is there twice; expected each once")


def _add(session: Session, study: Study) -> None:
    # The unique index decides, not a look beforehand: of two admins with the same slug at the same time one is told so.
    try:
        with session.begin_nested():
            session.add(study)
    except IntegrityError:
        raise Conflict(f"there is a study {study.slug!r} already; choose another slug") from None


def _conditions(study: Study, conditions: Conditions) -> list[Condition]:
    return [
        Condition(study_id=study.id, position=position, method=method, explainer=explainer)
        for position, (method, explainer) in enumerate(conditions)
    ]


def lint_study(session: Session, slug: str) -> tuple[LintFinding, ...]:
    """The texts that would keep this study from opening, by neuron and condition. Errors: UnknownName."""
    study = study_named(session, slug)
    return _findings(study, _study_neurons(session, study), _explanations(session, study))


def open_study(session: Session, slug: str, now: datetime) -> Study:
    """Freezes the texts and opens the study: from now on raters can be invited.

    Errors: UnknownName; Conflict unless it is a draft; InvalidInput that lists, by neuron and condition, the texts
    that raters must not see.
    """
    study = locked_study(session, slug)
    if study.status != DRAFT:
        raise Conflict(f"study {slug} is {study.status}; only a draft can be opened")
    neurons, explanations = _study_neurons(session, study), _explanations(session, study)
    if findings := _findings(study, neurons, explanations):
        raise InvalidInput("these texts cannot be shown to raters: " + first_reasons([_sentence(f) for f in findings]))
    frozen = _frozen_texts(study, neurons, explanations)
    session.add_all(frozen)
    study.design_hash = design_hash(_design(study, neurons, frozen))
    study.status, study.opened_at = OPEN, now
    session.flush()
    return study


def close_study(session: Session, slug: str, now: datetime) -> Study:
    """Ends the judging and opens the results. Errors: UnknownName; Conflict unless the study is open."""
    study = locked_study(session, slug)
    if study.status != OPEN:
        raise Conflict(f"study {slug} is {study.status}; only an open study can be closed")
    study.status, study.closed_at = CLOSED, now
    session.flush()
    return study


def _study_neurons(session: Session, study: Study) -> Sequence[Neuron]:
    query = sa.select(Neuron).join(StudyNeuron, StudyNeuron.neuron_id == Neuron.id)
    return session.scalars(query.where(StudyNeuron.study_id == study.id).order_by(StudyNeuron.position)).all()


def _explanations(session: Session, study: Study) -> dict[tuple[int, int], Explanation]:
    """The explanation of each (neuron id, condition id): the first sample, and of several prompt packs the newest."""
    is_condition = sa.and_(Condition.method == Explanation.method, Condition.explainer == Explanation.explainer)
    query = (
        sa.select(Condition.id, Explanation)
        .join(Condition, is_condition)
        .join(StudyNeuron, StudyNeuron.neuron_id == Explanation.neuron_id)
        .where(Condition.study_id == study.id, StudyNeuron.study_id == study.id, Explanation.status == DONE)
        .order_by(Explanation.sample_number.desc(), Explanation.id)
    )
    # The best comes last and replaces those before it.
    return {(explanation.neuron_id, condition_id): explanation for condition_id, explanation in session.execute(query)}


def _findings(
    study: Study, neurons: Sequence[Neuron], explanations: dict[tuple[int, int], Explanation]
) -> tuple[LintFinding, ...]:
    found = []
    for neuron in neurons:
        for condition in study.conditions:
            explanation = explanations.get((neuron.id, condition.id))
            text = "" if explanation is None else explanation.text or ""
            if reason := reason_not_to_show(text):
                found.append(LintFinding(neuron.layer, neuron.index, condition.method, condition.explainer, reason))
    return tuple(found)


def _sentence(finding: LintFinding) -> str:
    where = f"neuron {finding.layer}:{finding.index}, {condition_name(finding.method, finding.explainer)}"
    return f"{where}: the text {finding.reason}"


def _frozen_texts(
    study: Study, neurons: Sequence[Neuron], explanations: dict[tuple[int, int], Explanation]
) -> list[FrozenText]:
    """The texts as shown, by neuron and then condition. Nothing is missing: `_findings` would have found it empty."""
    return [
        FrozenText(
            study_id=study.id,
            condition_id=condition.id,
            neuron_id=neuron.id,
            explanation_id=explanations[neuron.id, condition.id].id,
            text=shown_text(explanations[neuron.id, condition.id].text or ""),
        )
        for neuron in neurons
        for condition in study.conditions
    ]


def _design(study: Study, neurons: Sequence[Neuron], frozen: Sequence[FrozenText]) -> dict[str, Any]:
    """Everything that opening freezes. The key of the orders stays out: the hash is published with the results."""
    return {
        "subject": study.subject.name,
        "conditions": condition_names(study),
        "neurons": [[neuron.site, neuron.layer, neuron.index] for neuron in neurons],
        "texts": [text.text for text in frozen],
        "instructions": study.instructions,
        "seed": study.neuron_set["seed"],
    }
