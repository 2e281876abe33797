"""From files to documents: which bytes count as text, and what becomes of those that do not."""

import json
from pathlib import Path

import pytest

from app.errors import InvalidInput
from worker.texts.corpus import open_text


def test_a_text_file_is_one_document_and_a_line_of_jsonl_is_one(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "three", "id": 3}) + "\n\n" + json.dumps({"text": "four\u2028"})
    )
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.txt").write_text("five")
    (tmp_path / "ignored.md").write_text("six")

    assert list(open_text(str(tmp_path / "b.txt")).documents()) == ["one\ntwo\n"]
    assert list(open_text(str(tmp_path)).documents()) == ["three", "four\u2028", "one\ntwo\n", "five"]
    assert open_text(str(tmp_path / "b.txt")).name == "b.txt"


def read(path: Path) -> tuple[list[str], int]:
    text = open_text(str(path))
    return list(text.documents()), text.n_invalid_bytes


@pytest.mark.parametrize(
    ("content", "document", "n_invalid"),
    [
        (b"caf\xc3\xa9", "café", 0),
        (b"caf\xe9 au lait", "caf\ufffd au lait", 1),
        (b"\xef\xbb\xbfcaf\xe9", "caf\ufffd", 1),
        # The first two bytes of a sign of three, then a byte that begins nothing.
        (b"half \xe6\x97 and \xff", "half \ufffd\ufffd and \ufffd", 3),
        # Half a surrogate pair written as if it were a character, and the replacement character itself.
        (b"pair \xed\xa0\x80, sign \xef\xbf\xbd", "pair \ufffd\ufffd\ufffd, sign \ufffd", 3),
    ],
)
def test_bytes_that_are_not_utf8_are_replaced_and_counted(
    content: bytes, document: str, n_invalid: int, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_bytes(content)

    assert read(tmp_path / "words.txt") == ([document], n_invalid)


def test_bytes_that_are_not_utf8_are_counted_in_lines_of_jsonl_and_over_all_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    (tmp_path / "b.txt").write_bytes(b"na\xefve\xff")

    assert read(tmp_path) == (["fine", "caf\ufffd", "na\ufffdve\ufffd"], 3)


def test_half_a_surrogate_pair_in_json_becomes_the_replacement_character(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(r'{"text": "half \ud83d whole \ud83d\ude00 other \ude00"}')

    assert read(tmp_path / "a.jsonl") == (["half \ufffd whole \U0001f600 other \ufffd"], 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xe9\xe8" * 50 + b"e" * 99, r"100 of its 199 bytes are not UTF-8$"),
        ("A text in UTF-16.".encode("utf-16-le"), r"17 of its 34 bytes are 0; expected UTF-8$"),
        (b"\x7fELF" + bytes(60) + b"code" * 10, r"60 of its 104 bytes are 0; expected UTF-8$"),
    ],
)
@pytest.mark.parametrize("name", ["words.txt", "words.jsonl"])
def test_a_file_that_is_no_text_is_refused_by_its_name(content: bytes, reason: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "fine.txt").write_text("fine")
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidInput, match=rf"{name} is no text: {reason}"):
        open_text(str(tmp_path))


def test_half_of_the_bytes_and_a_few_nul_characters_still_make_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xe9" * 50 + b"e" * 50)
    (tmp_path / "b.txt").write_bytes(b"\0" + b"e" * 99)

    assert read(tmp_path) == (["\ufffd" * 50 + "e" * 50, "\0" + "e" * 99], 50)


def test_an_empty_file_is_an_empty_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()

    assert read(tmp_path / "a.txt") == ([""], 0)


def test_the_hash_is_of_the_bytes_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 and more")
    before = open_text(str(tmp_path / "a.txt")).hash

    (tmp_path / "a.txt").write_bytes(b"caf\xe8 and more")

    assert open_text(str(tmp_path / "a.txt")).hash != before


def test_the_built_in_text_has_no_invalid_bytes() -> None:
    assert open_text("python-docs").n_invalid_bytes == 0
