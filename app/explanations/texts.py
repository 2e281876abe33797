"""From the text an explainer sent to the text people see: the same for every method, so that style betrays none.

Completions differ by method in leading spaces, quotes and missing full stops; a rater could learn to tell methods by
them.
"""

import re

_SURROUNDINGS = (
    ('"', '"'),
    ("'", "'"),
    ("“", "”"),
    ("‘", "’"),
    ("«", "»"),
    ("`", "`"),
    ("**", "**"),
    ("*", "*"),
    ("_", "_"),
)
_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
_FINAL_STOPS = re.compile(r"[\s.…]+$")
# Other marks end a sentence only behind a word; alone they may be what the explanation is about: `the sign ?`.
_FINAL_MARKS = re.compile(r"(?<=[\w)\]\"'”’])[,;:!?]+$")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|vs|cf|etc|approx|esp|incl|dr|mr|mrs|ms|st)|\b[a-z])\.$", re.IGNORECASE)


def as_shown(received: str) -> str:
    """The text as raters see it, empty when nothing is left.

    White space collapses to single spaces; quotes and emphasis around the whole text go; it begins with a capital
    letter and ends in exactly one full stop. Applying it twice changes nothing.
    """
    text = " ".join(_INVISIBLE.sub("", received).split())
    while (bare := _without_surroundings(text)) != text:
        text = bare
    return f"{text[0].upper()}{text[1:]}." if text else ""


def up_to_last_sentence_end(text: str) -> str | None:
    """The text up to its last complete sentence; None when it holds none. For texts that were cut off."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if not _ABBREVIATION.search(text[: match.end()])]
    return text[: ends[-1]] if ends else None


def _without_surroundings(text: str) -> str:
    text = _FINAL_MARKS.sub("", _FINAL_STOPS.sub("", text.strip()))
    for before, after in _SURROUNDINGS:
        inner = text[len(before) : -len(after)]
        # `"cat" and "dog"` begins and ends with a quote, but is not a quotation.
        if text == f"{before}{inner}{after}" and before not in inner and after not in inner:
            return inner.strip()
    return text
