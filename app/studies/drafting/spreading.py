"""A draw that is spread evenly over an order, for example over the layers of a model. Pure and the same on every
machine."""

from app.studies.dealing.design import Order, keyed_digest


def evenly_spread(key: bytes, n_chosen: int, n: int, *context: str | int) -> Order:
    """n_chosen of the numbers 0 to n-1 at equal distances, rising; the key decides where the first one lies.

    context: what the draw is for. n_chosen: at most n. Every number is equally likely to be among them.
    """
    # In whole numbers, as fractions of 2**64: floats could round to another neuron on another machine.
    start = int.from_bytes(keyed_digest(key, "spread", *context)[:8], "big")
    return tuple(((place << 64) + start) * n // (n_chosen << 64) for place in range(n_chosen))
