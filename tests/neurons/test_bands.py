"""The excerpts of a neuron by band: which are shown, on which scale, and how many follow."""

from sqlalchemy.orm import Session

from app.database import Database
from app.neurons.bands import (
    EVERY_RANK,
    BandKept,
    BandWanted,
    bands_kept,
    bands_of_side,
    bands_shown,
    records_by_band,
    scale_maxima,
)
from app.neurons.contexts import BandShown
from app.neurons.models import Neuron
from app.neurons.records import BANDS, BOTTOM, RANDOM, TOP, Side
from tests.factories import make_bottom_records, make_neuron, make_record, make_records, make_subject


def shown(session: Session, neuron: Neuron, band: str, ranks: range, side: Side = "positive") -> BandShown:
    kept = bands_kept(session, neuron.id)
    scales = scale_maxima(session, neuron.id, kept)
    (only,) = bands_shown(session, neuron.id, [BandWanted(band, ranks, side)], kept, scales)
    return only


def test_the_smallest_activation_of_an_excerpt_may_be_above_0(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_record(session, neuron, RANDOM, activations=(3.0, 0.5, 1.0, 2.0, 4.0))
        assert shown(session, neuron, RANDOM, range(1), "negative").excerpts[0].strongest == 0.5


def test_a_band_shows_the_ranks_asked_for_and_counts_the_rest(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neuron, other = make_neuron(session, subject, 0, 0), make_neuron(session, subject, 0, 1)
        make_records(session, neuron, n_top=8, n_random=2)
        make_records(session, other, n_top=20, n_random=10)
        band = shown(session, neuron, TOP, range(5))
        rest = shown(session, neuron, TOP, EVERY_RANK[5:])
    assert [excerpt.spans[0].text for excerpt in band.excerpts] == ["top0", "top1", "top2", "top3", "top4"]
    assert band.n_more == 3
    assert [excerpt.rank for excerpt in rest.excerpts] == [5, 6, 7]
    assert rest.n_more == 0


def test_several_bands_come_in_the_order_asked_for_each_with_its_own_ranks(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_records(session, neuron, n_top=3, n_random=3)
        kept = bands_kept(session, neuron.id)
        wanted = [BandWanted(RANDOM, range(1), "positive"), BandWanted(TOP, range(1, 3), "positive")]
        bands = bands_shown(session, neuron.id, wanted, kept, scale_maxima(session, neuron.id, kept))
    assert [(band.band, [excerpt.spans[0].text for excerpt in band.excerpts]) for band in bands] == [
        (RANDOM, ["random0"]),
        (TOP, ["top1", "top2"]),
    ]


def test_the_strongest_colour_is_the_largest_kept_activation(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), maximum=5.0)
        assert scale_maxima(session, neuron.id, {}) == {"positive": 0.0, "negative": 0.0}
        make_record(session, neuron, RANDOM, 0, activations=[0.0, 2.0, 0.0, 0.0, 0.0])
        make_record(session, neuron, TOP, 0, activations=[0.0, 4.0, 0.0, 0.0, 0.0])
        kept = bands_kept(session, neuron.id)
        assert kept == {TOP: BandKept(1, 4.0), RANDOM: BandKept(1, 2.0)}
        assert scale_maxima(session, neuron.id, kept) == {"positive": 4.0, "negative": 0.0}


def test_the_negative_side_has_a_scale_of_its_own_whatever_its_rows_call_their_maximum(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, polarity="both"))
        make_records(session, neuron, n_top=1, n_random=1)
        make_bottom_records(session, neuron, n=2)
        row = make_record(session, neuron, BOTTOM, 2, activations=[0.0, -0.5, 0.0, 0.0, 0.0])
        row.maximum = 99.0
        session.flush()
        scales = scale_maxima(session, neuron.id, bands_kept(session, neuron.id))
        band = shown(session, neuron, BOTTOM, range(2), "negative")
    assert scales == {"positive": 5.0, "negative": 4.0}
    assert (band.side, band.scale_maximum, band.n_more) == ("negative", 4.0, 1)
    assert [excerpt.strongest for excerpt in band.excerpts] == [-4.0, -3.9375]
    peak = next(span for span in band.excerpts[0].spans if span.is_peak)
    assert (peak.text, peak.value, peak.level) == (" cat", -4.0, 10)


def test_a_neuron_that_never_goes_below_zero_has_a_silent_negative_side(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, polarity="both"))
        make_record(session, neuron, BOTTOM, 0, activations=[0.5, 1.0, 0.0, 0.0, 0.0])
        band = shown(session, neuron, BOTTOM, range(5), "negative")
    assert (band.scale_maximum, band.excerpts[0].strongest) == (0.0, 0.0)
    assert [(span.level, span.is_peak) for span in band.excerpts[0].spans] == [(0, False)]


def test_sides_have_their_bands_in_the_order_people_look_at_them() -> None:
    everything = {band: BandKept(1, 1.0) for band in reversed(BANDS)}
    assert bands_of_side(everything, "positive") == [
        ("top", "positive"),
        ("q999", "positive"),
        ("q99", "positive"),
        ("q90", "positive"),
        ("q50", "positive"),
        ("random", "positive"),
        ("bottom", "negative"),
    ]
    assert bands_of_side(everything, "negative") == [("bottom", "negative"), ("random", "negative")]
    assert bands_of_side({}, "positive") == [("top", "positive"), ("random", "positive")]


def test_all_records_come_by_band_as_recorded(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neuron = make_neuron(session, subject, 0, 0)
        make_record(session, make_neuron(session, subject, 0, 1), TOP, 0, activations=[9.0, 0.0, 0.0, 0.0, 0.0])
        make_records(session, neuron, n_top=2, n_random=1)
        make_record(session, neuron, "q99", 0, activations=[0.0, 3.0, 0.0, 0.0, 0.0])
        make_record(session, neuron, BOTTOM, 0, activations=[0.0, -3.0, 0.0, 0.0, 0.0])
        bands = records_by_band(session, neuron.id)
    assert list(bands) == list(BANDS)
    assert {band: [record.tokens[0] for record in records] for band, records in bands.items() if records} == {
        TOP: ["top0", "top1"],
        "q99": ["The"],
        RANDOM: ["random0"],
        BOTTOM: ["The"],
    }
    assert bands[BOTTOM][0].activations.tolist() == [0.0, -3.0, 0.0, 0.0, 0.0]
