"""The two simulators that ask a chat model: what it is asked, and what its answers count as."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.explanations import failures
from app.explanations.scoring.simulating.examples import TASK
from app.explanations.scoring.simulating.logprob_free import REPEAT
from app.explanations.scoring.simulating.one_at_a_time import ONE_TOKEN
from app.explanations.scoring.simulating.quoting import Unfaithful, quoted, valued_lines, values_of_copy
from tests.worker.scoring.fakes import FEW_SHOTS, USD_PER_CALL, ScriptedPaidChat, likely, written
from worker.explaining.chat import CallFailed, Completion
from worker.scoring.simulating.logprob_free import LogprobFree
from worker.scoring.simulating.one_at_a_time import UNSUPPORTED, OneAtATime
from worker.scoring.simulating.simulation import Simulation

EXCERPTS = [("The", " cat", "\n"), (" dog",)]
TEXT = "Cats."
NASTY = (
    "\t",
    "\n",
    "\r\n",
    "",
    " ",
    "  ",
    '"',
    "\\",
    '\\"',
    "\\n",
    "3 5",
    "\u2028",
    "\u00a0",
    "\u200b",
    "\ufffd",
    "😀",
    "\x00",
)


def one_at_a_time(chat: ScriptedPaidChat, excerpts: list[tuple[str, ...]] = EXCERPTS) -> Simulation:
    return asyncio.run(OneAtATime(chat, FEW_SHOTS, seed=7).simulate(TEXT, excerpts, attempt=2))


def logprob_free(chat: ScriptedPaidChat, excerpts: list[tuple[str, ...]] = EXCERPTS) -> Simulation:
    simulator = LogprobFree(chat, FEW_SHOTS, temperature=0.5, top_p=0.9, seed=7)
    return asyncio.run(simulator.simulate(TEXT, excerpts, attempt=2))


def test_one_at_a_time_asks_about_every_token_with_what_comes_before_it() -> None:
    chat = ScriptedPaidChat(lambda _: likely({"0": 1.0}))
    one_at_a_time(chat)
    assert chat.questions == [
        'Description: Cats.\nText: "The"\nToken: "The"',
        'Description: Cats.\nText: "The cat"\nToken: " cat"',
        'Description: Cats.\nText: "The cat\\n"\nToken: "\\n"',
        'Description: Cats.\nText: " dog"\nToken: " dog"',
    ]
    assert chat.options[0] == {
        "sample": 0,
        "attempt": 0,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 2,
        "seed": 7,
        "n_top_logprobs": 20,
    }
    assert chat.most_running == chat.n_in_flight


@pytest.mark.parametrize(("attempt", "asked_at"), [(0, [0]), (2, [0, 1, 0, 0])])
def test_a_further_attempt_asks_again_where_no_probabilities_came(attempt: int, asked_at: list[int]) -> None:
    """Answers that were paid are kept: the same call would never get another."""
    answers = iter([written("7"), *[likely({"7": 1.0})] * 3])
    chat = ScriptedPaidChat(lambda _: next(answers))
    simulation = asyncio.run(OneAtATime(chat, FEW_SHOTS, seed=None).simulate(TEXT, EXCERPTS[:1], attempt=attempt))
    assert [options["attempt"] for options in chat.options] == asked_at
    assert simulation.reason == (None if attempt else UNSUPPORTED)


def test_one_at_a_time_shows_few_shot_neurons_with_their_own_descriptions_only() -> None:
    chat = ScriptedPaidChat(lambda _: likely({"0": 1.0}))
    simulator = OneAtATime(chat, FEW_SHOTS, seed=None)
    asyncio.run(simulator.simulate("Under test.", EXCERPTS[:1], attempt=0))
    system, *examples, question = chat.asked[1]
    assert (system.role, system.content) == ("system", (TASK + ONE_TOKEN).format(largest=10))
    assert [(message.role, message.content) for message in examples] == [
        ("user", 'Description: Cats.\nText: "A cat"\nToken: " cat"'),
        ("assistant", "10"),
        ("user", 'Description: Cats.\nText: "No dog"\nToken: " dog"'),
        ("assistant", "1"),
        ("user", 'Description: Amounts.\nText: "one two"\nToken: " two"'),
        ("assistant", "10"),
        ("user", 'Description: Amounts.\nText: "3 or 4"\nToken: " 4"'),
        ("assistant", "6"),
        ("user", 'Description: The beginning of a reversal.\nText: "it un"\nToken: " un"'),
        ("assistant", "10"),
        ("user", 'Description: The beginning of a reversal.\nText: "redo"\nToken: "do"'),
        ("assistant", "0"),
    ]
    assert question.role == "user"
    assert [message.content for message in chat.asked[1] if "Under test" in message.content] == [question.content]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (likely({"7": 1.0}), 7.0),
        (likely({"7": 0.25, "8": 0.25, "the": 0.5}), 7.5),
        (likely({"10": 0.5, " 10": 0.25, "0": 0.25}), 7.5),
        (likely({"3": 0.25, "11": 0.5, "-1": 0.1, "3.5": 0.1}), 3.0),
        # Without a token for 10 the 1 stands for 1 and 10, as the place behind it says.
        (likely({"1": 0.5, "5": 0.5}, {"0": 0.5, "<end>": 0.5}, text="10"), (1 * 0.25 + 10 * 0.25 + 5 * 0.5)),
        (likely({"1": 0.5, "5": 0.5}, {"<end>": 1.0}, text="1"), 3.0),
        # Behind another number the second place says nothing of the 1.
        (likely({"1": 0.5, "5": 0.5}, {"0": 1.0}, text="5"), 3.0),
        (likely({"1": 0.5, "10": 0.5}, {"0": 1.0}, text="1"), 5.5),
    ],
)
def test_a_token_is_worth_the_mean_of_the_likely_numbers(answer: Completion, expected: float) -> None:
    found = one_at_a_time(ScriptedPaidChat(lambda _: answer), [("a", "b")])
    assert found.expected is not None
    assert found.expected[0] == pytest.approx([expected, expected])
    assert found.expected[0].dtype == np.float32


def test_predictions_come_back_by_excerpt_and_with_what_they_cost() -> None:
    by_question = {"The": "1", "The cat": "2", "The cat\\n": "3", " dog": "4"}
    chat = ScriptedPaidChat(lambda question: likely({by_question[question.split('"')[1]]: 1.0}))
    found = one_at_a_time(chat)
    assert found.expected is not None
    assert [values.tolist() for values in found.expected] == [[1.0, 2.0, 3.0], [4.0]]
    assert found.spent.cost_usd == 4 * USD_PER_CALL
    assert (found.spent.n_prompt_tokens, found.spent.n_completion_tokens) == (400, 4)
    assert found.details == {"scale": "0-10"}


@pytest.mark.parametrize(
    "answer", [Completion("7", 100, 1, "stop"), CallFailed(failures.UNSUPPORTED, "logprobs are not supported")]
)
def test_a_server_without_token_probabilities_is_unsupported_and_asked_once(answer: Completion | CallFailed) -> None:
    chat = ScriptedPaidChat(lambda _: answer)
    found = asyncio.run(OneAtATime(chat, FEW_SHOTS, seed=7).simulate(TEXT, EXCERPTS, attempt=0))
    assert (found.expected, found.reason) == (None, "unsupported: the server returns no token probabilities")
    assert found.reason == UNSUPPORTED
    assert len(chat.asked) == 1


def test_a_token_without_any_likely_number_leaves_nothing_predicted() -> None:
    chat = ScriptedPaidChat(lambda question: likely({"maybe" if "dog" in question else "7": 1.0}))
    found = one_at_a_time(chat)
    assert found.expected is None
    assert found.reason == "none of the likeliest answers is a number for token 4 of 4"
    assert found.spent.cost_usd == 4 * USD_PER_CALL


def test_a_failed_call_ends_the_simulation_and_those_that_wait_are_not_asked() -> None:
    refused = CallFailed(failures.REJECTED, "no")
    chat = ScriptedPaidChat(lambda q: refused if "cat" in q else likely({"1": 1.0}), n_in_flight=2)
    with pytest.raises(CallFailed, match="no"):
        one_at_a_time(chat, [("The", " cat", " sat", " on", " it")])
    # The first alone, then two at once, one of which fails.
    assert len(chat.asked) == 3
    assert chat.n_running == 0


def test_logprob_free_asks_once_for_every_excerpt() -> None:
    chat = ScriptedPaidChat(lambda q: written('1 " dog" 4' if "dog" in q else '1 "The" 0\n2 " cat" 10\n3 "\\n" 2'))
    found = logprob_free(chat)
    assert found.expected is not None
    assert [values.tolist() for values in found.expected] == [[0.0, 10.0, 2.0], [4.0]]
    assert (found.spent.cost_usd, found.spent.n_completion_tokens) == (2 * USD_PER_CALL, 20)
    assert [(message.role, message.content) for message in chat.asked[0]] == [
        ("system", (TASK + REPEAT).format(largest=10)),
        ("user", 'Description: Cats.\n1 "A"\n2 " cat"\n3 "!"'),
        ("assistant", '1 "A" 0\n2 " cat" 10\n3 "!" 2'),
        ("user", 'Description: Amounts.\n1 "one"\n2 " two"\n3 "\\n"'),
        ("assistant", '1 "one" 0\n2 " two" 10\n3 "\\n" 5'),
        ("user", 'Description: The beginning of a reversal.\n1 "it"\n2 " un"\n3 "do"\n4 "es"'),
        ("assistant", '1 "it" 0\n2 " un" 10\n3 "do" 0\n4 "es" 0'),
        ("user", 'Description: Cats.\n1 "The"\n2 " cat"\n3 "\\n"'),
    ]
    n_longest = len('1 "The" 10\n2 " cat" 10\n3 "\\n" 10')
    assert chat.options[0] == {
        "sample": 0,
        "attempt": 0,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": int(1.5 * n_longest),
        "seed": 7,
    }


def test_another_attempt_asks_again_for_unfaithful_copies_only() -> None:
    def answer(question: str) -> Completion:
        n_before = sum(question == other for other in chat.questions)
        faithful = question.split("\n")[1:]
        return written(
            "\n".join(f"{line} {n_before}" for line in faithful) if "cat" in question or n_before > 2 else ""
        )

    chat = ScriptedPaidChat(answer)
    found = logprob_free(chat)
    assert found.expected is not None
    assert [values.tolist() for values in found.expected] == [[1.0, 1.0, 1.0], [3.0]]
    asked = zip(chat.questions, chat.options, strict=True)
    attempts = [("dog" in question, options["attempt"]) for question, options in asked]
    assert sorted(attempts, key=str) == [(False, 0), (True, 0), (True, 1), (True, 2)]
    with pytest.raises(CallFailed):
        asyncio.run(LogprobFree(ScriptedPaidChat(lambda _: written("")), FEW_SHOTS).simulate(TEXT, EXCERPTS, attempt=3))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        '1 "The" 0\n2 " cat" 10',
        '1 "The" 0\n2 " cat" 10\n3 "\\n"',
        '1 "The" 0\n2 " cat" 10\n3 "\\n" 11',
        '1 "The" 0\n2 " cat" 10\n3 "\\n" 2.5',
        '1 "The" 0\n2 " cat" 10\n3 "\\n" -1',
        '1 "The" 0\n2 "cat" 10\n3 "\\n" 2',
        '1 "The" 0\n3 " cat" 10\n2 "\\n" 2',
        '1 "The" 0\n2 " cat" 10\n3 " " 2',
        '1 "The" 0\n2 " cat" 10\n3 "\\q" 2',
        '1 "The" 0\n2 " cat" 10\n3 "\\n" 2\n4 "." 0',
        'Sure!\n1 "The" 0\n2 " cat" 10\n3 "\\n" 2',
    ],
)
def test_an_unfaithful_copy_fails_and_is_never_zeros(answer: str) -> None:
    with pytest.raises(CallFailed) as error:
        logprob_free(ScriptedPaidChat(lambda _: written(answer)), EXCERPTS[:1])
    assert error.value.failure == failures.UNFAITHFUL


def test_the_failure_says_where_the_copy_goes_wrong_and_that_it_was_cut_off() -> None:
    with pytest.raises(CallFailed) as error:
        logprob_free(ScriptedPaidChat(lambda _: written('1 "The" 0\n2 " dog" 10\n3 "\\n" 2')), EXCERPTS[:1])
    assert error.value.detail == (
        'the answer does not repeat the tokens: line 2 is \'2 " dog" 10\'; expected 2 " cat" and a value'
    )
    with pytest.raises(CallFailed, match="and was cut off: 1 lines; expected 3"):
        logprob_free(ScriptedPaidChat(lambda _: written('1 "The" 0', finish_reason="length")), EXCERPTS[:1])


@pytest.mark.parametrize("answer", [written("", refusal="I will not."), written("", finish_reason="content_filter")])
def test_a_refusal_is_a_refusal(answer: Completion) -> None:
    with pytest.raises(CallFailed) as error:
        logprob_free(ScriptedPaidChat(lambda _: answer))
    assert error.value.failure == failures.REFUSAL


@given(st.lists(st.text() | st.sampled_from(NASTY), min_size=1, max_size=8), st.data())
def test_whatever_a_token_holds_survives_being_repeated(tokens: list[str], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 10), min_size=len(tokens), max_size=len(tokens)))
    lines = valued_lines(tuple(tokens), values)
    assert all(line.isprintable() for line in lines)
    assert values_of_copy("\n".join(lines), tuple(tokens)) == values
    # One token longer is another one.
    changed = (*tokens[:-1], tokens[-1] + "x")
    with pytest.raises(Unfaithful):
        values_of_copy("\n".join(lines), changed)


def test_another_way_to_escape_a_token_and_blanks_at_line_ends_are_no_other_token() -> None:
    assert quoted("é\u00a0😀") == '"é\\u00a0😀"'
    assert values_of_copy('\n1 "\\u00e9" 3 \r\n2 "/" 4\n\n', ("é", "/")) == [3, 4]
    assert values_of_copy('1 "\\ud83d\\ude00" 3', ("😀",)) == [3]
