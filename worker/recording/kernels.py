"""The inner loops over every activation, compiled by numba. None of them holds the interpreter's lock.

Shapes are written with E excerpts of a batch, T tokens of an excerpt, N neurons of the layer.
"""

from numba import float32, njit

from worker.recording.plan import BLOCK

BLOCK_WIDTH = 2048
"""Neurons taken through an excerpt at once: long rows are read fast, and their sums still lie in a near cache."""
LARGEST_FLOAT16 = 65504.0

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
def _clipped(x):
    return min(max(x, float32(-LARGEST_FLOAT16)), float32(LARGEST_FLOAT16))


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
            for j in range(w):
                largest[j], smallest[j] = _clipped(largest[j]), _clipped(smallest[j])


@compiled
def _larger(x, largest, total):
    return x if x > largest else largest, total + x


@compiled
def largest_activations(activations, n_ignored, maxima, totals):
    """As reduce_excerpts, where nothing but maxima is wanted: fills these and sums of the activations, both (E, N)."""
    n_excerpts, n_tokens, n_neurons = activations.shape
    whole = n_ignored + (n_tokens - n_ignored) // 8 * 8
    for e in range(n_excerpts):
        excerpt = activations[e]
        largest, total = maxima[e], totals[e]
        largest[:] = excerpt[n_ignored]
        total[:] = 0
        for t in range(n_ignored, whole, 8):
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
        for j in range(n_neurons):
            largest[j] = _clipped(largest[j])


@compiled
def copy_columns(activations, excerpts, neurons, copied):
    """Fills copied (M, T), float32, with the activations (E, T, N) of M excerpts and neurons, none beyond float16."""
    for m in range(len(excerpts)):
        n, excerpt, column = neurons[m], activations[excerpts[m]], copied[m]
        for t in range(len(column)):
            column[t] = _clipped(excerpt[t, n])


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
