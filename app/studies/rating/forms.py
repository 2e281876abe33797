"""What a rater's browser sends about one neuron, turned into plain values. Knows forms, not the database."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import FormData

from app.studies.rating.entries import Entries

RATING_FIELD = "rating-"
"""A card's rating is sent as `rating-<card token>`, the best pick as `best` = card token."""

_VERSION = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class JudgementForm:
    """A rater's entries exactly as they came in; `judging.record_judgement` says whether they are a judgement.

    ratings: card token -> what was sent for it; two values for one card arrive as "2, 4", which is no rating.
    best: every best pick that was sent; a judgement has exactly one.
    cannot_judge, comment: as sent, "" when nothing was.
    version: of the answers that the page was loaded with; None when the form does not say.
    submits: whether an autosave is to count as the submission.
    """

    ratings: Mapping[str, str] = field(default_factory=dict)
    best: tuple[str, ...] = ()
    cannot_judge: str = ""
    comment: str = ""
    version: int | None = None
    submits: bool = False

    @property
    def entries(self) -> Entries:
        return Entries(dict(self.ratings), self.best, self.cannot_judge, self.comment)


def judgement_form(form: FormData) -> JudgementForm:
    fields = [name for name in form if name.startswith(RATING_FIELD)]
    version = _joined(form, "version")
    return JudgementForm(
        ratings={name.removeprefix(RATING_FIELD): _joined(form, name) for name in fields},
        best=_texts(form, "best"),
        cannot_judge=_joined(form, "cannot_judge"),
        comment=_joined(form, "comment"),
        version=int(version) if _VERSION.fullmatch(version) else None,
        submits=bool(_joined(form, "submits")),
    )


def _joined(form: FormData, name: str) -> str:
    return ", ".join(_texts(form, name))


def _texts(form: FormData, name: str) -> tuple[str, ...]:
    return tuple(value for value in form.getlist(name) if isinstance(value, str))
