"""The worker's commands of `neuronjury`. They need the extra `worker`; without it they say so in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.batches.choosing import ClearPeaks, NeuronChoice, chosen_neurons
from app.batches.launching import BatchOrder, launch_batch
from app.batches.life import BatchProgress
from app.errors import InvalidInput, Unavailable
from app.explanations.explainers import explainer_settings
from app.explanations.methods import check_method_names
from app.migrating import opened_database
from app.neurons.lists import layer_numbers, read_csv
from app.neurons.records import N_RANDOM_RECORDS, N_TOP_RECORDS
from app.settings import Settings

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
    layers: Annotated[str, typer.Option(help="Layers to take them from, e.g. 0-23 or 0,5,7; default all.")] = "",
    neurons: Annotated[Path | None, typer.Option(help="CSV with the columns layer,neuron, instead.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server of an openai: explainer.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 1.0,
    samples: Annotated[int, typer.Option(help="Explanations of each neuron by each method.")] = 1,
    side: Annotated[
        str, typer.Option(help="positive, or negative: what the most negative activations have in common.")
    ] = "positive",
    seed: Annotated[int, typer.Option(help="Decides which neurons are taken, and sampling where it can.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the work to running workers.")] = False,
) -> None:
    """Explain neurons. Works here until the batch has ended; killed, any worker goes on where it stopped."""
    with needing_the_worker_extra():
        from worker.explaining.here import check_explainer, explain_here, models_of

    check_method_names(method)
    settings = Settings()
    options = explainer_settings({"base_url": base_url, "temperature": temperature, "seed": seed, "side": side})
    models = models_of(settings)
    with opened_database(settings) as database:
        with database.reading() as session:
            neuron_ids = chosen_neurons(
                session, subject, _neuron_choice(per_layer, layers, neurons, seed), options.side
            )
        order = BatchOrder(subject, neuron_ids, method, explainer, options, samples)
        check_explainer(models, order)
        batch_id = launch_batch(settings, database, order)
        if batch_id is None:
            typer.echo("All of these explanations are there already")
        elif detach:
            typer.echo(f"Batch {batch_id} waits for a worker: neuronjury worker")
        else:
            typer.echo(_in_one_line(batch_id, explain_here(settings, database, batch_id, models)))


def _neuron_choice(per_layer: int | None, layers: str, csv: Path | None, seed: int) -> NeuronChoice:
    if (per_layer is None) == (csv is None):
        raise InvalidInput("say either --per-layer N or --neurons FILE.csv")
    if csv is not None:
        return read_csv(csv)
    return ClearPeaks(per_layer or 0, layer_numbers(layers), seed)


def _in_one_line(batch_id: int, ended: BatchProgress) -> str:
    failures = "".join(f", {n} {reason}" for reason, n in ended.failures.items())
    return f"Batch {batch_id} {ended.status}: {ended.n_done} done, {ended.n_failed} failed{failures}"


@commands.command()
def worker() -> None:
    """Run recordings and batches of explanations until stopped. Run as many as you like, on as many machines."""
    with needing_the_worker_extra():
        from worker.explaining.here import models_of, work_until_stopped

    settings = Settings()
    with opened_database(settings) as database:
        typer.echo("Working; stop with Ctrl-C")
        work_until_stopped(settings, database, models_of(settings))


@commands.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Serve the site when everything is ready.")] = True,
    excerpts: Annotated[int, typer.Option(help="Excerpts to record.")] = 1024,
    neurons: Annotated[int, typer.Option(help="Neurons to explain, one from each of the first layers.")] = 24,
) -> None:
    """Do the whole main job on the bundled model; does only what is missing."""
    with needing_the_worker_extra():
        from worker import demo as demonstration

    demonstration.run_demo(Settings(demo=True), serve=serve, n_excerpts=excerpts, n_neurons=neurons)
