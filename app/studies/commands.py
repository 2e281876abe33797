"""`neuronjury study ...` until a study opens: create, import and export designs, let texts pass, open; pause and
resume. The commands of a running study are in running_commands.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from app.batches.choosing import SavedSet
from app.database import utc_now
from app.errors import InvalidInput
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.methods import TOKENS
from app.migrating import opened_database
from app.neurons.lists import layer_numbers, read_csv
from app.neurons.records import RANDOM, TOP
from app.settings import Settings
from app.studies import lifecycle
from app.studies.audit import COMMAND_LINE
from app.studies.drafting import lint
from app.studies.drafting.design_file import export_design, import_design, is_same_design
from app.studies.drafting.design_format import read_design
from app.studies.drafting.neuron_sets import NeuronSet, PerLayer, Stratified
from app.studies.drafting.plan import sharing_words
from app.studies.lifecycle import NEUTRAL_TITLE
from app.studies.protocol import Protocol, protocol_from
from app.studies.running import commands as running_commands

studies = typer.Typer(help="Blinded studies: create, open, invite, watch, close, read.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The study's short name, as in its address.")]


@studies.command()
def create(
    slug: Slug,
    subject: Annotated[str, typer.Option(help="Name of the recorded subject model.")],
    method: Annotated[list[str], typer.Option(help="A prompt method to compare; repeat it.")],
    explainer: Annotated[list[str], typer.Option(help="An explainer, e.g. openai:gpt-4; repeat it.")],
    title: Annotated[str, typer.Option(help="Title that raters see; must not say what is compared.")] = NEUTRAL_TITLE,
    per_layer: Annotated[int | None, typer.Option(help="Neurons to draw from each layer.")] = None,
    spread: Annotated[int | None, typer.Option(help="Neurons to draw in all, spread evenly over the layers.")] = None,
    layers: Annotated[str, typer.Option(help="Layers to draw from, e.g. 0-23 or 0,5,7; default all.")] = "",
    neurons: Annotated[Path | None, typer.Option(help="CSV with the columns layer,neuron, instead.")] = None,
    neuron_set: Annotated[str | None, typer.Option(help="Name of a saved set, instead.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    instructions: Annotated[Path | None, typer.Option(help="File with what raters are asked to do.")] = None,
    consent: Annotated[Path | None, typer.Option(help="File with what raters agree to first.")] = None,
    protocol: Annotated[Path | None, typer.Option(help="JSON file with fields of the protocol; options win.")] = None,
    sharing: Annotated[str | None, typer.Option(help="mixed, split, overlap or crossed.")] = None,
    raters: Annotated[int | None, typer.Option(help="How many raters are planned.")] = None,
    raters_per_neuron: Annotated[int | None, typer.Option(help="With overlap: raters of each neuron.")] = None,
    shared_percent: Annotated[int | None, typer.Option(help="With mixed: neurons that every rater judges.")] = None,
    neurons_per_rater: Annotated[int | None, typer.Option(help="Default: what the planned raters need.")] = None,
    lease_hours: Annotated[int | None, typer.Option(help="Until a stopped rater's neurons go to others.")] = None,
    practice: Annotated[int | None, typer.Option(help="Puzzles to practise on; 0: none.")] = None,
    right_to_pass: Annotated[int | None, typer.Option(help="Puzzles to get right.")] = None,
    checks: Annotated[int | None, typer.Option(help="Percent of neurons with a false description.")] = None,
    top: Annotated[int | None, typer.Option(help="Top excerpts shown.")] = None,
    random: Annotated[int | None, typer.Option(help="Random excerpts shown.")] = None,
    hide_explained: Annotated[bool, typer.Option("--hide-explained", help="Leave out what the explainer saw.")] = False,
    hide_names: Annotated[bool, typer.Option("--hide-names", help="Do not name layer and index to raters.")] = False,
    no_guesses: Annotated[
        bool, typer.Option("--no-guesses", help="Do not ask at the end which method it was.")
    ] = False,
    completion_code: Annotated[str | None, typer.Option(help="The same for all; default: one for each rater.")] = None,
    completion_url: Annotated[str | None, typer.Option(help="Where raters go when they are done, https.")] = None,
) -> None:
    """Create a draft: conditions are methods x explainers. Prints who will judge what."""
    options = {
        "sharing": sharing,
        "n_raters": raters,
        "raters_per_neuron": raters_per_neuron,
        "shared_percent": shared_percent,
        "neurons_per_rater": neurons_per_rater,
        "lease_hours": lease_hours,
        "n_puzzles": practice,
        "n_right_to_pass": right_to_pass,
        "check_percent": checks,
        "completion_code": completion_code,
        "completion_url": completion_url,
        "consent": None if consent is None else _read(consent),
        "shows_explained": False if hide_explained else None,
        "names_neurons": False if hide_names else None,
        "asks_for_guesses": False if no_guesses else None,
    }
    wanted = _protocol(protocol, options, {TOP: top, RANDOM: random})
    with _writing() as session:
        study = lifecycle.create_study(
            session,
            slug=slug,
            title=title,
            subject_name=subject,
            conditions=list(dict.fromkeys(_condition(name, by) for by in explainer for name in method)),
            neurons=_neuron_set(per_layer, spread, layers, neurons, neuron_set),
            seed=seed,
            instructions=None if instructions is None else _read(instructions),
            protocol=wanted,
            now=utc_now(),
        )
        plan = " ".join(sharing_words(wanted, study.neuron_set["n_neurons"]))
    typer.echo(plan)
    typer.echo(f"Created {slug}; next: neuronjury study open {slug}")


@studies.command("lint")
def lint_(
    slug: Slug,
    waive_all: Annotated[bool, typer.Option(help="Let every text pass that can be, on the record.")] = False,
) -> None:
    """List the texts of a draft that raters should not see."""
    with _writing() as session:
        n = lint.waive_all(session, slug, utc_now(), COMMAND_LINE) if waive_all else 0
        findings = lint.blocking(lint.lint_study(session, slug))
    if waive_all:
        typer.echo(f"Let pass: {n}")
    for finding in findings:
        typer.echo(lint.finding_words(finding))
    if not findings:
        typer.echo(f"No text keeps {slug} from opening")


@studies.command("open")
def open_(slug: Slug) -> None:
    """Open a draft: freezes its design for good."""
    with _writing() as session:
        design_hash = lifecycle.open_study(session, slug, utc_now()).design_hash
    typer.echo(f"Opened {slug}, design {design_hash}; next: neuronjury study invite {slug} --raters N")


@studies.command()
def pause(slug: Slug) -> None:
    """Let nobody begin or get another neuron; what raters have on screen can still be saved."""
    with _writing() as session:
        lifecycle.pause_study(session, slug, utc_now())
    typer.echo(f"Paused {slug}; next: neuronjury study resume {slug}")


@studies.command()
def resume(slug: Slug) -> None:
    """Go on after a pause."""
    with _writing() as session:
        lifecycle.resume_study(session, slug, utc_now())
    typer.echo(f"Resumed {slug}")


@studies.command("export-design")
def export_design_(
    slug: Slug, out: Annotated[Path | None, typer.Option(help="File to write; default: print it.")] = None
) -> None:
    """Write the design as JSON, from which another installation can run the same study."""
    with opened_database(Settings()) as database, database.reading() as session:
        text = export_design(session, slug)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InvalidInput(f"{out}: {error.strerror}; expected a file that can be written") from None
    typer.echo(f"Wrote {out}")


@studies.command("import-design")
def import_design_(
    file: Annotated[Path, typer.Argument(help="A file made by export-design.")],
    slug: Annotated[str | None, typer.Option(help="Short name of the new draft; default: the file's.")] = None,
) -> None:
    """Make a draft of the design in a file; brings its neurons and texts along where they are not here."""
    text = _read(file)
    expected = read_design(text).design_hash
    with _writing() as session:
        study = import_design(session, text, slug, now=utc_now())
        name, is_same = study.slug, expected is not None and is_same_design(session, study, expected)
    if expected is not None:
        typer.echo(f"Design {expected}" if is_same else f"This is not the design {expected}: the file was changed")
    typer.echo(f"Imported {name}; next: neuronjury study open {name}")


def _protocol(file: Path | None, options: dict[str, Any], excerpts: dict[str, int | None]) -> Protocol:
    """The file's fields, with the options that were given in their place."""
    values = {} if file is None else _json_object(file)
    values |= {name: value for name, value in options.items() if value is not None}
    if any(n is not None for n in excerpts.values()):
        shown = values.get("evidence") or Protocol().evidence
        values["evidence"] = shown | {band: n for band, n in excerpts.items() if n is not None}
    # With fewer puzzles than the usual number to pass, all of them have to be right.
    if "n_puzzles" in values and "n_right_to_pass" not in values:
        values["n_right_to_pass"] = min(Protocol().n_right_to_pass, values["n_puzzles"])
    return protocol_from(values)


def _json_object(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read(file))
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON ({error}); expected the fields of a protocol") from None
    if not isinstance(values, dict):
        raise InvalidInput(f"{file} holds no JSON object; expected the fields of a protocol")
    return values


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}; expected a file of text") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text (byte {error.start})") from None


def _condition(method: str, explainer: str) -> tuple[str, str]:
    """The method `tokens` has no explainer, whichever one the prompts go to."""
    return (method, str(NO_EXPLAINER) if method == TOKENS else explainer)


def _neuron_set(
    per_layer: int | None, spread: int | None, layers: str, csv: Path | None, saved: str | None
) -> NeuronSet:
    if sum(each is not None for each in (per_layer, spread, csv, saved)) != 1:
        raise InvalidInput("say one of --per-layer N, --spread N, --neurons FILE.csv and --neuron-set NAME")
    if saved is not None:
        return SavedSet(saved)
    if csv is not None:
        return read_csv(csv)
    return PerLayer(per_layer, layer_numbers(layers)) if per_layer is not None else _spread(spread or 0, layers)


def _spread(n: int, layers: str) -> Stratified:
    return Stratified(n, layer_numbers(layers))


@contextmanager
def _writing() -> Iterator[Session]:
    with opened_database(Settings()) as database, database.writing() as session:
        yield session


running_commands.register(studies)
