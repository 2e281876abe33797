"""The values that prompts are made of: messages, few-shot neurons, packs, methods. Knows no layout and no wording."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from app.neurons.records import ActivationRecord

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class ChatMessage:
    role: Role
    content: str


@dataclass(frozen=True)
class ShownNeuron:
    """What a prompt shows of one neuron.

    records: the excerpts shown, best first.
    cutoff: raw activation above which a token counts as highly activating; see `marking`.
    """

    records: tuple[ActivationRecord, ...]
    cutoff: float

    @property
    def maximum(self) -> float:
        """The largest activation over the excerpts shown; 0 when none is shown."""
        return max((record.maximum for record in self.records), default=0.0)


@dataclass(frozen=True)
class FewShotNeuron:
    """An example that the explainer reads before the neuron it shall explain.

    explanation: completes the pack's cue; no space before it and no full stop after it.
    """

    records: tuple[ActivationRecord, ...]
    explanation: str


@dataclass(frozen=True, eq=False)
class PromptPack:
    """All words of the prompts; the layout around them belongs to the methods. Equal to itself alone.

    identity: name and hash of the content, `default@1f3a5c7e9b0d`.
    cue: the unfinished sentence that the explainer completes.
    zeros_left_out: the line above the repetition without zeros in a prompt of the method `original`.
    system: the text of the system message by the method's name.
    few_shots: one neuron or more, three in the pack that comes with the program.
    """

    identity: str
    cue: str
    zeros_left_out: str
    system: Mapping[str, str]
    few_shots: tuple[FewShotNeuron, ...]


@dataclass(frozen=True)
class PromptMethod:
    """A way to show a neuron to an explainer.

    name: as stored and typed, e.g. `hs`.  title: as people read it, e.g. `HS`.
    render_block: the excerpts of one neuron as text, without a newline at either end.
    """

    name: str
    title: str
    render_block: Callable[[ShownNeuron, PromptPack], str]
