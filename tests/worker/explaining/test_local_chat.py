"""The language model in this process: what it remembers of earlier prompts must change nothing it writes."""

import asyncio
import threading
from pathlib import Path

import pytest
import torch

from app.errors import InvalidInput, UnknownName
from app.explanations import failures
from app.explanations.explainers import Explainer, ExplainerSettings
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ChatMessage, ShownNeuron
from app.explanations.methods.skeleton import build_prompt
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.token_counting import estimated_tokens
from tests.explanations import golden_prompts
from tests.explanations.fakes import record
from tests.worker.explaining.tiny_model import N_CONTEXT, tiny_model, tiny_tokenizer
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.chat_models import ChatModels
from worker.explaining.explainer import judged
from worker.explaining.local_chat import LocalChat, Sampler
from worker.explaining.openai_chat import OpenAIChat

pytestmark = pytest.mark.long

EXAMPLES = "Examples: a long beginning that all prompts of one method share. "
OTHER_EXAMPLES = "A second method begins in quite another way, and goes on like that. "


def chat_messages(beginning: str, question: str) -> tuple[ChatMessage, ...]:
    return ChatMessage("system", beginning), ChatMessage("user", question)


CAPITALS = ShownNeuron((record("Paris| and| Rome| are| towns|.", 5, 0, 4, 0, 0, 0),), cutoff=2.0)
PROMPTS = [
    chat_messages(EXAMPLES, "Neuron 4: cats and mats"),
    chat_messages(EXAMPLES, "Neuron 4: cats and dogs, a longer question than the first"),
    chat_messages(OTHER_EXAMPLES, "Neuron 4: cats"),
    chat_messages(EXAMPLES, "Neuron 4: cats"),
    chat_messages(OTHER_EXAMPLES, "Neuron 4: rain"),
    chat_messages(EXAMPLES, "Neuron 4: cats"),
    chat_messages("Third.", "Short."),
    chat_messages(EXAMPLES, "Neuron 4: cats and mats"),
]


def completed(chat: LocalChat, messages: tuple[ChatMessage, ...], *, temperature: float = 0.0) -> Completion:
    return asyncio.run(chat.complete(messages, temperature=temperature, top_p=1.0, max_tokens=20, seed=5))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_prompts_that_share_their_beginning_are_completed_as_if_read_whole(temperature: float) -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    remembering = LocalChat(model, tokenizer)
    for messages in PROMPTS:
        afresh = completed(LocalChat(model, tokenizer), messages, temperature=temperature)
        assert completed(remembering, messages, temperature=temperature) == afresh


def test_greedy_completion_is_what_transformers_itself_generates() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    chat = LocalChat(model, tokenizer)
    completed(chat, PROMPTS[0])
    text = f"<system>{EXAMPLES}<end><user>Neuron 4: cats<end><assistant>"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    generated = model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    expected = tokenizer.decode(generated, skip_special_tokens=True)
    completion = completed(chat, PROMPTS[3])
    assert completion.n_prompt_tokens == ids.shape[1] == chat.count_tokens(PROMPTS[3])
    # Ours ends its text with the first newline.
    assert expected.startswith(completion.text)
    assert completion.n_completion_tokens == 20 or "\n" in completion.text


def test_only_what_differs_is_read_again() -> None:
    lengths: list[int] = []

    class CountingModel:
        def __init__(self) -> None:
            self._model = tiny_model()

        def __getattr__(self, name: str) -> object:
            return getattr(self._model, name)

        def eval(self) -> "CountingModel":
            return self

        def __call__(self, ids: torch.Tensor, **options: object) -> object:
            lengths.append(ids.shape[1])
            return self._model(ids, **options)

    chat = LocalChat(CountingModel(), tiny_tokenizer())
    first, second = (chat.count_tokens(PROMPTS[place]) for place in (0, 1))
    n_shared = len(f"<system>{EXAMPLES}<end><user>Neuron 4: cats and ")
    completed(chat, PROMPTS[0])
    completed(chat, PROMPTS[1])
    assert [length for length in lengths if length > 1] == [first, second - n_shared]


def test_log_probabilities_are_those_of_the_model_itself() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    chat = LocalChat(model, tokenizer)
    call = chat.complete(PROMPTS[3], temperature=0, top_p=1, max_tokens=20, seed=0, n_top_logprobs=3)
    completion = asyncio.run(call)
    assert completion.top_logprobs is not None
    assert len(completion.top_logprobs) == completion.n_completion_tokens
    ids = tokenizer(f"<system>{EXAMPLES}<end><user>Neuron 4: cats<end><assistant>", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logprobs, token_ids = torch.log_softmax(model(ids).logits[0, -1], dim=-1).topk(3)
    # Bytes that are no character all read alike: the likeliest, which comes first, is the one that counts.
    pairs = [(tokenizer.decode([token_id]), value.item()) for token_id, value in zip(token_ids, logprobs, strict=True)]
    expected = dict(reversed(pairs))
    assert completion.top_logprobs[0] == pytest.approx(expected, abs=1e-4)


def test_without_a_chat_template_the_messages_are_joined() -> None:
    chat = LocalChat(tiny_model(), tiny_tokenizer(chat_template=None))
    assert chat.count_tokens(PROMPTS[3]) == len(EXAMPLES) + len("Neuron 4: cats")


def test_a_prompt_longer_than_the_model_reads_is_too_long() -> None:
    with pytest.raises(CallFailed) as error:
        completed(LocalChat(tiny_model(), tiny_tokenizer()), chat_messages("x" * N_CONTEXT, "y"))
    assert error.value.failure == failures.TOO_LONG


def test_the_same_seed_writes_the_same_and_another_seed_something_else() -> None:
    chat = LocalChat(tiny_model(), tiny_tokenizer())

    def written(seed: int | None) -> str:
        call = chat.complete(PROMPTS[0], temperature=1.0, top_p=1.0, max_tokens=20, seed=seed)
        return asyncio.run(call).text

    assert written(1) == written(1)
    assert len({written(seed) for seed in range(8)}) > 1
    assert len({written(None) for _ in range(8)}) > 1


def test_sampling_draws_by_probability_within_top_p() -> None:
    logits = torch.log(torch.tensor([0.1, 0.5, 0.05, 0.35]))
    assert Sampler(0.0, 1.0, 0).choose(logits) == 1
    all_of_them, likeliest_two, likeliest = Sampler(1.0, 1.0, 0), Sampler(1.0, 0.8, 0), Sampler(1.0, 0.01, 0)
    drawn = [all_of_them.choose(logits) for _ in range(2000)]
    shares = [drawn.count(token) / len(drawn) for token in range(4)]
    assert shares == pytest.approx([0.1, 0.5, 0.05, 0.35], abs=0.04)
    assert {likeliest_two.choose(logits) for _ in range(200)} == {1, 3}
    assert {likeliest.choose(logits) for _ in range(20)} == {1}


def test_a_cancelled_completion_stops_writing_and_the_next_is_unharmed() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    has_begun = threading.Event()

    class SlowModel:
        n_calls = 0

        def __getattr__(self, name: str) -> object:
            return getattr(model, name)

        def eval(self) -> "SlowModel":
            return self

        def __call__(self, ids: torch.Tensor, **options: object) -> object:
            self.n_calls += 1
            has_begun.set()
            threading.Event().wait(0.02)
            return model(ids, **options)

    slow = SlowModel()
    chat = LocalChat(slow, tokenizer)

    async def cancel_early() -> None:
        call = asyncio.create_task(chat.complete(PROMPTS[0], temperature=0, top_p=1, max_tokens=250, seed=0))
        await asyncio.to_thread(has_begun.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel_early())
    assert slow.n_calls < 20
    assert completed(chat, PROMPTS[3]) == completed(LocalChat(model, tokenizer), PROMPTS[3])


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_local_explainer_is_loaded_once_from_its_folder(model_folder: Path, tmp_path: Path) -> None:
    models = ChatModels(tmp_path / "models", n_threads=1)
    by_path = models.chat_for(Explainer("local", str(model_folder)), ExplainerSettings())
    assert isinstance(by_path, LocalChat)
    assert completed(by_path, PROMPTS[0]) == completed(LocalChat(tiny_model(), tiny_tokenizer()), PROMPTS[0])
    by_setting = models.chat_for(Explainer("local", "tiny"), ExplainerSettings(local_path=str(model_folder)))
    assert by_setting is by_path


def test_an_explainer_that_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    models = ChatModels(tmp_path / "models")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(InvalidInput, match=r"config\.json"):
        models.chat_for(Explainer("local", str(tmp_path / "empty")), ExplainerSettings())
    with pytest.raises(InvalidInput, match="no language model can be loaded from"):
        models.chat_for(Explainer("local", str(tmp_path / "odd")), ExplainerSettings())
    with pytest.raises((InvalidInput, UnknownName)):
        models.chat_for(Explainer("none", ""), ExplainerSettings())
    assert isinstance(models.chat_for(Explainer("openai", "gpt-x"), ExplainerSettings()), OpenAIChat)


@pytest.mark.real_model
def test_the_bundled_model_explains_alike_with_and_without_what_it_remembers(bundled_folder: Path) -> None:
    chat = LocalChat.load(str(bundled_folder))
    pack = load_pack("default")
    prompts = [build_prompt(PROMPT_METHODS["highlight"], pack, shown) for shown in (golden_prompts.SHOWN, CAPITALS)]
    completed(chat, prompts[0])
    remembering = completed(chat, prompts[1])
    afresh = completed(LocalChat.load(str(bundled_folder)), prompts[1])
    assert remembering == afresh
    assert judged(remembering).text
    # The estimate for hosted models may be too high, never too low.
    assert remembering.n_prompt_tokens is not None
    assert remembering.n_prompt_tokens <= sum(estimated_tokens(message.content) for message in prompts[1]) + 8 * 5
