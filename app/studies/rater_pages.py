"""What raters' pages show, as plain values. Nothing here knows a method, an explainer, a database id or another rater.

A field added here reaches a rater's browser: tests/studies/test_blind_pages.py must stay green, unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.records import ActivationRecord
from app.studies.forms import JudgementForm
from app.studies.judging import SCALE
from app.studies.rating_page import RaterProgress, RatingCard, RatingPage
from app.studies.review import JudgedNeuron
from app.web.templating import PageContext

N_TOP_IN_SIGHT = 5
N_RANDOM_IN_SIGHT = 3
"""The other excerpts are in the same response, folded away: fetching them later would show who looked at what."""

Heatmap = Sequence[HeatmapSpan]


@dataclass(frozen=True)
class WelcomePage(PageContext):
    """What templates/studies/welcome.html shows where an invitation leads, before anything is stored.

    study_title: the study's title.
    instructions: what raters are asked to do, one entry per paragraph.
    n_neurons: how many neurons this rater judges.
    n_judged: how many of them are judged already; more than 0 when somebody comes back.
    is_signed_in: whether this browser is signed in to an account, which beginning would sign out.
    """

    template: ClassVar[str] = "studies/welcome.html"
    study_title: str
    instructions: tuple[str, ...]
    n_neurons: int
    n_judged: int
    is_signed_in: bool


@dataclass(frozen=True)
class CardEntry:
    """One description with what the rater entered for it.

    token: names the card in the form. letter: "A", "B", ... text: the description.
    rating: 1-5 or None. is_best: whether it is picked. problem: what is wrong with the entry, or None.
    """

    token: str
    letter: str
    text: str
    rating: int | None
    is_best: bool
    problem: str | None = None


@dataclass(frozen=True)
class RatePage(PageContext):
    """What templates/studies/rate.html shows: one neuron to judge.

    token: names this rater's assignment in URLs.
    instructions: what raters are asked to do, one entry per paragraph.
    layer: the neuron's layer, from 0.
    index: the neuron's index in its layer, from 0.
    number: place in this rater's order, from 1.
    n_neurons: how many neurons this rater judges.
    n_judged: how many of them are judged already.
    is_judged: whether this one is; saving then changes the judgement.
    maximum: the activation that has the strongest colour: the largest on this page.
    top_in_sight: heatmaps of the strongest excerpts, best first.
    top_folded: the further ones.
    random_in_sight: heatmaps of excerpts drawn by chance.
    random_folded: the further ones.
    scale: (value, words) of the five ratings.
    cards: the descriptions in this rater's order.
    best_problem: what is wrong with the best pick, or None.
    problem: one line above everything when the entries were not accepted, or None.
    previous: token of the neuron before this one in the rater's order, or None.
    next: token of the neuron after it, None at the end or while this one is not judged.
    """

    template: ClassVar[str] = "studies/rate.html"
    token: str
    instructions: tuple[str, ...]
    layer: int
    index: int
    number: int
    n_neurons: int
    n_judged: int
    is_judged: bool
    maximum: float
    top_in_sight: tuple[Heatmap, ...]
    top_folded: tuple[Heatmap, ...]
    random_in_sight: tuple[Heatmap, ...]
    random_folded: tuple[Heatmap, ...]
    scale: tuple[tuple[int, str], ...]
    cards: tuple[CardEntry, ...]
    best_problem: str | None
    problem: str | None
    previous: str | None
    next: str | None


@dataclass(frozen=True)
class DonePage(PageContext):
    """What templates/studies/done.html shows once everything is judged.

    study_title: the study's title.
    judged: this rater's neurons in their order, each a link back until the study is closed.
    """

    template: ClassVar[str] = "studies/done.html"
    study_title: str
    judged: tuple[JudgedNeuron, ...]


@dataclass(frozen=True)
class ClosedPage(PageContext):
    """What templates/studies/closed.html shows when the study takes no judgements any more.

    study_title: the study's title.
    n_judged: how many neurons this rater judged.
    """

    template: ClassVar[str] = "studies/closed.html"
    study_title: str
    n_judged: int


def welcome_page(progress: RaterProgress, is_signed_in: bool) -> WelcomePage:
    return WelcomePage(
        study_title=progress.study_title,
        instructions=paragraphs(progress.instructions),
        n_neurons=progress.n_assignments,
        n_judged=progress.n_judged,
        is_signed_in=is_signed_in,
    )


def rate_page(rating_page: RatingPage, entered: JudgementForm | None = None) -> RatePage:
    """The page with what is stored, or with what was just entered and not accepted, and why."""
    cards = tuple(_card(card, entered) for card in rating_page.cards)
    best_problem = None if entered is None else _best_problem(entered, cards)
    top = _heatmaps(rating_page.top, rating_page.maximum)
    random = _heatmaps(rating_page.random, rating_page.maximum)
    return RatePage(
        token=rating_page.token,
        instructions=paragraphs(rating_page.instructions),
        layer=rating_page.layer,
        index=rating_page.index,
        number=rating_page.number,
        n_neurons=rating_page.n_assignments,
        n_judged=rating_page.n_judged,
        is_judged=rating_page.is_judged,
        maximum=rating_page.maximum,
        top_in_sight=top[:N_TOP_IN_SIGHT],
        top_folded=top[N_TOP_IN_SIGHT:],
        random_in_sight=random[:N_RANDOM_IN_SIGHT],
        random_folded=random[N_RANDOM_IN_SIGHT:],
        scale=tuple(SCALE.items()),
        cards=cards,
        best_problem=best_problem,
        problem=None if entered is None else _problem(cards, best_problem),
        previous=rating_page.previous,
        next=rating_page.next if rating_page.is_judged else None,
    )


def paragraphs(text: str) -> tuple[str, ...]:
    """Text split at empty lines."""
    return tuple(part.strip() for part in text.split("\n\n") if part.strip())


def _heatmaps(records: tuple[ActivationRecord, ...], maximum: float) -> tuple[Heatmap, ...]:
    return tuple(heatmap_spans(record, maximum) for record in records)


def _card(card: RatingCard, entered: JudgementForm | None) -> CardEntry:
    if entered is None:
        return CardEntry(card.token, card.letter, card.text, card.rating, card.is_best)
    sent = entered.ratings.get(card.token, "")
    rating = next((value for value in SCALE if sent == str(value)), None)
    return CardEntry(
        token=card.token,
        letter=card.letter,
        text=card.text,
        rating=rating,
        is_best=entered.best == (card.token,),
        problem=None if rating else _rating_problem(sent),
    )


def _rating_problem(sent: str) -> str:
    return "This rating is not on the scale. Choose 1 to 5." if sent else "No rating yet. Choose 1 to 5."


def _best_problem(entered: JudgementForm, cards: tuple[CardEntry, ...]) -> str | None:
    if len(entered.best) > 1:
        return "There is more than one best pick. Choose exactly one."
    if not any(card.is_best for card in cards):
        return "There is no best pick yet. Choose exactly one."
    return None


def _problem(cards: tuple[CardEntry, ...], best_problem: str | None) -> str:
    """All that is wrong in one line: "No rating for B and D. There is no best pick yet. Choose exactly one."."""
    letters = [card.letter for card in cards if card.problem]
    sentences = [f"Rate {_listed(letters)} from 1 to 5."] if letters else []
    sentences += [best_problem] if best_problem else []
    return " ".join(sentences) or "The form did not belong to this page. Please look at your answers and save again."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
