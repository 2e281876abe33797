"""Finding and reading the JSON files of an import."""

import gzip
from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.exchange.json_files import MOST_BYTES, files_below, read_json, read_json_lines


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    make_files(tmp_path, "10/2.json", "2/10.json", "2/9.json", "2/b/1.json", "2/3.json.gz", "2/note.txt", "2/1.jsonl")
    found = [str(file.relative_to(tmp_path)) for file in files_below(tmp_path, ".json")]
    assert found == ["2/3.json.gz", "2/9.json", "2/10.json", "2/b/1.json", "10/2.json"]


def test_hidden_files_stay_out(tmp_path: Path) -> None:
    make_files(tmp_path / ".here", "0/._1.json", "0/1.json", ".cache/2.json")
    assert files_below(tmp_path / ".here", ".json") == [tmp_path / ".here" / "0" / "1.json"]


def test_a_single_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    make_files(tmp_path, "record")
    assert files_below(tmp_path / "record", ".json") == [tmp_path / "record"]


def test_a_file_that_is_too_large_is_refused_packed_or_not(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (tmp_path / "large.json.gz").write_bytes(gzip.compress(bytes(MOST_BYTES + 1), compresslevel=1))
    for name in ("large.json", "large.json.gz"):
        with pytest.raises(InvalidInput, match="the file has more than 64 MiB"):
            read_json(tmp_path / name)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.write(b"7" + b" " * (MOST_BYTES - 1))
    assert read_json(tmp_path / "large.json") == 7


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the file cannot be read: No such file"):
        read_json(tmp_path / "gone.json")


def test_lines_keep_their_numbers_and_a_wrong_one_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(b'\n{"a": 1}\r\n{\n  \n[2]')
    (first, one), (second, wrong), (third, two) = read_json_lines(tmp_path / "lines.jsonl")
    assert (first, second, third) == (2, 3, 5)
    assert (one, two) == ({"a": 1}, [2])
    assert isinstance(wrong, InvalidInput)
