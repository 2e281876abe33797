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
    status: Mapped[str] = mapped_column(sa.String(10), default=DRAFT)
    order_key: Mapped[bytes]
    """32 random bytes that every order is drawn from; never leaves the server."""
    design_hash: Mapped[str | None] = mapped_column(sa.String(64))
    """SHA-256 over everything that opening freezes; null while a draft."""
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

    neuron: Mapped[Neuron] = relationship()


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
    __table_args__ = (sa.UniqueConstraint("study_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(sa.ForeignKey("study.id"))
    number: Mapped[int]
    """1, 2, 3 ... in the order of invitation: the name in exports, `rater-1`."""
    invitation_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of the invitation's 128-bit code, hexadecimal."""
    invited_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

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
    shown_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seconds: Mapped[float | None]
    """From first shown to first submitted."""
    revisions: Mapped[int] = mapped_column(default=0)

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
    """How far a rater agrees that a card is a good explanation: 1 Strongly Disagree ... 5 Strongly Agree."""

    __tablename__ = "rating"
    __table_args__ = (sa.CheckConstraint("value BETWEEN 1 AND 5", name="on_the_scale"),)

    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"), primary_key=True)
    value: Mapped[int]


class BestPick(Base):
    """The one card that a rater found best: the key makes a second one impossible."""

    __tablename__ = "best_pick"

    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"), primary_key=True)
    card_id: Mapped[int] = mapped_column(sa.ForeignKey("card.id"))


class JudgementEvent(Base):
    """Append-only: every first judgement and every change of one, as it came in."""

    __tablename__ = "judgement_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignment.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    kind: Mapped[str] = mapped_column(sa.String(20))
    """`submitted` or `revised`."""
    judgement: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """{"ratings": {card position: value}, "best": card position}."""
