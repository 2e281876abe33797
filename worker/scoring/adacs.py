"""AdaCS: the cosine of an explanation's and a reference explanation's embeddings. Knows no table and no activation.

Source: arXiv 2310.06200, which embeds with text-embedding-ada-002 and compares with NeuronViewer's explanations, and
with the truths of puzzles.
"""

import numpy as np

from app.explanations.scoring.evidence import Reference
from worker.scoring.embedders import Embedder, Vector
from worker.scoring.scored import Result


async def adacs(embedder: Embedder, text: str, reference: Reference | None, *, attempt: int) -> Result:
    """Between -1 and 1; undefined without a reference. Errors: CallFailed, BatchStopped, BudgetReached."""
    if reference is None:
        return Result(None, "no reference explanation of this neuron is stored", {}, (), 0, 0, 0.0)
    details = {"reference": reference.text, "reference_explainer": reference.explainer}
    # One after the other: explanations of one neuron share the reference, which is then paid for once.
    compared = await embedder.embed(reference.text, attempt=attempt)
    embedded = await embedder.embed(text, attempt=attempt)
    value = cosine(embedded.vector, compared.vector)
    reason = "an embedding is all zeros" if value is None else None
    spent = embedded.spent + compared.spent
    return Result(value, reason, details, (), spent.n_prompt_tokens, spent.n_completion_tokens, spent.cost_usd)


def cosine(one: Vector, other: Vector) -> float | None:
    """None when a vector has no length."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    if lengths == 0.0:
        return None
    # Rounding may lead a hair's breadth beyond the ends.
    return max(-1.0, min(1.0, float(first @ second) / lengths))
