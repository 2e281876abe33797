"""What a recording keeps of one layer, updated batch by batch: top records, drawn records, maxima, moments.

Excerpts arrive in rising order of their positions. Shapes are written with E excerpts of a batch, T tokens of an
excerpt, N neurons of the layer and K records per neuron.
"""

import numpy as np
import numpy.typing as npt
import torch

from app.neurons.storing import Band

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)

LARGEST_PANEL = 4096
"""Excerpts whose maxima are all kept, for the quantile: 8 kB per neuron. Of more excerpts a seeded draw of so many
stands for all, which puts the boundary within about half a per cent of the excerpts of where it would be."""

TOKENS_AT_ONCE = 256
"""Tokens of which the powers are taken at once: few enough to stay in a core's cache from one step to the next."""

N_SUMS = 5

Float16Array = npt.NDArray[np.float16]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def as_stored(activations: torch.Tensor) -> torch.Tensor:
    """Rounded to float16; what is too large for it becomes its largest number rather than infinity."""
    return activations.clamp(-LARGEST_FLOAT16, LARGEST_FLOAT16).half()


class TopRecords:
    """The K best excerpts of every neuron so far, best first: by the maximum as stored, then the earlier excerpt."""

    def __init__(self, n_neurons: int, n_kept: int, n_tokens: int, device: torch.device):
        self._n_kept = n_kept
        self._maxima = torch.full((n_neurons, n_kept), -torch.inf, device=device)
        self._excerpts = torch.full((n_neurons, n_kept), -1, device=device)
        # Activations stay where they were first written; `_places` says where those of each rank lie.
        self._places = torch.arange(n_kept, device=device).repeat(n_neurons, 1)
        self._activations = torch.zeros((n_neurons, n_kept, n_tokens), dtype=torch.float16, device=device)

    def add(self, first: int, activations: torch.Tensor, maxima: torch.Tensor) -> None:
        """activations: (E, T, N). maxima: over the tokens, rounded as stored but in float32, (E, N)."""
        # An excerpt that ties with the last one kept comes later than that one, and loses. So `>` is exact.
        is_candidate = maxima > self._maxima[:, -1]
        neurons = is_candidate.any(dim=0).nonzero()[:, 0]
        if len(neurons):
            self._merge(first, activations, maxima, neurons)

    def _merge(self, first: int, activations: torch.Tensor, maxima: torch.Tensor, neurons: torch.Tensor) -> None:
        # The kept ones, in order, and then the batch's, in order: a stable sort leaves equal values as they stand.
        values = torch.cat([self._maxima[neurons], maxima[:, neurons].T], dim=1)
        values, source = values.sort(dim=1, descending=True, stable=True)
        source = source[:, : self._n_kept]
        is_new = source >= self._n_kept
        # Old ones keep their order, so those that drop out are the last, and the new ones take their places.
        inherited = torch.where(is_new, self._n_kept - is_new.cumsum(dim=1), source)
        excerpts = self._excerpts[neurons].gather(1, inherited)
        places = self._places[neurons].gather(1, inherited)
        self._maxima[neurons] = values[:, : self._n_kept]
        self._excerpts[neurons] = torch.where(is_new, first + source - self._n_kept, excerpts)
        self._places[neurons] = places
        rows = is_new.nonzero()[:, 0]
        copied = activations[source[is_new] - self._n_kept, :, neurons[rows]]
        self._activations[neurons[rows], places[is_new]] = as_stored(copied)

    def finished(self) -> Band:
        order = self._places[:, :, None].expand_as(self._activations)
        return Band(self._excerpts.cpu().numpy(), self._activations.gather(1, order).cpu().numpy())


def drawn_excerpts(n_neurons: int, n_excerpts: int, n_drawn: int, *, seed: int, layer: int) -> Int64Array:
    """Excerpts drawn for each neuron without replacement and in random order, shape (neurons, n_drawn).

    Keyed by seed and layer, not drawn from a running generator: what a neuron gets does not depend on what was drawn
    before it. All excerpts in random order when there are fewer than n_drawn.
    """
    n_drawn = min(n_drawn, n_excerpts)
    raw = np.random.Philox(key=np.array([seed, layer], dtype=np.uint64)).random_raw(2 * n_neurons * n_drawn)
    choices, order = raw.reshape(2, n_neurons, n_drawn)
    chosen = np.empty((n_neurons, n_drawn), dtype=np.int64)
    # Floyd's algorithm: each step has one more excerpt to choose from, and takes that one if its choice is taken.
    for step in range(n_drawn):
        largest = n_excerpts - n_drawn + step
        choice = (choices[:, step] % np.uint64(largest + 1)).astype(np.int64)
        is_taken = (chosen[:, :step] == choice[:, None]).any(axis=1)
        chosen[:, step] = np.where(is_taken, largest, choice)
    return np.take_along_axis(chosen, np.argsort(order, axis=1, kind="stable"), axis=1)


class DrawnRecords:
    """The activations on excerpts that were drawn for each neuron before the pass."""

    def __init__(self, drawn: Int64Array, n_tokens: int, device: torch.device):
        self._drawn = drawn
        in_order = np.argsort(drawn, axis=None, kind="stable")
        self._excerpts_in_order = drawn.ravel()[in_order]
        self._rows_in_order = torch.from_numpy(in_order).to(device)
        self._activations = torch.zeros((drawn.size, n_tokens), dtype=torch.float16, device=device)

    def add(self, first: int, activations: torch.Tensor) -> None:
        """activations: (E, T, N)."""
        begin, end = np.searchsorted(self._excerpts_in_order, [first, first + len(activations)])
        rows = self._rows_in_order[begin:end]
        excerpts = torch.from_numpy(self._excerpts_in_order[begin:end] - first).to(rows.device)
        neurons = rows.div(self._drawn.shape[1], rounding_mode="floor")
        self._activations[rows] = as_stored(activations[excerpts, :, neurons])

    def finished(self) -> Band:
        return Band(self._drawn, self._activations.reshape(*self._drawn.shape, -1).cpu().numpy())


class Panel:
    """The maxima over tokens of all excerpts, or of a seeded draw of n_kept of them, as stored."""

    def __init__(self, n_neurons: int, n_excerpts: int, seed: int, n_kept: int = LARGEST_PANEL):
        drawn = np.argsort(np.random.PCG64(seed).random_raw(n_excerpts), kind="stable")[:n_kept]
        self._excerpts = np.sort(drawn)
        self._maxima = np.empty((len(drawn), n_neurons), dtype=np.float16)

    def add(self, first: int, maxima: torch.Tensor) -> None:
        """maxima: float16, (E, N)."""
        begin, end = np.searchsorted(self._excerpts, [first, first + len(maxima)])
        self._maxima[begin:end] = maxima.cpu().numpy()[self._excerpts[begin:end] - first]

    def quantile(self, share: float) -> Float64Array:
        """The boundary below which a share of the excerpts' maxima lies, linear between two of them, shape (N,)."""
        return np.asarray(np.quantile(self._maxima.astype(np.float64), share, axis=0, method="linear"))


class Moments:
    """Sums over all tokens from which the moments follow. Sums of a batch are float32, sums of batches float64."""

    def __init__(self, n_neurons: int, device: torch.device):
        self._n_tokens = 0
        self._origin = torch.zeros(n_neurons, device=device)
        self._sums = torch.zeros((N_SUMS, n_neurons), dtype=torch.float64, device=device)

    def add(self, activations: torch.Tensor, scratch: torch.Tensor) -> None:
        """activations: (tokens, N). scratch: float32, shape (2, TOKENS_AT_ONCE, N), for this method to write in.

        Fresh memory for the powers of every batch would cost more than computing them.
        """
        if self._n_tokens == 0:
            # Powers are taken of the distance to about the mean: far from it their sums would cancel to noise.
            self._origin = activations.mean(dim=0)
        for values in torch.split(activations, TOKENS_AT_ONCE):
            distance, power = scratch[:, : len(values)]
            self._sums[0] += torch.gt(values, 0, out=power).sum(dim=0)
            self._sums[1] += torch.sub(values, self._origin, out=distance).sum(dim=0)
            self._sums[3] += torch.pow(distance, 3, out=power).sum(dim=0)
            self._sums[2] += distance.square_().sum(dim=0)
            self._sums[4] += distance.square_().sum(dim=0)
        self._n_tokens += len(activations)

    def finished(self) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]:
        """Mean, variance, skewness, kurtosis and the share of tokens above 0, each of shape (N,).

        Moments of the population; a normal distribution has kurtosis 3. Skewness and kurtosis of a neuron that does
        not vary are not defined, and NaN.
        """
        origin = self._origin.double().cpu().numpy()
        share_active, m1, m2, m3, m4 = self._sums.cpu().numpy() / max(self._n_tokens, 1)
        variance = np.maximum(m2 - m1**2, 0.0)
        third = m3 - 3 * m1 * m2 + 2 * m1**3
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        spread = np.where(variance > 0, variance, np.nan)
        return origin + m1, variance, third / spread**1.5, fourth / spread**2, share_active
