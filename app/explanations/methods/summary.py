"""Method Summary: the plain excerpt, then the list of its highly activating tokens."""

from app.explanations.methods.excerpts import LIST_HEADING, excerpt_line, lettered_excerpts, marked_tokens
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.neurons.records import ActivationRecord


def render_block(shown: ShownNeuron, pack: PromptPack) -> str:
    def render_record(record: ActivationRecord) -> str:
        marked = highly_activating(record, shown, Marking.ABOVE_CUTOFF)
        return excerpt_line("".join(record.tokens)) + LIST_HEADING + ",".join(marked_tokens(record, marked))

    return lettered_excerpts(shown, render_record)


SUMMARY = PromptMethod(name="summary", title="Summary", render_block=render_block)
