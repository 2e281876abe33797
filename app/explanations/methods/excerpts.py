"""What Summary, Highlight, HS and AVHS are put together from: lettered excerpts, brackets, lists of tokens."""

from collections.abc import Callable

from app.explanations.methods.marking import BoolArray
from app.explanations.methods.prompt import ShownNeuron
from app.neurons.records import ActivationRecord

N_LETTERS = 26
LIST_HEADING = "\n\nHighly activating tokens:\n"


def excerpt_letter(excerpt_index: int) -> str:
    """A, B ... Z, AA, AB ... as in a spreadsheet, so that any number of excerpts has its letters."""
    before, last = divmod(excerpt_index, N_LETTERS)
    return (excerpt_letter(before - 1) if before else "") + chr(ord("A") + last)


def lettered_excerpts(shown: ShownNeuron, render_record: Callable[[ActivationRecord], str]) -> str:
    """Each record under its letter, an empty line between two."""
    return "\n\n".join(
        f" Text excerpt - {excerpt_letter(index)}:\n{render_record(record)}"
        for index, record in enumerate(shown.records)
    )


def excerpt_line(text: str) -> str:
    return f"<start>{text}<end> "


def bracketed_text(record: ActivationRecord, marked: BoolArray) -> str:
    """The excerpt's text, each marked token in its own brackets, the token's leading space inside."""
    return "".join(f"[{token}]" if is_marked else token for token, is_marked in zip(record.tokens, marked, strict=True))


def marked_tokens(record: ActivationRecord, marked: BoolArray) -> list[str]:
    """The marked tokens in the order of the text, repeats kept."""
    return [token for token, is_marked in zip(record.tokens, marked, strict=True) if is_marked]
