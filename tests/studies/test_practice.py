"""Practice: which puzzles in which order, answers taken in once, and when it is passed or failed."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, InvalidJudgement, UnknownName
from app.neurons.heatmap import heatmap_spans
from app.puzzles.loading import Puzzle, load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.invitations import redeem_invitation
from app.studies.models import PracticeAnswer, Rater
from app.studies.protocol import Protocol
from app.studies.rating.practice import has_passed, is_right, practice_cards, practice_puzzles, puzzle_token
from app.studies.rating.practising import PracticeFeedback, PracticeStep, answer_puzzle, feedback_on, next_puzzle
from app.studies.rating.worked_example import worked_example
from tests.studies.factories import NOW, PLAIN, OpenStudy, close, make_open_study

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PUZZLES = load_puzzles()
WITH_PRACTICE = PLAIN.model_copy(update={"n_puzzles": 3, "n_right_to_pass": 2, "n_attempts": 2})


def names(puzzles: Sequence[Puzzle]) -> list[str]:
    return [puzzle.name for puzzle in puzzles]


# Which puzzles --------------------------------------------------------------------------------------------------------


def test_the_same_rater_gets_the_same_puzzles_again_and_another_one_others() -> None:
    first = names(practice_puzzles(KEY, 1, 1, 5, PUZZLES))
    assert names(practice_puzzles(KEY, 1, 1, 5, tuple(reversed(PUZZLES)))) == first
    assert names(practice_puzzles(KEY, 2, 1, 5, PUZZLES)) != first
    assert names(practice_puzzles(OTHER_KEY, 1, 1, 5, PUZZLES)) != first


def test_easy_puzzles_come_first_and_no_puzzle_twice_while_there_are_others() -> None:
    n = sum(puzzle.level != "example" for puzzle in PUZZLES)
    given = [puzzle for attempt in (1, 2) for puzzle in practice_puzzles(KEY, 1, attempt, n // 2, PUZZLES)]
    levels = [puzzle.level for puzzle in given]
    assert levels == sorted(levels, key=["easy", "medium"].index)
    assert len(set(names(given))) == len(given) == n // 2 * 2


def test_puzzles_begin_again_when_all_have_been_given() -> None:
    four = [puzzle for puzzle in PUZZLES if puzzle.level == "easy"][:4]
    first, second = (names(practice_puzzles(KEY, 1, attempt, 3, four)) for attempt in (1, 2))
    assert len(set(first)) == len(set(second)) == 3
    assert second[1:] == first[:2]


def test_more_puzzles_than_there_are_cannot_be_practised_on() -> None:
    with pytest.raises(InvalidInput, match="5 puzzles to practise on; expected at most 4"):
        practice_puzzles(KEY, 1, 1, 5, [puzzle for puzzle in PUZZLES if puzzle.level == "easy"][:4])


def test_nobody_practises_on_the_worked_example() -> None:
    example = [puzzle for puzzle in PUZZLES if puzzle.level == "example"]
    with pytest.raises(InvalidInput, match="at most 0"):
        practice_puzzles(KEY, 1, 1, 1, example)


def test_a_puzzle_that_is_added_later_moves_no_other() -> None:
    before = names(practice_puzzles(KEY, 1, 1, 8, PUZZLES[:-1]))
    after = names(practice_puzzles(KEY, 1, 1, 8, PUZZLES))
    assert [name for name in after if name != PUZZLES[-1].name] == before[: len(after) - (PUZZLES[-1].name in after)]


# Cards ----------------------------------------------------------------------------------------------------------------


def test_cards_are_the_truth_and_three_falses_as_study_cards_show_them() -> None:
    for puzzle in PUZZLES:
        cards = practice_cards(KEY, 1, puzzle)
        texts = {card.text for card in cards}
        assert [card.letter for card in cards] == ["A", "B", "C", "D"]
        assert shown_text(puzzle.truth) in texts
        assert texts - {shown_text(puzzle.truth)} <= {shown_text(false) for false in puzzle.falses}
        assert len(texts) == len({card.token for card in cards}) == 4


def test_tokens_are_128_bits_that_only_the_holder_of_the_key_can_tell() -> None:
    mine, theirs, other = (
        practice_cards(key, number, PUZZLES[0]) for key, number in ((KEY, 1), (KEY, 2), (OTHER_KEY, 1))
    )
    assert mine == practice_cards(KEY, 1, PUZZLES[0])
    assert all(len(bytes.fromhex(card.token)) == 16 for card in mine)
    assert not {card.token for card in mine} & {card.token for card in (*theirs, *other)}
    pages = {puzzle_token(KEY, rater, attempt, place) for rater in (1, 2) for attempt in (1, 2) for place in (0, 1)}
    assert len(pages) == 8


def test_the_truth_lies_at_every_place_equally_often() -> None:
    places = Counter(
        card.letter
        for rater_number in range(400)
        for puzzle in PUZZLES[:5]
        for card in practice_cards(KEY, rater_number, puzzle)
        if is_right(puzzle, card.text)
    )
    # 2,000 draws, 500 expected at each place, standard deviation 19.
    assert sorted(places) == ["A", "B", "C", "D"]
    assert all(abs(n - 500) < 80 for n in places.values())


def test_only_the_true_description_is_right() -> None:
    puzzle = PUZZLES[0]
    assert is_right(puzzle, shown_text(puzzle.truth))
    assert not any(is_right(puzzle, shown_text(false)) for false in puzzle.falses)


@pytest.mark.parametrize(("n_right", "expected"), [(0, False), (1, False), (2, True), (3, True)])
def test_passing_takes_as_many_right_ones_as_the_protocol_says(n_right: int, expected: bool) -> None:
    assert has_passed(n_right, WITH_PRACTICE) is expected


# Stored ---------------------------------------------------------------------------------------------------------------


def practising_study(database: Database, protocol: Protocol = WITH_PRACTICE, n_raters: int = 1) -> OpenStudy:
    """An open study whose raters have read the instructions and solved nothing."""
    study = make_open_study(database, n_raters=n_raters, protocol=protocol)
    with database.writing() as session:
        session.execute(sa.update(Rater).values(passed_practice_at=None))
    return study


def rater_of(session: Session, study: OpenStudy, number: int = 1) -> Rater:
    return redeem_invitation(session, study.invitations[number - 1].code, NOW)


def step_of(session: Session, rater: Rater) -> PracticeStep:
    step = next_puzzle(session, rater)
    if step is None:
        raise LookupError("practice is over")
    return step


def answer(session: Session, rater: Rater, step: PracticeStep, *, rightly: bool = True) -> PracticeFeedback:
    best = next(card.token for card in step.cards if is_right(step.puzzle, card.text) is rightly)
    return answer_puzzle(session, rater, step.token, {card.token: 3 for card in step.cards}, [best], NOW)


def solve(session: Session, rater: Rater, *rightly: bool) -> list[PracticeFeedback]:
    """Answers one puzzle after the other."""
    return [answer(session, rater, step_of(session, rater), rightly=right) for right in rightly]


def test_a_rater_solves_puzzle_after_puzzle_and_passes(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        first = step_of(session, rater)
        assert (first.attempt, first.n_attempts, first.number, first.n_puzzles, first.n_right_to_pass) == (
            1,
            2,
            1,
            3,
            2,
        )
        feedback = solve(session, rater, True, False, True)
        assert [one.is_right for one in feedback] == [True, False, True]
        assert [one.n_right for one in feedback] == [1, 1, 2]
        assert [one.has_passed for one in feedback] == [False, False, True]
        assert not any(one.begins_again or one.has_failed for one in feedback)
        assert (rater.passed_practice_at, rater.failed_practice_at) == (NOW, None)
        assert next_puzzle(session, rater) is None


def test_feedback_tells_the_truth_the_pick_and_why(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        step = step_of(session, rater)
        feedback = answer(session, rater, step, rightly=False)
        assert feedback.truth == shown_text(step.puzzle.truth)
        assert feedback.picked in {shown_text(false) for false in step.puzzle.falses}
        assert feedback.why == step.puzzle.why
        assert feedback.ratings == {card.token: 3 for card in step.cards}


def test_an_answer_is_stored_in_words(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        step = step_of(session, rater)
        ratings = {card.token: str(value) for value, card in enumerate(step.cards, start=1)}
        answer_puzzle(session, rater, step.token, ratings, [step.cards[2].token], NOW)
        stored = session.scalars(sa.select(PracticeAnswer)).one()
        assert (stored.rater_id, stored.attempt, stored.position) == (rater.id, 1, 0)
        assert (stored.puzzle, stored.at) == (step.puzzle.name, NOW)
        texts = [card.text for card in step.cards]
        assert stored.judgement == {"ratings": dict(zip(texts, (1, 2, 3, 4), strict=True)), "best": texts[2]}
        assert stored.is_right is (texts[2] == shown_text(step.puzzle.truth))


def test_who_does_not_pass_tries_again_with_other_puzzles_and_fails_after_the_last_attempt(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        first = solve(session, rater, True, False, False)
        assert [one.begins_again for one in first] == [False, False, True]
        assert (rater.passed_practice_at, rater.failed_practice_at) == (None, None)
        # What was right in the first attempt does not count in the second.
        second = solve(session, rater, False, True, False)
        assert [one.n_right for one in second] == [0, 1, 1]
        assert [one.step.attempt for one in second] == [2, 2, 2]
        assert not {one.step.puzzle.name for one in first} & {one.step.puzzle.name for one in second}
        assert [one.has_failed for one in second] == [False, False, True]
        assert (rater.passed_practice_at, rater.failed_practice_at) == (None, NOW)
        assert next_puzzle(session, rater) is None


def test_the_second_attempt_can_be_passed(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        solve(session, rater, False, False, False, True, True, False)
        assert (rater.passed_practice_at, rater.failed_practice_at) == (NOW, None)


def test_a_second_answer_changes_nothing_and_gets_the_first_ones_feedback(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        step = step_of(session, rater)
        first = answer(session, rater, step, rightly=False)
        assert answer(session, rater, step, rightly=True) == first
        # Not even a complete answer is needed: the puzzle is solved.
        assert answer_puzzle(session, rater, step.token, {}, [], NOW + timedelta(hours=1)) == first
        assert session.scalars(sa.select(PracticeAnswer.at)).all() == [NOW]
        assert step_of(session, rater).number == 2


def test_feedback_can_be_looked_at_again_after_everything_is_over(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        given = solve(session, rater, True, False, True)
        assert [feedback_on(session, rater, one.step.token) for one in given] == given
        assert feedback_on(session, rater, "0" * 32) is None


def test_an_answer_that_is_not_whole_is_refused_and_nothing_stored(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        step = step_of(session, rater)
        tokens = [card.token for card in step.cards]
        rated = dict.fromkeys(tokens, 3)
        for ratings, best in (
            (dict.fromkeys(tokens[:3], 3), tokens[:1]),
            (rated, []),
            (rated, tokens[:2]),
            (rated | {tokens[0]: 6}, tokens[:1]),
            (rated | {"0" * 32: 3}, tokens[:1]),
        ):
            with pytest.raises(InvalidJudgement):
                answer_puzzle(session, rater, step.token, ratings, best, NOW)
        assert session.scalars(sa.select(PracticeAnswer)).all() == []
        assert step_of(session, rater).token == step.token


def test_another_raters_puzzle_or_a_later_one_is_unknown(database: Database) -> None:
    study = practising_study(database, n_raters=2)
    with database.writing() as session:
        rater, other = rater_of(session, study, 1), rater_of(session, study, 2)
        step = step_of(session, rater)
        later = puzzle_token(rater.study.order_key, rater.number, 1, 1)
        for token in (step_of(session, other).token, later):
            with pytest.raises(UnknownName, match="no such puzzle among yours"):
                answer_puzzle(session, rater, token, dict.fromkeys(c.token for c in step.cards), [], NOW)


def test_raters_practise_apart_from_each_other(database: Database) -> None:
    study = practising_study(database, n_raters=2)
    with database.writing() as session:
        solve(session, rater_of(session, study, 1), True, True, True)
        other = rater_of(session, study, 2)
        assert (step_of(session, other).attempt, step_of(session, other).number) == (1, 1)
        assert other.passed_practice_at is None


def test_there_is_no_puzzle_where_the_protocol_has_none(database: Database) -> None:
    study = practising_study(database, protocol=PLAIN)
    with database.writing() as session:
        assert next_puzzle(session, rater_of(session, study)) is None


def test_a_rater_who_has_not_read_the_instructions_cannot_answer(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        rater.instructed_at = None
        session.flush()
        with pytest.raises(Conflict, match="has not begun"):
            solve(session, rater, True)


def test_a_paused_study_still_takes_the_answer_that_is_on_the_screen(database: Database) -> None:
    study = practising_study(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        rater.study.paused_at = NOW
        session.flush()
        assert [one.is_right for one in solve(session, rater, True)] == [True]


def test_a_closed_study_takes_no_answer(database: Database) -> None:
    study = practising_study(database)
    with database.reading() as session:
        rater = rater_of(session, study)
        rater_id, step = rater.id, step_of(session, rater)
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict):
        answer(session, session.get_one(Rater, rater_id), step)


def test_the_same_answer_sent_eight_times_at_once_is_one_answer(database: Database) -> None:
    study = practising_study(database)
    with database.reading() as session:
        rater = rater_of(session, study)
        rater_id, step = rater.id, step_of(session, rater)
    barrier = Barrier(8)

    def send(_: int) -> int:
        barrier.wait()
        with database.writing() as session:
            return answer(session, session.get_one(Rater, rater_id), step).n_right

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(send, range(8))) == [1] * 8
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(PracticeAnswer)) == 1


# The worked example ---------------------------------------------------------------------------------------------------


def test_the_worked_example_judges_a_true_and_a_false_description_of_the_example_puzzle() -> None:
    (puzzle,) = (puzzle for puzzle in PUZZLES if puzzle.level == "example")
    example = worked_example()
    records = puzzle.records.top + puzzle.records.random
    assert set(example.excerpts) <= {heatmap_spans(record, puzzle.maximum) for record in records}
    true, false = example.descriptions
    assert (true.text, true.rating, true.words, true.is_best) == (
        shown_text(puzzle.truth),
        5,
        "Strongly Agree",
        True,
    )
    assert (false.text, false.rating, false.words, false.is_best) == (
        shown_text(puzzle.falses[0]),
        2,
        "Disagree",
        False,
    )


def test_the_reasons_of_the_worked_example_name_words_that_its_excerpts_have() -> None:
    """Rain and snow are said to be coloured; fog, wind and sunshine to be there and silent."""
    spans = [span for excerpt in worked_example().excerpts for span in excerpt]
    coloured = {span.text.strip() for span in spans if span.level}
    silent = " ".join(span.text for span in spans if not span.level).casefold()
    assert coloured == {"rain", "snow"}
    assert all(word in silent for word in ("fog", "wind", "sunshine"))
