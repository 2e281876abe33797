"""Which puzzles a rater practises on, how their cards lie, and when practice is passed. Pure.

Everything follows from the study's key, the rater's number and the puzzles' own words, so a page is the same whenever
it is loaded and nothing of it can be guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import InvalidInput
from app.puzzles.loading import Puzzle
from app.studies.dealing.blinding import shown_text
from app.studies.dealing.design import keyed_digest, keyed_permutation
from app.studies.protocol import Protocol
from app.studies.rating.entries import card_letter

N_FALSES = 3
"""False descriptions beside the true one."""
_LEVELS = ("easy", "medium")
"""In the order they are given out. The example is not among them: the instructions have told its answer."""
_TOKEN_BYTES = 16


@dataclass(frozen=True)
class PracticeCard:
    """One description. token: names it in the form, 128 bits in hexadecimal. letter: by position. text: as shown."""

    token: str
    letter: str
    text: str


def practice_puzzles(
    key: bytes, rater_number: int, attempt: int, n: int, puzzles: Sequence[Puzzle]
) -> tuple[Puzzle, ...]:
    """The n puzzles of one attempt, from 1, in order: easy ones as long as there are any, other ones in each attempt.

    Where all attempts together need more than there are, it begins again with the first.
    Errors: InvalidInput when one attempt alone needs more.
    """
    ordered = _puzzle_order(key, rater_number, puzzles)
    if n > len(ordered):
        raise InvalidInput(f"{n} puzzles to practise on; expected at most {len(ordered)}, there are no more")
    first = (attempt - 1) * n
    return tuple(ordered[i % len(ordered)] for i in range(first, first + n))


def _puzzle_order(key: bytes, rater_number: int, puzzles: Sequence[Puzzle]) -> list[Puzzle]:
    # By a hash of the name, so that a puzzle added in a later version moves no other one for a rater under way.
    given_out = [puzzle for puzzle in puzzles if puzzle.level in _LEVELS]
    return sorted(
        given_out,
        key=lambda puzzle: (_LEVELS.index(puzzle.level), keyed_digest(key, "puzzles", rater_number, puzzle.name)),
    )


def puzzle_token(key: bytes, rater_number: int, attempt: int, position: int) -> str:
    """Names one puzzle page of one rater in its form and addresses, 128 bits in hexadecimal."""
    return keyed_digest(key, "puzzle page", rater_number, attempt, position)[:_TOKEN_BYTES].hex()


def practice_cards(key: bytes, rater_number: int, puzzle: Puzzle) -> tuple[PracticeCard, ...]:
    """The truth and three of the falses in page order, as study cards show their texts."""
    context = ("puzzle cards", rater_number, puzzle.name)
    chosen = keyed_permutation(key, len(puzzle.falses), *context, "falses")[:N_FALSES]
    texts = [puzzle.truth, *(puzzle.falses[i] for i in chosen)]
    shown = [shown_text(texts[i]) for i in keyed_permutation(key, len(texts), *context, "order")]
    return tuple(
        PracticeCard(keyed_digest(key, *context, text)[:_TOKEN_BYTES].hex(), card_letter(position), text)
        for position, text in enumerate(shown)
    )


def is_right(puzzle: Puzzle, best_text: str) -> bool:
    """Whether the best pick is the true description. The ratings do not matter: a puzzle has one answer."""
    return shown_text(best_text) == shown_text(puzzle.truth)


def has_passed(n_right: int, protocol: Protocol) -> bool:
    return n_right >= protocol.n_right_to_pass
