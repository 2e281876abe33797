"""Settings: everything that may differ between two installations, read from the environment (prefix NEURONJURY_)."""

import os
import secrets
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import InvalidInput

SHORTEST_SECRET = 32


class Settings(BaseSettings):
    """One installation. Each field is the variable NEURONJURY_<FIELD>; the README lists them all."""

    model_config = SettingsConfigDict(env_prefix="NEURONJURY_", extra="forbid")

    data: Path = Field(Path("data"), description="Folder of the embedded databases, the model cache and the secret.")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the study data; default: SQLite in the data folder."
    )
    jobs_url: str | None = Field(None, description="URL of the job engine's tables; default: a second SQLite file.")
    secret: SecretStr | None = Field(
        None, description="Signs tokens; 32 characters or more. Default: made by `init` in the data folder."
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="Where browsers reach the site: links, origin check, Secure cookies."
    )
    demo: bool = Field(False, description="Demo mode: allows a short secret. Never for a real study.")
    threads: int | None = Field(None, ge=1, description="CPU threads of the language model; default: all cores.")
    session_hours: int = Field(24 * 14, ge=1, description="How long a browser stays signed in.")

    @property
    def data_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'neuronjury.sqlite'}"

    @property
    def jobs_database_url(self) -> str:
        return self.jobs_url or f"sqlite:///{self.data / 'jobs.sqlite'}"

    @property
    def models_folder(self) -> Path:
        """Where converted subject models are kept between runs."""
        return self.data / "models"

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @cached_property
    def signing_key(self) -> bytes:
        """The secret as bytes. Errors: InvalidInput when there is none, or when it is too short outside demo mode."""
        if self.secret is None:
            return self._secret_file()
        secret = self.secret.get_secret_value()
        if len(secret) < SHORTEST_SECRET and not self.demo:
            raise InvalidInput(
                f"NEURONJURY_SECRET has {len(secret)} characters; expected at least {SHORTEST_SECRET} random ones"
            )
        return secret.encode()

    def _secret_file(self) -> bytes:
        try:
            return (self.data / "secret").read_bytes()
        except FileNotFoundError:
            raise InvalidInput("there is no secret yet; run `neuronjury init` or set NEURONJURY_SECRET") from None

    def make_secret(self) -> None:
        """Writes a random secret into the data folder, readable by its owner alone, unless there is one."""
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.data / "secret", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(SHORTEST_SECRET).encode())
