"""Could raters tell which condition a description came from? Their guesses against what chance would give.

Pure but for `guesses_of`, which reads them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import sqrt

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.studies.models import Assignment, Card, CardCondition, Guess, Rater, Study
from app.studies.queries import counted_raters

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class GuessRow:
    """One guess. guessed: a condition's id; None: it cannot be told. true: the ids that the card stands for."""

    guessed: int | None
    true: frozenset[int]


@dataclass(frozen=True)
class BlindingIndex:
    """How often raters knew. n: guesses made; n_cannot_tell: cards of which raters said that it cannot be told.

    share_right: of n; low, high: its Wilson 95 % interval; None without guesses. chance: the share that blind guessing
    would get right: 1 over the number of conditions, more where a card stands for several.
    """

    n: int
    n_cannot_tell: int
    n_right: int
    share_right: float | None
    low: float | None
    high: float | None
    chance: float

    @property
    def sentence(self) -> str:
        """What it means, in one plain sentence."""
        if self.low is None or self.high is None:
            return "Nobody guessed where a description came from."
        if self.low > self.chance:
            return "Raters guessed right more often than by chance: read the results with that in mind."
        if self.high < self.chance:
            return "Raters guessed right less often than by chance: their idea of the methods was a wrong one."
        return "Raters guessed no better than by chance: nothing suggests that the blinding was broken."


def blinding_index(guesses: Sequence[GuessRow], n_conditions: int) -> BlindingIndex:
    """A guess is right when its card stands for the condition guessed, be it for others too."""
    made = [guess for guess in guesses if guess.guessed is not None]
    n, n_right = len(made), sum(guess.guessed in guess.true for guess in made)
    chance = sum(len(guess.true) for guess in made) / (n * n_conditions) if n else 1 / n_conditions
    share, low, high = (n_right / n, *wilson_interval(n_right, n)) if n else (None, None, None)
    return BlindingIndex(n, len(guesses) - n, n_right, share, low, high, chance)


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score, inside 0-1. n: one or more. Source: Wilson 1927."""
    share, z2 = n_right / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def guesses_of(session: Session, study: Study, excluded: Collection[int] = ()) -> list[GuessRow]:
    """The guesses of the raters who count. excluded: numbers of raters to leave out."""
    query = (
        sa.select(Guess.card_id, Guess.condition_id, CardCondition.condition_id)
        .join(Card, Card.id == Guess.card_id)
        .join(Assignment, Assignment.id == Card.assignment_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .join(CardCondition, CardCondition.card_id == Card.id)
        .where(counted_raters(study.id), Rater.number.not_in(excluded))
    )
    guessed: dict[int, int | None] = {}
    true: dict[int, set[int]] = {}
    for card_id, guessed_id, true_id in session.execute(query):
        guessed[card_id] = guessed_id
        true.setdefault(card_id, set()).add(true_id)
    return [GuessRow(guessed[card_id], frozenset(ids)) for card_id, ids in true.items()]
