"""The options of `neuronjury score`. Starts without the libraries of language models, so that help is quick."""

from typing import Annotated

import typer

from app.batches.lacking_scores import ScoreOrder
from app.explanations.scoring.settings import scorer_settings
from app.migrating import opened_database
from app.settings import Settings


def score(
    subject: Annotated[str, typer.Option(help="Name of the subject model.")],
    metric: Annotated[str, typer.Option(help="simulation, adacs, detection, fuzzing or lexical.")],
    scorer: Annotated[
        str, typer.Option(help="Who measures: openai:MODEL, local:NAME-OR-PATH, minilm-l6-v2 (adacs), none (lexical).")
    ] = "none",
    method: Annotated[
        list[str] | None, typer.Option(help="Of the explanations to score; repeat it. Default: every method.")
    ] = None,
    explainer: Annotated[
        list[str] | None, typer.Option(help="Of the explanations to score; repeat it. Default: every explainer.")
    ] = None,
    neuron_set: Annotated[str | None, typer.Option(help="Only neurons of this saved set; default: all.")] = None,
    simulator: Annotated[
        str, typer.Option(help="Of simulation: all-at-once (local models), one-at-a-time, logprob-free.")
    ] = "all-at-once",
    calibration: Annotated[str, typer.Option(help="Of simulation: none, linear or percentile.")] = "none",
    prompt_pack: Annotated[str, typer.Option(help="Of simulation: whose few-shot neurons are shown.")] = "default",
    reference_explainer: Annotated[
        str | None, typer.Option(help="Of adacs: whose reference explanation; needed where there are several.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of an openai: scorer.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="Length of an answer at most, in tokens.")] = 60,
    requests_per_minute: Annotated[float | None, typer.Option(help="Of all workers together.")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="Of all workers together.")] = None,
    in_flight: Annotated[int, typer.Option(help="Calls to a server at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds that a call may take.")] = 60,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable where the model can.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Stop before more dollars than these are spent.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop before more tokens than these are spent.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and order nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the work to running workers.")] = False,
) -> None:
    """Score explanations. Works here until the batch has ended; killed, any worker goes on where it stopped."""
    # The command line imports this module; what it gives back is there by the time that somebody runs the command.
    from worker.cli import needing_the_worker_extra

    with needing_the_worker_extra():
        from worker.scoring import here

    chosen = {
        "metric": metric,
        "simulator": simulator,
        "calibration": calibration,
        "prompt_pack": prompt_pack,
        "reference_explainer": reference_explainer,
        "base_url": base_url,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "n_in_flight": in_flight,
        "timeout_seconds": timeout,
        "seed": seed,
    }
    order = ScoreOrder(
        subject_name=subject,
        model=scorer,
        settings=scorer_settings(chosen),
        methods=method or (),
        explainers=explainer or (),
        neuron_set=neuron_set,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
    )
    settings = Settings()
    with opened_database(settings) as database:
        if dry_run:
            here.dry_run(settings, database, order)
        else:
            here.score(settings, database, order, is_detached=detach)
