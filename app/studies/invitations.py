"""How people get in: a code of 128 random bits in a link, of which only a hash is stored.

A link belongs to one rater; or it is the study's joining link, by which anybody whom a recruiting platform sends
becomes a rater; or it is an admin's, to try the study as a rater would. What a rater judges is dealt later: see
dealing/share.py.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, InvitationRefused
from app.studies.audit import COMMAND_LINE, INVITED, JOINING, REVOKED, record_event
from app.studies.dealing.slots import numbered_rater, reclaim_open
from app.studies.models import CLOSED, OPEN, Rater, Study
from app.studies.protocol import Protocol
from app.studies.queries import locked_study, locked_study_of

CODE_BYTES = 16
MOST_RATERS_AT_ONCE = 1000
MOST_JOINING = 100_000
LONGEST_EXTERNAL_ID = 100
DRY_RUN_HOURS = 24
JOINING_DAYS = 365
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of completion codes: 32 letters and digits that nobody takes for each other."""


@dataclass(frozen=True)
class Invitation:
    """A rater's number and the only copy of the code: it goes into the link and is stored nowhere."""

    number: int
    code: str


@dataclass(frozen=True)
class ExternalIds:
    """What a recruiting platform calls the person, its study and its session; each may be empty."""

    person: str = ""
    study: str = ""
    session: str = ""


def invite_raters(
    session: Session, slug: str, n: int, now: datetime, expires: datetime, who: str = COMMAND_LINE
) -> list[Invitation]:
    """n new raters of an open study, in the order of their numbers.

    expires: when the link stops letting anybody in; a browser that came in before stays.
    Errors: UnknownName; Conflict unless the study is open; InvalidInput for n or expires.
    """
    if not 1 <= n <= MOST_RATERS_AT_ONCE:
        raise InvalidInput(f"{n} raters; expected 1 to {MOST_RATERS_AT_ONCE} at once")
    if expires <= now:
        raise InvalidInput(f"the invitation would expire at {expires.isoformat()}; expected a moment in the future")
    study = _locked_open(session, slug, "raters are invited while it is open")
    first = _highest_number(session, study) + 1
    invitations = [Invitation(number, secrets.token_hex(CODE_BYTES)) for number in range(first, first + n)]
    session.add_all(_rater(study, invitation, now, expires) for invitation in invitations)
    session.flush()
    record_event(session, study, who, INVITED, now, n_raters=n, first=f"rater-{first}")
    return invitations


def dry_run(session: Session, slug: str, now: datetime, who: str) -> Invitation:
    """A link to judge the study as a rater would, before or while it is open; it is never counted.

    Its numbers go down from 0, so that they take none from the raters'. Errors: UnknownName; Conflict when closed.
    """
    study = locked_study(session, slug)
    if study.status == CLOSED:
        raise Conflict(f"study {slug} is closed; it can be tried until then")
    numbers = session.scalars(sa.select(Rater.number).where(Rater.study_id == study.id, Rater.is_dry_run)).all()
    invitation = Invitation(min(numbers, default=1) - 1, secrets.token_hex(CODE_BYTES))
    rater = _rater(study, invitation, now, now + timedelta(hours=DRY_RUN_HOURS))
    rater.is_dry_run = True
    session.add(rater)
    session.flush()
    return invitation


def _locked_open(session: Session, slug: str, why: str) -> Study:
    study = locked_study(session, slug)
    if study.status != OPEN:
        raise Conflict(f"study {slug} is {study.status}; {why}")
    return study


def _highest_number(session: Session, study: Study) -> int:
    return max(0, session.scalar(sa.select(sa.func.max(Rater.number)).where(Rater.study_id == study.id)) or 0)


def _rater(study: Study, invitation: Invitation, now: datetime, expires: datetime) -> Rater:
    return Rater(
        study_id=study.id,
        number=invitation.number,
        invitation_hash=_hash(invitation.code),
        invited_at=now,
        expires_at=expires,
    )


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


# The joining link -----------------------------------------------------------------------------------------------------


def make_joining_link(session: Session, slug: str, most: int, now: datetime, who: str) -> str:
    """The code of one link by which up to `most` people may join; an earlier one lets nobody new in any more.

    Errors: UnknownName; Conflict unless the study is open; InvalidInput.
    """
    if not 1 <= most <= MOST_JOINING:
        raise InvalidInput(f"{most} raters may join; expected 1 to {MOST_JOINING}")
    study = _locked_open(session, slug, "a joining link is made while it is open")
    code = secrets.token_hex(CODE_BYTES)
    # Those who came by an earlier link have their places: the new one's come on top.
    study.join_hash, study.most_joining = _hash(code), _n_joined(session, study) + most
    record_event(session, study, who, JOINING, now, most=most)
    return code


def study_to_join(session: Session, code: str) -> Study:
    """The study whose joining link this is. Errors: InvitationRefused; Conflict when it has been closed."""
    study = session.scalar(sa.select(Study).where(Study.join_hash == _hash(code)))
    if study is None:
        raise InvitationRefused("this link is not known; check that it is complete")
    if study.status == CLOSED:
        raise Conflict("this study is closed and takes no more judgements")
    return study


def join(session: Session, code: str, ids: ExternalIds, now: datetime) -> Rater:
    """The rater of that person: the same one again who came before, else a new one. session: a writing one.

    A person without an outside name is a new rater each time. Errors: InvitationRefused for an unknown link, a person
    whose part was withdrawn, or when all places are taken; Conflict when the study is paused (for new ones) or closed;
    InvalidInput for a name that is too long.
    """
    _check_ids(ids)
    study = locked_study(session, study_to_join(session, code).slug)
    if ids.person and (known := session.scalar(_with_external_id(study, ids.person))):
        return _not_withdrawn(known)
    if study.paused_at is not None:
        raise Conflict("this study is paused; please come back later")
    if _n_joined(session, study) >= study.most_joining:
        raise InvitationRefused("all places in this study are taken; thank you for your interest")
    # The rater's own code goes to nobody: these raters come back by the joining link and their outside name.
    invitation = Invitation(_highest_number(session, study) + 1, secrets.token_hex(CODE_BYTES))
    rater = _rater(study, invitation, now, now + timedelta(days=JOINING_DAYS))
    rater.external_id = ids.person or f"joined-{secrets.token_hex(CODE_BYTES)}"
    _keep_ids(rater, ids)
    session.add(rater)
    session.flush()
    return rater


def _with_external_id(study: Study, person: str) -> sa.Select[Rater]:
    return sa.select(Rater).where(Rater.study_id == study.id, Rater.external_id == person)


def _n_joined(session: Session, study: Study) -> int:
    joined = sa.select(sa.func.count()).select_from(Rater)
    return session.scalar(joined.where(Rater.study_id == study.id, Rater.external_id.is_not(None))) or 0


def _check_ids(ids: ExternalIds) -> None:
    for name, value in (("PROLIFIC_PID", ids.person), ("STUDY_ID", ids.study), ("SESSION_ID", ids.session)):
        if len(value) > LONGEST_EXTERNAL_ID:
            raise InvalidInput(f"{name} of {len(value)} characters; expected at most {LONGEST_EXTERNAL_ID}")


def _keep_ids(rater: Rater, ids: ExternalIds) -> None:
    rater.external_study, rater.external_session = ids.study or None, ids.session or None


# Getting in, and not any more -----------------------------------------------------------------------------------------


def redeem_invitation(session: Session, code: str, now: datetime) -> Rater:
    """The rater whom this code lets in; it may be used again, e.g. on another device, until it expires.

    Errors: InvitationRefused for an unknown, revoked or expired code; Conflict when the study has been closed.
    """
    rater = session.scalar(sa.select(Rater).where(Rater.invitation_hash == _hash(code)))
    if rater is None:
        raise InvitationRefused("this invitation is not known; check that the link is complete")
    _not_withdrawn(rater)
    if rater.expires_at <= now:
        raise InvitationRefused(f"this invitation expired at {rater.expires_at:%Y-%m-%d %H:%M} UTC; ask for a new one")
    if rater.study.status == CLOSED:
        raise Conflict("this study is closed and takes no more judgements")
    return rater


def note_external_ids(session: Session, rater: Rater, ids: ExternalIds) -> None:
    """Keeps what a recruiting platform added to a personal link; the first name stays. A dry run gets none, or the
    person of that name would come back as one who is never counted.

    Errors: InvalidInput; InvitationRefused when the invitation was withdrawn meanwhile.
    """
    _check_ids(ids)
    if not ids.person or rater.is_dry_run:
        return
    # Locked like a join: of two raters who bring the same name at once the second finds it taken, and a deleted rater
    # is seen to be one.
    locked_study_of(session, rater.id)
    session.refresh(rater)
    if _not_withdrawn(rater).external_id is not None:
        return
    if session.scalar(_with_external_id(rater.study, ids.person)) is None:
        rater.external_id = ids.person
        _keep_ids(rater, ids)
        session.flush()


def _not_withdrawn(rater: Rater) -> Rater:
    if rater.revoked_at is not None or rater.deleted_at is not None:
        raise InvitationRefused("this invitation has been withdrawn")
    return rater


def revoke_rater(session: Session, slug: str, number: int, now: datetime, who: str = COMMAND_LINE) -> None:
    """Lets this rater in no more, also where a browser is signed in already; what was judged stays, what is open goes
    to others.

    Revoking twice keeps the first moment. Errors: UnknownName.
    """
    study = locked_study(session, slug)
    rater = numbered_rater(session, study, number)
    if rater.revoked_at is None:
        rater.revoked_at = now
        n = reclaim_open(session, rater.id, now)
        record_event(session, study, who, REVOKED, now, rater=f"rater-{number}", n_neurons=n)


def completion_code(study: Study, rater: Rater) -> str:
    """What the rater gives the recruiting platform at the end: the study's code, or one of this rater's own.

    Eight letters and digits out of the study's key: whoever pays compares them with the list of raters.
    """
    common = Protocol.model_validate(study.protocol).completion_code
    digest = hmac.digest(study.order_key, f"completion code of rater {rater.number}".encode(), "sha256")
    return common or "".join(CODE_LETTERS[byte % len(CODE_LETTERS)] for byte in digest[:8])
