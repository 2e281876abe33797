"""What the pages of neurons show. Plain values: no ORM row reaches a template."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.orm import Session

from app.neurons.heatmap import HeatmapSpan
from app.web.templating import PageContext


@dataclass(frozen=True)
class ExplanationBeside:
    """One explanation beside a neuron. text: null unless it is done; failure: null unless it failed; neither: still
    queued."""

    explainer: str
    prompt_pack: str
    sample_number: int
    text: str | None
    failure: str | None


@dataclass(frozen=True)
class MethodBeside:
    """What one method's explanations say. method: its name in exports; title: as people name it."""

    method: str
    title: str
    explanations: tuple[ExplanationBeside, ...]


ExplanationsBeside = Callable[[Session, int], tuple[MethodBeside, ...]]
"""The explanations of a neuron's id. `create_app` hands it in, for explanations lie above this layer."""


@dataclass(frozen=True)
class SubjectSummary:
    """A subject model to choose."""

    name: str
    n_layers: int
    n_neurons_per_layer: int

    @property
    def n_neurons(self) -> int:
        return self.n_layers * self.n_neurons_per_layer


@dataclass(frozen=True)
class NeuronPlace:
    """Which neuron: layer and index start at 0."""

    layer: int
    index: int


@dataclass(frozen=True)
class NeuronLine:
    """One neuron in the list.

    share_active: share of tokens with an activation above 0.
    q90: the 0.9 quantile of the excerpts' maxima.
    before_peak: the tokens before the strongest one of its best excerpt, coloured.
    from_peak: the strongest token and those after it; empty where no record is kept or nothing is above 0.
    """

    place: NeuronPlace
    maximum: float
    q90: float
    mean: float
    share_active: float
    before_peak: tuple[HeatmapSpan, ...]
    from_peak: tuple[HeatmapSpan, ...]


@dataclass(frozen=True)
class NeuronListPage(PageContext):
    """What templates/neurons/list.html shows.

    subjects: every subject model whose recording is whole, by name.
    subject: the chosen one, or null where nothing is recorded.
    layer: the chosen layer, or null for all.
    lines: the neurons of this page, strongest first.
    earlier: address of the page before, or null on the first.
    later: address of the page after, or null on the last.
    """

    template: ClassVar[str] = "neurons/list.html"
    subjects: tuple[SubjectSummary, ...]
    subject: SubjectSummary | None
    layer: int | None
    lines: tuple[NeuronLine, ...]
    earlier: str | None
    later: str | None


@dataclass(frozen=True)
class ExcerptShown:
    """One excerpt as a heatmap. rank: its place in its band, from 0. maximum: its largest activation."""

    rank: int
    maximum: float
    spans: tuple[HeatmapSpan, ...]


@dataclass(frozen=True)
class BandShown:
    """Some excerpts of one band. n_more: how many follow those shown."""

    band: str
    excerpts: tuple[ExcerptShown, ...]
    n_more: int


@dataclass(frozen=True)
class NeuronFigures:
    """A neuron's statistics over every token of the corpus; q90 is over excerpts' maxima."""

    maximum: float
    q90: float
    mean: float
    standard_deviation: float
    share_active: float
    skewness: float | None
    kurtosis: float | None


@dataclass(frozen=True)
class NeuronPage(PageContext):
    """What templates/neurons/neuron.html shows.

    subject: the subject model.
    place: which neuron.
    figures: its statistics.
    scale_maximum: the activation that has the strongest colour: the largest of this neuron's kept records.
    top: its strongest excerpts.
    random: its excerpts drawn at random.
    shows_all_excerpts: whether every kept excerpt is on the page, or the first few of each band.
    shows_every_value: whether every token has its value, or only those that stand out.
    methods: what explainers said, by method.
    previous: the neuron before this one in the model, or null.
    next: the neuron after this one, or null.
    """

    template: ClassVar[str] = "neurons/neuron.html"
    subject: SubjectSummary
    place: NeuronPlace
    figures: NeuronFigures
    scale_maximum: float
    top: BandShown
    random: BandShown
    shows_all_excerpts: bool
    shows_every_value: bool
    methods: tuple[MethodBeside, ...]
    previous: NeuronPlace | None
    next: NeuronPlace | None


@dataclass(frozen=True)
class MoreExcerpts(PageContext):
    """What templates/neurons/more.html shows: the rest of a band, put into a neuron page that is there already.

    band: the excerpts that page does not show yet.
    shows_every_value: whether every token has its value.
    """

    template: ClassVar[str] = "neurons/more.html"
    band: BandShown
    shows_every_value: bool
