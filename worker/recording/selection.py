"""The inner loops over every excerpt of every neuron, compiled by numba: what is among the best, what is drawn.

Shapes are written with E excerpts of a batch, N neurons of the layer, K records kept.
"""

import numpy as np
from numba import uint32, vectorize

from worker.recording.kernels import compiled

N_LEVELS = 8
"""Sizes of keys that a sketch tells apart when it turns excerpts away: by the number of their leading zeros."""
GROUP = 32
"""Neurons looked at together before each by itself: most often there is nothing new among them."""


@compiled
def insert_better(values, first, kept, excerpts, places, worst, copies):
    """Puts the excerpts of a batch that are better than the last one kept into the neurons' ranking.

    values: float32 (E, N), of the excerpts first, first + 1, ... kept, excerpts, places: (N, K), best first; a place is
    where in its neuron's store a record lies, and the new one takes that of the one that drops out. worst: (N,), the
    last of kept. Equal values rank by excerpt, and excerpts come in their order. Fills copies (3, most) with
    (e, neuron, place) of what is to be copied, in this order; returns how many. The same place may come twice: the last
    one counts.
    """
    n_copies = 0
    n_neurons = values.shape[1]
    for e in range(values.shape[0]):
        row = values[e]
        for b in range(0, n_neurons, GROUP):
            end = min(b + GROUP, n_neurons)
            n_better = 0
            for n in range(b, end):
                n_better += row[n] > worst[n]
            if n_better == 0:
                continue
            for n in range(b, end):
                if row[n] > worst[n]:
                    place = _rank(kept[n], excerpts[n], places[n], row[n], first + e)
                    worst[n] = kept[n, -1]
                    copies[0, n_copies], copies[1, n_copies], copies[2, n_copies] = e, n, place
                    n_copies += 1
    return n_copies


@compiled
def _rank(kept, excerpts, places, value, excerpt):
    """Of one neuron. Returns the place of the record that dropped out, now the new one's."""
    rank = len(kept) - 1
    place = places[rank]
    while rank > 0 and value > kept[rank - 1]:
        kept[rank], excerpts[rank], places[rank] = kept[rank - 1], excerpts[rank - 1], places[rank - 1]
        rank -= 1
    kept[rank], excerpts[rank], places[rank] = value, excerpt, place
    return place


@vectorize([uint32(uint32, uint32)], cache=True)
def key_of(excerpt_key, neuron_key):
    """A number as good as drawn from 32 bits, for an excerpt and a neuron: their own keys, mixed.

    Source: the last steps of MurmurHash3, by Austin Appleby, which spread every bit over all others.
    """
    key = uint32(excerpt_key ^ neuron_key)
    key = uint32(uint32(key ^ (key >> uint32(16))) * uint32(0x85EBCA6B))
    key = uint32(uint32(key ^ (key >> uint32(13))) * uint32(0xC2B2AE35))
    return uint32(key ^ (key >> uint32(16)))


@compiled
def _level(key):
    """Number of leading zeros of the key's 32 bits, at most N_LEVELS - 1."""
    level = 0
    while level < N_LEVELS - 1 and key < uint32(1 << (31 - level)):
        level += 1
    return level


@compiled
def _screen(values, excerpt_key, neuron_keys, barriers, may_come):
    """Which values (N,) are above the barrier of their key's level; barriers: (N_LEVELS, N). Fills may_come (N,).

    Written out, so that it becomes vector instructions: a barrier is chosen by comparing, not looked up.
    """
    b0, b1, b2, b3 = barriers[0], barriers[1], barriers[2], barriers[3]
    b4, b5, b6, b7 = barriers[4], barriers[5], barriers[6], barriers[7]
    for n in range(len(values)):
        key = key_of(excerpt_key, neuron_keys[n])
        barrier = b0[n]
        barrier = b1[n] if key < uint32(1 << 31) else barrier
        barrier = b2[n] if key < uint32(1 << 30) else barrier
        barrier = b3[n] if key < uint32(1 << 29) else barrier
        barrier = b4[n] if key < uint32(1 << 28) else barrier
        barrier = b5[n] if key < uint32(1 << 27) else barrier
        barrier = b6[n] if key < uint32(1 << 26) else barrier
        barrier = b7[n] if key < uint32(1 << 25) else barrier
        may_come[n] = values[n] > barrier


@compiled
def drawn_candidates(values, excerpt_keys, neuron_keys, barriers, found):
    """The excerpts of a batch that may belong in a sketch: all that do, and more as the barriers are older.

    values: float32 (E, N). barriers: (N_LEVELS, N), at or below which a value is turned away when its key has that
    level. Fills found (2, most) with (e, neuron); returns how many.
    """
    may_come = np.empty(values.shape[1], dtype=np.bool_)
    n_found = 0
    for e in range(values.shape[0]):
        _screen(values[e], excerpt_keys[e], neuron_keys, barriers, may_come)
        for n in range(values.shape[1]):
            if may_come[n]:
                found[0, n_found], found[1, n_found] = e, n
                n_found += 1
    return n_found


@compiled
def merge_drawn(neurons, values, keys, first_place, n_drawn, kept, kept_keys, places, sizes, barriers):
    """Takes candidates into the sketches; what does not belong there (any more) goes.

    neurons, values, keys: (M,), the excerpts of each neuron in their order. kept, kept_keys, places: (N, C), best
    first, of which sizes (N,) hold something; C has room for what comes. The candidates' places are first_place,
    first_place + 1, ... Sets barriers anew.
    """
    smallest = np.empty(n_drawn, dtype=np.uint32)
    n_smaller = np.empty(N_LEVELS, dtype=np.int64)
    for m in range(len(neurons)):
        n = neurons[m]
        rank = sizes[n]
        while rank > 0 and kept[n, rank - 1] < values[m]:
            kept[n, rank], kept_keys[n, rank] = kept[n, rank - 1], kept_keys[n, rank - 1]
            places[n, rank] = places[n, rank - 1]
            rank -= 1
        kept[n, rank], kept_keys[n, rank], places[n, rank] = values[m], keys[m], first_place + m
        sizes[n] += 1
    for n in range(len(sizes)):
        n_smaller[:] = 0
        barriers[:, n] = -np.inf
        n_left = 0
        for r in range(sizes[n]):
            key = kept_keys[n, r]
            if n_left >= n_drawn and key >= smallest[-1]:
                continue
            kept[n, n_left], kept_keys[n, n_left], places[n, n_left] = kept[n, r], key, places[n, r]
            # The smallest keys so far, rising.
            s = min(n_left, n_drawn - 1)
            while s > 0 and smallest[s - 1] > key:
                smallest[s] = smallest[s - 1]
                s -= 1
            smallest[s] = key
            n_left += 1
            # A key of level l is larger than any of a level above l: behind n_drawn of those, it is out.
            for level in range(_level(key)):
                n_smaller[level] += 1
                if n_smaller[level] == n_drawn:
                    barriers[level, n] = kept[n, r]
        sizes[n] = n_left


@compiled
def drawn_among(values, keys, starts, boundaries, n_drawn, chosen):
    """Which records of a whole sketch are the draws above each boundary: the n_drawn with the smallest keys.

    values, keys: of all neurons' records, (M,), neuron by neuron (starts: (N + 1,)), best first. boundaries: (N, B),
    falling. Fills chosen (N, B, n_drawn) with places in (M,) by rising key; -1 where there are fewer.
    """
    chosen[:] = -1
    for n in range(len(starts) - 1):
        smallest = np.full(n_drawn, -1, dtype=np.int64)
        m = starts[n]
        for b in range(boundaries.shape[1]):
            while m < starts[n + 1] and values[m] >= boundaries[n, b]:
                rank = n_drawn
                while rank > 0 and (smallest[rank - 1] < 0 or keys[m] < keys[smallest[rank - 1]]):
                    rank -= 1
                if rank < n_drawn:
                    smallest[rank + 1 :] = smallest[rank:-1].copy()
                    smallest[rank] = m
                m += 1
            chosen[n, b] = smallest
