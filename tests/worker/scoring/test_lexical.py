"""The lexical baseline as a scorer."""

import asyncio

from tests.explanations.fakes import record
from worker.scoring.lexical import LexicalScorer
from worker.scoring.scored import Evidence, Result, ScoredExcerpt

TOP = (ScoredExcerpt(1, record("The| red| door", 0, 5, 0)),)
RANDOM = (ScoredExcerpt(2, record("The| old| door", 0, 1, 0)), ScoredExcerpt(3, record("A| door", 0, 0)))


def scored(text: str, evidence: Evidence) -> Result:
    return asyncio.run(LexicalScorer().score(text, evidence, attempt=0))


def test_words_of_the_activating_tokens_score_above_others() -> None:
    evidence = Evidence(TOP, RANDOM, (), maximum=5.0, cutoff=2.0)
    red, old = scored("Red things.", evidence), scored("Old things.", evidence)
    assert red.value is not None
    assert red.value > (old.value or 0.0)
    assert red.details == {"n_excerpts": 3, "n_background": 2}
    assert red.cost_usd == 0.0


def test_without_excerpts_or_words_it_is_undefined_for_a_reason() -> None:
    unseen = "no top excerpt that the explainer did not see"
    assert scored("Red.", Evidence((), (), (), 0.0, 0.0)).reason == unseen
    # At a cutoff of half, the random excerpt's own words could be compared with.
    on_random = scored("Old.", Evidence((), RANDOM, (), 1.0, 0.5))
    assert (on_random.value, on_random.reason) == (None, unseen)
    assert scored("Red.", Evidence(TOP, RANDOM, (), 5.0, 5.0)).reason == (
        "the explanation, or what the neuron responds to, has no words to compare"
    )
