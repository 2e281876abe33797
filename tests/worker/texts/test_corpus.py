"""From text to excerpts: sources, cutting, drawing, the texts of tokens, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from app.errors import InvalidInput
from tests.worker.conftest import SENTENCE
from worker.texts import corpus, python_docs
from worker.texts.corpus import Excerpts, Text, cut_excerpts, open_text, token_texts


def text_of(*documents: str) -> Text:
    def read() -> Iterator[str]:
        yield from documents

    return Text("words", "0" * 64, read)


def cut(text: Text, tokenizer: Any, n_excerpts: int = 1000, seed: int = 0, length: int = 8) -> Excerpts:
    return cut_excerpts(text, tokenizer, n_excerpts=n_excerpts, seed=seed, length=length)


def test_excerpts_know_how_many_bytes_of_their_text_were_invalid(tmp_path: Path, tiny_tokenizer: Any) -> None:
    (tmp_path / "words.txt").write_bytes(SENTENCE.encode() * 3 + b"caf\xe9\xe9 " + SENTENCE.encode())

    excerpts = cut(open_text(str(tmp_path / "words.txt")), tiny_tokenizer)

    assert excerpts.n_invalid_bytes == 2
    assert cut(text_of(SENTENCE * 3), tiny_tokenizer).n_invalid_bytes == 0


def test_documents_are_cut_into_windows_that_follow_each_other_and_never_cross(tiny_tokenizer: Any) -> None:
    documents = [SENTENCE * 3, "short", SENTENCE * 5]

    excerpts = cut(text_of(*documents), tiny_tokenizer)

    expected = set()
    for document in documents:
        ids = tiny_tokenizer(document)["input_ids"]
        expected |= {tuple(ids[start : start + 8]) for start in range(0, len(ids) - 7, 8)}
    assert excerpts.token_ids.dtype == np.int32
    assert {tuple(ids) for ids in excerpts.token_ids.tolist()} == expected
    assert excerpts.n_available == len(excerpts.token_ids)


def test_how_many_documents_are_read_at_once_decides_nothing(
    tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_of(*(SENTENCE * n_sentences for n_sentences in range(9)), "short")
    at_once = cut(text, tiny_tokenizer)
    n_read: list[int] = []

    def tokenizer(documents: list[str], **options: Any) -> Any:
        n_read.append(len(documents))
        return tiny_tokenizer(documents, **options)

    tokenizer.backend_tokenizer = tiny_tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    monkeypatch.setattr(corpus, "N_DOCUMENTS_AT_ONCE", 4)
    in_groups = cut(text, tokenizer)

    assert n_read == [4, 4, 1]
    assert np.array_equal(in_groups.token_ids, at_once.token_ids)
    assert in_groups.hash == at_once.hash


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    # A file whose first byte cannot be read, whoever asks.
    (tmp_path / "words.txt").symlink_to("/proc/self/mem")

    with pytest.raises(InvalidInput, match=r"words\.txt cannot be read: Input/output error$"):
        open_text(str(tmp_path / "words.txt"))


def test_excerpts_are_drawn_without_replacement_and_the_seed_decides_which(tiny_tokenizer: Any) -> None:
    text = text_of(" ".join(str(number) for number in range(1000)))

    drawn = [cut(text, tiny_tokenizer, n_excerpts=20, seed=seed).token_ids.tolist() for seed in (0, 0, 1)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len({tuple(ids) for ids in drawn[0]}) == 20


def test_a_smaller_draw_is_the_beginning_of_a_larger_one(tiny_tokenizer: Any) -> None:
    text = text_of(" ".join(str(number) for number in range(1000)))

    small, large = (cut(text, tiny_tokenizer, n_excerpts=n_excerpts) for n_excerpts in (5, 50))

    assert np.array_equal(small.token_ids, large.token_ids[:5])


def test_the_hash_changes_with_everything_that_makes_a_corpus(tiny_tokenizer: Any) -> None:
    text = text_of(SENTENCE * 20)
    corpora = [
        cut(text, tiny_tokenizer, n_excerpts=5),
        cut(text_of(SENTENCE[1:] * 20), tiny_tokenizer, n_excerpts=5),
        cut(text, tiny_tokenizer, n_excerpts=5, seed=1),
        cut(text, tiny_tokenizer, n_excerpts=5, length=4),
        cut(text, tiny_tokenizer, n_excerpts=4),
    ]

    assert len({corpus.hash for corpus in corpora}) == len(corpora)
    assert cut(text, tiny_tokenizer, n_excerpts=5).hash == corpora[0].hash


def test_token_texts_of_byte_level_tokens_join_to_the_text(tiny_tokenizer: Any) -> None:
    text = " The cat\n\tsat  on <it> & 'them'."
    ids = tiny_tokenizer(text)["input_ids"]

    texts = token_texts(tiny_tokenizer, ids)

    assert "".join(texts[token] for token in ids) == text
    assert " cat" in texts.values()


def test_half_a_character_becomes_the_replacement_character(tiny_tokenizer: Any) -> None:
    ids = tiny_tokenizer("日")["input_ids"]

    assert [token_texts(tiny_tokenizer, [token])[token] for token in ids] == ["�"] * 3


def test_special_tokens_keep_their_names() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "<|end|>": 1}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])

    assert token_texts(PreTrainedTokenizerFast(tokenizer_object=tokenizer), [0, 1]) == {0: "a", 1: "<|end|>"}


def test_sentencepiece_tokens_keep_their_leading_space() -> None:
    pieces = {"▁the": 0, "▁": 1, "cat": 2, "<0xE2>": 3, "<0x0A>": 4, "▁▁▁": 5, "<s>": 6, "<0x00>": 7}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=[], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])

    texts = token_texts(PreTrainedTokenizerFast(tokenizer_object=tokenizer), range(8))

    assert texts == {0: " the", 1: " ", 2: "cat", 3: "�", 4: "\n", 5: "   ", 6: "<s>", 7: "␀"}


def test_the_hash_of_a_text_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab")
    (tmp_path / "b.txt").write_text("c")
    before = open_text(str(tmp_path)).hash
    assert open_text(str(tmp_path)).hash == before

    # The same characters in a row, but the border between the documents has moved.
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("bc")

    assert open_text(str(tmp_path)).hash != before


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("bad.jsonl", b'{"text": "fine"}\n{"text": ', r"bad\.jsonl, line 2: not JSON \(Expecting value\)"),
        ("bad.jsonl", b"[" * 100_000, r"bad\.jsonl, line 1: not JSON \(maximum recursion depth exceeded.*\)"),
        ("bad.jsonl", b'["text"]\n', r'bad\.jsonl, line 1: expected an object with the field "text", a string'),
        ("bad.jsonl", b'{"text": 3}\n', r'bad\.jsonl, line 1: expected an object with the field "text", a string'),
        ("bad.jsonl", b'{"words": "x"}\n', r'bad\.jsonl, line 1: expected an object with the field "text", a string'),
        ("empty.txt", b" \n", r"the corpus empty\.txt is empty; expected text"),
        ("empty.jsonl", b"", r"the corpus empty\.jsonl is empty; expected text"),
        ("short.txt", b"cat", r"the corpus short\.txt has no document of 8 tokens, the length of one excerpt"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_line(
    file: str, content: bytes, reason: str, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    (tmp_path / file).write_bytes(content)

    with pytest.raises(InvalidInput, match=f"{reason}$"):
        cut(open_text(str(tmp_path / file)), tiny_tokenizer)


def test_nul_characters_become_their_sign_in_the_texts_of_tokens(tmp_path: Path, tiny_tokenizer: Any) -> None:
    (tmp_path / "words.jsonl").write_text(json.dumps({"text": f"one\0two {SENTENCE}"}))

    texts = cut(open_text(str(tmp_path / "words.jsonl")), tiny_tokenizer).token_texts

    assert "\u2400" in texts.values()
    assert not [text for text in texts.values() if "\0" in text]


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.pdf").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(
        InvalidInput, match=r"there is no text nothing; expected a \.txt, a \.jsonl, a folder of these or"
    ):
        open_text("nothing")
    with pytest.raises(InvalidInput, match=r"words\.pdf is neither a \.txt nor a \.jsonl"):
        open_text(str(tmp_path / "words.pdf"))
    with pytest.raises(InvalidInput, match=r"empty has no \.txt and no \.jsonl in it"):
        open_text(str(tmp_path / "empty"))


def test_python_docs_is_prose_of_the_interpreter_in_a_fixed_order() -> None:
    files = python_docs.source_files()
    assert files == python_docs.source_files()
    assert files[0].name == "topics.py"
    assert not [file for file in files if "test" in file.parts or "site-packages" in file.parts]

    # The whole is read in the test of the bundled model; here the topics and one module.
    json_module = next(file for file in files if file.parts[-2:] == ("json", "__init__.py"))
    documents = list(python_docs.documents([files[0], json_module]))

    assert len(documents) > 50
    assert any("short-circuit" in topic or "if" in topic for topic in documents)
    assert "JSON (JavaScript Object Notation)" in documents[-1]
    assert not any(">>>" in document or "  " in document for document in documents)


def test_prose_is_paragraphs_of_sentences_each_in_one_line() -> None:
    text = """The "for" statement
*******************

The "for" statement is used to iterate over the
elements of a sequence (such as a string, tuple or list).

   for_stmt ::= "for" target_list "in" expression_list

See also:

An assignment in the suite of the loop replaces
   the variables of the target list.

>>> print("an example of some words in a row is not what we want here.")
"""
    assert python_docs.prose(text) == (
        'The "for" statement is used to iterate over the elements of a sequence (such as a string, tuple or list).\n'
        "An assignment in the suite of the loop replaces the variables of the target list."
    )


def test_python_docs_takes_a_repeated_docstring_once_and_passes_over_what_is_not_python(tmp_path: Path) -> None:
    same = "The same words stand in two modules, one like the other."
    (tmp_path / "a.py").write_text(
        f'"""This module comes first and has a function of its own."""\ndef f():\n    "{same}"\n'
    )
    (tmp_path / "b.py").write_text(f'"""Module b."""\nclass C:\n    "{same}"\n')
    (tmp_path / "c.py").write_text("@template@ is filled in later\n")

    documents = list(python_docs.documents(sorted(tmp_path.glob("*.py"))))

    assert documents == [f"This module comes first and has a function of its own.\n{same}", "", ""]
