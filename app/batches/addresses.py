"""What a form shows again of a server's address that somebody typed. Asks nobody."""

from urllib.parse import urlsplit


def without_secret(address: str) -> str:
    """The address, or nothing when it has a user, a password or a query: a key may be in it, and pages are kept."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return "" if parts.username or parts.password or parts.query else address
