"""The lexical baseline as a scorer: no model, no call, no cost."""

from app.explanations.scoring.lexical import lexical_similarity
from worker.scoring.scored import Evidence, Result

NO_WORDS = "the explanation, or what the neuron responds to, has no words to compare"
NO_EXCERPTS = "no excerpt of this neuron is recorded beside those that the explainer saw"


class LexicalScorer:
    async def score(self, text: str, evidence: Evidence, *, attempt: int) -> Result:
        """attempt: changes nothing."""
        excerpts = (*evidence.top, *evidence.random, *evidence.calibration)
        details = {"n_excerpts": len(excerpts), "n_background": len(evidence.random)}
        value = lexical_similarity(
            text,
            [excerpt.record for excerpt in excerpts],
            [excerpt.record for excerpt in evidence.random],
            evidence.cutoff,
        )
        reason = None if value is not None else NO_WORDS if excerpts else NO_EXCERPTS
        return Result(value, reason, details, (), 0, 0, 0.0)
