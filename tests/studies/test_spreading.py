"""Draws that are spread evenly: every place equally likely, distances as equal as they can be."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.studies.drafting.spreading import evenly_spread


@given(seed=st.binary(max_size=8), n=st.integers(1, 200), share=st.floats(0, 1))
def test_the_places_rise_at_equal_distances(seed: bytes, n: int, share: float) -> None:
    n_chosen = round(share * n)
    places = evenly_spread(seed, n_chosen, n)
    assert len(places) == n_chosen
    assert all(0 <= place < n for place in places)
    around = [*places, *(place + n for place in places[:1])]
    distances = {after - before for before, after in pairwise(around)}
    assert not distances or max(distances) - min(distances) <= 1
    assert min(distances, default=1) >= 1


def test_every_place_is_equally_likely() -> None:
    counts = Counter(place for seed in range(4000) for place in evenly_spread(str(seed).encode(), 3, 7))
    assert set(counts) == set(range(7))
    assert all(abs(count / 4000 - 3 / 7) < 0.03 for count in counts.values())


def test_the_draw_depends_on_the_key_and_on_what_it_is_for() -> None:
    assert evenly_spread(b"key", 1, 1000, "a") == evenly_spread(b"key", 1, 1000, "a")
    assert len({evenly_spread(b"key", 1, 1000, context) for context in "abcdef"}) > 1
