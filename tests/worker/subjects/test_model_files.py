"""Finding a model's files, and the cache of converted ones."""

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers import LlamaForCausalLM

from app.errors import InvalidInput, Unavailable, UnknownName
from tests.worker.conftest import MakeModel
from worker.subjects.model_files import BUNDLED, ModelFiles, find_model, slug_of, transformers_folder


def test_a_folder_has_a_revision_that_changes_with_its_files(tiny_model: MakeModel) -> None:
    folder = tiny_model("llama")
    before = find_model(str(folder))
    assert (before.name, before.path) == ("tiny-llama", folder)
    assert find_model(str(folder)) == before

    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")

    assert find_model(str(folder)).revision != before.revision


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Qwen/Qwen2.5_0.5B", "qwen-qwen2.5-0.5b"),
        ("SmolLM2-135M.Q4_1", "smollm2-135m.q4-1"),
        ("-x-", "x"),
        ("日本", "model"),
    ],
)
def test_a_model_is_named_after_its_files(name: str, slug: str) -> None:
    assert slug_of(ModelFiles(name, Path(), "")) == slug


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("not a model")

    with pytest.raises(InvalidInput, match=r"has no config\.json; expected a model saved by transformers"):
        find_model(str(tmp_path))
    with pytest.raises(InvalidInput, match=r"notes\.gguf is not a GGUF file"):
        find_model(str(tmp_path / "notes.gguf"))
    with pytest.raises(InvalidInput, match=r"there is no model \./nothing/here/at-all: no such folder or \.gguf file"):
        find_model("./nothing/here/at-all")


def test_a_damaged_gguf_file_is_refused_and_leaves_no_half_converted_model(tmp_path: Path) -> None:
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF" + bytes(100))
    models = tmp_path / "models"

    with pytest.raises(InvalidInput, match=r"damaged\.gguf cannot be read as a model"):
        transformers_folder(find_model(str(tmp_path / "damaged.gguf")), models)

    assert [path.name for path in models.iterdir()] == ["lock"]


@pytest.mark.real_model
def test_the_bundled_model_is_converted_once(bundled_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundled_folder.iterdir()}
    assert {path.name for path in before} >= {"config.json", "model.safetensors", "tokenizer.json"}

    assert transformers_folder(find_model(BUNDLED), bundled_folder.parent) == bundled_folder

    assert {path: path.stat().st_mtime_ns for path in bundled_folder.iterdir()} == before
    assert sorted(path.name for path in bundled_folder.parent.iterdir()) == ["lock", bundled_folder.name]


def write_gguf(path: Path, last_token: str = "Ġt") -> None:
    """A Llama with one layer, as small as the reader takes it."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(257)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*sorted(pre_tokenizers.ByteLevel.alphabet()), last_token])
    writer.add_token_types([1] * 257)
    writer.add_token_merges(["Ġ t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    generator = np.random.default_rng(0)
    shapes = {
        "token_embd": (257, 32),
        "output_norm": (32,),
        "output": (257, 32),
        "blk.0.attn_norm": (32,),
        "blk.0.attn_q": (32, 32),
        "blk.0.attn_k": (32, 32),
        "blk.0.attn_v": (32, 32),
        "blk.0.attn_output": (32, 32),
        "blk.0.ffn_norm": (32,),
        "blk.0.ffn_gate": (64, 32),
        "blk.0.ffn_up": (64, 32),
        "blk.0.ffn_down": (32, 64),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_what_a_killed_conversion_left_is_cleared_and_never_used(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    files = find_model(str(tmp_path / "tiny.gguf"))
    models = tmp_path / "models"
    half_written = models / (files.revision.replace(":", "-") + ".partial")
    half_written.mkdir(parents=True)
    (half_written / "model.safetensors").write_bytes(b"half")

    folder = transformers_folder(files, models)

    assert not half_written.exists()
    assert (folder / "model.safetensors").stat().st_size > 1000
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}


def test_a_gguf_file_with_a_damaged_tokenizer_is_refused_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A token that is there twice: the library behind the reader panics, which is no exception in Python.
    write_gguf(tmp_path / "tiny.gguf", last_token="a")
    models = tmp_path / "models"

    with pytest.raises(InvalidInput, match=r"tiny\.gguf cannot be read as a model: ") as error:
        transformers_folder(find_model(str(tmp_path / "tiny.gguf")), models)

    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
    assert [path.name for path in models.iterdir()] == ["lock"]


def test_a_gguf_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    content = (tmp_path / "tiny.gguf").read_bytes()
    for n_bytes in (3000, len(content) - 4000):
        (tmp_path / "cut.gguf").write_bytes(content[:n_bytes])

        with pytest.raises(InvalidInput, match=r"cut\.gguf cannot be read as a model: "):
            transformers_folder(find_model(str(tmp_path / "cut.gguf")), tmp_path / "models")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to("/proc/self/mem")

    with pytest.raises(InvalidInput, match=r"tiny\.gguf cannot be read: Input/output error$"):
        find_model(str(tmp_path / "tiny.gguf"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "models").write_text("no folder")

    with pytest.raises(Unavailable, match=r"^the converted model cannot be kept in .*/models: .*; expected a folder"):
        transformers_folder(find_model(str(tmp_path / "tiny.gguf")), tmp_path / "models")


def test_a_full_disk_while_a_model_is_converted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "tiny.gguf")

    def full(model: Any, folder: Path) -> None:
        folder.mkdir()
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        transformers_folder(find_model(str(tmp_path / "tiny.gguf")), tmp_path / "models")

    assert [path.name for path in (tmp_path / "models").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (GatedRepoError, Unavailable, "accept it on the model's page of the hub, and set HF_TOKEN"),
        (RepositoryNotFoundError, UnknownName, "the hub has none"),
    ],
)
def test_a_model_that_the_hub_does_not_give_says_why(
    error: type[Exception], kind: type[Exception], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> str:
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(kind, match=reason):
        find_model("somebody/some-model")
