"""Tokens of the five methods' prompts on our puzzles, by every way to count that is here, beside the published."""

from itertools import pairwise
from statistics import mean

from app.explanations.explainers import Explainer
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ShownNeuron
from app.explanations.methods.skeleton import build_prompt
from app.explanations.methods.splits import explain_records
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.token_counting import TokenCounter, counter_for
from app.puzzles.loading import CUTOFF, load_puzzles
from app.settings import Settings
from tests.benchmarks.printed_figures import Figure
from worker.subjects.model_files import BUNDLED, find_model, transformers_folder

PUBLISHED = {"original": 2338, "avhs": 1360, "hs": 1032, "summary": 959, "highlight": 886}
"""Average prompt length over 50 neurons, the answer included; longest first. Source: arXiv 2310.06200, Table 1."""
LEAST_RATIO = 2.0


def token_figures() -> list[Figure]:
    folder = transformers_folder(find_model(BUNDLED), Settings().models_folder)
    explainers = [(Explainer("local", BUNDLED), folder), (Explainer("openai", "gpt-4"), None)]
    explainers += [(Explainer("openai", "gpt-4o"), None), (Explainer("openai", "unknown"), None)]
    counters = {counter.name: counter for counter in (counter_for(*explainer) for explainer in explainers)}
    return [figure for counter in counters.values() for figure in figures_by(counter)]


def figures_by(counter: TokenCounter) -> list[Figure]:
    pack = load_pack("default")
    shown = [ShownNeuron(explain_records(puzzle.records.top), CUTOFF) for puzzle in load_puzzles()]
    averages = {
        method: mean(counter.n_tokens(build_prompt(PROMPT_METHODS[method], pack, one)) for one in shown)
        for method in PUBLISHED
    }
    figures = []
    for method, published in PUBLISHED.items():
        figures.append(Figure(f"{counter.name}: {method}, {len(shown)} puzzles", averages[method], "tokens"))
        figures.append(Figure(f"published: {method}, 50 neurons", published, "tokens"))
    lengths = list(averages.values())
    n_out_of_order = sum(longer <= shorter for longer, shorter in pairwise(lengths))
    ratio = averages["original"] / averages["summary"]
    return [
        *figures,
        Figure(f"{counter.name}: neighbours out of the published order", n_out_of_order, "", 0),
        Figure(f"{counter.name}: original / summary", ratio, "times", LEAST_RATIO, at_least=True),
        Figure("published: original / summary", PUBLISHED["original"] / PUBLISHED["summary"], "times"),
    ]
