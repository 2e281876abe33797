"""The baseline that needs no model: do the words of an explanation look like the words that the neuron responds to?
Pure: texts and activations in, one number out.

TF-IDF over character n-grams within words, so that `colours` and `colour` meet; the neuron's text is its highly
activating tokens with one neighbour on either side. Of whole words, cut words and n-grams, over tokens alone, with 1,
2 or 4 neighbours and over whole excerpts, this told our puzzles' truths from their false explanations most often
(`make bench-puzzles` prints how often). It knows no synonyms: `names of colours` has nothing in common with `red`.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.neurons.records import ActivationRecord

N_NEIGHBOURS = 1
"""Tokens taken on either side of a highly activating one."""
SHORTEST, LONGEST = 3, 5
"""Characters of an n-gram; the edges of a word count as one each."""

_WORD = re.compile(r"[^\W_]+")
_GAP = "\n"
"""Between stretches that are apart in their excerpt; no word runs across."""

Float64Array = npt.NDArray[np.float64]


def lexical_similarity(
    text: str, activating: Sequence[ActivationRecord], background: Sequence[ActivationRecord], cutoff: float
) -> float | None:
    """Cosine of two TF-IDF vectors, in [0, 1]; None when the text or the highly activating tokens have no word.

    text: the explanation. activating: excerpts whose tokens above the cutoff say what the neuron responds to.
    background: excerpts that say how common an n-gram is, each one document beside the neuron's text.
    """
    asked, neuron = _n_grams(text), _n_grams(activating_text(activating, cutoff))
    if not asked or not neuron:
        return None
    documents = [_n_grams("".join(record.tokens)) for record in background]
    names = sorted(asked | neuron)
    weights = _inverse_frequencies(names, [*documents, neuron])
    first, second = (np.array([counts[name] for name in names]) * weights for counts in (asked, neuron))
    cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    # Rounding may lead a hair's breadth beyond 1.
    return min(1.0, cosine)


def activating_text(records: Sequence[ActivationRecord], cutoff: float) -> str:
    """The tokens above the cutoff with their neighbours, as they stand in the text; a line break between stretches."""
    return _GAP.join(_stretches(record, cutoff) for record in records)


def _stretches(record: ActivationRecord, cutoff: float) -> str:
    is_kept = np.zeros(len(record.tokens), dtype=np.bool_)
    for index in np.flatnonzero(record.activations.astype(np.float64) > cutoff).tolist():
        is_kept[max(0, index - N_NEIGHBOURS) : index + N_NEIGHBOURS + 1] = True
    return "".join(token if is_one else _GAP for token, is_one in zip(record.tokens, is_kept, strict=True))


def _inverse_frequencies(names: Sequence[str], documents: Sequence[Counter[str]]) -> Float64Array:
    """1 + log((1 + documents) / (1 + documents with it)): rare n-grams weigh more, and none weighs nothing."""
    n_with = np.array([sum(name in document for document in documents) for name in names])
    return np.asarray(1 + np.log((1 + len(documents)) / (1 + n_with)))


def _n_grams(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word in _WORD.findall(text.casefold()):
        bounded = f"<{word}>"
        for length in range(SHORTEST, LONGEST + 1):
            counts.update(bounded[start : start + length] for start in range(len(bounded) - length + 1))
    return counts
