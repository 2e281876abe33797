"""`neuronjury study ...` once a study is open: bring raters in and out, watch, close, read the results."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import InvalidInput
from app.migrating import opened_database
from app.settings import Settings
from app.studies import invitations, lifecycle, queries
from app.studies.audit import COMMAND_LINE
from app.studies.dealing import slots
from app.studies.results import export
from app.studies.results.summary import study_results
from app.studies.results.table5 import format_table5
from app.studies.results.unmasking import unmask
from app.studies.running.deletion import DeletionEffect, delete_rater, effect_of_deletion
from app.studies.running.raters import rater_lines, raters_by_stage
from app.studies.wording import ago, counted

Slug = Annotated[str, typer.Argument(help="The study's short name, as in its address.")]
Number = Annotated[int, typer.Argument(min=1, help="3 for rater-3.")]


def register(studies: typer.Typer) -> None:
    """Adds these commands to `neuronjury study`."""
    for command in (
        dry_run,
        invite,
        joining_link,
        status,
        reclaim,
        extend,
        revoke,
        delete,
        close,
        unmask_results,
        results,
    ):
        names = {"delete": "delete-rater", "unmask_results": "unmask"}
        studies.command(names.get(command.__name__, command.__name__.replace("_", "-")))(command)


def invite(
    slug: Slug,
    raters: Annotated[int, typer.Option(min=1, help="How many raters to invite.")],
    days: Annotated[int, typer.Option(min=1, help="Days until the links expire.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Invite raters and print their links: once, only a hash of each is kept."""
    now = utc_now()
    with _writing() as session:
        invited = invitations.invite_raters(session, slug, raters, now, now + timedelta(days=days))
    links = {each.number: f"{_site()}/r/{each.code}" for each in invited}
    if as_json:
        raters_json = [{"rater": f"rater-{number}", "link": link} for number, link in links.items()]
        typer.echo(json.dumps({"study": slug, "raters": raters_json}))
    else:
        for number, link in links.items():
            typer.echo(f"rater-{number}  {link}")


def dry_run(slug: Slug) -> None:
    """Print a link to judge a draft or an open study as a rater would; it is never counted."""
    with _writing() as session:
        invitation = invitations.dry_run(session, slug, utc_now(), COMMAND_LINE)
    typer.echo(f"{_site()}/r/{invitation.code}")


def joining_link(
    slug: Slug,
    most: Annotated[int, typer.Option(min=1, help="How many raters may join by it.")],
) -> None:
    """Print one link by which anybody may join, e.g. for Prolific; an earlier one lets nobody new in any more."""
    with _writing() as session:
        code = invitations.make_joining_link(session, slug, most, utc_now(), COMMAND_LINE)
    typer.echo(f"{_site()}/join/{code}")


def status(slug: Slug) -> None:
    """How far the study is: counts only, never a judgement."""
    now = utc_now()
    with _reading() as session:
        study = queries.study_status(session, slug)
        raters = rater_lines(session, queries.study_named(session, slug), now)
    state = "paused" if study.status == "open" and study.paused_at is not None else study.status
    typer.echo(f"{study.slug}: {state}, {study.n_neurons} neurons, {len(study.conditions)} conditions")
    typer.echo(f"{study.n_judged} of {study.n_wanted} judgements are in")
    typer.echo("raters: " + ", ".join(f"{n} {stage}" for stage, n in raters_by_stage(raters)))
    for rater in raters:
        typer.echo(
            f"{rater.name}  {rater.stage}  {rater.n_judged} of {rater.n_held}  last seen {ago(rater.seen_at, now)}"
        )


def reclaim(
    slug: Slug,
    number: Annotated[int | None, typer.Argument(min=1, help="3 for rater-3; none: all whose lease is over.")] = None,
) -> None:
    """Give the open neurons of a rater who has stopped to others."""
    now = utc_now()
    with _writing() as session:
        if number is None:
            n = slots.reclaim_expired(session, queries.locked_study(session, slug), now)
        else:
            n = slots.reclaim_rater(session, slug, number, now, COMMAND_LINE)
    typer.echo(f"Reclaimed {counted(n, 'neuron')} of {slug}")


def extend(
    slug: Slug,
    raters_per_neuron: Annotated[int, typer.Option(min=1, help="How many raters a neuron may have from now on.")],
) -> None:
    """Let neurons be judged by more raters than was planned."""
    with _writing() as session:
        n = slots.extend(session, slug, raters_per_neuron, utc_now(), COMMAND_LINE)
    typer.echo(f"{counted(n, 'neuron')} of {slug} can now have {counted(raters_per_neuron, 'rater')} each")


def revoke(slug: Slug, number: Number) -> None:
    """Shut out a rater; what was judged already stays."""
    with _writing() as session:
        invitations.revoke_rater(session, slug, number, utc_now(), COMMAND_LINE)
    typer.echo(f"Revoked rater-{number} of {slug}")


def delete(
    slug: Slug,
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would go.")] = False,
) -> None:
    """Delete a rater's answers and outside names for good."""
    if not yes:
        with _reading() as session:
            _tell(f"Would delete rater-{number} of {slug}", effect_of_deletion(session, slug, number))
        raise InvalidInput("nothing is deleted yet; add --yes to delete")
    with _writing() as session:
        effect = delete_rater(session, slug, number, utc_now(), COMMAND_LINE)
    _tell(f"Deleted rater-{number} of {slug}", effect)


def _tell(what: str, effect: DeletionEffect) -> None:
    typer.echo(f"{what}: {counted(effect.n_judgements, 'judgement')}, {counted(effect.n_ratings, 'rating')}")
    typer.echo(f"judgements of the study: {effect.n_judgements_before} before, {effect.n_judgements_after} after")


def close(slug: Slug) -> None:
    """Close an open study: nothing is accepted afterwards, and its results can be seen."""
    with _writing() as session:
        lifecycle.close_study(session, slug, utc_now(), COMMAND_LINE)
    typer.echo(f"Closed {slug}; next: neuronjury study results {slug}")


def unmask_results(
    slug: Slug, reason: Annotated[str, typer.Option(help="Why; it stays on the results page for ever.")]
) -> None:
    """Make the results of an open study visible before its closing; this is recorded for ever."""
    with _writing() as session:
        unmask(session, slug, reason, utc_now(), COMMAND_LINE)
    typer.echo(f"Unmasked the results of {slug}; next: neuronjury study results {slug}")


def results(
    slug: Slug,
    out: Annotated[Path | None, typer.Option(help="Folder for ratings, judgements, raters and table5 as CSV.")] = None,
) -> None:
    """Print Table 5 of a closed study: mean rating ± standard error, and how often each was found best."""
    with _reading() as session:
        found = study_results(session, slug)
        typer.echo(format_table5(found.rows))
        for number, reason in sorted(found.excluded.items()):
            typer.echo(f"left out: rater-{number}, {reason}")
        if out is not None:
            _write_files(session, slug, out)


def _write_files(session: Session, slug: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "ratings.csv": export.ratings_csv(session, slug),
        "judgements.csv": export.judgements_csv(session, slug),
        "raters.csv": [export.raters_csv(session, slug, names_people=True)],
        "table5.csv": [export.table5_csv(session, slug)],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(lines), encoding="utf-8", newline="")
    typer.echo("Wrote " + ", ".join(str(folder / name) for name in files))


@contextmanager
def _writing() -> Iterator[Session]:
    with opened_database(Settings()) as database, database.writing() as session:
        yield session


@contextmanager
def _reading() -> Iterator[Session]:
    with opened_database(Settings()) as database, database.reading() as session:
        yield session


def _site() -> str:
    return Settings().public_url.rstrip("/")
