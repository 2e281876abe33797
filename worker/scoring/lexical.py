"""The lexical baseline as a scorer: no model, no call, no cost."""

from app.explanations.scoring.lexical import lexical_similarity
from worker.scoring.scored import NO_UNSEEN_TOP, Evidence, Result

NO_WORDS = "the explanation, or what the neuron responds to, has no words to compare"


class LexicalScorer:
    async def score(self, text: str, evidence: Evidence, *, attempt: int) -> Result:
        """attempt: changes nothing."""
        excerpts = (*evidence.top, *evidence.random, *evidence.calibration)
        details = {"n_excerpts": len(excerpts), "n_background": len(evidence.random)}
        if not evidence.top:
            return Result(None, NO_UNSEEN_TOP, details, (), 0, 0, 0.0)
        value = lexical_similarity(
            text,
            [excerpt.record for excerpt in excerpts],
            [excerpt.record for excerpt in evidence.random],
            evidence.cutoff,
        )
        return Result(value, NO_WORDS if value is None else None, details, (), 0, 0, 0.0)
