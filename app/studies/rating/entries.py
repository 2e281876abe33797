"""What a rater entered on one page, complete or not, and what of it can be stored. Pure: no tables, no forms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidJudgement

SCALE = {1: "Strongly Disagree", 2: "Disagree", 3: "Neither Agree nor Disagree", 4: "Agree", 5: "Strongly Agree"}
"""The paper's wording, section 5.3 and figure 4."""
_VALUES = {str(value): value for value in SCALE}

CANNOT_JUDGE = {
    "not_understood": "I do not understand the descriptions",
    "no_pattern": "I see no pattern at all",
    "display": "The page does not show properly",
    "other": "Another reason",
}
"""Why a neuron cannot be judged: what is stored -> what raters read."""

LONGEST_COMMENT = 2000
"""Characters."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Entries:
    """What a page held when it was sent.

    ratings: by card token, as submitted: 4 or "4"; missing or "" where nothing is chosen. best: the tokens of all cards
    sent as best. cannot_judge: a key of CANNOT_JUDGE, or "". comment: as typed.
    """

    ratings: Mapping[str, int | str] = field(default_factory=dict)
    best: Sequence[str] = ()
    cannot_judge: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Judgement:
    """Entries that can be stored: ratings and best pick by card position, whole or in part."""

    ratings: dict[int, int] = field(default_factory=dict)
    best: int | None = None
    cannot_judge: str | None = None
    comment: str = ""

    def is_complete(self, n_cards: int) -> bool:
        """Whether it may be submitted: everything is rated and one is best, or there is a reason why not."""
        return self.cannot_judge is not None or (len(self.ratings) == n_cards and self.best is not None)

    def completed_by(self, earlier: "Judgement", n_cards: int) -> "Judgement":
        """This one, with what it lacks taken from an earlier complete one: a judgement that counts never loses any of
        its answers, it only gets other ones."""
        best = earlier.best if self.best is None else self.best
        whole = Judgement(earlier.ratings | self.ratings, best, self.cannot_judge, self.comment)
        if whole.is_complete(n_cards):
            return whole
        return Judgement(whole.ratings, whole.best, earlier.cannot_judge, self.comment)

    def as_json(self) -> dict[str, Any]:
        return {
            "ratings": {str(position): value for position, value in sorted(self.ratings.items())},
            "best": self.best,
            "cannot_judge": self.cannot_judge,
            "comment": self.comment or None,
        }


def card_letter(position: int) -> str:
    """A card's name on its page: A for the first; from the 27th on AA, AB, ..."""
    tens, ones = divmod(position, len(LETTERS))
    return (LETTERS[tens - 1] if tens else "") + LETTERS[ones]


def checked_entries(tokens: Sequence[str], entries: Entries) -> Judgement:
    """What was entered, as far as it goes. tokens: of the cards, in page order.

    Errors: InvalidJudgement for a card of another page, a rating outside 1-5, several best picks, an unknown reason, a
    comment that is too long.
    """
    if unknown := [token for token in (*entries.ratings, *entries.best) if token not in tokens]:
        raise InvalidJudgement(f"answers for {len(unknown)} cards that are not on this page; reload it and judge again")
    sent = {position: entries.ratings.get(token, "") for position, token in enumerate(tokens)}
    ratings = {position: _rating(position, value) for position, value in sent.items() if value != ""}
    if len(entries.best) > 1:
        raise InvalidJudgement(f"{len(entries.best)} best picks; expected exactly one of the cards {_letters(tokens)}")
    best = tokens.index(entries.best[0]) if entries.best else None
    return Judgement(ratings, best, _reason(entries.cannot_judge), checked_comment(entries.comment))


def check_complete(tokens: Sequence[str], judgement: Judgement) -> None:
    """Errors: InvalidJudgement that names the first thing that is missing."""
    if judgement.is_complete(len(tokens)):
        return
    for position in range(len(tokens)):
        if position not in judgement.ratings:
            raise InvalidJudgement(f"no rating on card {card_letter(position)}; expected 1-5")
    raise InvalidJudgement(f"no best pick; expected exactly one of the cards {_letters(tokens)}")


def checked_comment(comment: str) -> str:
    """The comment without blanks around it, its line breaks as \\n. Errors: InvalidJudgement when it is too long."""
    # A form that the browser sends itself ends lines with \r\n, one that a script sends with \n: the same comment.
    trimmed = comment.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(trimmed) > LONGEST_COMMENT:
        raise InvalidJudgement(f"comment of {len(trimmed)} characters; expected at most {LONGEST_COMMENT}")
    return trimmed


def _rating(position: int, submitted: int | str) -> int:
    value = _VALUES.get(str(submitted))
    if value is None:
        raise InvalidJudgement(f"rating {str(submitted)[:20]} on card {card_letter(position)}; expected 1-5")
    return value


def _reason(sent: str) -> str | None:
    if sent and sent not in CANNOT_JUDGE:
        raise InvalidJudgement(f"reason {sent[:20]!r}; expected one of {', '.join(CANNOT_JUDGE)}")
    return sent or None


def _letters(tokens: Sequence[str]) -> str:
    return ", ".join(card_letter(position) for position in range(len(tokens)))
