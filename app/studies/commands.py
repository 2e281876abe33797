"""`neuronjury study ...`: a study from creation to results, for scripts and for people who prefer a terminal."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from app.database import utc_now
from app.errors import InvalidInput
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.methods import TOKENS
from app.migrating import opened_database
from app.neurons.lists import layer_numbers, read_csv
from app.settings import Settings
from app.studies import export, lifecycle, queries
from app.studies.invitations import invite_raters, revoke_rater
from app.studies.neuron_sets import NeuronSet, PerLayer
from app.studies.table5 import format_table5

studies = typer.Typer(help="Blinded studies: create, open, invite, watch, close, read.", no_args_is_help=True)

NEUTRAL_TITLE = "Which descriptions of a neuron hold up?"

Slug = Annotated[str, typer.Argument(help="The study's short name, as in its address.")]


@studies.command()
def create(
    slug: Slug,
    subject: Annotated[str, typer.Option(help="Name of the recorded subject model.")],
    method: Annotated[list[str], typer.Option(help="A prompt method to compare; repeat it.")],
    explainer: Annotated[list[str], typer.Option(help="An explainer, e.g. openai:gpt-4; repeat it.")],
    title: Annotated[str, typer.Option(help="Title that raters see; must not say what is compared.")] = NEUTRAL_TITLE,
    per_layer: Annotated[int | None, typer.Option(help="Neurons to draw from each layer.")] = None,
    layers: Annotated[str, typer.Option(help="Layers to draw from, e.g. 0-23 or 0,5,7; default all.")] = "",
    neurons: Annotated[Path | None, typer.Option(help="CSV with the columns layer,neuron, instead.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Create a draft: conditions are methods x explainers."""
    settings = Settings()
    with opened_database(settings) as database, database.writing() as session:
        lifecycle.create_study(
            session,
            slug=slug,
            title=title,
            subject_name=subject,
            conditions=list(dict.fromkeys(_condition(name, by) for by in explainer for name in method)),
            neurons=_neuron_set(per_layer, layers, neurons),
            seed=seed,
        )
    typer.echo(f"Created {slug}; next: neuronjury study open {slug}")


@studies.command("open")
def open_(slug: Slug) -> None:
    """Open a draft: freezes its texts, neurons and instructions for good."""
    with opened_database(Settings()) as database, database.writing() as session:
        study = lifecycle.open_study(session, slug, utc_now())
        design_hash = study.design_hash
    typer.echo(f"Opened {slug}, design {design_hash}; next: neuronjury study invite {slug} --raters N")


@studies.command()
def invite(
    slug: Slug,
    raters: Annotated[int, typer.Option(min=1, help="How many raters to invite.")],
    days: Annotated[int, typer.Option(min=1, help="Days until the links expire.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Invite raters and print their links: once, only a hash of each is kept."""
    settings = Settings()
    now = utc_now()
    with opened_database(settings) as database, database.writing() as session:
        invitations = invite_raters(session, slug, raters, now, now + timedelta(days=days))
    links = {each.number: f"{settings.public_url}/r/{each.code}" for each in invitations}
    if as_json:
        raters_json = [{"rater": f"rater-{number}", "link": link} for number, link in links.items()]
        typer.echo(json.dumps({"study": slug, "raters": raters_json}))
    else:
        for number, link in links.items():
            typer.echo(f"rater-{number}  {link}")


@studies.command()
def status(slug: Slug) -> None:
    """How far the study is: counts only, never a judgement."""
    with opened_database(Settings()) as database, database.reading() as session:
        study = queries.study_status(session, slug)
    typer.echo(f"{study.slug}: {study.status}, {study.n_neurons} neurons, {len(study.conditions)} conditions")
    for rater in study.raters:
        typer.echo(f"{rater.name}  {rater.n_judged} of {rater.n_assignments}{'  revoked' if rater.is_revoked else ''}")


@studies.command()
def revoke(slug: Slug, number: Annotated[int, typer.Argument(help="3 for rater-3.")]) -> None:
    """Shut out a rater; what was judged already stays."""
    with opened_database(Settings()) as database, database.writing() as session:
        revoke_rater(session, slug, number, utc_now())
    typer.echo(f"Revoked rater-{number} of {slug}")


@studies.command()
def close(slug: Slug) -> None:
    """Close an open study: nothing is accepted afterwards, and its results can be seen."""
    with opened_database(Settings()) as database, database.writing() as session:
        lifecycle.close_study(session, slug, utc_now())
    typer.echo(f"Closed {slug}; next: neuronjury study results {slug}")


@studies.command()
def results(
    slug: Slug,
    out: Annotated[Path | None, typer.Option(help="Folder for ratings.csv and table5.csv.")] = None,
) -> None:
    """Print Table 5 of a closed study: mean rating ± standard error, and how often each was found best."""
    with opened_database(Settings()) as database, database.reading() as session:
        typer.echo(format_table5(queries.study_results(session, slug).rows))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / "ratings.csv").write_text("".join(export.ratings_csv(session, slug)), encoding="utf-8", newline="")
            (out / "table5.csv").write_text(export.table5_csv(session, slug), encoding="utf-8", newline="")
            typer.echo(f"Wrote {out / 'ratings.csv'} and {out / 'table5.csv'}")


def _condition(method: str, explainer: str) -> tuple[str, str]:
    """The method `tokens` has no explainer, whichever one the prompts go to."""
    return (method, str(NO_EXPLAINER) if method == TOKENS else explainer)


def _neuron_set(per_layer: int | None, layers: str, csv: Path | None) -> NeuronSet:
    if (per_layer is None) == (csv is None):
        raise InvalidInput("say either --per-layer N or --neurons FILE.csv")
    if csv is not None:
        return read_csv(csv)
    return PerLayer(per_layer or 0, layer_numbers(layers))
