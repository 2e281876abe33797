"""The choice of neurons as the command line says it: one of four options, and what goes with it."""

from dataclasses import dataclass
from pathlib import Path

from app.batches.choosing import (
    DEFAULT_THRESHOLD,
    ClearPeaks,
    NeuronChoice,
    RandomInterpretable,
    RandomNeurons,
    SavedSet,
    TopNeurons,
    TopPerLayer,
)
from app.errors import InvalidInput
from app.neurons.lists import layer_numbers, read_csv

KINDS = (ClearPeaks.kind, RandomNeurons.kind, RandomInterpretable.kind, TopPerLayer.kind, TopNeurons.kind)


@dataclass(frozen=True)
class ChoiceOptions:
    """per_layer: short for the kind `peaks` with that number. kind, n: one of KINDS, and how many it takes.

    neuron_set: a saved set. csv: a file with the columns layer,neuron. Exactly one of these four is given.
    layers: as typed, of the kinds that take some of each layer. seed: of the kinds that draw. threshold: of the kind
    `interpretable`. scorer: of the kinds by score; empty: the one of `settled`.
    """

    per_layer: int | None = None
    kind: str | None = None
    n: int | None = None
    neuron_set: str | None = None
    csv: Path | None = None
    layers: str = ""
    seed: int = 0
    threshold: float = DEFAULT_THRESHOLD
    scorer: str = ""

    def choice(self) -> NeuronChoice:
        """Errors: InvalidInput."""
        if sum(each is not None for each in (self.per_layer, self.kind, self.neuron_set, self.csv)) != 1:
            raise InvalidInput("say one of --per-layer N, --set KIND --n N, --neuron-set NAME and --neurons FILE.csv")
        if self.csv is not None:
            return read_csv(self.csv)
        if self.neuron_set is not None:
            return SavedSet(self.neuron_set)
        return self._drawn()

    def _drawn(self) -> NeuronChoice:
        kind, n = (ClearPeaks.kind, self.per_layer) if self.kind is None else (self.kind, self.n)
        if n is None:
            raise InvalidInput(f"--set {kind} without --n; expected how many neurons, per layer unless it is top")
        layers = layer_numbers(self.layers)
        match kind:
            case ClearPeaks.kind:
                return ClearPeaks(n, layers, self.seed)
            case RandomNeurons.kind:
                return RandomNeurons(n, layers, self.seed)
            case RandomInterpretable.kind:
                return RandomInterpretable(n, layers, self.seed, self.threshold, scorer=self.scorer)
            case TopPerLayer.kind:
                return TopPerLayer(n, layers, scorer=self.scorer)
            case TopNeurons.kind:
                return TopNeurons(n, scorer=self.scorer)
        raise InvalidInput(f"--set {kind}; expected one of {', '.join(KINDS)}")
