"""What a heatmap shows: levels, silence, peaks, and text that can always be read."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.neurons.heatmap import HeatmapSpan, heatmap_spans, legible
from app.neurons.records import ActivationRecord, discretised


def record(*tokens_and_values: tuple[str, float]) -> ActivationRecord:
    tokens = tuple(token for token, _ in tokens_and_values)
    return ActivationRecord(tokens, np.array([value for _, value in tokens_and_values], dtype=np.float16))


CAT = record(("The", 0.0), (" cat", 5.0), (" sat", 1.25), (" on", -0.25), (" mats", 2.5))


def test_an_excerpt_becomes_spans_with_level_value_and_peak() -> None:
    assert heatmap_spans(CAT, 5.0) == (
        HeatmapSpan("The", 0, 0.0, False),
        HeatmapSpan(" cat", 10, 5.0, True),
        HeatmapSpan(" sat", 2, 1.25, False),
        HeatmapSpan(" on", 0, -0.25, False),
        HeatmapSpan(" mats", 5, 2.5, False),
    )


def test_the_scale_belongs_to_the_neuron_and_not_to_the_excerpt() -> None:
    assert [span.level for span in heatmap_spans(CAT, 20.0, merge_silent=False)] == [0, 2, 0, 0, 1]


def test_neighbouring_silent_tokens_are_one_span_without_a_value() -> None:
    spans = heatmap_spans(record(("a", 0.0), ("b", -1.0), ("c", 0.4), ("d", 5.0), ("e", 0.0), ("f", 0.0)), 5.0)
    assert spans == (
        HeatmapSpan("abc", 0, None, False),
        HeatmapSpan("d", 10, 5.0, True),
        HeatmapSpan("ef", 0, None, False),
    )


def test_negative_values_are_silent_and_available_when_spans_are_not_merged() -> None:
    spans = heatmap_spans(CAT, 5.0, merge_silent=False)
    assert [(span.text, span.value) for span in spans] == [
        ("The", 0.0),
        (" cat", 5.0),
        (" sat", 1.25),
        (" on", -0.25),
        (" mats", 2.5),
    ]


def test_a_weak_peak_keeps_its_value_among_silent_neighbours() -> None:
    spans = heatmap_spans(record(("a", 0.0), ("b", 0.25), ("c", 0.0)), 5.0)
    assert spans == (
        HeatmapSpan("a", 0, 0.0, False),
        HeatmapSpan("b", 0, 0.25, True),
        HeatmapSpan("c", 0, 0.0, False),
    )


def test_the_negative_side_colours_how_far_below_zero_and_keeps_the_values() -> None:
    excerpt = record(("a", 5.0), ("b", -4.0), ("c", -1.0), ("d", 0.0), ("e", -0.1))
    assert heatmap_spans(excerpt, 4.0, side="negative") == (
        HeatmapSpan("a", 0, 5.0, False),
        HeatmapSpan("b", 10, -4.0, True),
        HeatmapSpan("c", 2, -1.0, False),
        HeatmapSpan("de", 0, None, False),
    )


def test_an_excerpt_without_a_negative_value_has_no_peak_on_the_negative_side() -> None:
    assert heatmap_spans(record(("a", 1.0), ("b", 0.0)), 4.0, side="negative") == (HeatmapSpan("ab", 0, None, False),)


def test_the_first_of_equal_maxima_is_the_peak() -> None:
    assert [span.is_peak for span in heatmap_spans(record(("a", 2.0), ("b", 2.0)), 2.0)] == [True, False]


def test_an_excerpt_without_a_positive_value_has_no_peak() -> None:
    assert heatmap_spans(record(("a", -1.0), ("b", -2.0)), -1.0) == (HeatmapSpan("ab", 0, None, False),)


def test_an_excerpt_without_tokens_has_no_spans() -> None:
    assert heatmap_spans(record(), 5.0) == ()


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" cat", " cat"),
        ("  ", "  "),
        ("\n", "⏎\n"),
        (":\n\n", ":⏎\n⏎\n"),
        ("\t", "⇥"),
        ("\r\n", "␍⏎\n"),
        ("\x00", "␀"),
        ("\x7f", "␡"),
        ("\x85", "⟨U+0085⟩"),
        ("\u202e", "⟨U+202E⟩"),
        ("\u200b", "⟨U+200B⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\u2028", "⏎\n"),
        ("\ufffd", "\ufffd"),
        ("", "∅"),
        ("<|im_start|>", "<|im_start|>"),
        (" 猫", " 猫"),
    ],
)
def test_every_token_can_be_read(token: str, shown: str) -> None:
    assert legible(token) == shown


VALUES = st.floats(-100, 100, width=16)


@given(st.lists(st.tuples(st.text(max_size=5), VALUES), max_size=30), st.floats(-1, 100))
@example([("x", 1.0)], 2.2250738585072014e-308)  # The quotient is beyond the largest float.
def test_no_token_is_lost_and_every_level_is_the_discretised_value(
    tokens_and_values: list[tuple[str, float]], scale: float
) -> None:
    excerpt = record(*tokens_and_values)
    merged = heatmap_spans(excerpt, scale)
    single = heatmap_spans(excerpt, scale, merge_silent=False)
    assert "".join(span.text for span in merged) == "".join(legible(token) for token, _ in tokens_and_values)
    assert [span.level for span in single] == discretised(excerpt.activations, scale).tolist()
    assert sum(span.is_peak for span in merged) == (max((value for _, value in tokens_and_values), default=0) > 0)


@given(st.lists(st.tuples(st.text(max_size=5), VALUES), max_size=30), st.floats(-1, 100))
def test_the_negative_side_is_the_positive_one_of_the_turned_record(
    tokens_and_values: list[tuple[str, float]], scale: float
) -> None:
    turned = record(*((token, -value) for token, value in tokens_and_values))
    here = heatmap_spans(record(*tokens_and_values), scale, side="negative")
    there = heatmap_spans(turned, scale)
    assert [(span.text, span.level, span.is_peak) for span in here] == [
        (span.text, span.level, span.is_peak) for span in there
    ]
    assert [span.value for span in here] == [None if span.value is None else -span.value for span in there]
