"""The inner loops of a recording, compiled by numba: what is done with every activation, and with every excerpt of
every neuron. None of them holds the interpreter's lock.

Shapes are written with E excerpts of a batch, T tokens of an excerpt, N neurons of the layer, K records kept.
"""

import numpy as np
from numba import njit, uint32

BLOCK_WIDTH = 128
"""Neurons taken through an excerpt at once: few enough for a core's nearest cache."""
N_LEVELS = 16
"""Sizes of keys that a sketch tells apart when it turns excerpts away: by the number of their leading zeros."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
def _with(x, origin, largest, smallest, n_active, sum1, sum2, sum3, sum4):
    distance = x - origin
    square = distance * distance
    return (
        x if x > largest else largest,
        x if x < smallest else smallest,
        n_active + (x > 0),
        sum1 + distance,
        sum2 + square,
        sum3 + square * distance,
        sum4 + square * square,
    )


@compiled
def reduce_excerpts(activations, n_ignored, begin, end, origin, maxima, minima, sums):
    """Reads every activation once.

    activations: float32 (E, T, N). origin: float32 (N,), from which distances are taken. Fills maxima and minima (E, N)
    and sums (5, E, N), all float32: of each excerpt the number of tokens above 0 and the sums of the first four powers
    of the distances, added in the order of the tokens.
    """
    n_excerpts, n_tokens, _ = activations.shape
    whole = n_ignored + (n_tokens - n_ignored) // 8 * 8
    for e in range(n_excerpts):
        excerpt = activations[e]
        for b in range(begin, end, BLOCK_WIDTH):
            w = min(BLOCK_WIDTH, end - b)
            near = origin[b : b + w]
            largest, smallest = maxima[e, b : b + w], minima[e, b : b + w]
            s0, s1, s2 = sums[0, e, b : b + w], sums[1, e, b : b + w], sums[2, e, b : b + w]
            s3, s4 = sums[3, e, b : b + w], sums[4, e, b : b + w]
            row = excerpt[n_ignored, b : b + w]
            for j in range(w):
                largest[j] = smallest[j] = row[j]
                s0[j] = s1[j] = s2[j] = s3[j] = s4[j] = 0
            # Eight tokens at a time, so that the sums are fetched and put back an eighth as often. Written out, for
            # the compiler makes vector instructions of rows that it sees one by one, and not of a loop over them.
            for t in range(n_ignored, whole, 8):
                r0, r1 = excerpt[t, b : b + w], excerpt[t + 1, b : b + w]
                r2, r3 = excerpt[t + 2, b : b + w], excerpt[t + 3, b : b + w]
                r4, r5 = excerpt[t + 4, b : b + w], excerpt[t + 5, b : b + w]
                r6, r7 = excerpt[t + 6, b : b + w], excerpt[t + 7, b : b + w]
                for j in range(w):
                    o = near[j]
                    seen = (largest[j], smallest[j], s0[j], s1[j], s2[j], s3[j], s4[j])
                    seen = _with(r0[j], o, *seen)
                    seen = _with(r1[j], o, *seen)
                    seen = _with(r2[j], o, *seen)
                    seen = _with(r3[j], o, *seen)
                    seen = _with(r4[j], o, *seen)
                    seen = _with(r5[j], o, *seen)
                    seen = _with(r6[j], o, *seen)
                    seen = _with(r7[j], o, *seen)
                    largest[j], smallest[j], s0[j], s1[j], s2[j], s3[j], s4[j] = seen
            for t in range(whole, n_tokens):
                row = excerpt[t, b : b + w]
                for j in range(w):
                    seen = (largest[j], smallest[j], s0[j], s1[j], s2[j], s3[j], s4[j])
                    seen = _with(row[j], near[j], *seen)
                    largest[j], smallest[j], s0[j], s1[j], s2[j], s3[j], s4[j] = seen


@compiled
def insert_better(values, first, kept, excerpts, places, copies):
    """Puts the excerpts of a batch that are better than the last one kept into the neurons' ranking.

    values: float32 (E, N), of the excerpts first, first + 1, ... kept, excerpts, places: (N, K), best first; a place is
    where in its neuron's store a record lies, and the new one takes that of the one that drops out. Equal values rank
    by excerpt, and excerpts come in their order. Fills copies (3, most) with (e, neuron, place) of what is to be
    copied, in this order; returns how many. The same place may come twice: the last one counts.
    """
    n_copies = 0
    last = kept.shape[1] - 1
    for e in range(values.shape[0]):
        for n in range(values.shape[1]):
            value = values[e, n]
            if value > kept[n, last]:
                place = places[n, last]
                rank = last
                while rank > 0 and value > kept[n, rank - 1]:
                    kept[n, rank] = kept[n, rank - 1]
                    excerpts[n, rank] = excerpts[n, rank - 1]
                    places[n, rank] = places[n, rank - 1]
                    rank -= 1
                kept[n, rank], excerpts[n, rank], places[n, rank] = value, first + e, place
                copies[0, n_copies], copies[1, n_copies], copies[2, n_copies] = e, n, place
                n_copies += 1
    return n_copies


@compiled
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
def insert_drawn(values, first, excerpt_keys, neuron_keys, n_drawn, sketch, slots_used, free, copies):
    """Lets the excerpts of a batch into the sketch of every neuron; worker/sketch.py says what a sketch holds.

    values: float32 (E, N), of the excerpts first, first + 1, ... sketch: values, keys, excerpts, ahead (how many better
    records have no larger keys) and slots, each (N, C), best first; then sizes (N,), at most C - E; and barriers
    (N, N_LEVELS), at or below which a value is turned away when its key has that level. slots_used: [slots ever given
    out, those free again]. free: numbers of the free ones. Fills copies (3, most) with (e, neuron, slot) of what is to
    be copied, in this order; returns how many. The same slot may come twice: the last one counts.
    """
    kept, keys, excerpts, ahead, slots, sizes, barriers = sketch
    n_copies = 0
    for e in range(values.shape[0]):
        for n in range(values.shape[1]):
            value = values[e, n]
            key = key_of(excerpt_keys[e], neuron_keys[n])
            if value <= barriers[n, _level(key)]:
                continue
            n_ahead = rank = 0
            while rank < sizes[n] and kept[n, rank] >= value and n_ahead < n_drawn:
                n_ahead += keys[n, rank] <= key
                rank += 1
            if n_ahead == n_drawn:
                continue
            n_left = rank
            for r in range(rank, sizes[n]):
                # It is ahead of those with larger keys, and those with enough records ahead go.
                ahead[n, r] += keys[n, r] >= key
                if ahead[n, r] < n_drawn:
                    _move(kept, keys, excerpts, ahead, slots, n, r, n_left)
                    n_left += 1
                elif slots[n, r] >= 0:
                    free[slots_used[1]] = slots[n, r]
                    slots_used[1] += 1
            for r in range(n_left, rank, -1):
                _move(kept, keys, excerpts, ahead, slots, n, r - 1, r)
            if slots_used[1] > 0:
                slots_used[1] -= 1
                slot = free[slots_used[1]]
            else:
                slot = slots_used[0]
                slots_used[0] += 1
            kept[n, rank], keys[n, rank], excerpts[n, rank] = value, key, first + e
            ahead[n, rank], slots[n, rank] = n_ahead, slot
            sizes[n] = n_left + 1
            _set_barriers(kept[n, : sizes[n]], keys[n], n_drawn, barriers[n])
            copies[0, n_copies], copies[1, n_copies], copies[2, n_copies] = e, n, slot
            n_copies += 1
    return n_copies


@compiled
def _move(kept, keys, excerpts, ahead, slots, n, source, target):
    kept[n, target], keys[n, target], excerpts[n, target] = kept[n, source], keys[n, source], excerpts[n, source]
    ahead[n, target], slots[n, target] = ahead[n, source], slots[n, source]


@compiled
def _set_barriers(kept, keys, n_drawn, barriers):
    """A key of level l is larger than any of a level above l: with n_drawn of those at or above a value, it is out."""
    barriers[:] = -np.inf
    n_smaller = np.zeros(N_LEVELS, dtype=np.int64)
    for rank in range(len(kept)):
        for level in range(_level(keys[rank])):
            n_smaller[level] += 1
            if n_smaller[level] == n_drawn:
                barriers[level] = kept[rank]


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


@compiled
def add_excerpts(sums, begin, end, totals):
    """Adds float32 sums (5, E, N) of the excerpts begin to end to the float64 totals (5, N), excerpt by excerpt."""
    for k in range(sums.shape[0]):
        for e in range(begin, end):
            for n in range(sums.shape[2]):
                totals[k, n] += sums[k, e, n]
