"""Method HS, Highlight and Summary: the excerpt with brackets, then the list of its highly activating tokens."""

from app.explanations.methods.excerpts import (
    LIST_HEADING,
    bracketed_text,
    excerpt_line,
    lettered_excerpts,
    marked_tokens,
)
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.neurons.records import ActivationRecord


def render_block(shown: ShownNeuron, pack: PromptPack) -> str:
    def render_record(record: ActivationRecord) -> str:
        marked = highly_activating(record, shown, Marking.ABOVE_CUTOFF)
        listed = ",".join(marked_tokens(record, marked))
        return excerpt_line(bracketed_text(record, marked)) + LIST_HEADING + listed

    return lettered_excerpts(shown, render_record)


HS = PromptMethod(name="hs", title="HS", render_block=render_block)
