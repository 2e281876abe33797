"""The simulator that reads all tokens at once, against transformers reading each excerpt's whole text by itself."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from app.errors import InvalidInput
from app.explanations import failures
from app.explanations.prompt_packs.loading import load_pack
from app.puzzles.loading import load_puzzles
from tests.worker.conftest import tiny_config
from tests.worker.explaining.tiny_model import tiny_tokenizer
from tests.worker.scoring.fakes import FEW_SHOTS
from worker.explaining.chat import CallFailed
from worker.explaining.local_chat import LocalChat
from worker.scoring.simulating.all_at_once import AllAtOnce
from worker.scoring.simulating.simulation import Simulation
from worker.scoring.simulating.tabbed_layout import TabbedLayout

EXCERPTS = [("The", " cat", " s", "at", "."), ("x",), ("Two", " lines", "\n", "\t", " 7", " näh", "", "end")]
VISIBLE_LINES = [["The", " cat", " s", "at", "."], ["x"], ["Two", " lines", "\\n", "\\t", " 7", " näh", "", "end"]]
TEXT = "Cats and all that belongs to them."
TOLERANCE = 1e-4

ARCHITECTURES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("gpt2", {"n_positions": 2048}),
    ("opt", {"word_embed_proj_dim": 16}),
    # Attention that forgets all but a window of tokens, so that no beginning can be kept.
    ("mistral", {"sliding_window": 24}),
    # Logits that are scaled, so that the head alone does not give them.
    ("cohere", {"logit_scale": 0.3}),
    ("gemma2", {"final_logit_softcapping": 2.0, "sliding_window": 24}),
]


def tiny_causal_model(model_type: str = "llama", **changes: Any) -> Any:
    torch.manual_seed(0)
    changes = {"vocab_size": 260, "max_position_embeddings": 2048} | changes
    if "n_positions" in changes:
        changes.pop("max_position_embeddings")
    return AutoModelForCausalLM.from_config(tiny_config(model_type, **changes)).eval()


def simulated(simulator: AllAtOnce, excerpts: list[tuple[str, ...]], text: str = TEXT) -> Simulation:
    return asyncio.run(simulator.simulate(text, excerpts, attempt=0))


def read_whole(model: Any, tokenizer: Any, text: str, lines: list[str], beginning: str) -> list[float]:
    """The prompt of one excerpt as one text of bytes, read at once: the expected number after the tab of each line."""
    excerpt = "unknown\n".join(f"{line}\t" for line in lines)
    before = f"{beginning}\nNeuron 4\nDescription: {text}\n<start>\n"
    prompt = before + excerpt
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    assert ids.shape[1] == len(prompt.encode())
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0]
    tabs = [found.start() for found in re.finditer(b"\t", prompt.encode()) if found.start() >= len(before.encode())]
    digits = [tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    probabilities = torch.softmax(logits[tabs][:, digits], dim=-1)
    return (probabilities @ torch.arange(10.0)).tolist()


@pytest.mark.parametrize(("model_type", "changes"), ARCHITECTURES)
def test_equals_transformers_reading_each_excerpt_by_itself(model_type: str, changes: dict[str, Any]) -> None:
    model, tokenizer = tiny_causal_model(model_type, **changes), tiny_tokenizer()
    simulator = AllAtOnce(LocalChat(model, tokenizer), FEW_SHOTS)
    beginning = tokenizer.decode(TabbedLayout(tokenizer, FEW_SHOTS).beginning(2))
    # The second explanation is read behind a beginning that the first has left, and must not see the first.
    for text in ("Something else, and longer than what comes after it", TEXT):
        found = simulated(simulator, EXCERPTS, text).expected
        assert found is not None
        for values, lines, excerpt in zip(found, VISIBLE_LINES, EXCERPTS, strict=True):
            expected = read_whole(model, tokenizer, text, lines, beginning)
            assert len(values) == len(expected) == len(excerpt)
            assert np.abs(values - np.array(expected)).max() < TOLERANCE
    assert np.ptp(np.concatenate(found)) > 0.1


@pytest.mark.real_model
def test_equals_transformers_for_the_bundled_model(bundled_folder: Path) -> None:
    chat = LocalChat.load(str(bundled_folder))
    # Two excerpts of each few-shot neuron are enough, and take half the time.
    few_shots = [replace(few_shot, records=few_shot.records[:2]) for few_shot in load_pack("default").few_shots]
    puzzle = load_puzzles()[0]
    excerpts = [record.tokens for record in (puzzle.records.top[0], puzzle.records.random[1])]
    found = simulated(AllAtOnce(chat, few_shots), excerpts, f"{puzzle.truth}.")
    assert found.details == {"scale": "0-9", "n_few_shot_excerpts": 2}
    layout = TabbedLayout(chat.tokenizer, few_shots)
    digits = [chat.tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    assert found.expected is not None
    for values, excerpt in zip(found.expected, excerpts, strict=True):
        ids = torch.tensor([layout.beginning(2) + layout.heading(f"{puzzle.truth}.") + layout.row(excerpt).token_ids])
        with torch.no_grad():
            logits = chat.model(ids, use_cache=False).logits[0]
        # The places are found anew: tabs of the last part, in which every token has one.
        tabs = (ids[0] == chat.tokenizer.convert_tokens_to_ids("ĉ")).nonzero()[:, 0][-len(excerpt) :]
        expected = torch.softmax(logits[tabs][:, digits], dim=-1) @ torch.arange(10.0)
        assert np.abs(values - expected.numpy()).max() < TOLERANCE
        assert tabs[-1] == ids.shape[1] - 1


def test_the_prompt_reads_as_lines_of_tokens_and_values() -> None:
    tokenizer = tiny_tokenizer()
    layout = TabbedLayout(tokenizer, FEW_SHOTS)
    beginning = tokenizer.decode(layout.beginning(2))
    assert beginning[beginning.index("\nNeuron 1") :] == (
        "\nNeuron 1\nDescription: Cats.\n"
        "<start>\nA\t0\n cat\t9\n!\t2\n<end>\n"
        "<start>\nNo\tunknown\n dog\t1\n<end>\n"
        "\nNeuron 2\nDescription: Amounts.\n"
        "<start>\none\t0\n two\t9\n\\n\t5\n<end>\n"
        "<start>\n3\tunknown\n or\tunknown\n 4\tunknown\n x\t0\n<end>\n"
        "\nNeuron 3\nDescription: The beginning of a reversal.\n"
        "<start>\nit\t0\n un\t9\ndo\t0\nes\t0\n<end>\n"
        "<start>\nre\tunknown\ndo\t0\n<end>\n"
    )
    row = layout.row(EXCERPTS[2])
    assert tokenizer.decode(layout.heading(TEXT) + row.token_ids) == (
        f"\nNeuron 4\nDescription: {TEXT}\n<start>\nTwo\tunknown\n lines\tunknown\n\\n\tunknown\n\\t\tunknown\n"
        " 7\tunknown\n näh\tunknown\n\tunknown\nend\t"
    )


def tokenizer_with_ten() -> Any:
    """Bytes, and the token `10`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: number for number, text in enumerate([*alphabet, "10"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("1", "0")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_with_a_token_for_ten_the_scale_goes_up_to_ten() -> None:
    model, tokenizer = tiny_causal_model(), tokenizer_with_ten()
    layout = TabbedLayout(tokenizer, FEW_SHOTS)
    assert tokenizer.convert_ids_to_tokens(layout.number_ids) == [str(value) for value in range(11)]
    assert "A\t0\n cat\t10\n!\t2\n" in tokenizer.decode(layout.beginning(2))
    found = simulated(AllAtOnce(LocalChat(model, tokenizer), FEW_SHOTS), EXCERPTS[:1])
    assert found.details["scale"] == "0-10"
    ids = layout.beginning(2) + layout.heading(TEXT) + layout.row(EXCERPTS[0]).token_ids
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    expected = float(torch.softmax(logits[layout.number_ids], dim=0) @ torch.arange(11.0))
    assert found.expected is not None
    assert found.expected[0][-1] == pytest.approx(expected, abs=TOLERANCE)


def test_a_tokenizer_that_puts_blanks_before_texts_gets_no_blank_before_values() -> None:
    pieces = ["▁", "<unk>", *"\n\t<>.:,0123456789", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    layout = TabbedLayout(tokenizer, FEW_SHOTS)
    assert tokenizer.convert_ids_to_tokens(layout.number_ids) == list("0123456789")
    row = layout.row(("a", " b"))
    shown = tokenizer.convert_ids_to_tokens(row.token_ids)
    assert [shown[place] for place in row.value_places] == ["\t", "\t"]
    assert "".join(shown).endswith("\na\tunknown\n▁b\t")


def test_a_tokenizer_without_single_digits_cannot_simulate() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "10": 1, "\t": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    with pytest.raises(InvalidInput, match="no token of its own for each of 0 to 9"):
        AllAtOnce(LocalChat(tiny_causal_model(), tokenizer), FEW_SHOTS)


def test_a_tokenizers_own_beginning_of_texts_begins_the_prompt_once() -> None:
    tokenizer = tiny_tokenizer()
    plain = TabbedLayout(tokenizer, FEW_SHOTS)
    beginner = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    beginner.post_processor = TemplateProcessing(single="<eos> $A", special_tokens=[("<eos>", 256)])
    begun = TabbedLayout(PreTrainedTokenizerFast(tokenizer_object=beginner), FEW_SHOTS)
    assert begun.beginning(2) == [256, *plain.beginning(2)]
    assert begun.heading(TEXT) == plain.heading(TEXT)
    assert begun.row(EXCERPTS[0]) == plain.row(EXCERPTS[0])


def counted_passes(model: Any) -> list[tuple[int, ...]]:
    """Shapes of the token ids that the model reads from now on."""
    shapes: list[tuple[int, ...]] = []

    def note(_: Any, arguments: tuple[torch.Tensor, ...], options: dict[str, Any]) -> None:
        ids = arguments[0] if arguments else options["input_ids"]
        shapes.append(tuple(ids.shape))

    model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


def test_one_pass_reads_all_excerpts_and_the_beginning_is_read_once() -> None:
    model, tokenizer = tiny_causal_model(), tiny_tokenizer()
    layout = TabbedLayout(tokenizer, FEW_SHOTS)
    simulator = AllAtOnce(LocalChat(model, tokenizer), FEW_SHOTS)
    shapes = counted_passes(model)
    first = simulated(simulator, EXCERPTS)
    n_before = len(shapes)
    second = simulated(simulator, EXCERPTS[:2], "Other")
    lengths = [len(layout.row(excerpt).token_ids) for excerpt in EXCERPTS]
    n_beginning, n_heading, n_other = (
        len(ids) for ids in (layout.beginning(2), layout.heading(TEXT), layout.heading("Other"))
    )
    # Two short passes find out whether the head may be cut to the numbers.
    assert shapes[:n_before] == [(1, 4), (1, 4), (1, n_beginning), (1, n_heading), (3, max(lengths))]
    assert shapes[n_before:] == [(1, n_other), (2, max(lengths[:2]))]
    assert first.spent.n_prompt_tokens == n_beginning + n_heading + sum(lengths)
    assert (second.spent.n_completion_tokens, second.spent.cost_usd) == (0, 0.0)


def test_an_excerpt_too_long_for_the_model_fails_by_name() -> None:
    simulator = AllAtOnce(LocalChat(tiny_causal_model(), tiny_tokenizer()), FEW_SHOTS)
    with pytest.raises(CallFailed) as error:
        simulated(simulator, [("word",) * 200])
    assert error.value.failure == failures.TOO_LONG
    assert "the model reads 2048" in error.value.detail


def test_examples_are_left_out_where_they_would_fill_a_small_model() -> None:
    tokenizer = tiny_tokenizer()
    n_small, n_large = (len(TabbedLayout(tokenizer, FEW_SHOTS).beginning(n)) for n in (1, 2))
    small = LocalChat(tiny_causal_model(max_position_embeddings=int((n_small + n_large) / 2 / 0.6)), tokenizer)
    assert simulated(AllAtOnce(small, FEW_SHOTS), [("x",)]).details["n_few_shot_excerpts"] == 1


def test_nothing_to_predict_is_nothing_predicted() -> None:
    simulator = AllAtOnce(LocalChat(tiny_causal_model(), tiny_tokenizer()), FEW_SHOTS)
    assert simulated(simulator, []).expected == ()
