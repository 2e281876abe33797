"""How `explain` and `score` say that their batch has ended, and with which exit code."""

from dataclasses import replace

import pytest
import typer

from app.batches.progress import BatchProgress
from worker.explaining.command import say_how_it_ended

ENDED = BatchProgress(
    status="done", kind="scores", n_explanations=4, n_reused=0, n_queued=0, n_done=3, n_undefined=2, n_failed=1,
    n_taken_over=0, failures={"connection": 1}, commonest_failure="timed out", reasons={"no word in common": 2},
    n_prompt_tokens=0, n_completion_tokens=0, cost_usd=0.0, seconds=0.0, rows_per_second=None, n_calls=4, spent_usd=0.5,
    spent_tokens=40, budget_usd=None, budget_tokens=None, failure=None, remark=None,
)  # fmt: skip
PAUSED = replace(ENDED, status="paused", failures={}, n_failed=0, n_queued=1)


def test_what_is_undefined_is_said_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    say_how_it_ended(3, ENDED)
    assert capsys.readouterr().out == (
        "Batch 3 done: 3 done, 1 failed, 1 connection, 2 of the done undefined (2 no word in common), $0.50 spent\n"
    )


def test_a_paused_batch_says_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    say_how_it_ended(3, replace(PAUSED, failure="the budget of 40 tokens is reached", budget_tokens=40))
    said = capsys.readouterr().out
    assert said.startswith("Batch 3 paused (the budget of 40 tokens is reached): 3 done, 0 failed")
    assert said.endswith("Raise its budget or resume it under /batches/3, or order again with a larger budget\n")
    say_how_it_ended(3, PAUSED)
    assert capsys.readouterr().out.endswith(". Resume it under /batches/3, or order again\n")


@pytest.mark.parametrize("ended", [replace(ENDED, n_done=0, n_failed=4), replace(PAUSED, n_done=0, n_queued=4)])
def test_a_batch_that_made_nothing_ends_with_exit_code_1(ended: BatchProgress) -> None:
    with pytest.raises(typer.Exit) as raised:
        say_how_it_ended(3, ended)
    assert raised.value.exit_code == 1


def test_a_batch_that_others_have_made_is_no_failure() -> None:
    say_how_it_ended(3, replace(ENDED, n_done=0, n_failed=0, n_taken_over=4))
