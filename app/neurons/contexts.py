"""What the pages of neurons show. Plain values: no ORM row reaches a template."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from app.neurons.heatmap import HeatmapSpan
from app.neurons.histogram import HistogramShown
from app.neurons.records import Side
from app.web.templating import PageContext


@dataclass(frozen=True)
class ScoreBeside:
    """How well an explanation does by one metric, as scorer measured it.

    id: of its page. title: of the metric, as people name it.
    value: null while it is queued, where it failed, and where it is undefined. reason: why it is undefined, else null.
    failure: why it came to nothing, else null.
    """

    id: int
    metric: str
    title: str
    scorer: str
    value: float | None
    reason: str | None
    failure: str | None

    @property
    def is_done(self) -> bool:
        return self.value is not None or self.reason is not None


@dataclass(frozen=True)
class ExplanationBeside:
    """One explanation beside a neuron.

    side: which end of the neuron's range it describes.
    text: null unless it is done. failure: null unless it failed; neither: still queued.
    """

    explainer: str
    prompt_pack: str
    side: Side
    sample_number: int
    text: str | None
    failure: str | None
    scores: tuple[ScoreBeside, ...]


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
    """A subject model to choose.

    n_neurons: how many are stored. has_negative_side: whether very negative activations were looked for.
    """

    name: str
    n_layers: int
    n_neurons: int
    has_negative_side: bool = False


@dataclass(frozen=True)
class NeuronPlace:
    """Which neuron: layer and index start at 0."""

    layer: int
    index: int


@dataclass(frozen=True)
class NeuronLine:
    """One neuron in the list.

    maximum: null where no activations of it are here.
    share_active: share of tokens with an activation above 0.
    q90: the 0.9 quantile of the excerpts' maxima. Null, like the others, where an import did not bring it.
    before_peak: the tokens before the strongest one of its best excerpt, coloured.
    from_peak: the strongest token and those after it; empty where no record is kept or nothing is above 0.
    """

    place: NeuronPlace
    maximum: float | None
    q90: float | None
    mean: float | None
    share_active: float | None
    before_peak: tuple[HeatmapSpan, ...]
    from_peak: tuple[HeatmapSpan, ...]


@dataclass(frozen=True)
class UnfinishedRecording:
    """A recording that cannot be read yet. n_read: of its n_excerpts. failure: null while it is under way."""

    subject: str
    n_excerpts: int
    n_read: int
    failure: str | None

    @property
    def percent_read(self) -> int:
        return 100 * self.n_read // self.n_excerpts if self.n_excerpts else 0


@dataclass(frozen=True)
class NeuronListPage(PageContext):
    """What templates/neurons/list.html shows.

    unfinished: recordings under way, and failed ones.
    subjects: every subject model whose recording is whole, by name.
    subject: the chosen one, or null where nothing is recorded.
    layer: the chosen layer, or null for all.
    lines: the neurons of this page, strongest first.
    earlier: address of the page before, or null on the first.
    later: address of the page after, or null on the last.
    """

    template: ClassVar[str] = "neurons/list.html"
    unfinished: tuple[UnfinishedRecording, ...]
    subjects: tuple[SubjectSummary, ...]
    subject: SubjectSummary | None
    layer: int | None
    lines: tuple[NeuronLine, ...]
    earlier: str | None
    later: str | None


@dataclass(frozen=True)
class ExcerptShown:
    """One excerpt as a heatmap.

    rank: its place in its band, from 0. strongest: its largest activation, on the negative side its smallest.
    """

    rank: int
    strongest: float
    spans: tuple[HeatmapSpan, ...]


@dataclass(frozen=True)
class BandShown:
    """Some excerpts of one band.

    side: which its heatmaps show. scale_maximum: what the strongest colour stands for, without its sign. n_more: how
    many excerpts follow those shown.
    """

    band: str
    side: Side
    scale_maximum: float
    excerpts: tuple[ExcerptShown, ...]
    n_more: int


@dataclass(frozen=True)
class TokenPlace:
    """A token of the corpus: the position of its excerpt, and which token of that, both from 0."""

    excerpt: int
    token: int


@dataclass(frozen=True)
class NeuronFigures:
    """A neuron's statistics over every token of the corpus, null where an import did not bring them.

    maximum: null where no activations of it are here, but only texts about it.
    q50, q90, q99, q999: quantiles of the excerpts' maxima.
    """

    maximum: float | None
    minimum: float | None
    mean: float | None
    standard_deviation: float | None
    share_active: float | None
    skewness: float | None
    kurtosis: float | None
    q50: float | None
    q90: float | None
    q99: float | None
    q999: float | None


@dataclass(frozen=True)
class NeuronView:
    """What somebody has chosen to see of a neuron: more than the first few excerpts of each band, the value of every
    token and not only of those that stand out, and which side."""

    all_excerpts: bool = False
    every_value: bool = False
    side: Side = "positive"

    def query(self, *, excerpts: bool = False, values: bool = False, side: Side | None = None) -> str:
        """What follows the address of a neuron's page, empty or beginning with `?`.

        excerpts, values: true keeps, or chooses, more than the default. side: another one than that of now.
        """
        chosen = {
            "side": "negative" if (side or self.side) == "negative" else "",
            "excerpts": "all" if excerpts else "",
            "values": "all" if values else "",
        }
        query = urlencode({name: value for name, value in chosen.items() if value})
        return f"?{query}" if query else ""


@dataclass(frozen=True)
class NeuronPage(PageContext):
    """What templates/neurons/neuron.html shows.

    subject_name: of the subject model.
    place: which neuron.
    is_puzzle: whether it is a puzzle, made up with a cutoff in place of a 0.9 quantile.
    figures: its statistics.
    maximum_place: the token with its largest activation, or null where that is unknown.
    minimum_place: the token with its smallest activation, or null.
    histogram: its excerpts by their largest activation, or null.
    view: what the reader has chosen to see.
    has_negative_side: whether its very negative activations were looked for.
    scale_maximum: the activation that has the strongest colour, without its sign.
    bands: its excerpts.
    methods: what explainers said of this side, by method.
    previous: the stored neuron before this one, or null.
    next: the one after, or null.
    """

    template: ClassVar[str] = "neurons/neuron.html"
    subject_name: str
    place: NeuronPlace
    is_puzzle: bool
    figures: NeuronFigures
    maximum_place: TokenPlace | None
    minimum_place: TokenPlace | None
    histogram: HistogramShown | None
    view: NeuronView
    has_negative_side: bool
    scale_maximum: float
    bands: tuple[BandShown, ...]
    methods: tuple[MethodBeside, ...]
    previous: NeuronPlace | None
    next: NeuronPlace | None


@dataclass(frozen=True)
class MoreExcerpts(PageContext):
    """What templates/neurons/more.html shows: the rest of a band, put into a neuron page that is there already.

    band: the excerpts that page does not show yet.
    view: what the reader has chosen to see.
    """

    template: ClassVar[str] = "neurons/more.html"
    band: BandShown
    view: NeuronView
