"""Build hook: puts htmx into static/vendor/, for wheels and for editable installs.

Third-party files are not kept in git. The file comes out of django-htmx, which is needed to build, never to run.
"""

import shutil
from importlib.metadata import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CopyHtmx(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = next(file for file in files("django-htmx") or [] if file.name == "htmx-2.min.js")
        target = Path(self.root) / "static" / "vendor" / "htmx.min.js"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.locate(), target)
