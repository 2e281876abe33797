"""Files of an export: whole or as they were before."""

from pathlib import Path

import pytest

from app.exchange.whole_files import whole_file, write_whole


def test_a_file_is_written_into_a_folder_made_for_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "file", b"content")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


def fail_in_the_middle(file: Path) -> None:
    with whole_file(file) as opened:
        opened.write(b"af")
        raise OSError(28, "No space left on device")


def test_an_earlier_file_stays_as_it_is_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_whole(file, b"before")
    with pytest.raises(OSError, match="No space"):
        fail_in_the_middle(file)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]
