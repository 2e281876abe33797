"""The pages that only tell a rater how things stand, in a few sentences, and what can be done next."""

from dataclasses import dataclass
from typing import ClassVar

from app.web.templating import PageContext


@dataclass(frozen=True)
class LetterPage(PageContext):
    """What templates/rating/letter.html shows.

    study_title: the study's title; empty where the browser is no rater's any more.
    heading: how things stand.
    sentences: what that means and what to do, one entry per paragraph.
    next_address: where the one next step leads; empty: there is none.
    next_words: what that link says.
    can_leave: whether this browser is a rater's, which can be ended.
    """

    template: ClassVar[str] = "rating/letter.html"
    study_title: str
    heading: str
    sentences: tuple[str, ...]
    next_address: str = ""
    next_words: str = ""
    can_leave: bool = False


def paused_letter(study_title: str, address: str = "/rate") -> LetterPage:
    """address: where to try again; before somebody was let in, their link."""
    return LetterPage(
        study_title,
        "This study is paused.",
        (
            "What you have answered so far is saved. There is nothing for you to do until the study goes on.",
            "Come back later by the same link.",
        ),
        address,
        "Try again",
    )


def waiting_letter(study_title: str) -> LetterPage:
    return LetterPage(
        study_title,
        "No neuron is free right now.",
        (
            "Other raters are working on all of them. If one of them stops, their neurons become free again.",
            "Try again in a while, or come back later by the same link.",
        ),
        "/rate",
        "Try again",
        can_leave=True,
    )


def withdrawn_letter(study_title: str) -> LetterPage:
    return LetterPage(
        study_title,
        "This invitation has been withdrawn.",
        ("It no longer opens the study. If you think that this is a mistake, write to whoever invited you.",),
    )


def failed_practice_letter(study_title: str) -> LetterPage:
    return LetterPage(
        study_title,
        "Thank you for trying.",
        (
            "The practice puzzles did not come out well enough to go on to the study’s own neurons. They are hard, and "
            "this says nothing about you.",
            "Your part ends here. There is nothing more to do, and you can close this page.",
        ),
        can_leave=True,
    )


def barred_letter(study_title: str, account: str, *, can_leave: bool = False) -> LetterPage:
    return LetterPage(
        study_title,
        "This browser cannot rate in this study.",
        (
            f"It was signed in to the account {account}, which has seen which method wrote which description. Whoever "
            "knows that cannot judge without knowing it, so the study takes no ratings from here.",
            "To see what raters see, ask an admin for a dry run: it shows every page and is never counted.",
        ),
        can_leave=can_leave,
    )


def left_letter() -> LetterPage:
    return LetterPage(
        "",
        "You have left the study on this browser.",
        (
            "What you saved is kept. You can come back by the same link, and you continue where you stopped.",
            "You can close this page.",
        ),
    )


def declined_letter() -> LetterPage:
    return LetterPage(
        "",
        "You are not taking part.",
        (
            "That is all right, and you have given no answers. If you change your mind, open the same link again.",
            "If a recruiting site sent you here, please give your place back there.",
            "You can close this page.",
        ),
    )
