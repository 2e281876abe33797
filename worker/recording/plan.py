"""What a recording keeps, and the stretches of the corpus it is made in. Plain values: knows no model and no array."""

import math
from dataclasses import dataclass

from app.neurons.records import N_BAND_RECORDS, N_RANDOM_RECORDS, N_TOP_RECORDS, POSITIVE, QUANTILE_BANDS, Polarity

BLOCK = 8
"""Excerpts whose sums are taken together, before they are added to others in a fixed order."""
SMALLEST_CHUNK = 256
MOST_CHUNKS = 32
LARGEST_PANEL = 4096
"""Excerpts whose maxima are all kept, for quantiles and histogram: 8 kB per neuron. Of more excerpts a seeded draw of
so many stands for all, which puts a boundary within about half a per cent of the excerpts of where it would be."""

FLOAT16_BYTES = 2
ENTRY_BYTES = 12
"""Value, excerpt and place or key of a record beside its activations."""
ROW_BYTES = 40
"""About what a database adds to a record's activations: key, excerpt, maximum, overhead."""


@dataclass(frozen=True)
class RecordingPlan:
    """Everything that decides what is kept of given activations.

    n_top, n_random, n_band: records per neuron of each kind of band; n_band 0 keeps no quantile bands.
    polarity: `both` keeps the most negative excerpts too, as many as top ones.
    n_ignored: first tokens of each excerpt that do not count, less than n_tokens.
    has_statistics: False keeps no moments, no minima and no quantile bands.
    chunk_length: excerpts of a chunk at least; a multiple of BLOCK.
    """

    n_excerpts: int
    n_tokens: int
    seed: int
    n_top: int = N_TOP_RECORDS
    n_random: int = N_RANDOM_RECORDS
    n_band: int = N_BAND_RECORDS
    polarity: Polarity = POSITIVE
    n_ignored: int = 0
    has_statistics: bool = True
    chunk_length: int = SMALLEST_CHUNK

    @property
    def chunks(self) -> tuple[range, ...]:
        """The corpus in stretches of excerpts, the unit of resuming: they depend on nothing but the plan."""
        blocks = math.ceil(self.n_excerpts / MOST_CHUNKS / BLOCK)
        length = max(self.chunk_length, blocks * BLOCK)
        starts = range(0, self.n_excerpts, length)
        return tuple(range(start, min(start + length, self.n_excerpts)) for start in starts)

    @property
    def has_bands(self) -> bool:
        return self.has_statistics and self.n_band > 0

    @property
    def n_bottom(self) -> int:
        """The most negative excerpts kept per neuron: one is needed for the minimum and its position."""
        if not self.has_statistics:
            return 0
        return self.n_top if self.polarity == "both" else 1

    @property
    def n_sketched(self) -> int:
        """How many excerpts are drawn among those above any value. Of the excerpts above a band's lower boundary a
        half (the lowest band) to nine tenths lie in the band, so more are drawn than the band keeps."""
        return math.ceil(1.6 * self.n_band) if self.has_bands else 0

    def n_sketched_after(self, n_excerpts: int) -> float:
        """How many excerpts these draws hold together, on average: one of rank r by value stays with chance n / r."""
        n_drawn = min(self.n_sketched, n_excerpts)
        return n_drawn * (1 + math.log(n_excerpts / n_drawn)) if n_drawn else 0.0

    def state_bytes(self, n_layers: int, n_neurons: int) -> int:
        """Memory of the recorder at its largest, about: n_neurons per layer."""
        chunk = len(self.chunks[0])
        record = self.n_tokens * FLOAT16_BYTES
        lists = (self.n_top + self.n_bottom) * (record + ENTRY_BYTES)
        drawn = 2 * math.ceil(self.n_random * chunk / self.n_excerpts) * record + 2 * 8 * self.n_random
        sketch = self.n_sketched_after(chunk) * record + 2 * self.n_sketched_after(self.n_excerpts) * ENTRY_BYTES
        panel = self._panel_bytes() * chunk / self.n_excerpts
        sums = 10 * 8 * (2 + math.log2(max(2, chunk / BLOCK))) if self.has_statistics else 0
        return int(n_layers * n_neurons * (lists + drawn + sketch + panel + sums))

    def part_bytes(self, n_layers: int, n_neurons: int) -> int:
        """What the parts of all chunks take until they are merged, about: n_neurons per layer."""
        return sum(self._bytes_of_part(number, n_layers * n_neurons) for number in range(len(self.chunks)))

    def waiting_bytes(self, n_layers: int, n_neurons: int) -> int:
        """What the parts of the first chunk, the largest, take in memory until they are stored, about."""
        return self._bytes_of_part(0, n_layers * n_neurons)

    def _bytes_of_part(self, number: int, n_neurons: int) -> int:
        chunk = self.chunks[number]
        entry = self.n_tokens * FLOAT16_BYTES + ENTRY_BYTES
        # Of the best excerpts so far, 1/k come from chunk k.
        records = (self.n_top + self.n_bottom) / (number + 1) + self.n_random * len(chunk) / self.n_excerpts
        records += self.n_sketched_after(len(chunk)) if number == 0 else self.n_sketched / (number + 1)
        return int(n_neurons * (records * entry + self._panel_bytes() * len(chunk) / self.n_excerpts))

    def stored_bytes(self, n_layers: int, n_neurons: int) -> int:
        """What the finished rows take, about: n_neurons per layer."""
        n_bottom = self.n_top if self.polarity == "both" and self.has_statistics else 0
        n_records = self.n_top + self.n_random + n_bottom + (self.n_band * len(QUANTILE_BANDS) if self.has_bands else 0)
        return n_layers * n_neurons * (n_records * (self.n_tokens * FLOAT16_BYTES + ROW_BYTES) + 10 * ROW_BYTES)

    def _panel_bytes(self) -> int:
        """Per neuron."""
        has_minima = self.polarity == "both" and self.has_statistics
        return min(self.n_excerpts, LARGEST_PANEL) * FLOAT16_BYTES * (2 if has_minima else 1)
