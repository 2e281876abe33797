"""What pages show of studies before they open, as plain values: the list, the form of a new one, a draft."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from app.errors import InvalidInput
from app.explanations.methods import method_title
from app.studies.drafting.choices import ConditionChoice
from app.studies.drafting.lint import LintFinding, WordingFinding, blocking
from app.studies.drafting.plan import PowerLine, plan_of, power_lines, power_words, sharing_words
from app.studies.drafting.power import TYPICAL_CORRELATION, TYPICAL_SD
from app.studies.forms import NewStudyForm
from app.studies.models import CLOSED, DRAFT
from app.studies.protocol import Protocol
from app.studies.queries import StudyStatus, StudySummary
from app.studies.results.exclusion import declared_rules
from app.studies.running.pages import protocol_in_words
from app.studies.wording import condition_titles
from app.web.formatting import paragraphs
from app.web.templating import PageContext


@dataclass(frozen=True)
class StudyLine:
    """A study in the list. next_step: what to do now, one phrase; next_path: where, or None for nobody but admins."""

    summary: StudySummary
    next_step: str
    next_path: str | None


@dataclass(frozen=True)
class StudyListPage(PageContext):
    """What templates/studies/studies.html shows.

    studies: all studies, newest first, each with its next step.
    can_manage: whether the visitor is an admin.
    """

    template: ClassVar[str] = "studies/studies.html"
    studies: tuple[StudyLine, ...]
    can_manage: bool


@dataclass(frozen=True)
class PowerView:
    """What a study can tell from chance. sd, correlation: the assumptions. problem: why they cannot be used."""

    words: tuple[str, ...]
    lines: tuple[PowerLine, ...]
    sd: str
    correlation: str
    problem: str | None = None


@dataclass(frozen=True)
class PlanView:
    """What a study would be: who judges what, in sentences, and what it can tell from chance."""

    sharing: tuple[str, ...]
    power: PowerView


@dataclass(frozen=True)
class NewStudyPage(PageContext):
    """What templates/studies/new.html shows.

    subjects: names of the recorded subject models.
    choices: the conditions for which the chosen subject has explanations.
    saved_sets: names of its saved sets of neurons.
    form: what is filled in; after a refusal, what was sent.
    plan: what the study would be, where that was asked for.
    problem: why the form was refused, or None.
    wrong_field: the name of the field that it lies in, or None.
    """

    template: ClassVar[str] = "studies/new.html"
    subjects: tuple[str, ...]
    choices: tuple[ConditionChoice, ...]
    saved_sets: tuple[str, ...]
    form: NewStudyForm
    plan: PlanView | None
    problem: str | None
    wrong_field: str | None


@dataclass(frozen=True)
class ImportPage(PageContext):
    """What templates/studies/import.html shows.

    slug: the short name as typed.
    largest_mebibytes: how large a file may be sent.
    problem: why the file was refused, or None.
    """

    template: ClassVar[str] = "studies/import.html"
    slug: str
    largest_mebibytes: int
    problem: str | None


@dataclass(frozen=True)
class FindingLine:
    """What the lint found, with the title of the method."""

    finding: LintFinding
    method_title: str


@dataclass(frozen=True)
class DraftPage(PageContext):
    """What templates/studies/draft.html shows.

    study: the draft.
    plan: what will happen, and what the study can tell from chance.
    wording: names in the study's own words; they block the opening until they are edited.
    findings: what the lint found in the texts, waived ones included.
    n_blocking: findings that nobody has waived.
    n_waivable: how many of those can be waived.
    may_leave_out: whether it has more than one neuron.
    conditions: (title of the method, explainer) in the order of the tables.
    neuron_set: (name, value) pairs of how the neurons were chosen.
    protocol: (name, value) pairs of how the study is run.
    rules: who is left out of the analysis, in sentences.
    instructions, consent: what raters read before they judge, one entry per paragraph.
    """

    template: ClassVar[str] = "studies/draft.html"
    study: StudyStatus
    plan: PlanView
    wording: tuple[WordingFinding, ...]
    findings: tuple[FindingLine, ...]
    n_blocking: int
    n_waivable: int
    may_leave_out: bool
    conditions: tuple[tuple[str, str], ...]
    neuron_set: tuple[tuple[str, str], ...]
    protocol: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    instructions: tuple[str, ...]
    consent: tuple[str, ...]


@dataclass(frozen=True)
class DryRunPage(PageContext):
    """What templates/studies/dry_run.html shows, once: only a hash of the code is kept.

    slug, title: the study's.
    link: the whole address of the dry run.
    """

    template: ClassVar[str] = "studies/dry_run.html"
    slug: str
    title: str
    link: str


def study_line(summary: StudySummary, can_manage: bool) -> StudyLine:
    if summary.status == CLOSED:
        return StudyLine(summary, "See the results", f"/studies/{summary.slug}/results")
    return StudyLine(summary, _next_step(summary), f"/studies/{summary.slug}" if can_manage else None)


def _next_step(summary: StudySummary) -> str:
    if summary.status == DRAFT:
        return "Open it"
    if summary.n_raters == 0:
        return "Invite raters"
    return "Wait for judgements" if summary.n_judged < summary.n_wanted else "Close it"


def plan_view(protocol: Protocol, n_neurons: int, sd: str = "", correlation: str = "") -> PlanView:
    """sd, correlation: as typed; empty or wrong ones fall back to the typical values."""
    return PlanView(sharing_words(protocol, n_neurons), _power_view(protocol, n_neurons, sd, correlation))


def _power_view(protocol: Protocol, n_neurons: int, sd: str, correlation: str) -> PowerView:
    typed = (sd or f"{TYPICAL_SD:g}", correlation or f"{TYPICAL_CORRELATION:g}")
    try:
        return _power_of(protocol, n_neurons, _decimal(typed[0]), _decimal(typed[1]), typed)
    except InvalidInput as error:
        usual = _power_of(protocol, n_neurons, TYPICAL_SD, TYPICAL_CORRELATION, typed)
        return replace(usual, problem=f"{error}. The table uses {TYPICAL_SD:g} and {TYPICAL_CORRELATION:g}.")


def _power_of(protocol: Protocol, n_neurons: int, sd: float, correlation: float, typed: tuple[str, str]) -> PowerView:
    n_judgements = plan_of(protocol, n_neurons).n_judgements
    words = power_words(protocol, n_neurons, sd, correlation)
    return PowerView(words, power_lines(n_judgements, sd, correlation), *typed)


def _decimal(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InvalidInput(f"{text!r} is no number; expected one such as 0.78") from None


def draft_page(
    study: StudyStatus,
    findings: tuple[LintFinding, ...],
    wording: tuple[WordingFinding, ...],
    sd: str = "",
    correlation: str = "",
) -> DraftPage:
    open_ones = blocking(findings)
    return DraftPage(
        study=study,
        plan=plan_view(study.protocol, study.n_neurons, sd, correlation),
        wording=wording,
        # What blocks comes first; sorting keeps the order of the neurons.
        findings=tuple(
            FindingLine(finding, method_title(finding.method))
            for finding in sorted(findings, key=lambda finding: finding.waived_by is not None)
        ),
        n_blocking=len(open_ones),
        n_waivable=Counter(finding.can_be_waived for finding in open_ones)[True],
        may_leave_out=study.n_neurons > 1,
        conditions=condition_titles(study.conditions),
        neuron_set=neuron_set_words(study),
        protocol=protocol_in_words(study.protocol),
        rules=declared_rules(study.protocol),
        instructions=paragraphs(study.instructions),
        consent=paragraphs(study.protocol.consent),
    )


def neuron_set_words(study: StudyStatus) -> tuple[tuple[str, str], ...]:
    """How the neurons were chosen, all but their number, which stands beside it."""
    shown = {name: value for name, value in study.neuron_set.items() if name != "n_neurons"}
    names = {"kind": "Chosen", "n_per_layer": "Neurons per layer"}
    return tuple((names.get(name, name.replace("_", " ").capitalize()), _text(value)) for name, value in shown.items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
