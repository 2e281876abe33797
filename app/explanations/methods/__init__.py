"""The prompt methods: each is data, its name and one function from excerpts to text, over one shared skeleton."""

from app.errors import UnknownName
from app.explanations.methods import tokens
from app.explanations.methods.avhs import AVHS
from app.explanations.methods.highlight import HIGHLIGHT
from app.explanations.methods.hs import HS
from app.explanations.methods.original import ORIGINAL
from app.explanations.methods.prompt import PromptMethod
from app.explanations.methods.summary import SUMMARY

PROMPT_METHODS = {method.name: method for method in (ORIGINAL, SUMMARY, HIGHLIGHT, HS, AVHS)}
"""By name, in the paper's order."""

TOKENS = tokens.NAME
"""The baseline, which needs no explainer and no prompt pack."""

METHOD_TITLES = {name: method.title for name, method in PROMPT_METHODS.items()} | {TOKENS: tokens.TITLE}
"""Every method's title by its name, in the order in which tables list them."""

IMPORTED = "imported"
"""The method of an explanation of which an import does not say how it was made."""


REFERENCE = "reference"
"""The method of what an explanation is compared with: NeuronViewer's text of a neuron, the truth of a puzzle."""
FALSE = "false"
"""The method of a puzzle's false explanations, numbered as samples."""
_OTHER_TITLES = {IMPORTED: "Imported", REFERENCE: "Reference", FALSE: "False"}


def method_title(name: str) -> str:
    """As people name a method; one that is not ours, which an import brought, goes by its own name."""
    return (METHOD_TITLES | _OTHER_TITLES).get(name, name)


def table_order(name: str) -> tuple[int, str]:
    """Sorts methods as tables list them: ours in the paper's order, then the others by name."""
    known = list(METHOD_TITLES)
    return (known.index(name) if name in METHOD_TITLES else len(known), name)


def prompt_method(name: str) -> PromptMethod:
    """Errors: UnknownName, which lists the known names."""
    check_method_names([name])
    if name == TOKENS:
        raise UnknownName(f"the method {TOKENS!r} makes no prompt")
    return PROMPT_METHODS[name]


def check_method_names(names: list[str]) -> None:
    """Errors: UnknownName for the first name that is no method; it lists the known ones."""
    for name in names:
        if name not in METHOD_TITLES:
            raise UnknownName(f"unknown method {name!r}; expected one of {', '.join(METHOD_TITLES)}")
