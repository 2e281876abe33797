"""The neuron whose whole prompts are kept as golden files, one for each method.

`python -m tests.explanations.golden_prompts`, run at the top of the checkout, writes them anew from the present code.
"""

from pathlib import Path

from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ShownNeuron
from app.explanations.methods.skeleton import build_prompt
from app.explanations.prompt_packs.loading import load_pack
from tests.explanations.fakes import record

SHOWN = ShownNeuron(
    (
        record("The| cat| sat| on| the| mats|.", 0.0, 5.0, 1.2, -0.3, 0.1, 2.6, 0.0),
        record("A| kit|ten| and| two| cats| slept|\n|.", 0.0, 4.2, 4.8, 0.0, 0.4, 4.5, -0.2, 0.0, 0.0),
        record("No| animal| here|,| only| caf|é| chairs|.", 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    cutoff=2.0,
)


def rendered_prompt(method: str) -> str:
    """The messages of a whole prompt, each under a line with its role; a tab is a tab and a space is a space."""
    prompt = build_prompt(PROMPT_METHODS[method], load_pack("default"), SHOWN)
    return "".join(f"=== {message.role}\n{message.content}\n" for message in prompt)


def golden_path(method: str) -> Path:
    return Path(__file__).parents[1] / "golden" / "prompts" / f"{method}.txt"


if __name__ == "__main__":
    for name in PROMPT_METHODS:
        golden_path(name).parent.mkdir(parents=True, exist_ok=True)
        golden_path(name).write_text(rendered_prompt(name), encoding="utf-8")
