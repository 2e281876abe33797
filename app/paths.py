"""Where the files that ship beside the code lie: at the top of a checkout, or in `app/bundled/` of a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder `name` ("templates", "static" or "migrations") that belongs to this copy of the code."""
    bundled = _PACKAGE / "bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name
