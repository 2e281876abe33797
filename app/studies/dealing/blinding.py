"""What keeps a rater from telling the methods apart: one shape for all texts, one card for equal ones, a lint.

Pure: plain texts in, plain values out. Where a card lies on the page is decided by design.py.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from app.studies.dealing.design import presentation_order, slot_order

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»"}
_FINAL_STOPS = (".", "!", "?", "…")
_JOINERS = "\u200c\u200d"
"""Not seen either, but they change how the letters around them look: Persian and Indic scripts, emoji."""
# An apology or a refusal is one only at the start: a neuron may well look for the words "I can't".
_ARTEFACTS = re.compile(
    r"\bas an? (?:\w+ )?(?:ai|language model|assistant)\b|<\|"
    r"|^\W*i(?:['’]m| am) (?:sorry|unable)\b|^\W*i (?:cannot|can['’]?t)\b",
    re.IGNORECASE,
)
# "original", "summary", "highlight" and "tokens" are also ordinary words that a good description may need ("words of
# a summary"), so they count as a method's name only where they name something: as a label in front, or with method,
# prompt or explanation beside them.
_METHOD_NAMES = re.compile(
    r"\b(?:AVHS|HS|(?i:avhs|highlight[ -]?summary))\b"
    r"|^\W*(?i:original|summary|highlight|hs|tokens)[\s*_`'\"”’)\]]*[:\u2013\u2014]"
    r"|\b(?i:original|summary|highlight|hs|tokens)['\"”’]? (?i:method|prompt|explanation|explainer)s?\b"
    r"|\b(?i:method|prompt|explainer)s? ['\"“‘](?i:original|summary|highlight|hs|tokens)\b"
)


@dataclass(frozen=True)
class DealtCard:
    """One card as it will lie on a page. members: indices of the texts, in rising order, that it stands for."""

    text: str
    members: tuple[int, ...]


def shown_text(text: str) -> str:
    """The text in the one shape all raters see: composed Unicode without invisible characters, single spaces, no quotes
    around it, a final stop.

    An empty text stays empty. Applying it twice changes nothing more.
    """
    visible = "".join(character for character in text if not _is_invisible(character))
    trimmed = " ".join(unicodedata.normalize("NFC", visible).split())
    while (bare := _without_quotes(trimmed)) != trimmed:
        trimmed = bare
    return trimmed if not trimmed or trimmed.endswith(_FINAL_STOPS) else trimmed + "."


def _is_invisible(character: str) -> bool:
    """Zero-width blanks, soft hyphens, direction marks: texts that differ by them alone look the same but would lie on
    several cards, and whoever reads the page's source could tell an explainer by its habit of them."""
    if character.isspace() or character in _JOINERS:
        return False
    return unicodedata.category(character) in ("Cc", "Cf")


def _without_quotes(text: str) -> str:
    """The text without a pair of quotes around the whole of it, a stop after the closing one included."""
    inner = text[1:].rstrip(".")
    if len(inner) < 2 or inner[-1] != _QUOTES.get(text[0]):
        return text
    inside = inner[:-1]
    # 'cat' and 'dog' begins and ends with a quote too, but these are two quotes, not one around everything.
    return text if text[0] in inside or inner[-1] in inside else inside.strip()


def merge_identical(texts: Sequence[str]) -> tuple[DealtCard, ...]:
    """One card for each distinct text, compared as shown and without regard to case, in the order of first occurrence.

    The card shows the alphabetically first of its texts, so that which method wrote which spelling has no influence.
    """
    members: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        members.setdefault(shown_text(text).casefold(), []).append(i)
    return tuple(DealtCard(min(shown_text(texts[i]) for i in same), tuple(same)) for same in members.values())


def deal_cards(
    key: bytes, ordinal: int, neuron_rank: int, neuron_position: int, texts: Sequence[str]
) -> tuple[DealtCard, ...]:
    """The cards of one assignment in the order of the page; ordinal and neuron_rank as in `presentation_order`.

    texts: one per condition, in any order: the same texts in another order give the same page, only with other members.
    """
    cards = merge_identical(texts)
    slots = slot_order(key, neuron_position, [card.text for card in cards])
    return tuple(cards[slots[slot]] for slot in presentation_order(key, ordinal, neuron_rank, len(cards)))


def reason_not_to_show(text: str) -> str | None:
    """Why this text would betray its origin or waste a rater's judgement; None when it may be shown."""
    if not any(character.isalnum() for character in text):
        return "is empty"
    if artefact := _ARTEFACTS.search(text):
        return f"speaks as an assistant ({artefact.group()!r})"
    if name := _METHOD_NAMES.search(text):
        return f"names a method ({name.group()!r})"
    return None
