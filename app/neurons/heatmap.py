"""From an activation record to what a page colours. Pure: the one place that decides levels, silence, peaks and legible
text."""

import unicodedata
from dataclasses import dataclass

import numpy as np

from app.neurons.records import ActivationRecord, discretised

LEVELS = 10
"""Colour levels 1-10 beside 0, which is silent: the discretised activation."""

_LEGIBLE = {"\n": "⏎\n", "\t": "⇥", "\r": "␍", "\x7f": "␡", "": "∅", "\u2028": "⏎\n", "\u2029": "⏎\n"}
"""Texts that would not be seen, and what stands for them; a line break is also made."""


@dataclass(frozen=True)
class HeatmapSpan:
    """A stretch of an excerpt in one colour.

    text: what is shown, control characters made legible, spaces as they are.
    level: 0 (silent) to 10 (the scale's maximum).
    value: the token's activation; None for a run of several silent tokens.
    is_peak: whether this token carries the excerpt's maximum, if that is above 0; the first one of equals.
    """

    text: str
    level: int
    value: float | None
    is_peak: bool


def heatmap_spans(
    record: ActivationRecord, scale_maximum: float, *, merge_silent: bool = True
) -> tuple[HeatmapSpan, ...]:
    """An excerpt as coloured spans, in reading order; their texts joined are the whole excerpt.

    scale_maximum: the largest activation over all excerpts shown for this neuron; at or below 0 makes every token
        silent.
    merge_silent: runs of silent tokens (level 0: negative, or below a tenth of the maximum) become one span without a
        value,
        which keeps pages small; False gives every token its own span and value.
    """
    levels = discretised(record.activations, scale_maximum).tolist()
    # Converted at once: taking numpy's elements out one by one costs more than all the rest.
    values = record.activations.tolist()
    peak_index = int(np.argmax(record.activations)) if record.maximum > 0 else -1
    spans: list[HeatmapSpan] = []
    for index, token in enumerate(record.tokens):
        span = HeatmapSpan(legible(token), levels[index], values[index], index == peak_index)
        if merge_silent and spans and _is_silent(spans[-1]) and _is_silent(span):
            spans[-1] = HeatmapSpan(spans[-1].text + span.text, 0, None, False)
        else:
            spans.append(span)
    return tuple(spans)


def legible(token: str) -> str:
    """A token's text with everything that a reader could not see or tell apart made visible.

    A line break keeps its break; other control characters become their symbols or ⟨U+....⟩, so that a direction mark
    cannot reorder the text around it.
    """
    if token.isascii() and token.isprintable() and token:
        return token
    return _LEGIBLE.get(token) or "".join(_legible_character(character) for character in token)


def _legible_character(character: str) -> str:
    if character in _LEGIBLE:
        return _LEGIBLE[character]
    if ord(character) < 32:
        return chr(0x2400 + ord(character))
    is_invisible = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return f"⟨U+{ord(character):04X}⟩" if is_invisible else character


def _is_silent(span: HeatmapSpan) -> bool:
    return span.level == 0 and not span.is_peak
