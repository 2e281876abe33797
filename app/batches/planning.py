"""Plans a batch: which explanations are lacking, and in which shard each is made. Runs nothing and calls nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import RUNNING, Batch
from app.database import utc_now
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import NO_EXPLAINER, NONE, Explainer, ExplainerSettings, parse_explainer
from app.explanations.methods import METHOD_TITLES, TOKENS, check_method_names
from app.explanations.models import DONE, QUEUED, Explanation
from app.explanations.prompt_packs.loading import load_pack
from app.neurons.models import ActivationRow, Neuron, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.records import BOTTOM, Side

SHARD_SIZE = 25
N_NEURONS_PER_QUERY = 500
"""Both databases limit the parameters of one statement."""

NO_PROMPT_PACK = "none"

Wanted = tuple[int, str, int]
"""(neuron id, method, sample number)"""


_BACK_IN_QUEUE: dict[str, Any] = {
    "status": QUEUED,
    "text_received": None,
    "text": None,
    "failure": None,
    "failure_detail": None,
    "n_prompt_tokens": None,
    "n_completion_tokens": None,
    "cost_usd": None,
    "seconds": None,
    "finished_at": None,
}


def plan_batch(
    session: Session,
    *,
    subject_name: str,
    neurons: Sequence[int],
    methods: Sequence[str],
    explainer: str,
    settings: ExplainerSettings,
    samples: int = 1,
) -> Batch:
    """Stores a batch that makes each explanation asked for, unless it exists; it is done at once when all do.

    neurons: ids, all of the subject. methods: `tokens` needs no explainer and may stand beside prompt methods.
    samples: how many explanations of each neuron by each method, numbered from 0.
    What exists is reused whatever the temperature it was sampled at; another prompt pack, explainer, side or choice of
    excerpts makes another explanation. Failed explanations are asked for again, and move into this batch.
    Errors: UnknownName (subject, neuron, method, prompt pack), InvalidInput (nothing to do, no explainer for a prompt
    method, a negative side of which nothing is recorded).
    """
    wanted_methods = _checked_methods(methods)
    who = _checked_explainer(explainer, wanted_methods)
    if samples < 1:
        raise InvalidInput(f"samples={samples}; expected at least 1")
    subject = _locked_subject(session, subject_name)
    neuron_ids = _checked_neurons(session, subject, neurons)
    if settings.side == "negative":
        _check_negative_sides(session, subject, neuron_ids)
    batch = Batch(
        subject_id=subject.id,
        methods=wanted_methods,
        explainer=str(who),
        settings=settings.model_dump(mode="json"),
        n_explanations=0,
        n_shards=0,
    )
    session.add(batch)
    session.flush()
    wanted = [
        (neuron, method, sample) for method, neuron, sample in product(wanted_methods, neuron_ids, range(samples))
    ]
    _enqueue(session, batch, wanted, who, settings)
    return batch


def _checked_methods(methods: Sequence[str]) -> list[str]:
    check_method_names(list(methods))
    if not methods:
        raise InvalidInput(f"no method; expected some of {', '.join(METHOD_TITLES)}")
    # The order of the titles, which keeps each method together in the shards: a local model reads its examples once.
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


def _locked_subject(session: Session, subject_name: str) -> SubjectModel:
    subject = subject_named(session, subject_name)
    # The lock makes two plans for one subject wait for each other: both would add the same explanations.
    session.execute(sa.select(SubjectModel.id).where(SubjectModel.id == subject.id).with_for_update())
    return subject


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
    return neuron_ids


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


def _enqueue(
    session: Session, batch: Batch, wanted: list[Wanted], explainer: Explainer, settings: ExplainerSettings
) -> None:
    """Puts what is lacking into the batch's shards: new rows, and rows of earlier batches that came to nothing."""
    keys = {method: explanation_key(method, explainer, settings) for method in batch.methods}
    existing = _existing(session, sorted({neuron for neuron, _, _ in wanted}), keys, settings.side)
    lacking = [one for one in wanted if one not in existing or existing[one].is_open]
    new_rows, moved_rows = [], []
    for position, one in enumerate(lacking):
        place = {"batch_id": batch.id, "shard": position // SHARD_SIZE}
        if one in existing:
            moved_rows.append({"id": existing[one].id, **place, **_BACK_IN_QUEUE})
        else:
            neuron_id, method, sample_number = one
            names = {
                "method": method,
                "explainer": keys[method][0],
                "prompt_pack": keys[method][1],
                "side": settings.side,
            }
            new_rows.append(
                {"neuron_id": neuron_id, "sample_number": sample_number, "status": QUEUED, **names, **place}
            )
    if new_rows:
        session.execute(sa.insert(Explanation), new_rows)
    if moved_rows:
        session.execute(sa.update(Explanation), moved_rows)
    batch.n_explanations = len(lacking)
    batch.n_reused = len(wanted) - len(lacking)
    batch.n_shards = -(-len(lacking) // SHARD_SIZE)
    if not lacking:
        batch.status, batch.finished_at = DONE, utc_now()
    session.flush()


def explanation_key(method: str, explainer: Explainer, settings: ExplainerSettings) -> tuple[str, str]:
    """The explainer and the prompt pack that an explanation is stored under; each is `none` for the method `tokens`.

    Excerpts chosen otherwise than by default make other prompts, so that choice is part of the pack's name:
    `default@...+top5`.
    """
    choice = "" if settings.excerpts == "every4th" else f"+{settings.excerpts}"
    if method == TOKENS:
        return str(NO_EXPLAINER), NO_PROMPT_PACK + choice
    return str(explainer), load_pack(settings.prompt_pack).identity + choice


@dataclass(frozen=True)
class _Existing:
    """is_open: nobody makes this explanation unless a new batch does."""

    id: int
    is_open: bool


def _existing(
    session: Session, neuron_ids: list[int], keys: dict[str, tuple[str, str]], side: Side
) -> dict[Wanted, _Existing]:
    found: dict[Wanted, _Existing] = {}
    for some, (method, (explainer, prompt_pack)) in product(_in_parts(neuron_ids), keys.items()):
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
                Explanation.side == side,
            )
        )
        for explanation_id, neuron_id, sample_number, status, batch_status in rows:
            is_being_made = status == QUEUED and batch_status in (QUEUED, RUNNING)
            is_open = status != DONE and not is_being_made
            found[neuron_id, method, sample_number] = _Existing(explanation_id, is_open)
    return found


def _in_parts(ids: list[int]) -> list[list[int]]:
    return [ids[start : start + N_NEURONS_PER_QUERY] for start in range(0, len(ids), N_NEURONS_PER_QUERY)]
