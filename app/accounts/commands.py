"""`neuronjury admin ...`: accounts from the command line, the only way to make one."""

import secrets
from typing import Annotated

import typer

from app.accounts.creating import create_account
from app.accounts.models import ADMIN
from app.migrating import opened_database
from app.settings import Settings

accounts = typer.Typer(help="People who sign in: admins and researchers.", no_args_is_help=True)


@accounts.callback()
def _admin() -> None:
    """Keeps `create` a command of its own although it is the only one."""


@accounts.command()
def create(
    name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    role: Annotated[str, typer.Option(help="admin or researcher.")] = ADMIN,
    generate: Annotated[bool, typer.Option("--generate", help="Make a random password and print it once.")] = False,
) -> None:
    """Create an account; asks for the password (also from standard input), there is no default one."""
    if generate:
        password = secrets.token_urlsafe(16)
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with opened_database(Settings()) as database, database.writing() as session:
        create_account(session, name, role, password)
    typer.echo(f"Created {role} {name}" + (f" with password {password}" if generate else ""))
