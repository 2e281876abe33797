"""The inner loops of a recording, compiled by numba: what is done with every activation, and with every excerpt of
every neuron. None of them holds the interpreter's lock.

Shapes are written with E excerpts of a batch, T tokens of an excerpt, N neurons of the layer, K records kept.
"""

import numpy as np
from numba import njit, uint32, vectorize

from worker.recording.plan import BLOCK

BLOCK_WIDTH = 2048
"""Neurons taken through an excerpt at once: long rows are read fast, and their sums still lie in a near cache."""
N_LEVELS = 8
"""Sizes of keys that a sketch tells apart when it turns excerpts away: by the number of their leading zeros."""
GROUP = 32
"""Neurons looked at together before each by itself: most often there is nothing new among them."""

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
def reduce_excerpts(activations, n_ignored, begin, end, origins, n_before, maxima, minima, sums):
    """Reads every activation of the neurons from begin to end once.

    activations: float32 (E, T, N). origins: float32 (blocks, N), from which distances are taken in each block of
    excerpts that the batch has a part in; n_before: excerpts of the first block that came before the batch. Fills
    maxima and minima (E, N) and sums (5, E, N), all float32: of each excerpt the number of tokens above 0 and the sums
    of the first four powers of the distances, added in the order of the tokens.
    """
    n_excerpts, n_tokens, _ = activations.shape
    whole = n_ignored + (n_tokens - n_ignored) // 8 * 8
    for e in range(n_excerpts):
        excerpt = activations[e]
        origin = origins[(n_before + e) // BLOCK]
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
def _larger(x, largest, total):
    return x if x > largest else largest, total + x


@compiled
def largest_activations(activations, n_ignored, maxima, totals):
    """As reduce_excerpts, where nothing but maxima is wanted: fills these and sums of the activations, both (E, N)."""
    n_excerpts, n_tokens, n_neurons = activations.shape
    whole = n_ignored + 1 + (n_tokens - n_ignored - 1) // 8 * 8
    for e in range(n_excerpts):
        excerpt = activations[e]
        largest, total = maxima[e], totals[e]
        largest[:] = excerpt[n_ignored]
        total[:] = excerpt[n_ignored]
        for t in range(n_ignored + 1, whole, 8):
            r0, r1, r2, r3 = excerpt[t], excerpt[t + 1], excerpt[t + 2], excerpt[t + 3]
            r4, r5, r6, r7 = excerpt[t + 4], excerpt[t + 5], excerpt[t + 6], excerpt[t + 7]
            for j in range(n_neurons):
                seen = _larger(r0[j], largest[j], total[j])
                seen = _larger(r1[j], *seen)
                seen = _larger(r2[j], *seen)
                seen = _larger(r3[j], *seen)
                seen = _larger(r4[j], *seen)
                seen = _larger(r5[j], *seen)
                seen = _larger(r6[j], *seen)
                largest[j], total[j] = _larger(r7[j], *seen)
        for t in range(whole, n_tokens):
            row = excerpt[t]
            for j in range(n_neurons):
                largest[j], total[j] = _larger(row[j], largest[j], total[j])


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


@compiled
def copy_columns(activations, excerpts, neurons, copied):
    """Fills copied (M, T), float32, with the activations (E, T, N) of M excerpts and neurons."""
    for m in range(len(excerpts)):
        n, excerpt, column = neurons[m], activations[excerpts[m]], copied[m]
        for t in range(len(column)):
            column[t] = excerpt[t, n]


@compiled
def add_excerpts(sums, totals):
    """Adds float32 sums (5, E, N) to the float64 totals (5, N), excerpt by excerpt."""
    for k in range(sums.shape[0]):
        total = totals[k]
        for e in range(sums.shape[1]):
            added = sums[k, e]
            for n in range(len(total)):
                total[n] += added[n]


@compiled
def central_sums(n_tokens, origin, totals, values):
    """Sums of powers of the distances from an origin (N,) -> from the mean. Both (5, N), as moments.py has them."""
    for n in range(totals.shape[1]):
        s1, s2, s3, s4 = totals[1, n], totals[2, n], totals[3, n], totals[4, n]
        d = s1 / n_tokens
        values[0, n] = totals[0, n]
        values[1, n] = origin[n] + d
        values[2, n] = max(s2 - d * s1, 0.0)
        values[3, n] = s3 - 3 * d * s2 + 2 * d * d * s1
        values[4, n] = s4 - 4 * d * s3 + 6 * d * d * s2 - 3 * d * d * d * s1


@compiled
def joined_sums(a, left, b, right, values):
    """Central sums (5, N) of a and of b tokens -> of both together. Source: Pébay, SAND2008-6212, equations 2.1 ff."""
    n = a + b
    for i in range(left.shape[1]):
        p2, p3, p4 = left[2, i], left[3, i], left[4, i]
        q2, q3, q4 = right[2, i], right[3, i], right[4, i]
        d = right[1, i] - left[1, i]
        d2 = d * d
        values[0, i] = left[0, i] + right[0, i]
        values[1, i] = left[1, i] + d * (b / n)
        values[2, i] = p2 + q2 + d2 * (a * b / n)
        values[3, i] = p3 + q3 + d * d2 * (a * b * (a - b) / n**2) + 3 * d * (a * q2 - b * p2) / n
        m4 = p4 + q4 + d2 * d2 * (a * b * (a * a - a * b + b * b) / n**3)
        values[4, i] = m4 + (6 * d2 * (a * a * q2 + b * b * p2) / n**2 + 4 * d * (a * q3 - b * p3) / n)
