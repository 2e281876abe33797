"""What an order of explanations comes to: is it sound, which explanations does it mean, and which of them are lacking.
Reads; changes nothing and calls nobody."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import RUNNING, Batch
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import NO_EXPLAINER, NONE, Explainer, ExplainerSettings, parse_explainer
from app.explanations.methods import METHOD_TITLES, TOKENS, check_method_names
from app.explanations.methods.marking import DEFAULT_CUTOFF
from app.explanations.methods.splits import N_EXPLAIN_RECORDS
from app.explanations.models import DONE, QUEUED, Explanation
from app.explanations.prompt_packs.loading import load_pack, with_few_shots
from app.neurons.bare import bare_among
from app.neurons.models import ActivationRow, Neuron, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.records import BOTTOM

N_NEURONS_PER_QUERY = 500
"""Both databases limit the parameters of one statement."""
MOST_SAMPLES = 1000

NO_PROMPT_PACK = "none"


@dataclass(frozen=True)
class OneExplanation:
    """Which explanation is meant, within one order."""

    neuron_id: int
    method: str
    sample_number: int


@dataclass(frozen=True)
class CheckedOrder:
    """An order that can be carried out.

    neuron_ids: each once, in the order asked for. methods: in the paper's order.
    """

    subject: SubjectModel
    neuron_ids: Sequence[int]
    methods: Sequence[str]
    explainer: Explainer
    settings: ExplainerSettings
    n_samples: int

    def explanations(self) -> Iterator[OneExplanation]:
        """All it asks for. One method after another: a local model reads the examples of each once."""
        for method, neuron_id, sample in product(self.methods, self.neuron_ids, range(self.n_samples)):
            yield OneExplanation(neuron_id, method, sample)


@dataclass(frozen=True)
class Existing:
    """An explanation that is stored. is_open: nobody makes it unless a new batch does. has_failed: it was tried."""

    id: int
    is_open: bool
    has_failed: bool


def checked_order(
    session: Session,
    *,
    subject_name: str,
    neurons: Sequence[int],
    methods: Sequence[str],
    explainer: str,
    settings: ExplainerSettings,
    samples: int,
) -> CheckedOrder:
    """The order, its names and numbers looked up.

    Errors: UnknownName (subject, neuron, method, prompt pack), InvalidInput (nothing to do, no explainer for a prompt
    method, more few-shot neurons than the pack has, a negative side of which nothing is recorded).
    """
    wanted_methods = _checked_methods(methods)
    who = _checked_explainer(explainer, wanted_methods)
    if not 1 <= samples <= MOST_SAMPLES:
        raise InvalidInput(f"samples={samples}; expected at least 1 and at most {MOST_SAMPLES}")
    subject = subject_named(session, subject_name)
    neuron_ids = _checked_neurons(session, subject, neurons)
    if settings.side == "negative":
        _check_negative_sides(session, subject, neuron_ids)
    for method in wanted_methods:
        explanation_key(method, who, settings)
    return CheckedOrder(subject, neuron_ids, wanted_methods, who, settings, samples)


def existing_explanations(session: Session, order: CheckedOrder) -> dict[OneExplanation, Existing]:
    """Those explanations of an order that are stored, done or not."""
    keys = {method: explanation_key(method, order.explainer, order.settings) for method in order.methods}
    found: dict[OneExplanation, Existing] = {}
    for some, (method, (explainer, prompt_pack)) in product(_in_parts(sorted(order.neuron_ids)), keys.items()):
        rows = session.execute(
            sa.select(
                Explanation.id, Explanation.neuron_id, Explanation.sample_number, Explanation.status, Batch.status
            )
            .outerjoin(Batch, Batch.id == Explanation.batch_id)
            .where(
                Explanation.neuron_id.in_(some),
                Explanation.method == method,
                Explanation.explainer == explainer,
                Explanation.prompt_pack == prompt_pack,
                Explanation.side == order.settings.side,
            )
        )
        for explanation_id, neuron_id, sample_number, status, batch_status in rows:
            is_being_made = status == QUEUED and batch_status in (QUEUED, RUNNING)
            is_open = status != DONE and not is_being_made
            has_failed = status not in (DONE, QUEUED)
            one = OneExplanation(neuron_id, method, sample_number)
            found[one] = Existing(explanation_id, is_open, has_failed)
    return found


def lacking_explanations(order: CheckedOrder, existing: dict[OneExplanation, Existing]) -> list[OneExplanation]:
    return [one for one in order.explanations() if one not in existing or existing[one].is_open]


def explanation_key(method: str, explainer: Explainer, settings: ExplainerSettings) -> tuple[str, str]:
    """The explainer and the prompt pack that an explanation is stored under; each is `none` for the method `tokens`.

    Excerpts, examples or a cutoff chosen otherwise than by default make other prompts, so these choices are part of
    the pack's name, `default@...+top5+8excerpts+1shot+q99`, and their explanations are never taken for one another.
    """
    excerpts = "" if settings.excerpts == "every4th" else f"+{settings.excerpts}"
    n_excerpts = "" if settings.n_excerpts == N_EXPLAIN_RECORDS else _counted(settings.n_excerpts, "excerpt")
    cutoff = "" if settings.cutoff == DEFAULT_CUTOFF else f"+{settings.cutoff}"
    if method == TOKENS:
        return str(NO_EXPLAINER), f"{NO_PROMPT_PACK}{excerpts}{n_excerpts}{cutoff}"
    pack = load_pack(settings.prompt_pack)
    n_shots = len(with_few_shots(pack, settings.n_few_shots).few_shots)
    shots = "" if n_shots == len(pack.few_shots) else _counted(n_shots, "shot")
    return str(explainer), f"{pack.identity}{excerpts}{n_excerpts}{shots}{cutoff}"


def _counted(n: int, what: str) -> str:
    return f"+{n}{what}{'' if n == 1 else 's'}"


def _checked_methods(methods: Sequence[str]) -> list[str]:
    check_method_names(list(methods))
    if not methods:
        raise InvalidInput(f"no method; expected some of {', '.join(METHOD_TITLES)}")
    return [name for name in METHOD_TITLES if name in methods]


def _checked_explainer(name: str, methods: list[str]) -> Explainer:
    explainer = parse_explainer(name)
    if methods == [TOKENS]:
        return NO_EXPLAINER
    if explainer.kind == NONE:
        raise InvalidInput(
            "the explainer none makes only the method tokens; expected openai:MODEL or local:NAME-OR-PATH"
        )
    return explainer


def _checked_neurons(session: Session, subject: SubjectModel, neurons: Sequence[int]) -> list[int]:
    neuron_ids = list(dict.fromkeys(neurons))
    if not neuron_ids:
        raise InvalidInput("no neurons to explain; expected at least one")
    known: set[int] = set()
    for some in _in_parts(neuron_ids):
        known.update(session.scalars(sa.select(Neuron.id).where(Neuron.id.in_(some), Neuron.subject_id == subject.id)))
    unknown = [neuron_id for neuron_id in neuron_ids if neuron_id not in known]
    if unknown:
        raise UnknownName(f"no neuron with id {unknown[0]} in the subject model {subject.name!r}")
    _check_activations(session, subject, neuron_ids)
    return neuron_ids


def _check_activations(session: Session, subject: SubjectModel, neuron_ids: list[int]) -> None:
    """Refuses neurons of which an import brought texts only: a prompt would show nothing and be paid for."""
    bare = [neuron_id for some in _in_parts(neuron_ids) for neuron_id in sorted(bare_among(session, some))]
    if bare:
        first = session.get_one(Neuron, bare[0])
        raise InvalidInput(
            f"{len(bare)} of these neurons of {subject.name!r} have no activations here, neuron "
            f"{first.layer}:{first.index} first; import them before they are explained"
        )


def _check_negative_sides(session: Session, subject: SubjectModel, neuron_ids: list[int]) -> None:
    """Refuses neurons whose very negative activations were never looked for: there is nothing to explain."""
    has_bottom = sa.exists().where(
        ActivationRow.neuron_id == Neuron.id, ActivationRow.band == BOTTOM, ActivationRow.rank == 0
    )
    for some in _in_parts(neuron_ids):
        lacking = session.scalars(sa.select(Neuron).where(Neuron.id.in_(some), ~has_bottom).limit(1)).first()
        if lacking is not None:
            raise InvalidInput(
                f"nothing is recorded of the negative side of neuron {lacking.layer}:{lacking.index} of "
                f"{subject.name!r}; expected a recording with polarity both, or side positive"
            )


def _in_parts(ids: list[int]) -> list[list[int]]:
    return [ids[start : start + N_NEURONS_PER_QUERY] for start in range(0, len(ids), N_NEURONS_PER_QUERY)]
