"""What the page of one neuron shows, as plain values. Nothing here knows a method, a database id or another rater.

A field added here reaches a rater's browser: tests/studies/test_blind_pages.py must stay green, unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.records import RANDOM, TOP
from app.studies.rating.entries import CANNOT_JUDGE, LONGEST_COMMENT, SCALE
from app.studies.rating.excerpts import Band
from app.studies.rating.forms import JudgementForm
from app.studies.rating.reading import RatingCard, RatingPage
from app.web.formatting import paragraphs
from app.web.templating import PageContext

N_TOP_IN_SIGHT = 5
N_OTHERS_IN_SIGHT = 3
"""The other excerpts are in the same response, folded away: fetching them later would show who looked at what."""

HEADINGS = {TOP: "Strongest activations", RANDOM: "Random excerpts"}
NOTES = {TOP: "", RANDOM: "Drawn by chance from the same text and coloured on the same scale."}

Heatmap = Sequence[HeatmapSpan]


@dataclass(frozen=True)
class BandShown:
    """The excerpts of one band.

    heading: what they are. note: a sentence more, or "". in_sight: heatmaps shown at once; folded: the further ones.
    """

    heading: str
    note: str
    in_sight: tuple[Heatmap, ...]
    folded: tuple[Heatmap, ...]


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
class ConflictRow:
    """One answer that came in twice. name: "A", "Best pick", ... stored: as it is now; sent: as it was just sent."""

    name: str
    stored: str
    sent: str


@dataclass(frozen=True)
class RatePage(PageContext):
    """What templates/rating/rate.html shows: one neuron to judge.

    token: names this rater's assignment in URLs.
    instructions: what raters are asked to do, one entry per paragraph.
    neuron: the neuron's name, `layer:index`, or None where the study hides it.
    number: place in this rater's order, from 1.
    n_neurons: how many neurons this rater judges.
    n_judged: how many of them are judged already.
    minutes_left: how long the others take at this rater's pace, or None while unknown.
    is_judged: whether this one is; changes then replace the judgement at once.
    is_finished: whether the rater's answers stand and nothing can be changed.
    version: of the stored answers, sent back with the form.
    maximum: the activation that has the strongest colour: the largest on this page.
    bands: the excerpts, in the order of the study's design.
    scale: (value, words) of the five ratings.
    cards: the descriptions in this rater's order.
    reasons: (key, words) of why a neuron cannot be judged.
    cannot_judge: the key of the reason that was chosen, or "".
    comment: what the rater wrote.
    longest_comment: how many characters it may have.
    best_problem: what is wrong with the best pick, or None.
    problem: one line above everything when the entries were not accepted, or None.
    conflict: both values of every answer when the page was stale, else empty.
    previous: token of the neuron before this one in the rater's order, or None.
    next: token of the neuron after it, None at the end or while this one is not judged.
    """

    template: ClassVar[str] = "rating/rate.html"
    token: str
    instructions: tuple[str, ...]
    neuron: str | None
    number: int
    n_neurons: int
    n_judged: int
    minutes_left: int | None
    is_judged: bool
    is_finished: bool
    version: int
    maximum: float
    bands: tuple[BandShown, ...]
    scale: tuple[tuple[int, str], ...]
    cards: tuple[CardEntry, ...]
    reasons: tuple[tuple[str, str], ...]
    cannot_judge: str
    comment: str
    longest_comment: int
    best_problem: str | None
    problem: str | None
    conflict: tuple[ConflictRow, ...]
    previous: str | None
    next: str | None


def rate_page(stored: RatingPage, entered: JudgementForm | None = None, is_stale: bool = False) -> RatePage:
    """The page with what is stored; or with what was just entered and not accepted, and why.

    is_stale: the entries were fine, but others came in since their page was loaded.
    """
    is_refused = entered is not None and not is_stale
    cards = tuple(_card(card, entered, is_refused) for card in stored.cards)
    best_problem = _best_problem(entered, cards) if entered is not None and is_refused else None
    return RatePage(
        token=stored.token,
        instructions=paragraphs(stored.instructions),
        neuron=f"{stored.layer}:{stored.index}" if stored.is_neuron_named else None,
        number=stored.number,
        n_neurons=stored.n_assignments,
        n_judged=stored.n_judged,
        minutes_left=stored.minutes_left,
        is_judged=stored.is_judged,
        is_finished=stored.is_finished,
        version=stored.version,
        maximum=stored.maximum,
        bands=tuple(_band(band, stored.maximum) for band in stored.bands),
        scale=tuple(SCALE.items()),
        cards=cards,
        reasons=tuple(CANNOT_JUDGE.items()),
        cannot_judge=stored.cannot_judge or "" if entered is None else entered.cannot_judge,
        comment=stored.comment if entered is None else entered.comment,
        longest_comment=LONGEST_COMMENT,
        best_problem=best_problem,
        problem=_problem(cards, best_problem, entered) if entered is not None and is_refused else None,
        conflict=_conflict(stored, cards, entered) if entered is not None and is_stale else (),
        previous=stored.previous,
        next=stored.next if stored.is_judged else None,
    )


def _band(band: Band, maximum: float) -> BandShown:
    heatmaps = tuple(heatmap_spans(record, maximum) for record in band.records)
    n_in_sight = N_TOP_IN_SIGHT if band.name == TOP else N_OTHERS_IN_SIGHT
    heading = HEADINGS.get(band.name, f"Excerpts of the band {band.name}")
    note = NOTES.get(band.name, "Coloured on the same scale.")
    return BandShown(heading, note, heatmaps[:n_in_sight], heatmaps[n_in_sight:])


def _card(card: RatingCard, entered: JudgementForm | None, is_refused: bool) -> CardEntry:
    if entered is None:
        return CardEntry(card.token, card.letter, card.text, card.rating, card.is_best)
    sent = entered.ratings.get(card.token, "")
    rating = next((value for value in SCALE if sent == str(value)), None)
    is_missed = is_refused and rating is None and (sent or not entered.cannot_judge)
    return CardEntry(
        token=card.token,
        letter=card.letter,
        text=card.text,
        rating=rating,
        is_best=entered.best == (card.token,),
        problem=_rating_problem(sent) if is_missed else None,
    )


# What is wrong --------------------------------------------------------------------------------------------------------


def _rating_problem(sent: str) -> str:
    return "This rating is not on the scale. Choose 1 to 5." if sent else "No rating yet. Choose 1 to 5."


def _best_problem(entered: JudgementForm, cards: tuple[CardEntry, ...]) -> str | None:
    if len(entered.best) > 1:
        return "There is more than one best pick. Choose exactly one."
    if not entered.cannot_judge and not any(card.is_best for card in cards):
        return "There is no best pick yet. Choose exactly one."
    return None


def _problem(cards: tuple[CardEntry, ...], best_problem: str | None, entered: JudgementForm) -> str:
    """All that is wrong in one line: "Rate B and D from 1 to 5. There is no best pick yet. Choose exactly one."."""
    letters = [card.letter for card in cards if card.problem]
    sentences = [f"Rate {_listed(letters)} from 1 to 5."] if letters else []
    sentences += [best_problem] if best_problem else []
    if len(entered.comment) > LONGEST_COMMENT:
        sentences.append(f"The comment is too long: shorten it to {LONGEST_COMMENT} characters.")
    return " ".join(sentences) or "The form did not belong to this page. Please look at your answers and save again."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# Two versions ---------------------------------------------------------------------------------------------------------


def _conflict(stored: RatingPage, sent: tuple[CardEntry, ...], entered: JudgementForm) -> tuple[ConflictRow, ...]:
    """Both versions of every answer, for the eye to compare. conflict.js makes the same rows."""
    best = next((card.letter for card in sent if card.is_best), None)
    stored_best = next((card.letter for card in stored.cards if card.is_best), None)
    reason, stored_reason = (CANNOT_JUDGE.get(key or "") for key in (entered.cannot_judge, stored.cannot_judge))
    return (
        *(_row(card.letter, card.rating, here.rating) for card, here in zip(stored.cards, sent, strict=True)),
        _row("Best pick", stored_best, best),
        _row("Cannot judge", stored_reason, reason),
        _row("Comment", stored.comment, entered.comment.strip()),
    )


def _row(name: str, stored: int | str | None, sent: int | str | None) -> ConflictRow:
    return ConflictRow(name, _shown(stored), _shown(sent))


def _shown(value: int | str | None) -> str:
    return str(value) if value else "–"
