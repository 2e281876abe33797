"""Rows for tests: each call stores one thing with sensible values and flushes; nothing commits."""

import hashlib
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.accounts.models import ADMIN, Account
from app.explanations.models import DONE, FAILED, Explanation, Score
from app.neurons.models import MLP, ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.records import BOTTOM, POSITIVE, RANDOM, TOP, Polarity, Side

TOKENS = ("The", " cat", " sat", " on", " mats")
ACTIVATIONS = (0.0, 5.0, 1.25, -0.25, 2.5)
"""Exact in float16. With a maximum of 5.0 the discretised values are 0 10 2 0 5."""


def make_subject(
    session: Session,
    name: str = "toy",
    *,
    n_layers: int = 2,
    n_neurons_per_layer: int = 3,
    recording_status: str | None = "done",
    polarity: Polarity = POSITIVE,
) -> SubjectModel:
    """A subject model with a corpus and a recording of that status; None: without a recording, as if imported."""
    subject = SubjectModel(
        name=name,
        revision="1",
        architecture="llama",
        n_layers=n_layers,
        n_neurons_per_layer=n_neurons_per_layer,
        dtype="float32",
        tokenizer_hash="0" * 64,
    )
    session.add(subject)
    session.flush()
    if recording_status is not None:
        _add_recording(session, subject, recording_status, polarity)
    return subject


def _add_recording(session: Session, subject: SubjectModel, status: str, polarity: Polarity) -> None:
    corpus = make_corpus(session)
    session.add(
        Recording(
            subject_id=subject.id,
            corpus_id=corpus.id,
            status=status,
            settings={"polarity": polarity},
            provenance={},
            n_tokens=corpus.n_excerpts * corpus.excerpt_length,
            seconds=1.0,
        )
    )
    session.flush()


def make_corpus(session: Session, name: str = "toy-corpus") -> Corpus:
    """The corpus of that name, made once per database."""
    corpus = session.scalars(sa.select(Corpus).where(Corpus.name == name)).one_or_none()
    if corpus is None:
        name_hash = hashlib.sha256(name.encode()).hexdigest()
        corpus = Corpus(name=name, hash=name_hash, excerpt_length=len(TOKENS), n_excerpts=0)
        session.add(corpus)
        session.flush()
    return corpus


def make_excerpt(session: Session, tokens: Sequence[str] = TOKENS, corpus: Corpus | None = None) -> Excerpt:
    corpus = corpus or make_corpus(session)
    excerpt = Excerpt(
        corpus_id=corpus.id,
        position=corpus.n_excerpts,
        token_ids=np.arange(len(tokens), dtype="<i4").tobytes(),
        token_texts=list(tokens),
    )
    corpus.n_excerpts += 1
    session.add(excerpt)
    session.flush()
    return excerpt


def make_neuron(
    session: Session, subject: SubjectModel, layer: int = 0, index: int = 0, *, maximum: float = 5.0, q90: float = 2.0
) -> Neuron:
    neuron = Neuron(
        subject_id=subject.id,
        site=MLP,
        layer=layer,
        index=index,
        maximum=maximum,
        mean=0.25,
        variance=0.5,
        skewness=1.5,
        kurtosis=3.5,
        share_active=0.125,
        q90=q90,
    )
    session.add(neuron)
    session.flush()
    return neuron


def make_record(
    session: Session,
    neuron: Neuron,
    band: str = TOP,
    rank: int = 0,
    *,
    tokens: Sequence[str] = TOKENS,
    activations: Sequence[float] = ACTIVATIONS,
) -> ActivationRow:
    """One kept record of a neuron, on an excerpt of its own."""
    row = ActivationRow(
        neuron_id=neuron.id,
        band=band,
        rank=rank,
        excerpt_id=make_excerpt(session, tokens).id,
        maximum=max(activations),
        activations=np.asarray(activations, dtype="<f2").tobytes(),
    )
    session.add(row)
    session.flush()
    return row


def make_records(session: Session, neuron: Neuron, n_top: int = 20, n_random: int = 10) -> None:
    """Top records of falling strength, the first at 5.0, then random ones at half of that. Every excerpt begins with
    its band and rank."""
    for rank in range(n_top):
        activations = [value * (1 - rank / 64) for value in ACTIVATIONS]
        make_record(session, neuron, TOP, rank, tokens=(f"top{rank}", *TOKENS[1:]), activations=activations)
    for rank in range(n_random):
        activations = [value / 2 for value in ACTIVATIONS]
        make_record(session, neuron, RANDOM, rank, tokens=(f"random{rank}", *TOKENS[1:]), activations=activations)


def make_bottom_records(session: Session, neuron: Neuron, n: int = 20) -> None:
    """Most negative records, the first with a minimum of -4.0 at its second token, then rising. Every excerpt begins
    with its band and rank."""
    for rank in range(n):
        activations = [-0.8 * value * (1 - rank / 64) for value in ACTIVATIONS]
        make_record(session, neuron, BOTTOM, rank, tokens=(f"bottom{rank}", *TOKENS[1:]), activations=activations)


def make_explanation(
    session: Session,
    neuron: Neuron,
    method: str = "original",
    explainer: str = "local:toy",
    *,
    text: str = "words for animals.",
    status: str = DONE,
    failure: str = "refusal",
    sample_number: int = 0,
    side: Side = "positive",
) -> Explanation:
    """An explanation; `text` is kept only when it is done, `failure` only when it failed."""
    explanation = Explanation(
        neuron_id=neuron.id,
        method=method,
        explainer=explainer,
        prompt_pack="none" if explainer == "none" else "default@0123456789ab",
        sample_number=sample_number,
        side=side,
        status=status,
        text_received=text if status == DONE else None,
        text=text if status == DONE else None,
        failure=failure if status == FAILED else None,
    )
    session.add(explanation)
    session.flush()
    return explanation


def make_score(
    session: Session,
    explanation: Explanation,
    metric: str,
    value: float | None,
    *,
    scorer: str = "imported",
    reason: str = "no variance",
) -> Score:
    """A score; `reason` is kept only where there is no value."""
    score = Score(explanation_id=explanation.id, metric=metric, scorer=scorer, value=value, details={})
    score.reason = reason if value is None else None
    session.add(score)
    session.flush()
    return score


def make_account(
    session: Session, name: str = "ada", role: str = ADMIN, *, password_hash: str = "no password"
) -> Account:
    """An account nobody can sign in to with a password, unless a hash is given: argon2 costs tens of milliseconds."""
    account = Account(name=name, role=role, password_hash=password_hash)
    session.add(account)
    session.flush()
    return account


def make_records_of_its_own(session: Session, neuron: Neuron, n_top: int = 20) -> None:
    """Top records that name the neuron's index: prompts of neurons with the same records would be the same, and an
    answer is paid for once."""
    for rank in range(n_top):
        make_record(session, neuron, TOP, rank, tokens=(f"top{rank}", " cat", f" sat{neuron.index or ''}", *TOKENS[3:]))
