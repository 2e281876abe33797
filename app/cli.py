"""The command `neuronjury`. The worker's commands join by entry point, so that a web-only install needs none of theirs.

What a user can cause or mend ends as one line on stderr: exit code 2 for how the command was written, else 1.
"""

import sys
from importlib.metadata import entry_points
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from app.accounts.commands import accounts
from app.errors import NeuronJuryError
from app.exchange import commands as exchange_commands
from app.findings.commands import tables
from app.migrating import opened_database, prepare_databases
from app.settings import Settings
from app.studies.commands import studies

cli = typer.Typer(
    name="neuronjury",
    help="Which explanations of a language model's neurons do people believe?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.add_typer(accounts, name="admin")
cli.add_typer(studies, name="study")
exchange_commands.register(cli)
cli.command()(tables)


@cli.command()
def init() -> None:
    """Make or update both databases (study data and jobs) and the secret. Safe to repeat."""
    settings = Settings()
    prepare_databases(settings)
    typer.echo(f"Ready: {settings.data.resolve()}")


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64, help="One per core for hundreds of raters at once.")] = 1,
) -> None:
    """Serve the site. Put it behind a reverse proxy with https before raters come from outside."""
    import uvicorn

    from app.main import create_app

    settings = Settings()
    with opened_database(settings):
        pass
    # Several processes each make their own site; a mistake in the settings is told here, before there are any.
    site = create_app(settings)
    several = {"app": "app.main:create_app_from_environment", "factory": True, "workers": processes}
    how = {"app": site} if processes == 1 else several
    uvicorn.run(**how, host=host, port=port, log_level="warning", server_header=False)


def main() -> NoReturn:
    """Runs the command and turns what a user can mend into one line and an exit code."""
    for entry_point in entry_points(group="neuronjury.commands"):
        cli.add_typer(entry_point.load())
    try:
        result = cli(standalone_mode=False)
    except typer.Abort:
        sys.exit(130)
    except typer.TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except NeuronJuryError as error:
        _fail(str(error), error.exit_code)
    except ValidationError as error:
        _fail(_in_one_line(error), 1)
    except OperationalError as error:
        _fail(f"the database cannot be used: {str(error.orig).strip().splitlines()[0]}", 1)
    sys.exit(result if isinstance(result, int) else 0)


def _in_one_line(error: ValidationError) -> str:
    """The first wrong setting, named as the environment variable that holds it."""
    first = error.errors()[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    return f"NEURONJURY_{name.removeprefix('NEURONJURY_')}: {first['msg']}, got {first['input']!r}"


def _fail(message: str, exit_code: int) -> NoReturn:
    print(f"neuronjury: {message}", file=sys.stderr)
    sys.exit(exit_code)
