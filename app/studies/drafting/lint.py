"""What keeps a draft from opening: texts that betray their method or waste a judgement, and how to resolve them.

A finding is resolved by another text, by leaving the neuron out, or by a waiver: somebody, by name, lets exactly this
text pass. Names in the study's own words (title, instructions, consent) are resolved by editing them.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.methods import IMPORTED
from app.neurons.models import Neuron
from app.studies.audit import LEFT_OUT, WAIVED, record_event
from app.studies.conditions import condition_name
from app.studies.dealing.blinding import reason_not_to_show
from app.studies.dealing.showing import explanations_of, text_as_shown
from app.studies.drafting.evidence_lint import NO_EVIDENCE, missing_evidence
from app.studies.drafting.freezing import neurons_of
from app.studies.models import DRAFT, Condition, FrozenText, LintWaiver, Study, StudyNeuron
from app.studies.queries import locked_study, study_named

LONGEST_TEXT = 400
"""Characters; raters compare several of these on one screen."""
NO_NAMES = ("none", "unknown")
"""What stands for an explainer that nobody can name."""
EMPTY = "is empty"
NOT_WAIVABLE = (EMPTY, NO_EVIDENCE)
REPEATED = "says the same of"
"""How the reason begins where nothing but the repetition, or the length, is wrong with a text."""
_METHOD_NAMED = "names a method"


@dataclass(frozen=True)
class LintFinding:
    """A text that raters should not see, and why.

    reason: continues "the text ...". waived_by: who let it pass, or None. can_be_waived: a text that is empty, or that
    nothing stands beside, cannot.
    """

    layer: int
    index: int
    method: str
    explainer: str
    reason: str
    neuron_id: int
    condition_id: int
    text: str
    waived_by: str | None
    can_be_waived: bool


@dataclass(frozen=True)
class WordingFinding:
    """A name in the study's own words that betrays what is compared. where: `title`, `instructions`, `consent`."""

    where: str
    reason: str


@dataclass(frozen=True)
class _Shown:
    """A text as raters would see it."""

    neuron: Neuron
    condition: Condition
    text: str

    @property
    def key(self) -> str:
        return self.text.casefold()


def lint_study(session: Session, slug: str) -> tuple[LintFinding, ...]:
    """The findings by neuron and condition, waived ones included. Errors: UnknownName."""
    return findings_of(session, study_named(session, slug))


def findings_of(session: Session, study: Study) -> tuple[LintFinding, ...]:
    shown, waivers = _shown(session, study), _waivers(session, study)
    neurons_saying: dict[str, set[int]] = defaultdict(set)
    for each in shown:
        neurons_saying[each.key].add(each.neuron.id)
    names = explainer_names(study)
    missing = missing_evidence(session, study)
    found = []
    for each in shown:
        reason = _reason(each.text, len(neurons_saying[each.key]) - 1, names)
        # What is missing beside a neuron is said once, with its first text.
        lacking = missing.get(each.neuron.id) if each.condition is study.conditions[0] else None
        if whole := _both(reason, lacking):
            found.append(_finding(each, whole, waivers.get((each.neuron.id, each.condition.id))))
    return tuple(found)


def _both(reason: str | None, lacking: str | None) -> str | None:
    """Of a text's reason and of what its neuron lacks; one that cannot be waived stands alone."""
    unwaivable = next((each for each in (reason, lacking) if each in NOT_WAIVABLE), None)
    return unwaivable or " and ".join(filter(None, (reason, lacking))) or None


def lint_wording(study: Study) -> tuple[WordingFinding, ...]:
    """The method and explainer names in title, instructions and consent."""
    words = {"title": study.title, "instructions": study.instructions, "consent": study.protocol.get("consent", "")}
    names = explainer_names(study)
    return tuple(
        WordingFinding(where, reason)
        for where, text in words.items()
        for reason in dict.fromkeys(filter(None, (_name_in(line, names) for line in text.splitlines())))
    )


def blocking(findings: Sequence[LintFinding]) -> list[LintFinding]:
    """Those that nobody has waived."""
    return [finding for finding in findings if finding.waived_by is None]


def finding_words(finding: LintFinding) -> str:
    """One sentence for messages and for the log."""
    where = f"neuron {finding.layer}:{finding.index}, {condition_name(finding.method, finding.explainer)}"
    return f"{where}: the text {finding.reason}"


def explainer_names(study: Study) -> tuple[str, ...]:
    """What the study's explainers are called in running text: `gpt-4` for `openai:gpt-4`."""
    full = [condition.explainer.removeprefix(f"{IMPORTED}:") for condition in study.conditions]
    names = (explainer[explainer.find(":") + 1 :].rstrip("/").rpartition("/")[2] for explainer in full)
    return tuple(dict.fromkeys(name for name in names if len(name) > 1 and name not in NO_NAMES))


def _reason(text: str, n_others: int, names: Sequence[str]) -> str | None:
    """All that is wrong with a text, or None. n_others: further neurons for which the same is said."""
    reason = reason_not_to_show(text)
    if reason == EMPTY:
        return reason
    repeated = f"{REPEATED} {n_others} other neuron{'' if n_others == 1 else 's'}" if n_others else None
    too_long = f"has {len(text)} characters, more than {LONGEST_TEXT}" if len(text) > LONGEST_TEXT else None
    reasons = [each for each in (reason, _explainer_in(text, names), repeated, too_long) if each]
    return " and ".join(reasons) or None


def _name_in(line: str, names: Sequence[str]) -> str | None:
    reason = reason_not_to_show(line)
    if reason is not None and reason.startswith(_METHOD_NAMED):
        return reason
    return _explainer_in(line, names)


def _explainer_in(text: str, names: Sequence[str]) -> str | None:
    for name in names:
        if found := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
            return f"names an explainer ({found.group()!r})"
    return None


def _shown(session: Session, study: Study) -> list[_Shown]:
    explanations = explanations_of(session, study)
    return [
        _Shown(neuron, condition, text_as_shown(explanations.get((neuron.id, condition.id))))
        for neuron in neurons_of(session, study)
        for condition in study.conditions
    ]


def _waivers(session: Session, study: Study) -> dict[tuple[int, int], LintWaiver]:
    mine = session.scalars(sa.select(LintWaiver).where(LintWaiver.study_id == study.id))
    return {(waiver.neuron_id, waiver.condition_id): waiver for waiver in mine}


def _finding(shown: _Shown, reason: str, waiver: LintWaiver | None) -> LintFinding:
    can_be_waived = reason not in NOT_WAIVABLE
    return LintFinding(
        layer=shown.neuron.layer,
        index=shown.neuron.index,
        method=shown.condition.method,
        explainer=shown.condition.explainer,
        reason=reason,
        neuron_id=shown.neuron.id,
        condition_id=shown.condition.id,
        text=shown.text,
        waived_by=waiver.who if can_be_waived and waiver is not None and waiver.text == shown.text else None,
        can_be_waived=can_be_waived,
    )


def waive(
    session: Session, slug: str, layer: int, index: int, method: str, explainer: str, now: datetime, who: str
) -> None:
    """Lets this text of a draft pass, by name.

    Errors: UnknownName; Conflict unless the study is a draft; InvalidInput where nothing is wrong, or the text empty.
    """
    study = _locked_draft(session, slug)
    wanted = (layer, index, method, explainer)
    for finding in findings_of(session, study):
        if (finding.layer, finding.index, finding.method, finding.explainer) == wanted:
            _let_pass(session, study, finding, now, who)
            return
    name = condition_name(method, explainer)
    raise InvalidInput(f"nothing is wrong with the text of neuron {layer}:{index} by {name}; nothing to waive")


def waive_all(session: Session, slug: str, now: datetime, who: str) -> int:
    """Lets every text of a draft pass that can be waived; how many were. Errors: UnknownName, Conflict."""
    study = _locked_draft(session, slug)
    open_ones = [finding for finding in blocking(findings_of(session, study)) if finding.can_be_waived]
    for finding in open_ones:
        _let_pass(session, study, finding, now, who)
    return len(open_ones)


def waived_neurons(session: Session, study: Study) -> set[int]:
    """Ids of the neurons of which a text was let pass: the study's history says by which method it is."""
    return set(session.scalars(sa.select(LintWaiver.neuron_id).where(LintWaiver.study_id == study.id)))


def _let_pass(session: Session, study: Study, finding: LintFinding, now: datetime, who: str) -> None:
    if not finding.can_be_waived:
        expected = "a text" if finding.reason == EMPTY else "excerpts"
        raise InvalidInput(f"{finding_words(finding)}; expected {expected}, or the neuron left out")
    key = {"study_id": study.id, "neuron_id": finding.neuron_id, "condition_id": finding.condition_id}
    session.merge(LintWaiver(**key, text=finding.text, who=who, at=now))
    session.flush()
    record_event(session, study, who, WAIVED, now, text=finding.text, finding=finding_words(finding))


def leave_out(session: Session, slug: str, layer: int, index: int, now: datetime, who: str) -> None:
    """Takes a neuron out of a draft.

    Errors: UnknownName; Conflict unless the study is a draft, and when this is its only neuron.
    """
    study = _locked_draft(session, slug)
    neurons = neurons_of(session, study)
    found = [place for place, neuron in enumerate(neurons) if (neuron.layer, neuron.index) == (layer, index)]
    if not found:
        raise UnknownName(f"study {slug} has no neuron {layer}:{index}")
    if len(neurons) == 1:
        raise Conflict(f"neuron {layer}:{index} is the only one of study {slug}; make another study instead")
    _remove(session, study, neurons[found[0]].id, found[0])
    left_out = [*study.neuron_set.get("left_out", []), f"{layer}:{index}"]
    study.neuron_set = study.neuron_set | {"n_neurons": len(neurons) - 1, "left_out": left_out}
    record_event(session, study, who, LEFT_OUT, now, neuron=f"{layer}:{index}")
    session.flush()


def _remove(session: Session, study: Study, neuron_id: int, position: int) -> None:
    for table in (LintWaiver, FrozenText, StudyNeuron):
        session.execute(sa.delete(table).where(table.study_id == study.id, table.neuron_id == neuron_id))
    later = sa.update(StudyNeuron).where(StudyNeuron.study_id == study.id)
    # In two steps by way of negative numbers: row by row, two neurons would meet in one place for a moment.
    session.execute(later.where(StudyNeuron.position > position).values(position=-StudyNeuron.position))
    session.execute(later.where(StudyNeuron.position < 0).values(position=-StudyNeuron.position - 1))


def _locked_draft(session: Session, slug: str) -> Study:
    study = locked_study(session, slug)
    if study.status != DRAFT:
        raise Conflict(f"study {slug} is {study.status}; only a draft can be changed")
    return study
