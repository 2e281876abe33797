"""The prompt of the simulator that reads all tokens at once, as token ids: lines of a token, a tab and its value.

It is put together piece by piece, each tokenised for itself, so that the place at which a value would follow is known
exactly whatever the tokenizer does. Knows no model.

    ... what a neuron is, and how the lines are meant ...
    Neuron 1                         } the beginning, the same for all explanations: few-shot neurons, whose
    Description: ...                 } first values are shown as unknown, so that a number can be expected
    <start>                          } at any time
    token TAB unknown
    token TAB 7
    <end>
    Neuron 4                         } the heading: the explanation under test
    Description: ...                 }
    <start>                          } a row: one excerpt, up to its last tab
    token TAB unknown                }
    token TAB                        }
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.explanations.methods.prompt import FewShotNeuron
from app.explanations.scoring.simulating.examples import (
    LARGEST,
    TASK,
    ExampleExcerpt,
    ExampleNeuron,
    Excerpt,
    example_neurons,
)

TAB, NEWLINE, UNKNOWN = "\t", "\n", "unknown"
START, END = "<start>\n", "<end>\n"
LINES = (
    " Below, each line is a token, a tab and the token's number from 0 to {largest}. A number that is not told is "
    "written as unknown.\n"
)
SHARES_UNKNOWN = (0.0, 0.5, 0.25, 0.75)
"""How much of a few-shot excerpt, from its beginning, is shown as unknown: one excerpt after the other in turn."""
_VISIBLE = str.maketrans({"\n": "\\n", "\t": "\\t", "\r": "\\r"})
"""A token that breaks lines would break the layout."""


@dataclass(frozen=True)
class Row:
    """One excerpt behind the beginning and the heading.

    token_ids: ends with the last token's tab.  value_places: for each of the excerpt's tokens the place of its tab in
    token_ids: what the model expects after it is the token's value.
    """

    token_ids: list[int]
    value_places: list[int]


class TabbedLayout:
    """Prompts for one model's tokenizer.

    largest: values go from 0 to it. It is 10 where the tokenizer has a token for `10`. Where `10` would be read as `1`
    and `0`, the probability of a 1 at the tab would be that of two values; so everything above 9 is shown as 9 there,
    and one pass still reads the whole distribution.
    number_ids: the token of each value.
    """

    def __init__(self, tokenizer: Any, few_shots: Sequence[FewShotNeuron]):
        """Errors: InvalidInput when the tokenizer lacks tokens of their own for 0 to 9."""
        self._tokenizer = tokenizer
        self._few_shots = few_shots
        self._kept: dict[tuple[str, str], list[int]] = {}
        numbers = [self._ids(str(value), behind=TAB) for value in range(LARGEST + 1)]
        self.largest = LARGEST if len(numbers[-1]) == 1 else LARGEST - 1
        self.number_ids = [ids[0] for ids in numbers[: self.largest + 1] if len(ids) == 1]
        if len(set(self.number_ids)) <= self.largest:
            raise InvalidInput(
                "the model cannot simulate all at once: its tokenizer has no token of its own for each of 0 to 9"
            )

    def beginning(self, n_excerpts: int) -> list[int]:
        """Token ids of the beginning, with at most so many excerpts of each few-shot neuron."""
        ids = self._special_ids() + self._ids((TASK + LINES).format(largest=self.largest))
        turn = 0
        for number, neuron in enumerate(self.examples(n_excerpts), start=1):
            ids += self._heading(number, neuron.explanation)
            for excerpt in neuron.excerpts:
                ids += self._example(excerpt, SHARES_UNKNOWN[turn % len(SHARES_UNKNOWN)])
                turn += 1
        return ids

    def examples(self, n_excerpts: int) -> tuple[ExampleNeuron, ...]:
        return example_neurons(self._few_shots, n_excerpts=n_excerpts, largest=self.largest)

    def heading(self, text: str) -> list[int]:
        """Token ids of what follows the beginning for all excerpts that are simulated from an explanation's text."""
        return self._heading(len(self._few_shots) + 1, text)

    def row(self, excerpt: Excerpt) -> Row:
        """What follows the heading for one excerpt."""
        ids = list(self._ids(START))
        places: list[int] = []
        for index, token in enumerate(excerpt):
            if index:
                ids += self._value(UNKNOWN)
            ids += self._token(token)
            places.append(len(ids) - 1)
        return Row(ids, places)

    def _heading(self, number: int, explanation: str) -> list[int]:
        # Not kept: every explanation's is another.
        return self._encoded(f"\nNeuron {number}\nDescription: {explanation}\n")

    def _example(self, excerpt: ExampleExcerpt, share_unknown: float) -> list[int]:
        n_unknown = int(share_unknown * len(excerpt.tokens))
        ids = list(self._ids(START))
        for index, (token, level) in enumerate(zip(excerpt.tokens, excerpt.levels, strict=True)):
            ids += self._token(token) + self._value(UNKNOWN if index < n_unknown else str(level))
        return ids + self._ids(END)

    def _token(self, token: str) -> list[int]:
        return self._ids(token.translate(_VISIBLE), behind=NEWLINE) + self._ids(TAB, behind=UNKNOWN)

    def _value(self, value: str) -> list[int]:
        return self._ids(value, behind=TAB) + self._ids(NEWLINE, behind=UNKNOWN)

    def _ids(self, text: str, behind: str = "") -> list[int]:
        """Token ids of a piece that follows another. Pieces recur, so they are tokenised once."""
        if (text, behind) not in self._kept:
            before, both = self._encoded(behind), self._encoded(behind + text)
            # Some tokenizers put a blank before every text they are given; behind another text they do not.
            follows = both[: len(before)] == before
            self._kept[text, behind] = both[len(before) :] if follows else self._encoded(text)
        return self._kept[text, behind]

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids

    def _special_ids(self) -> list[int]:
        """What the tokenizer puts before every text: a token that begins a text, or nothing."""
        plain, special = self._encoded("a"), self._tokenizer("a")["input_ids"]
        n_before = len(special) - len(plain)
        return list(special[:n_before]) if special[n_before:] == plain else []
