"""CSV files row by row: which cells they have, which line a row begins in, and what a broken one says."""

import gzip
from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.exchange.csv_files import BadRow, CsvRow, csv_files, whole_number


def rows_of(path: Path) -> list[tuple[int, dict[str, str] | str]]:
    """Line and cells, or line and reason."""
    (file,) = csv_files(path)
    return [
        (int(row.place.removeprefix(f"{path}, line ")), row.cells if isinstance(row, CsvRow) else row.reason)
        for row in file.rows()
    ]


def write(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "rows.csv").write_bytes(content)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [(2, {"a": "1", "b": "2"})]),
        (b"\xef\xbb\xbf A ,b\r\n1,2\r\n\r\n3,4", [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": "4"})]),
        (b'a,b\n" x, ""y""\nz ",\n5,6\n', [(2, {"a": ' x, "y"\nz ', "b": ""}), (4, {"a": "5", "b": "6"})]),
        (b",b\n0,x\n", [(2, {"": "0", "b": "x"})]),
        (b"a,b\nx\0y,2\n", [(2, {"a": "x\0y", "b": "2"})]),
        (b"a,b\n", []),
    ],
)
def test_rows_have_their_cells_by_column_and_begin_in_a_line(
    tmp_path: Path, content: bytes, rows: list[tuple[int, dict[str, str]]]
) -> None:
    assert rows_of(write(tmp_path, content)) == rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "1 cells; expected 2 as in the header"),
        (b"1,2,3", "3 cells; expected 2 as in the header"),
        (b"1,caf\xe9", "not UTF-8 text; expected a CSV file in UTF-8"),
        (b'"1"x,2', "not CSV (',' expected after '\"')"),
    ],
)
def test_a_broken_row_is_reported_and_those_around_it_are_read(tmp_path: Path, row: bytes, reason: str) -> None:
    path = write(tmp_path, b"a,b\n1,2\n" + row + b"\n3,4\n")
    assert rows_of(path) == [(2, {"a": "1", "b": "2"}), (3, reason), (4, {"a": "3", "b": "4"})]


def test_a_quote_that_is_never_closed_is_reported_where_it_opens(tmp_path: Path) -> None:
    path = write(tmp_path, b'a,b\n1,2\n3,"4\n5,6\n')
    assert rows_of(path) == [(2, {"a": "1", "b": "2"}), (3, "not CSV (unexpected end of data)")]


def test_packed_files_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "10.csv.gz").write_bytes(gzip.compress(b"a\n3\n"))
    (tmp_path / "in" / "9.csv").write_bytes(b"a\n1\n2\n")
    files = csv_files(tmp_path / "in")
    assert [row.cells["a"] for file in files for row in file.rows() if isinstance(row, CsvRow)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a CSV file that begins with the names of its columns"),
        (b"\n \n", "is empty; expected a CSV file"),
        (b"a,A\n1,2\n", "line 1: the column 'a' is there twice; expected it once"),
        (b'"a"b\n', "line 1: not CSV"),
    ],
)
def test_a_file_without_a_usable_header_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        csv_files(write(tmp_path, content))
    assert message in str(raised.value)


def test_a_file_that_is_cut_off_in_the_middle_is_an_error(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\n" + b"".join(b"%d\n" % number for number in range(100_000)))
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    (file,) = csv_files(tmp_path / "cut.csv.gz")
    with pytest.raises(InvalidInput, match="not a whole gzip file"):
        list(file.rows())


def test_a_cell_too_large_to_be_a_text_spoils_its_row(tmp_path: Path) -> None:
    (file,) = csv_files(write(tmp_path, b"a\n" + b"x" * 1_000_001 + b"\n1\n"))
    rows = list(file.rows())
    assert isinstance(rows[0], BadRow)
    assert rows[0].reason.startswith("not CSV (field larger than field limit")
    assert rows[-1] == CsvRow(f"{file.path}, line 3", {"a": "1"})


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", "²", "1 2", "9999999999"])
def test_a_number_is_whole_and_from_0(text: str) -> None:
    assert whole_number(" 07 ", "layer") == 7
    with pytest.raises(InvalidInput, match="the layer is "):
        whole_number(text, "layer")
