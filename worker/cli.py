"""The worker's commands of `neuronjury`. They need the extra `worker`; without it they say so in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.batches.choice_options import ChoiceOptions
from app.batches.choosing import DEFAULT_THRESHOLD
from app.batches.ordering import BatchWish
from app.errors import InvalidInput, Unavailable
from app.explanations.explainers import explainer_settings
from app.explanations.methods import check_method_names
from app.migrating import opened_database
from app.neurons.records import N_RANDOM_RECORDS, N_TOP_RECORDS
from app.settings import Settings
from worker.scoring.command import score

commands = typer.Typer()

EXTRA_MODULES = frozenset(
    {"accelerate", "gguf", "huggingface_hub", "numba", "openai", "safetensors", "torch", "transformers"}
)


@contextmanager
def needing_the_worker_extra() -> Iterator[None]:
    """Around the imports of a command. Errors: Unavailable when a package of the extra `worker` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA_MODULES:
            raise
        raise Unavailable(
            f"this command needs {missing}, which is not installed; run `pip install 'neuronjury[worker]'`"
        ) from None


@commands.command()
def record(
    model: Annotated[
        str,
        typer.Option(
            help="smollm2-135m (bundled), a folder saved by transformers, a .gguf file, or a hub name. With --detach "
            "a path must mean the same model on every worker."
        ),
    ] = "smollm2-135m",
    text: Annotated[
        str, typer.Option(help="python-docs (built in), a .txt, a .jsonl with the field `text`, or a folder of these.")
    ] = "python-docs",
    name: Annotated[str | None, typer.Option(help="Name of the subject model; default: after the model.")] = None,
    excerpts: Annotated[int, typer.Option(help="How many excerpts of 64 tokens to draw from the text.")] = 1024,
    seed: Annotated[int, typer.Option(help="Decides which excerpts are drawn, for the corpus and for neurons.")] = 0,
    batch_size: Annotated[
        int, typer.Option(help="Excerpts that the model reads at once; halved where a GPU's memory is too small.")
    ] = 16,
    positions: Annotated[str, typer.Option(help="all, or after-first: the first token does not count.")] = "all",
    polarity: Annotated[
        str, typer.Option(help="positive, both (the most negative excerpts too), or auto: both for a gated MLP.")
    ] = "auto",
    top: Annotated[int, typer.Option(help="Strongest excerpts kept of each neuron.")] = N_TOP_RECORDS,
    random: Annotated[int, typer.Option(help="Random excerpts kept of each neuron.")] = N_RANDOM_RECORDS,
    statistics: Annotated[
        bool, typer.Option(help="Moments, minima and excerpts between quantiles; quantiles and histogram stay without.")
    ] = True,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, or auto: float32 on a CPU, the model's own on a GPU.")
    ] = "auto",
    mlp_module: Annotated[
        str | None,
        typer.Option(help="Last linear layer of the MLP where it is not known: model.layers.{layer}.mlp.down_proj"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and record nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the recording to the workers.")] = False,
    shards: Annotated[
        int | None, typer.Option(min=1, help="With --detach: into how many jobs; default: one for each live worker.")
    ] = None,
    cancel: Annotated[
        str | None, typer.Option(metavar="NAME", help="Cancel the unfinished recording NAME, and do nothing else.")
    ] = None,
) -> None:
    """Record what every neuron of a model responds to in a text. Needs `neuronjury init` and the extra `worker`.

    Stopped or killed, it keeps what it has recorded: the same command goes on from there.
    """
    with needing_the_worker_extra():
        from worker.recording import command as record_command
        from worker.recording.order import RecordingOrder

    if shards is not None and not detach:
        raise InvalidInput(f"--shards {shards} without --detach; expected both or neither")
    settings = Settings()
    with opened_database(settings) as database:
        if cancel is not None:
            record_command.cancel(settings, database, cancel)
            return
        order = RecordingOrder(
            model=model,
            text=text,
            name=name,
            n_excerpts=excerpts,
            seed=seed,
            batch_size=batch_size,
            positions=positions,
            polarity=polarity,
            n_top=top,
            n_random=random,
            has_statistics=statistics,
            dtype=dtype,
            mlp_module=mlp_module,
        )
        if dry_run:
            record_command.dry_run(settings, database, order)
        elif detach:
            record_command.detach(settings, database, order, shards)
        else:
            record_command.record(settings, database, order)


@commands.command()
def explain(
    subject: Annotated[str, typer.Option(help="Name of the recorded subject model.")],
    method: Annotated[list[str], typer.Option(help="original, summary, highlight, hs, avhs or tokens; repeat it.")],
    explainer: Annotated[str, typer.Option(help="openai:MODEL, local:NAME-OR-PATH, or none for tokens alone.")],
    per_layer: Annotated[int | None, typer.Option(help="Neurons with a clear peak to take from each layer.")] = None,
    set_: Annotated[
        str | None, typer.Option("--set", help="peaks, random, interpretable, top-per-layer or top, instead.")
    ] = None,
    n: Annotated[int | None, typer.Option(help="With --set: neurons per layer; of the whole model for top.")] = None,
    threshold: Annotated[float, typer.Option(help="With --set interpretable: scores above it.")] = DEFAULT_THRESHOLD,
    scorer: Annotated[str, typer.Option(help="With --set by scores: whose scores, of several scorers.")] = "",
    layers: Annotated[str, typer.Option(help="Layers to take them from, e.g. 0-23 or 0,5,7; default all.")] = "",
    neuron_set: Annotated[str | None, typer.Option(help="A saved set of neurons, instead.")] = None,
    neurons: Annotated[Path | None, typer.Option(help="CSV with the columns layer,neuron, instead.")] = None,
    save_set: Annotated[str | None, typer.Option(metavar="NAME", help="Keep these neurons as a set.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of an openai: explainer.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="Length of an answer at most.")] = 60,
    samples: Annotated[int, typer.Option(help="Explanations of each neuron by each method.")] = 1,
    side: Annotated[
        str, typer.Option(help="positive, or negative: what the most negative activations have in common.")
    ] = "positive",
    seed: Annotated[int, typer.Option(help="Decides which neurons are taken, and sampling where it can.")] = 0,
    budget_usd: Annotated[float | None, typer.Option(help="Dollars at most; needs a price of the model.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Tokens at most, prompts and answers together.")] = None,
    requests_per_minute: Annotated[float | None, typer.Option(help="The provider's limit, of all workers.")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="The provider's limit, of all workers.")] = None,
    in_flight: Annotated[int, typer.Option(help="Calls to a server at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds that a call may take.")] = 60,
    context: Annotated[int, typer.Option(help="Tokens of a prompt and its answer together.")] = 4097,
    prompt_pack: Annotated[str, typer.Option(help="Name or folder of the prompt pack.")] = "default",
    excerpts: Annotated[
        str, typer.Option(help="What prompts show: every4th of the best excerpts, or top5.")
    ] = "every4th",
    n_excerpts: Annotated[int, typer.Option(help="How many excerpts, as far as there are records.")] = 5,
    few_shots: Annotated[int | None, typer.Option(help="Few-shot neurons; default: all of the pack.")] = None,
    cutoff: Annotated[
        str, typer.Option(help="Above it tokens are highly activating: q90, q50, q99, q999 or share:0.5.")
    ] = "q90",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and order nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the work to running workers.")] = False,
) -> None:
    """Explain neurons. Works here until the batch has ended; killed, any worker goes on where it stopped."""
    with needing_the_worker_extra():
        from worker.explaining import command as explain_command

    check_method_names(method)
    asked = {
        "base_url": base_url,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "side": side,
        "seed": seed,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "n_in_flight": in_flight,
        "timeout_seconds": timeout,
        "n_context": context,
        "prompt_pack": prompt_pack,
        "excerpts": excerpts,
        "n_excerpts": n_excerpts,
        "n_few_shots": few_shots,
        "cutoff": cutoff,
    }
    wish = BatchWish(
        subject_name=subject,
        choice=ChoiceOptions(per_layer, set_, n, neuron_set, neurons, layers, seed, threshold, scorer).choice(),
        methods=method,
        explainer=explainer,
        settings=explainer_settings(asked),
        samples=samples,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        save_set=save_set,
    )
    settings = Settings()
    with opened_database(settings) as database:
        if dry_run:
            explain_command.dry_run(settings, database, wish)
        else:
            explain_command.explain(settings, database, wish, is_detached=detach)


commands.command()(score)


@commands.command()
def worker() -> None:
    """Run recordings and batches of explanations until stopped. Run as many as you like, on as many machines."""
    with needing_the_worker_extra():
        from worker.batches.here import models_of, work_until_stopped

    settings = Settings()
    with opened_database(settings) as database:
        typer.echo("Working; stop with Ctrl-C")
        work_until_stopped(settings, database, models_of(settings))


@commands.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Serve the site when everything is ready.")] = True,
    excerpts: Annotated[int, typer.Option(help="Excerpts to record.")] = 1024,
    neurons: Annotated[int, typer.Option(help="Neurons to explain, one from each of the first layers.")] = 12,
) -> None:
    """Do the whole main job on the bundled model; does only what is missing."""
    with needing_the_worker_extra():
        from worker import demo as demonstration

    demonstration.run_demo(Settings(demo=True), serve=serve, n_excerpts=excerpts, n_neurons=neurons)
