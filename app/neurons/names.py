"""Which names a subject model may have, wherever it comes from. Pure."""

from app.errors import InvalidInput

LONGEST_NAME = 100
PUZZLES = "puzzles"
"""The architecture of a subject model whose neurons are puzzles."""


def check_subject_name(name: str) -> None:
    """Errors: InvalidInput for a name that cannot stand in an address, a folder or a line of text."""
    is_shown_as_it_is = name.isprintable() and name == name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not is_shown_as_it_is or "/" in name or name in (".", ".."):
        raise InvalidInput(
            f"the subject name is {name[: LONGEST_NAME + 1]!r}; expected 1 to {LONGEST_NAME} characters without a "
            "slash or outer blanks"
        )
