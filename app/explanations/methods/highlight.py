"""Method Highlight: the excerpt with its highly activating tokens in brackets."""

from app.explanations.methods.excerpts import bracketed_text, excerpt_line, lettered_excerpts
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.neurons.records import ActivationRecord


def render_block(shown: ShownNeuron, pack: PromptPack) -> str:
    def render_record(record: ActivationRecord) -> str:
        return excerpt_line(bracketed_text(record, highly_activating(record, shown, Marking.ABOVE_CUTOFF)))

    return lettered_excerpts(shown, render_record)


HIGHLIGHT = PromptMethod(name="highlight", title="Highlight", render_block=render_block)
