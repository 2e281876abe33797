"""Who may not rate: anybody who has seen which method wrote what about a neuron of the study."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session

from app.accounts.known_browser import marked_accounts
from app.accounts.models import Account
from app.explanations.models import ExplanationView
from app.studies.models import Study, StudyNeuron
from app.web.visitors import Visitor


def accounts_of(request: Request, visitor: Visitor | None) -> tuple[int, ...]:
    """The account that is signed in on this browser and those that ever were, each once."""
    signed_in = () if visitor is None or visitor.account_id is None else (visitor.account_id,)
    return tuple(dict.fromkeys((*signed_in, *marked_accounts(request))))


def barred_account(session: Session, study: Study, account_ids: Collection[int]) -> str | None:
    """The name of an account among these that has seen explanations of any of the study's neurons; None: none has."""
    if not account_ids:
        return None
    query = (
        sa.select(Account.name)
        .join(ExplanationView, ExplanationView.account_id == Account.id)
        .join(StudyNeuron, StudyNeuron.neuron_id == ExplanationView.neuron_id)
        .where(Account.id.in_(account_ids), StudyNeuron.study_id == study.id)
        .order_by(Account.name)
    )
    return session.scalar(query.limit(1))


def neuron_ids(session: Session, study: Study) -> Sequence[int]:
    """All neurons of the study: what somebody has seen who saw its results."""
    return session.scalars(sa.select(StudyNeuron.neuron_id).where(StudyNeuron.study_id == study.id)).all()
