"""Method Original: every token on a line of its own with its value 0-10."""

from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.neurons.records import discretised

SHARE_BELOW_WHICH_ZEROS_ARE_LEFT_OUT = 0.2

ValuedTokens = list[tuple[str, int]]


def render_block(shown: ShownNeuron, pack: PromptPack) -> str:
    """All tokens; and, if fewer than 20 % of all values are above 0, a second time only those that are."""
    excerpts = _valued_excerpts(shown)
    block = _as_lines(excerpts)
    if _share_above_zero(excerpts) >= SHARE_BELOW_WHICH_ZEROS_ARE_LEFT_OUT:
        return block
    without_zeros = [[(token, value) for token, value in excerpt if value] for excerpt in excerpts]
    return f"{block}\n\n{pack.zeros_left_out}\n{_as_lines(without_zeros)}"


def _valued_excerpts(shown: ShownNeuron) -> list[ValuedTokens]:
    return [
        list(zip(record.tokens, discretised(record.activations, shown.maximum).tolist(), strict=True))
        for record in shown.records
    ]


def _share_above_zero(excerpts: list[ValuedTokens]) -> float:
    values = [value for excerpt in excerpts for _, value in excerpt]
    return sum(value > 0 for value in values) / max(1, len(values))


def _as_lines(excerpts: list[ValuedTokens]) -> str:
    return "\n".join(
        "\n".join(["<start>", *(f"{token}\t{value}" for token, value in excerpt), "<end>"]) for excerpt in excerpts
    )


ORIGINAL = PromptMethod(name="original", title="Original", render_block=render_block)
