"""The preview of a prompt: the messages that would be sent about one neuron, and how many tokens they have. Asks
nobody."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.errors import NeuronJuryError
from app.explanations.counting_here import counted_how, counter_here
from app.explanations.explainers import ExplainerSettings, explainer_settings, parse_explainer
from app.explanations.methods import METHOD_TITLES, TOKENS, method_title, prompt_method
from app.explanations.methods.marking import CUTOFF_QUANTILES
from app.explanations.methods.prompt import ChatMessage
from app.explanations.methods.skeleton import build_prompt_within
from app.explanations.prompt_packs.loading import shipped_packs
from app.explanations.showing import pack_of, shown_neuron
from app.explanations.token_counting import TokenCounter
from app.neurons.bare import is_bare
from app.neurons.contexts import NeuronPlace
from app.neurons.models import Neuron
from app.web.templating import PageContext


class PreviewForm(BaseModel):
    """What prompt to show, as typed. explainer: whose tokens are counted; what is left empty has its default."""

    method: str = "hs"
    explainer: str = "openai:gpt-4"
    side: str = "positive"
    prompt_pack: str = "default"
    excerpts: str = "every4th"
    n_excerpts: str = "5"
    n_few_shots: str = ""
    cutoff: str = "q90"

    def settings(self) -> ExplainerSettings:
        """Errors: InvalidInput, which names the setting."""
        names = ("side", "prompt_pack", "excerpts", "n_excerpts", "n_few_shots", "cutoff")
        typed = {name: getattr(self, name).strip() for name in names}
        return explainer_settings({name: text for name, text in typed.items() if text})


@dataclass(frozen=True)
class MessageShown:
    """One message of the chat. title: its part in the prompt. is_open: whether it is unfolded at first."""

    role: str
    title: str
    content: str
    n_tokens: int
    is_open: bool


@dataclass(frozen=True)
class PromptShown:
    """A prompt, and what is known of its length.

    counted_how: who counted its n_tokens. n_tokens_at_most: room for the prompt in the context.
    n_excerpts: of the neuron. cutoff: raw activation above which its tokens count as highly activating.
    """

    messages: tuple[MessageShown, ...]
    n_tokens: int
    counted_how: str
    n_tokens_at_most: int
    n_excerpts: int
    cutoff: float


@dataclass(frozen=True)
class PromptPage(PageContext):
    """What templates/explanations/prompt.html shows.

    subject_name: of the subject model.
    place: which neuron.
    is_bare: whether no activations of it are here, so that there is nothing to show to an explainer.
    has_negative_side: whether its very negative activations were looked for.
    form: what was chosen.
    methods: (name, title) of every method, in the paper's order.
    method_title: of the chosen method.
    packs: names of the prompt packs that come with the program.
    cutoffs: names of the quantiles that can be the cutoff.
    prompt: the messages, or null where there are none.
    problem: why there are none, or empty.
    """

    template: ClassVar[str] = "explanations/prompt.html"
    subject_name: str
    place: NeuronPlace
    is_bare: bool
    has_negative_side: bool
    form: PreviewForm
    methods: tuple[tuple[str, str], ...]
    method_title: str
    packs: tuple[str, ...]
    cutoffs: tuple[str, ...]
    prompt: PromptShown | None
    problem: str


def prompt_page(session: Session, neuron: Neuron, form: PreviewForm, models_folder: Path) -> PromptPage:
    """A choice that makes no prompt is said on the page, beside the form to mend it with."""
    prompt, problem = None, ""
    has_nothing = is_bare(session, neuron)
    try:
        prompt = None if has_nothing else _prompt(session, neuron, form, models_folder)
    except NeuronJuryError as error:
        problem = str(error)
    return PromptPage(
        subject_name=neuron.subject.name,
        place=NeuronPlace(neuron.layer, neuron.index),
        is_bare=has_nothing,
        has_negative_side=neuron.q90_negative is not None,
        form=form,
        methods=tuple(METHOD_TITLES.items()),
        method_title=method_title(form.method),
        packs=shipped_packs(),
        cutoffs=tuple(CUTOFF_QUANTILES),
        prompt=prompt,
        problem=problem,
    )


def _prompt(session: Session, neuron: Neuron, form: PreviewForm, models_folder: Path) -> PromptShown | None:
    """None for the method `tokens`, which has no prompt. Errors: InvalidInput, PromptTooLong and UnknownName."""
    settings, explainer = form.settings(), parse_explainer(form.explainer)
    if form.method == TOKENS:
        return None
    method, pack = prompt_method(form.method), pack_of(settings)
    shown = shown_neuron(session, neuron, settings)
    counter = counter_here(session, explainer, settings, models_folder)
    n_at_most = settings.n_context - settings.max_tokens
    messages = build_prompt_within(method, pack, shown, counter.n_tokens, n_at_most)
    return PromptShown(
        messages=tuple(_message(message, place, len(messages), counter) for place, message in enumerate(messages)),
        n_tokens=counter.n_tokens(messages),
        counted_how=counted_how(counter.name),
        n_tokens_at_most=n_at_most,
        n_excerpts=len(shown.records),
        cutoff=shown.cutoff,
    )


def _message(message: ChatMessage, place: int, n_messages: int, counter: TokenCounter) -> MessageShown:
    is_question = place == n_messages - 1
    example = f"Few-shot neuron {(place + 1) // 2}"
    titles = {"system": "Instruction", "assistant": f"{example}: its explanation"}
    title = "The neuron to explain" if is_question else titles.get(message.role, example)
    return MessageShown(message.role, title, message.content, counter.n_tokens([message]), is_question or place == 0)
