"""The simulator that predicts all tokens of all excerpts in one pass of a local causal model. Knows no true activation
and no database.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from app.explanations import failures
from app.explanations.methods.prompt import FewShotNeuron
from app.explanations.scoring.simulating.examples import Excerpt
from worker.explaining.chat import CallFailed
from worker.scoring.calls import Spent
from worker.scoring.simulating.reading import RowReader
from worker.scoring.simulating.simulation import Simulation
from worker.scoring.simulating.tabbed_layout import Row, TabbedLayout

LARGEST_PART_OF_EXAMPLES = 0.6
"""Of the model's context; the rest is for the explanation and the longest excerpt."""

_Found = TypeVar("_Found")


class LocalModel(Protocol):
    """A causal model of transformers in this process with its tokenizer, and the one thread that computes with it."""

    @property
    def model(self) -> Any: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def n_context(self) -> int | None: ...

    async def run(self, work: Callable[[], _Found]) -> _Found:
        """Does some work in the model's own thread, after what it does now."""
        ...


class AllAtOnce:
    """Simulates with one local model. What it has read of the common beginning stays as long as this does."""

    def __init__(self, local: LocalModel, few_shots: Sequence[FewShotNeuron]):
        """Errors: InvalidInput when the model's tokenizer has no tokens for single numbers."""
        self._local = local
        self._layout = TabbedLayout(local.tokenizer, few_shots)
        self._n_excerpts, self._beginning = _fitting_beginning(self._layout, few_shots, local.n_context)
        self._reader = RowReader(local.model, self._beginning, self._layout.number_ids)

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        """attempt: changes nothing; this simulator draws nothing. Errors: CallFailed when an excerpt is too long."""
        heading = self._layout.heading(text)
        rows = [self._layout.row(excerpt) for excerpt in excerpts]
        self._check_length(heading, rows)
        probabilities = await self._local.run(lambda: self._reader.probabilities(heading, rows))
        values = np.arange(self._layout.largest + 1)
        n_tokens = len(self._beginning) + len(heading) + sum(len(row.token_ids) for row in rows)
        return Simulation(
            expected=tuple((found @ values).astype(np.float32) for found in probabilities),
            spent=Spent(n_prompt_tokens=n_tokens),
            details={"scale": f"0-{self._layout.largest}", "n_few_shot_excerpts": self._n_excerpts},
        )

    def _check_length(self, heading: Sequence[int], rows: Sequence[Row]) -> None:
        n_context = self._local.n_context
        longest = len(self._beginning) + len(heading) + max((len(row.token_ids) for row in rows), default=0)
        if n_context is not None and longest > n_context:
            raise CallFailed(failures.TOO_LONG, f"{longest} tokens; the model reads {n_context}")


def _fitting_beginning(
    layout: TabbedLayout, few_shots: Sequence[FewShotNeuron], n_context: int | None
) -> tuple[int, list[int]]:
    """As many excerpts of each few-shot neuron as leave room behind them, at least one; and the beginning with them."""
    n_excerpts = max((len(few_shot.records) for few_shot in few_shots), default=1)
    beginning = layout.beginning(n_excerpts)
    while n_excerpts > 1 and n_context is not None and len(beginning) > LARGEST_PART_OF_EXAMPLES * n_context:
        n_excerpts -= 1
        beginning = layout.beginning(n_excerpts)
    return n_excerpts, beginning
