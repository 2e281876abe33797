"""Tables of what raters judged. What a rater's browser may see is a Card: a random token, a position and a text."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, UtcDateTime, utc_now
from app.explanations.models import Explanation
from app.neurons.models import Neuron, SubjectModel

DRAFT, OPEN, CLOSED = "draft", "open", "closed"
"""States of a study, in this order and never back."""


class Study(Base):
    """A question put to raters: which conditions' explanations of these neurons do they believe?"""

    __tablename__ = "study"
    __table_args__ = (sa.CheckConstraint("status IN ('draft', 'open', 'closed')", name="known_status"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(100), unique=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"), index=True)
    instructions: Mapped[str]
    neuron_set: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """How the neurons were chosen, for people to read, with its seed."""
    protocol: Mapped[dict[str, Any]] = mapped_column(sa.JSON, server_default="{}")
    """`app.studies.protocol.Protocol` as JSON: who judges what, beside which evidence, through which steps."""
    status: Mapped[str] = mapped_column(sa.String(10), default=DRAFT)
    order_key: Mapped[bytes]
    """32 random bytes that every order is drawn from; never leaves the server."""
    design_hash: Mapped[str | None] = mapped_column(sa.String(64))
    """SHA-256 over everything that opening freezes; null while a draft."""
    join_hash: Mapped[str | None] = mapped_column(sa.String(64), unique=True, index=True)
    """SHA-256, hexadecimal, of the code in the one link by which anybody may join; null where there is none."""
    most_joining: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many raters with an outside name there may be: those from before that link, and those who come by it."""
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set while nobody may begin or get another neuron; what is under way may be saved."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    subject: Mapped[SubjectModel] = relationship()
    conditions: Mapped[list["Condition"]] = relationship(order_by="Condition.position")


class Condition(Base):
    """What is compared: one method as spoken by one explainer."""

    __tablename__ = "condition"
    __table_args__ = (
        sa.UniqueConstraint("study_id", "method", "explainer"),
        sa.UniqueConstraint("study_id", "position"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"))
    position: Mapped[int]
    method: Mapped[str] = mapped_column(sa.String(50))
    explainer: Mapped[str] = mapped_column(sa.String(200))


class StudyNeuron(Base):
    """A neuron that the study is about."""

    __tablename__ = "study_neuron"
    __table_args__ = (sa.UniqueConstraint("study_id", "position"),)

    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"), primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    position: Mapped[int]
    quota: Mapped[int | None]
    """How many raters judge it; null: every rater of the study. Set at opening, raised by an extension."""

    neuron: Mapped[Neuron] = relationship()


class LintWaiver(Base):
    """A finding of the lint that somebody, by name, let pass."""

    __tablename__ = "lint_waiver"

    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"), primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    condition_id: Mapped[int] = mapped_column(sa.ForeignKey("condition.id"), primary_key=True)
    text: Mapped[str]
    """What was let pass: another text of the same neuron and condition is a new finding."""
    who: Mapped[str] = mapped_column(sa.String(200))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class StudyEvent(Base):
    """Append-only: what admins did to a study, for everybody who reads its results."""

    __tablename__ = "study_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    who: Mapped[str] = mapped_column(sa.String(200))
    """Name of the account, or `command line`."""
    kind: Mapped[str] = mapped_column(sa.String(30))
    """A kind out of `app.studies.audit`."""
    details: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)


class FrozenText(Base):
    """The text that a condition shows for a neuron, copied at opening so that nothing done later can change it."""

    __tablename__ = "frozen_text"

    condition_id: Mapped[int] = mapped_column(sa.ForeignKey("condition.id"), primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"), index=True)
    explanation_id: Mapped[int] = mapped_column(sa.ForeignKey("explanation.id"))
    text: Mapped[str]

    condition: Mapped[Condition] = relationship()
    explanation: Mapped[Explanation] = relationship()


class Rater(Base):
    """Somebody who judges, known only by an invitation."""

    __tablename__ = "rater"
    __table_args__ = (
        sa.UniqueConstraint("study_id", "number"),
        sa.Index("ix_rater_study_id_external_id", "study_id", "external_id", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"))
    number: Mapped[int]
    """1, 2, 3 ... in the order of invitation: the name in exports, `rater-1`."""
    invitation_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of the invitation's 128-bit code, hexadecimal."""
    invited_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_dry_run: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """An admin who tries the study: judges like a rater, takes no slot and is never counted or exported."""
    external_id: Mapped[str | None] = mapped_column(sa.String(100))
    """What a recruiting platform calls this person (PROLIFIC_PID); with `external_study` and `external_session`."""
    external_study: Mapped[str | None] = mapped_column(sa.String(100))
    external_session: Mapped[str | None] = mapped_column(sa.String(100))
    consented_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    instructed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    passed_practice_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Also set where the protocol has no practice."""
    failed_practice_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Every attempt used up: this rater judges nothing."""
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The rater's own word that the answers stand; from then on they cannot be changed."""
    surveyed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The questions after the last neuron were answered or skipped."""
    comment: Mapped[str | None]
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The last request of this rater's browser, to within a minute."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until then this rater's open assignments are kept for this rater; null before the first are dealt."""
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The person's answers and outside names were removed; number and times stay so that totals can be explained."""

    study: Mapped[Study] = relationship()


class Assignment(Base):
    """One neuron for one rater to judge, and the judgement's frame once it is there."""

    __tablename__ = "assignment"
    __table_args__ = (sa.UniqueConstraint("rater_id", "neuron_id"), sa.UniqueConstraint("rater_id", "position"))

    id: Mapped[int] = mapped_column(primary_key=True)
    rater_id: Mapped[int] = mapped_column(sa.ForeignKey("rater.id"))
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), index=True)
    position: Mapped[int]
    """Place in this rater's order, from 0."""
    token: Mapped[str] = mapped_column(sa.String(32), unique=True)
    """128 random bits, hexadecimal: how the rater's browser names it."""
    evidence: Mapped[dict[str, Any]] = mapped_column(sa.JSON, server_default="{}")
    """What is shown beside the cards: {band: [ranks, from 0]}, for example {"top": [1, 2, 3], "random": [0, 1]}."""
    reclaimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Its slot was given back because the rater stopped; it is the rater's again when this is null again."""
    shown_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seconds: Mapped[float | None]
    """From first shown to first submitted."""
    revisions: Mapped[int] = mapped_column(default=0)
    """Changes after the first submission."""
    version: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counts every stored change, autosaved ones too: a page that was loaded before the last one is stale."""
    cannot_judge: Mapped[str | None] = mapped_column(sa.String(30))
    """Why the rater could not judge this neuron, a key of `app.studies.rating.judging.CANNOT_JUDGE`; null: judged."""
    comment: Mapped[str | None]

    rater: Mapped[Rater] = relationship()
    neuron: Mapped[Neuron] = relationship()
    cards: Mapped[list["Card"]] = relationship(order_by="Card.position", back_populates="assignment")
    best_pick: Mapped["BestPick | None"] = relationship(uselist=False)


class Card(Base):
    """One description as shown: conditions with identical texts share a card."""

    __tablename__ = "card"
    __table_args__ = (sa.UniqueConstraint("assignment_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"))
    position: Mapped[int]
    """Place on the page, from 0."""
    token: Mapped[str] = mapped_column(sa.String(32), unique=True)
    """128 random bits, hexadecimal."""
    text: Mapped[str]
    is_check: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """A false explanation among the real ones, to see who reads: it stands for no condition."""

    assignment: Mapped[Assignment] = relationship(back_populates="cards")
    card_conditions: Mapped[list["CardCondition"]] = relationship()
    rating: Mapped["Rating | None"] = relationship(uselist=False)


class CardCondition(Base):
    """Which conditions a card stands for. Nothing of this may reach a rater."""

    __tablename__ = "card_condition"
    __table_args__ = (sa.UniqueConstraint("assignment_id", "condition_id"),)

    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"), primary_key=True)
    condition_id: Mapped[int] = mapped_column(sa.ForeignKey("condition.id"), primary_key=True)
    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"))

    condition: Mapped[Condition] = relationship()


class Rating(Base):
    """How far a rater agrees that a card is a good explanation: 1 Strongly Disagree ... 5 Strongly Agree.

    Ratings and best picks are stored as they are clicked; they count once their assignment is submitted.
    """

    __tablename__ = "rating"
    __table_args__ = (sa.CheckConstraint("value BETWEEN 1 AND 5", name="on_the_scale"),)

    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"), primary_key=True)
    value: Mapped[int]


class BestPick(Base):
    """The one card that a rater found best: the key makes a second one impossible."""

    __tablename__ = "best_pick"

    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"), primary_key=True)
    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"))


class PracticeAnswer(Base):
    """One puzzle that a rater judged before the study's own neurons."""

    __tablename__ = "practice_answer"

    rater_id: Mapped[int] = mapped_column(sa.ForeignKey("rater.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    """1 or 2."""
    position: Mapped[int] = mapped_column(primary_key=True)
    """Place within the attempt, from 0."""
    puzzle: Mapped[str] = mapped_column(sa.String(100))
    judgement: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """{"ratings": {text: value}, "best": text}."""
    is_right: Mapped[bool]
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Guess(Base):
    """Which condition a rater thinks a description came from, asked after the answers stand."""

    __tablename__ = "guess"

    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"), primary_key=True)
    condition_id: Mapped[int | None] = mapped_column(sa.ForeignKey("condition.id"))
    """Null: the rater said that it cannot be told."""


class JudgementEvent(Base):
    """Append-only: every autosaved entry, first judgement and change of one, as it came in."""

    __tablename__ = "judgement_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    kind: Mapped[str] = mapped_column(sa.String(20))
    """`saved` (not all of it is there yet), `submitted` or `revised`."""
    judgement: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """{"ratings": {card position: value}, "best": card position or null, "cannot_judge": .., "comment": ..}."""
