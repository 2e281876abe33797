"""Puts the contexts of the viewer's pages together from queries. Addresses of neurons are written here and nowhere
else."""

import re
from urllib.parse import quote, urlencode

from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.neurons import queries
from app.neurons.contexts import (
    MethodBeside,
    MoreExcerpts,
    NeuronListPage,
    NeuronPage,
    NeuronPlace,
    SubjectSummary,
)
from app.neurons.models import Neuron
from app.neurons.reading import subject_named
from app.neurons.records import RANDOM, TOP

LINES_PER_PAGE = 50
FIRST_SHOWN = {TOP: 5, RANDOM: 3}
"""Excerpts of each band that a page shows before anybody asks for more."""
ALL = 1000
"""More excerpts than any band keeps."""
_TYPED_PLACE = re.compile(r"\D*([0-9]{1,6})\D+([0-9]{1,9})\D*")


def neuron_list(
    session: Session, subject_name: str | None, layer_text: str, after: str | None, before: str | None
) -> NeuronListPage:
    """A page of the list. subject_name: None takes the first subject. Errors: UnknownName, InvalidInput for a bad
    layer."""
    subjects = queries.recorded_subjects(session)
    if subject_name is None and not subjects:
        return NeuronListPage(subjects, None, None, (), None, None)
    subject = subject_named(session, subjects[0].name if subject_name is None else subject_name)
    summary = queries.summary_of(subject)
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
        subjects,
        summary,
        layer,
        lines,
        earlier=list_address(summary.name, layer, before=lines[0].place) if lines and has_earlier else None,
        later=list_address(summary.name, layer, after=lines[-1].place) if lines and has_later else None,
    )


def neuron_page(
    session: Session, neuron: Neuron, methods: tuple[MethodBeside, ...], all_excerpts: bool, every_value: bool
) -> NeuronPage:
    place = NeuronPlace(neuron.layer, neuron.index)
    kept = queries.bands_kept(session, neuron.id)
    top, random = (
        queries.band_shown(session, neuron.id, kept, band, range(n_first), every_value=every_value)
        for band, n_first in ((band, ALL if all_excerpts else FIRST_SHOWN[band]) for band in (TOP, RANDOM))
    )
    previous, following = queries.neighbours(neuron.subject, place)
    return NeuronPage(
        subject=queries.summary_of(neuron.subject),
        place=place,
        figures=queries.figures_of(neuron),
        scale_maximum=queries.scale_maximum(kept),
        top=top,
        random=random,
        shows_all_excerpts=all_excerpts,
        shows_every_value=every_value,
        methods=methods,
        previous=previous,
        next=following,
    )


def more_excerpts(session: Session, neuron: Neuron, band: str, every_value: bool) -> MoreExcerpts:
    """The excerpts of a band after those that the neuron's page shows first."""
    kept = queries.bands_kept(session, neuron.id)
    rest = range(FIRST_SHOWN[band], ALL)
    return MoreExcerpts(queries.band_shown(session, neuron.id, kept, band, rest, every_value=every_value), every_value)


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
    if not text.isdecimal() or int(text) >= subject.n_layers:
        raise InvalidInput(f"layer {text!r}; {subject.name} has the layers 0 to {subject.n_layers - 1}")
    return int(text)
