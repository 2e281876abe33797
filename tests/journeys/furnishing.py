"""Further studies beside the installation's own, in states that pages are shown in."""

from app.database import utc_now
from app.studies.invitations import redeem_invitation
from app.studies.lifecycle import close_study, pause_study
from app.studies.protocol import Protocol
from app.studies.rating.judging import record_judgement
from app.studies.rating.reading import assignment_page, mark_shown, next_assignment
from tests.journeys.installing import Installation
from tests.studies.factories import (
    PLAIN,
    answers,
    bring_to_the_judging,
    distinct_text,
    make_draft,
    make_explained_subject,
)
from tests.studies.raters_browser import start_study

NAMES_A_METHOD = "what the Summary prompt says"


def started(installation: Installation, slug: str, *, n_raters: int = 2, protocol: Protocol = PLAIN) -> list[str]:
    """An open study of two neurons; the addresses of its invitations."""
    study = start_study(installation.database, slug=slug, n_raters=n_raters, protocol=protocol)
    return [installation.server.url + link for link in study.links]


def judged(installation: Installation, link: str) -> None:
    """The rater of this link judges every neuron, elsewhere."""
    with installation.database.writing() as session:
        rater = redeem_invitation(session, link.rpartition("/")[2], utc_now())
        bring_to_the_judging(session, rater, utc_now())
        while (token := next_assignment(session, rater)) is not None:
            mark_shown(session, rater, token, utc_now())
            page = assignment_page(session, rater, token)
            record_judgement(session, rater, token, answers(page, (1, 2, 3, 4, 5)), [page.cards[-1].token], utc_now())


def closed(installation: Installation, slug: str) -> None:
    with installation.database.writing() as session:
        close_study(session, slug, utc_now())


def paused(installation: Installation, slug: str) -> None:
    with installation.database.writing() as session:
        pause_study(session, slug, utc_now())


def drafted(installation: Installation, slug: str) -> None:
    """A draft that cannot be opened yet: one of its texts names a method."""
    with installation.database.writing() as session:
        make_explained_subject(session, f"toy-{slug}", texts=_texts)
        make_draft(session, slug, n_per_layer=2, protocol=Protocol())


def _texts(layer: int, index: int, method: str) -> str:
    return NAMES_A_METHOD if (layer, index, method) == (1, 0, "avhs") else distinct_text(layer, index, method)
