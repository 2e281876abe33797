"""Puts the contexts of the viewer's pages together from queries. Addresses of neurons are written here and nowhere
else."""

import re
from dataclasses import replace
from urllib.parse import quote, urlencode

from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.neurons import queries
from app.neurons.bands import EVERY_RANK, BandWanted, bands_kept, bands_of_side, bands_shown, scale_maxima
from app.neurons.bare import looks_bare
from app.neurons.contexts import (
    MethodBeside,
    MoreExcerpts,
    NeuronListPage,
    NeuronPage,
    NeuronPlace,
    NeuronView,
    SubjectSummary,
    TokenPlace,
)
from app.neurons.models import Neuron
from app.neurons.names import PUZZLES
from app.neurons.reading import subject_named
from app.neurons.records import BOTTOM, RANDOM, TOP, Side
from app.neurons.under_way import unfinished_recordings

LINES_PER_PAGE = 50
FIRST_SHOWN = {TOP: 5, RANDOM: 3, BOTTOM: 3}
"""Excerpts of a band that a page shows before anybody asks for more; of the others 2."""
N_FIRST_SHOWN_OF_MAIN = 5
_TYPED_PLACE = re.compile(r"\D*([0-9]{1,6})\D+([0-9]{1,9})\D*")


def neuron_list(
    session: Session, subject_name: str | None, layer_text: str, after: str | None, before: str | None
) -> NeuronListPage:
    """A page of the list. subject_name: None takes the first subject. Errors: UnknownName, InvalidInput for a bad
    layer."""
    subjects = queries.recorded_subjects(session)
    unfinished = unfinished_recordings(session)
    if subject_name is None and not subjects:
        return NeuronListPage(unfinished, subjects, None, None, (), None, None)
    subject = subject_named(session, subjects[0].name if subject_name is None else subject_name)
    summary = next(each for each in subjects if each.name == subject.name)
    layer = _layer(layer_text, summary)
    # One neuron more than shown tells whether there is another page, without counting.
    neurons = queries.neurons_by_maximum(
        session, subject.id, layer, LINES_PER_PAGE + 1, after=_place(after), before=_place(before)
    )
    has_more = len(neurons) > LINES_PER_PAGE
    shown = neurons[-LINES_PER_PAGE:] if before else neurons[:LINES_PER_PAGE]
    lines = queries.lines_of(session, shown)
    has_earlier = has_more if before else after is not None
    has_later = before is not None or has_more
    return NeuronListPage(
        unfinished,
        subjects,
        summary,
        layer,
        lines,
        earlier=list_address(summary.name, layer, before=lines[0].place) if lines and has_earlier else None,
        later=list_address(summary.name, layer, after=lines[-1].place) if lines and has_later else None,
    )


def neuron_page(session: Session, neuron: Neuron, methods: tuple[MethodBeside, ...], view: NeuronView) -> NeuronPage:
    """methods: what was said of the neuron, of both sides."""
    kept = bands_kept(session, neuron.id)
    scales = scale_maxima(session, neuron.id, kept)
    wanted = [
        BandWanted(band, EVERY_RANK if view.all_excerpts else range(_n_first_shown(band, view.side)), side)
        for band, side in bands_of_side(kept, view.side)
    ]
    previous, following = queries.neighbours(session, neuron)
    return NeuronPage(
        subject_name=neuron.subject.name,
        place=NeuronPlace(neuron.layer, neuron.index),
        is_puzzle=neuron.subject.architecture == PUZZLES,
        figures=queries.figures_of(neuron, is_bare=not kept and looks_bare(neuron)),
        maximum_place=_token_place(neuron.maximum_excerpt, neuron.maximum_token),
        minimum_place=_token_place(neuron.minimum_excerpt, neuron.minimum_token),
        histogram=queries.histogram_of(neuron),
        view=view,
        has_negative_side=BOTTOM in kept,
        scale_maximum=scales[view.side],
        bands=bands_shown(session, neuron.id, wanted, kept, scales, every_value=view.every_value),
        methods=of_side(methods, view.side),
        previous=previous,
        next=following,
    )


def more_excerpts(session: Session, neuron: Neuron, band: str, view: NeuronView) -> MoreExcerpts:
    """The excerpts of a band after those that the neuron's page shows first."""
    kept = bands_kept(session, neuron.id)
    side: Side = "negative" if band == BOTTOM else view.side
    rest = BandWanted(band, EVERY_RANK[_n_first_shown(band, view.side) :], side)
    scales = scale_maxima(session, neuron.id, kept)
    (shown,) = bands_shown(session, neuron.id, [rest], kept, scales, every_value=view.every_value)
    return MoreExcerpts(shown, view)


def of_side(methods: tuple[MethodBeside, ...], side: Side) -> tuple[MethodBeside, ...]:
    """What was said of this side; methods that said nothing of it stay away."""
    chosen = (
        replace(method, explanations=tuple(each for each in method.explanations if each.side == side))
        for method in methods
    )
    return tuple(method for method in chosen if method.explanations)


def _n_first_shown(band: str, side: Side) -> int:
    if band == BOTTOM and side == "negative":
        return N_FIRST_SHOWN_OF_MAIN
    return FIRST_SHOWN.get(band, 2)


def _token_place(excerpt: int | None, token: int | None) -> TokenPlace | None:
    return None if excerpt is None or token is None else TokenPlace(excerpt, token)


def neuron_address(subject_name: str, place: NeuronPlace) -> str:
    return f"/neurons/{quote(subject_name, safe='')}/{place.layer}/{place.index}"


def list_address(
    subject_name: str,
    layer: int | None = None,
    *,
    after: NeuronPlace | None = None,
    before: NeuronPlace | None = None,
) -> str:
    query = {"subject": subject_name}
    if layer is not None:
        query["layer"] = str(layer)
    for name, place in (("after", after), ("before", before)):
        if place is not None:
            query[name] = f"{place.layer}-{place.index}"
    return f"/neurons?{urlencode(query)}"


def typed_place(text: str) -> NeuronPlace:
    """What somebody typed to go to a neuron: two numbers, `11:302` or however they part them. Errors: InvalidInput."""
    found = _TYPED_PLACE.fullmatch(text)
    if found is None:
        raise InvalidInput(f"neuron {text[:30]!r}; expected its layer and index, such as 11:302")
    return NeuronPlace(int(found[1]), int(found[2]))


def _place(text: str | None) -> NeuronPlace | None:
    if text is None:
        return None
    layer, index = text.split("-")
    return NeuronPlace(int(layer), int(index))


def _layer(text: str, subject: SubjectSummary) -> int | None:
    """The layer of the filter; empty means all. A form sends the empty choice as an empty text."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) >= subject.n_layers:
        raise InvalidInput(f"layer {text[:30]!r}; {subject.name} has the layers 0 to {subject.n_layers - 1}")
    return int(text)
