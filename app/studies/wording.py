"""What studies are said to be in words: their design, their log, how long ago something was. Pure."""

from datetime import datetime, timedelta
from typing import Any

from app.explanations.methods import method_title
from app.studies.audit import AuditLine
from app.studies.protocol import Protocol
from app.studies.results.summary import StudyResults

JUST_NOW = timedelta(minutes=2)
DESIGN_HASH_SHOWN = 12


def ago(at: datetime | None, now: datetime) -> str:
    """`5 minutes ago`, in the largest unit that fits; `never` for None."""
    if at is None:
        return "never"
    passed = now - at
    if passed < JUST_NOW:
        return "just now"
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if (n := int(passed.total_seconds()) // seconds) >= 1:
            return f"{counted(n, unit)} ago"
    return "just now"


def counted(n: int, noun: str) -> str:
    """`1 rater`, `2 raters`, `1,200 raters`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def sharing_in_words(protocol: Protocol) -> str:
    """Who judges what, as a clause."""
    return {
        "split": "each neuron by one rater",
        "crossed": "every neuron by every rater",
        "overlap": f"each neuron by {counted(protocol.raters_per_neuron, 'rater')}",
        "mixed": f"{protocol.shared_percent} % of the neurons by every rater, the others by one",
    }[protocol.sharing]


def evidence_in_words(protocol: Protocol) -> str:
    """Which excerpts stand beside the descriptions, as a clause; a neuron may have fewer."""
    bands = "up to " + " and ".join(f"{n} {band}" for band, n in protocol.evidence.items() if n)
    return bands if protocol.shows_explained else f"{bands}, without those that the explainer saw"


def steps_in_words(protocol: Protocol) -> str:
    """What a rater passes through, in order."""
    practice = f"practice on {counted(protocol.n_puzzles, 'puzzle')}, {protocol.n_right_to_pass} right to pass"
    steps = (
        (bool(protocol.consent), "consent"),
        (True, "instructions"),
        (protocol.n_puzzles > 0, practice),
        (True, "neurons"),
        (protocol.asks_for_guesses, "guesses of the method"),
        (True, "a last comment"),
    )
    return ", ".join(step for is_there, step in steps if is_there)


def checks_in_words(protocol: Protocol) -> str:
    """How attention is checked."""
    if not protocol.check_percent:
        return "none"
    return f"a false description among the cards of {protocol.check_percent} % of a rater’s neurons"


def condition_titles(conditions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """(title of the method, explainer) of (method, explainer)."""
    return tuple((method_title(method), explainer) for method, explainer in conditions)


def citation(results: StudyResults, version: str) -> str:
    """The design in one sentence, ready to be quoted. version: of NeuronJury."""
    conditions = ", ".join(f"{method} by {explainer}" for method, explainer in condition_titles(results.conditions))
    days = [f"{at:%-d %B %Y}" for at in (results.opened_at, results.closed_at) if at is not None]
    return (
        f"{counted(results.n_raters, 'rater')} judged descriptions of {counted(results.n_neurons, 'neuron')} of "
        f"{results.subject} blindly, {sharing_in_words(results.protocol)}, under "
        f"{counted(len(results.conditions), 'condition')} ({conditions}), {' to '.join(dict.fromkeys(days))}; "
        f"design {results.design_hash[:DESIGN_HASH_SHOWN]}, NeuronJury {version}."
    )


def said(line: AuditLine) -> str:
    """What was done, in words: `Reclaimed: rater-3, 5 neurons`."""
    details = ", ".join(filter(None, (_detail(name, value) for name, value in line.details.items())))
    what = line.kind[:1].upper() + line.kind[1:]
    return f"{what}: {details}" if details else what


def _detail(name: str, value: Any) -> str:
    if name == "reason":
        return f"“{value}”"
    if value is None or value is False or value in ("", [], {}):
        return ""
    words = name.removeprefix("n_").replace("_", " ")
    if name.startswith("n_"):
        return f"{value:,} {words.removesuffix('s') if value == 1 else words}"
    return _value(words, value)


def _value(words: str, value: Any) -> str:
    if value is True:
        return words
    if isinstance(value, list):
        return f"{words} " + "; ".join(_plain(each) for each in value)
    return str(value) if words == "rater" else f"{words} {_plain(value)}"


def _plain(value: Any) -> str:
    """A value inside a list or alone; of named values their values."""
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
