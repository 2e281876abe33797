"""Tables of the people who sign in and of browser sessions."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, UtcDateTime, utc_now

ADMIN, RESEARCHER = "admin", "researcher"
"""Roles. A researcher reads neurons and explanations; an admin also launches batches and runs studies."""


class Account(Base):
    """Somebody with a password. Raters have none: they come by invitation."""

    __tablename__ = "account"
    __table_args__ = (sa.CheckConstraint("role IN ('admin', 'researcher')", name="known_role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    role: Mapped[str] = mapped_column(sa.String(20))
    password_hash: Mapped[str] = mapped_column(sa.String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class BrowserSession(Base):
    """A signed-in browser. Deleting the row signs it out; the cookie holds the only copy of the id itself."""

    __tablename__ = "browser_session"
    __table_args__ = (sa.CheckConstraint("(account_id IS NULL) <> (rater_id IS NULL)", name="one_owner"),)

    id_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """SHA-256 of the cookie's value, hexadecimal."""
    form_token: Mapped[str] = mapped_column(sa.String(64))
    """Random; every form of this session carries it, unsafe requests without it are refused."""
    account_id: Mapped[int | None] = mapped_column(sa.ForeignKey("account.id", ondelete="CASCADE"), index=True)
    rater_id: Mapped[int | None] = mapped_column(sa.ForeignKey("rater.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
