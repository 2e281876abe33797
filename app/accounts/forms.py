"""What people send when they sign in."""

from typing import Annotated

from pydantic import BaseModel, Field, SecretStr, StringConstraints

from app.accounts.creating import LONGEST_NAME, LONGEST_PASSWORD


class LoginForm(BaseModel):
    """The form of /login. `next` is where the visitor was going."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=LONGEST_NAME)] = ""
    password: Annotated[SecretStr, Field(max_length=LONGEST_PASSWORD)] = SecretStr("")
    next: Annotated[str, StringConstraints(max_length=2000)] = "/"
    form_token: str = ""


def local_path(address: str) -> str:
    """The address if it is a path of this site, else the start page: signing in must not lead to somebody else's
    site."""
    # Browsers read a backslash as a slash and skip tabs and line breaks, so "/\\evil" and "/\t/evil" are other sites as
    # well.
    is_local = (
        address.startswith("/") and not address.startswith("//") and address.isprintable() and "\\" not in address
    )
    return address if is_local else "/"
