"""Method AVHS, activation values with Highlight and Summary: brackets, then pairs of token and value 0-10.

It marks more tokens than the other methods: every one whose value is above 0.
"""

from app.explanations.methods.excerpts import LIST_HEADING, bracketed_text, excerpt_line, lettered_excerpts
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.neurons.records import ActivationRecord, discretised


def render_block(shown: ShownNeuron, pack: PromptPack) -> str:
    def render_record(record: ActivationRecord) -> str:
        marked = highly_activating(record, shown, Marking.A_TENTH_OF_MAXIMUM)
        return excerpt_line(bracketed_text(record, marked)) + LIST_HEADING + _pairs(record, shown.maximum)

    return lettered_excerpts(shown, render_record)


def _pairs(record: ActivationRecord, maximum: float) -> str:
    values = discretised(record.activations, maximum).tolist()
    return ",".join(f"{token}\t{value}" for token, value in zip(record.tokens, values, strict=True) if value)


AVHS = PromptMethod(name="avhs", title="AVHS", render_block=render_block)
