"""Static files: addressed by their content, so that browsers may keep them for good."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.paths import shipped

FOR_GOOD = "public, max-age=31536000, immutable"


class HashedStaticFiles(StaticFiles):
    """Serves static/; a request that names the content's hash may be cached for good, any other is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        named_by_hash = scope["query_string"] == f"v={_content_hash(path)}".encode()
        response.headers["Cache-Control"] = FOR_GOOD if named_by_hash else "no-cache"
        return response


def static_url(path: str) -> str:
    """The address of static/<path>, with the hash of what the file holds now.

    Errors: FileNotFoundError: a page that asks for a file that is not there is a defect.
    """
    return f"/static/{path}?v={_content_hash(path)}"


def _content_hash(path: str) -> str:
    file = shipped("static") / path
    return _hash_of_version(file, os.stat(file).st_mtime_ns)


@lru_cache(maxsize=100)
def _hash_of_version(file: Path, _modified_ns: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
