"""What somebody wants recorded, as plain values: checked, and as the settings that are stored with the recording.

Two recordings are the same when their settings are. A choice left to the model (`auto`) is no setting until the model
is loaded. Knows no database and no model.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.neurons.models import MLP
from app.neurons.records import BOTH, N_BAND_RECORDS, N_RANDOM_RECORDS, N_TOP_RECORDS, POSITIVE
from worker.recording.plan import BLOCK, SMALLEST_CHUNK, RecordingPlan
from worker.subjects.devices import AUTO, DTYPES
from worker.texts.corpus import EXCERPT_LENGTH, LARGEST_SEED

LONGEST_NAME = 100
MOST_RECORDS = 1000
"""Of one band and neuron."""
POLARITIES = (POSITIVE, BOTH, AUTO)
ALL_TOKENS = "all"
AFTER_FIRST = "after-first"
N_IGNORED = {ALL_TOKENS: 0, AFTER_FIRST: 1}
"""How many tokens at the start of an excerpt do not count."""
POSITIONS = {
    ALL_TOKENS: "every token counts; no token is put before an excerpt",
    AFTER_FIRST: "the first token of an excerpt does not count; no token is put before an excerpt",
}
BEFORE_THERE_WAS_A_CHOICE = {"dtype": "float32", "polarity": POSITIVE, "band": 0, "statistics": True}
"""Settings that old recordings do not mention."""


@dataclass(frozen=True)
class RecordingOrder:
    """model: see find_model. text: see open_text. name: of the subject model, None for after the model.

    n_excerpts: how many to draw, all of them when the text has fewer. n_top, n_random: records kept of a neuron.
    dtype, polarity: `auto` leaves them to the model. mlp_module: see load_subject.
    chunk_length: see RecordingPlan; how often a recording keeps what it has, which decides no number.
    """

    model: str
    text: str
    name: str | None = None
    n_excerpts: int = 1024
    seed: int = 0
    batch_size: int = 16
    positions: str = ALL_TOKENS
    polarity: str = AUTO
    n_top: int = N_TOP_RECORDS
    n_random: int = N_RANDOM_RECORDS
    has_statistics: bool = True
    dtype: str = AUTO
    mlp_module: str | None = None
    chunk_length: int = SMALLEST_CHUNK


def check_order(order: RecordingOrder) -> None:
    """Errors: InvalidInput for a number or a word that cannot be meant."""
    if order.n_excerpts < 1:
        raise InvalidInput(f"{order.n_excerpts} excerpts; expected at least 1")
    if order.batch_size < 1:
        raise InvalidInput(f"batch size {order.batch_size}; expected at least 1")
    if not 0 <= order.seed <= LARGEST_SEED:
        raise InvalidInput(f"seed {order.seed}; expected 0 to {LARGEST_SEED}")
    if not 1 <= order.n_top <= MOST_RECORDS:
        raise InvalidInput(f"{order.n_top} top records; expected 1 to {MOST_RECORDS}")
    if not 0 <= order.n_random <= MOST_RECORDS:
        raise InvalidInput(f"{order.n_random} random records; expected 0 to {MOST_RECORDS}")
    _check_word("positions", order.positions, POSITIONS)
    _check_word("polarity", order.polarity, POLARITIES)
    _check_word("dtype", order.dtype, (AUTO, *DTYPES))
    if order.chunk_length < BLOCK or order.chunk_length % BLOCK:
        raise InvalidInput(f"chunks of {order.chunk_length} excerpts; expected a multiple of {BLOCK}")


def check_name(name: str) -> str:
    """Errors: InvalidInput when a subject model cannot have this name."""
    if len(name) > LONGEST_NAME or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise InvalidInput(
            f"the name {name!r} cannot stand in an address; expected up to {LONGEST_NAME} of a-z, 0-9, '-' and '.'"
        )
    return name


def asked_settings(order: RecordingOrder, revision: str, text_name: str, text_hash: str) -> dict[str, Any]:
    """Everything that decides the recorded numbers and was chosen by someone; dtype and polarity only if they were."""
    chosen = {"dtype": order.dtype, "polarity": order.polarity}
    return {
        "model": revision,
        "text": text_name,
        "text_hash": text_hash,
        "excerpts": order.n_excerpts,
        "excerpt_length": EXCERPT_LENGTH,
        "seed": order.seed,
        "site": MLP,
        "mlp_module": order.mlp_module,
        "positions": POSITIONS[order.positions],
        "top": order.n_top,
        "random": order.n_random,
        "band": N_BAND_RECORDS if order.has_statistics else 0,
        "statistics": order.has_statistics,
        **{key: value for key, value in chosen.items() if value != AUTO},
    }


def whole_settings(asked: dict[str, Any], *, dtype: str, is_gated: bool) -> dict[str, Any]:
    """With what the model decides of the choices left to it.

    In a gated MLP a neuron's activation is as often far below 0 as above it.
    """
    return {"dtype": dtype, "polarity": BOTH if is_gated else POSITIVE, **asked}


def first_difference(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """What is different from what is asked for, in words: `seed 0, now it is 1`; None when nothing is."""
    before = BEFORE_THERE_WAS_A_CHOICE | dict(stored)
    for key, now in asked.items():
        if before.get(key) != now:
            # Of a hash the beginning is enough to see that it is another one.
            return f"{key.replace('_', ' ')} {str(before.get(key))[:20]}, now it is {str(now)[:20]}"
    return None


def plan_of(settings: Mapping[str, Any], n_excerpts: int, chunk_length: int) -> RecordingPlan:
    """The plan that whole settings stand for. n_excerpts: of the corpus, which may have fewer than were asked for."""
    ignored = {POSITIONS[positions]: n_ignored for positions, n_ignored in N_IGNORED.items()}
    return RecordingPlan(
        n_excerpts=n_excerpts,
        n_tokens=settings["excerpt_length"],
        seed=settings["seed"],
        n_top=settings["top"],
        n_random=settings["random"],
        n_band=settings["band"],
        polarity=settings["polarity"],
        n_ignored=ignored[settings["positions"]],
        has_statistics=settings["statistics"],
        chunk_length=chunk_length,
    )


def _check_word(what: str, word: str, known: Collection[str]) -> None:
    if word not in known:
        raise InvalidInput(f"{what} {word!r}; expected {', '.join(known)}")
