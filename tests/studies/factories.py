"""A recorded, explained and opened study for tests: N neurons in layers of two, five methods by one explainer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.database import Database
from app.neurons.models import SubjectModel
from app.studies.dealing.share import deal_share
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.invitations import Invitation, invite_raters, redeem_invitation
from app.studies.lifecycle import close_study, create_study, open_study
from app.studies.models import Rater, Study
from app.studies.protocol import Protocol
from app.studies.rating.judging import record_judgement
from app.studies.rating.reading import RatingPage, assignment_page, mark_shown, next_assignment
from tests.factories import make_explanation, make_neuron, make_records, make_subject

NOW = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC)
METHODS = ("original", "summary", "highlight", "hs", "avhs")
EXPLAINER = "local:toy"
CONDITIONS = tuple((method, EXPLAINER) for method in METHODS)
PLAIN = Protocol(
    sharing="crossed",
    n_puzzles=0,
    n_right_to_pass=0,
    check_percent=0,
    asks_for_guesses=False,
    exclude_failed_checks_percent=None,
    exclude_too_fast_percent=None,
)
"""Every rater judges every neuron, and nothing else is asked."""
Texts = Callable[[int, int, str], str]
"""Layer, index and method of an explanation -> its text."""


def distinct_text(layer: int, index: int, method: str) -> str:
    return f"words of kind {METHODS.index(method)} near neuron {layer}:{index}"


@dataclass(frozen=True)
class OpenStudy:
    """What a test needs to act as admin and as raters."""

    slug: str
    invitations: tuple[Invitation, ...]


def make_open_study(
    database: Database,
    *,
    slug: str = "demo",
    n_neurons: int = 4,
    n_raters: int = 2,
    texts: Texts = distinct_text,
    order_key: bytes | None = None,
    protocol: Protocol = PLAIN,
    n_top: int = 2,
) -> OpenStudy:
    """A study of its own subject model, two neurons in each layer (n_neurons is even), opened, with raters invited who
    have come to the judging, one after the other.

    order_key: of all orders; None keeps the random one. n_top: excerpts recorded of each neuron.
    """
    with database.writing() as session:
        make_explained_subject(session, f"toy-{slug}", n_layers=n_neurons // 2, texts=texts, n_top=n_top)
        study = make_draft(session, slug, n_per_layer=2, protocol=protocol)
        study.order_key = order_key or study.order_key
        open_study(session, slug, NOW)
        invitations = invite_raters(session, slug, n_raters, NOW, NOW + timedelta(days=7))
        for invitation in invitations:
            bring_to_the_judging(session, redeem_invitation(session, invitation.code, NOW))
    return OpenStudy(slug, tuple(invitations))


def bring_to_the_judging(session: Session, rater: Rater, now: datetime = NOW) -> int:
    """The rater has agreed, read and practised, and is dealt a share; of how many neurons."""
    rater.consented_at = rater.instructed_at = rater.passed_practice_at = now
    session.flush()
    return deal_share(session, rater, now)


def make_draft(session: Session, slug: str, n_per_layer: int, protocol: Protocol = PLAIN) -> Study:
    return create_study(
        session,
        slug=slug,
        title="Which description fits?",
        subject_name=f"toy-{slug}",
        conditions=CONDITIONS,
        neurons=PerLayer(n_per_layer),
        seed=7,
        instructions="Judge by the activations.",
        protocol=protocol,
    )


def make_explained_subject(
    session: Session, name: str, n_layers: int = 2, texts: Texts = distinct_text, n_top: int = 2
) -> SubjectModel:
    """A subject model with two recorded neurons per layer and an explanation of each by every method."""
    subject = make_subject(session, name, n_layers=n_layers, n_neurons_per_layer=2)
    for layer in range(n_layers):
        for index in range(2):
            neuron = make_neuron(session, subject, layer, index)
            make_records(session, neuron, n_top, n_random=1)
            for method in METHODS:
                make_explanation(session, neuron, method, EXPLAINER, text=texts(layer, index, method))
    return subject


def rater_of(session: Session, study: OpenStudy, number: int = 1) -> Rater:
    """The rater with that number, let in by the invitation."""
    return redeem_invitation(session, study.invitations[number - 1].code, NOW)


def first_page(session: Session, study: OpenStudy, number: int = 1) -> RatingPage:
    """The page that this rater has to judge next. There must be one."""
    rater = rater_of(session, study, number)
    token = next_assignment(session, rater)
    if token is None:
        raise LookupError(f"rater {number} has judged everything")
    return assignment_page(session, rater, token)


def answers(page: RatingPage, values: Sequence[int]) -> dict[str, int | str]:
    """A rating for each card of the page, in its order; the values are repeated as needed."""
    return {card.token: values[place % len(values)] for place, card in enumerate(page.cards)}


def judge_everything(database: Database, study: OpenStudy, number: int = 1) -> None:
    """This rater judges all neurons, taking 12.5 seconds for each: ratings 1-5 by position, the last card is best."""
    with database.writing() as session:
        rater = rater_of(session, study, number)
        while (token := next_assignment(session, rater)) is not None:
            page = assignment_page(session, rater, token)
            mark_shown(session, rater, token, NOW)
            done = NOW + timedelta(seconds=12.5)
            record_judgement(session, rater, token, answers(page, (1, 2, 3, 4, 5)), [page.cards[-1].token], done)


def close(database: Database, study: OpenStudy) -> None:
    with database.writing() as session:
        close_study(session, study.slug, NOW + timedelta(days=1))
