"""From an activation record to what a page colours. Pure: the one place that decides levels, silence, peaks and legible
text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.neurons.records import ActivationRecord, Side, discretised

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
    is_peak: whether this token carries the excerpt's maximum, if that is above 0; the first one of equals. On the
        negative side its minimum, if that is below 0.
    """

    text: str
    level: int
    value: float | None
    is_peak: bool


def heatmap_spans(
    record: ActivationRecord, scale_maximum: float, *, merge_silent: bool = True, side: Side = "positive"
) -> tuple[HeatmapSpan, ...]:
    """An excerpt as coloured spans, in reading order; their texts joined are the whole excerpt.

    scale_maximum: the largest activation over all excerpts shown for this neuron; at or below 0 makes every token
        silent.
    merge_silent: runs of silent tokens (level 0: negative, or below a tenth of the maximum) become one span without a
        value,
        which keeps pages small; False gives every token its own span and value.
    side: `negative` colours how far below 0 a token is, on a scale whose maximum is turned into a positive number as
        well; positive tokens are silent then. Values keep their sign on both sides.
    """
    coloured = -record.activations if side == "negative" else record.activations
    levels = discretised(coloured, scale_maximum).tolist()
    # Converted at once: taking numpy's elements out one by one costs more than all the rest.
    values = record.activations.tolist()
    peak_index = int(np.argmax(coloured)) if len(coloured) and coloured.max() > 0 else -1
    spans: list[HeatmapSpan] = []
    silent: list[int] = []
    for index, level in enumerate(levels):
        if level == 0 and index != peak_index and merge_silent:
            silent.append(index)
            continue
        spans += _silent_span(record.tokens, values, silent)
        silent = []
        spans.append(HeatmapSpan(legible(record.tokens[index]), level, values[index], index == peak_index))
    return (*spans, *_silent_span(record.tokens, values, silent))


def _silent_span(tokens: Sequence[str], values: Sequence[float], run: Sequence[int]) -> list[HeatmapSpan]:
    """One span for a run of silent tokens, made at once: most tokens are silent. A token by itself keeps its value."""
    if not run:
        return []
    text = "".join([legible(tokens[index]) for index in run])
    return [HeatmapSpan(text, 0, values[run[0]] if len(run) == 1 else None, False)]


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
