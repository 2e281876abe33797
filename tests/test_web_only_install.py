"""A web-only install: the built wheel, unpacked, serves the site where torch, transformers and openai are missing."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent

BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "openai", "gguf", "safetensors", "accelerate"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content: what `pip install .` puts into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, TOP]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("neuronjury-*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run_without_torch(installed: Path, data: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "NEURONJURY_DATA": str(data)}
    command = [sys.executable, "-c", BLOCK + code]
    return subprocess.run(command, env=environment, cwd=data, capture_output=True, text=True, timeout=120)


def test_the_wheel_serves_its_pages_without_torch(installed: Path, tmp_path: Path) -> None:
    init = run_without_torch(installed, tmp_path, "sys.argv = ['neuronjury', 'init']; import app.cli; app.cli.main()")
    assert init.returncode == 0, init.stderr
    served = run_without_torch(
        installed,
        tmp_path,
        """
import app.main, app.settings
from fastapi.testclient import TestClient
with TestClient(app.main.create_app(app.settings.Settings())) as client:
    for path in ("/healthz", "/login", "/static/app.css", "/static/vendor/htmx.min.js"):
        print(path, client.get(path).status_code)
print(app.main.__file__)
""",
    )
    lines = served.stdout.splitlines()
    expected = ["/healthz 200", "/login 200", "/static/app.css 200", "/static/vendor/htmx.min.js 200"]
    assert lines[:4] == expected, served.stderr
    assert Path(lines[4]).is_relative_to(installed)


def test_a_worker_command_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    arguments = "['neuronjury', 'record', '--model', 'smollm2-135m', '--text', 'python-docs']"
    run_without_torch(installed, tmp_path, "sys.argv = ['neuronjury', 'init']; import app.cli; app.cli.main()")
    record = run_without_torch(installed, tmp_path, f"sys.argv = {arguments}; import app.cli; app.cli.main()")
    assert record.returncode == 1
    assert record.stderr.count("\n") == 1
    assert "neuronjury[worker]" in record.stderr
