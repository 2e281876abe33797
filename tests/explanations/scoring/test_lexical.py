"""The lexical baseline, against the same computed word by word."""

import math
from collections import Counter

import numpy as np
import pytest

from app.explanations.scoring.lexical import activating_text, lexical_similarity
from app.neurons.records import ActivationRecord
from tests.explanations.fakes import record

RED = record("The| red| door| was| old| and| blue|ish", 0, 5, 0, 0, 0, 0, 4, 0)
BACKGROUND = [record("The| door| was| shut", 0, 0, 0, 0), record("An| old| door", 0, 0, 0)]


def test_highly_activating_tokens_come_with_a_neighbour_on_either_side() -> None:
    text = activating_text([RED], 2.0)
    assert text.split() == ["The", "red", "door", "and", "blueish"]
    assert "\n" in text[text.index("door") : text.index("and")]


def brute_force(text: str, neuron: str, documents: list[str]) -> float:
    """TF-IDF with plain dictionaries, n-grams by the definition."""

    def grams(of: str) -> Counter[str]:
        words = [f"<{word}>" for word in "".join(c if c.isalnum() else " " for c in of.casefold()).split()]
        return Counter(w[i:j] for w in words for i in range(len(w)) for j in range(len(w) + 1) if 3 <= j - i <= 5)

    bags = [grams(document) for document in documents] + [grams(neuron)]

    def weighed(bag: Counter[str]) -> dict[str, float]:
        return {
            gram: n * (1 + math.log((1 + len(bags)) / (1 + sum(gram in other for other in bags))))
            for gram, n in bag.items()
        }

    one, other = weighed(grams(text)), weighed(grams(neuron))
    dot = sum(weight * other.get(gram, 0.0) for gram, weight in one.items())
    return dot / math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))


@pytest.mark.parametrize(
    "text", ["Names of colours, such as red.", "Old doors", "The red door and blueish", "Ünïcode RED"]
)
def test_equals_the_same_computed_word_by_word(text: str) -> None:
    value = lexical_similarity(text, [RED], BACKGROUND, 2.0)
    expected = brute_force(text, "The red door\nand blueish", ["The door was shut", "An old door"])
    assert value == pytest.approx(expected, abs=1e-12)


def test_the_same_words_are_1_and_none_in_common_is_0() -> None:
    assert lexical_similarity("the red door and blueish", [RED], BACKGROUND, 2.0) == pytest.approx(1.0)
    assert lexical_similarity("numbers", [RED], BACKGROUND, 2.0) == 0.0


def test_what_is_common_in_the_background_weighs_less() -> None:
    with_common, with_rare = "door", "blueish"
    scores = [lexical_similarity(text, [RED], BACKGROUND, 2.0) or 0.0 for text in (with_common, with_rare)]
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    ("text", "activating"),
    [("...", [RED]), ("red", []), ("red", [ActivationRecord(("A", "b"), np.zeros(2, dtype=np.float16))])],
)
def test_without_words_it_is_undefined(text: str, activating: list[ActivationRecord]) -> None:
    assert lexical_similarity(text, activating, BACKGROUND, 2.0) is None
