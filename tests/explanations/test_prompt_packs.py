"""Loading prompt packs: what is read, and what a bad pack says."""

import json
import shutil
from pathlib import Path

import pytest

from app.errors import InvalidInput, UnknownName
from app.explanations.methods import PROMPT_METHODS
from app.explanations.prompt_packs import loading
from app.explanations.prompt_packs.loading import load_pack, with_few_shots

SHIPPED = Path(loading.__file__).parent / "default"


@pytest.fixture
def pack_folder(tmp_path: Path) -> Path:
    """A copy of the shipped pack, to spoil."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "mine"))


def test_the_shipped_pack_has_three_neurons_and_a_system_message_for_each_method() -> None:
    pack = load_pack("default")
    assert list(pack.system) == list(PROMPT_METHODS)
    assert [len(neuron.records) for neuron in pack.few_shots] == [5, 5, 4]
    assert all(20 <= len(record.tokens) <= 40 for neuron in pack.few_shots for record in neuron.records)
    first = pack.few_shots[0].records[0]
    assert first.tokens[:4] == ("By", " noon", " the", " melted")
    assert first.activations[:4].tolist() == [0.0, 0.0, 0.0, pytest.approx(0.8, abs=1e-3)]


def test_records_of_a_pack_cannot_be_written_to() -> None:
    activations = load_pack("default").few_shots[0].records[0].activations
    with pytest.raises(ValueError, match="read-only"):
        activations[0] = 1.0


def test_identity_is_the_name_and_a_hash_of_the_content(pack_folder: Path) -> None:
    shipped, copied = load_pack("default").identity, load_pack(str(pack_folder)).identity
    name, _, content_hash = shipped.partition("@")
    assert (name, len(content_hash)) == ("default", 12)
    assert copied == f"mine@{content_hash}"
    (pack_folder / "system" / "hs.txt").write_text("Other words.")
    assert load_pack(str(pack_folder)).identity not in (copied, shipped)


def test_line_endings_do_not_change_the_identity(pack_folder: Path) -> None:
    path = pack_folder / "system" / "hs.txt"
    before = load_pack(str(pack_folder)).identity
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_pack(str(pack_folder)).identity == before


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_a_pack_has_as_many_few_shot_neurons_as_it_has_files(pack_folder: Path, n: int) -> None:
    for number in (2, 3):
        (pack_folder / f"neuron-{number}.json").unlink()
    for number in range(1, n + 1):
        content = {"explanation": f"number {number}", "excerpts": [["a"], ["b", ["c", 2.5]]]}
        (pack_folder / f"neuron-{number}.json").write_text(json.dumps(content))
    few_shots = load_pack(str(pack_folder)).few_shots
    assert [each.explanation for each in few_shots] == [f"number {number}" for number in range(1, n + 1)]


@pytest.mark.parametrize(
    ("present", "complaint"),
    [
        ((1, 3), "neuron-2.json: the file is missing"),
        ((2, 3), "neuron-1.json: the file is missing"),
        ((), "neuron-1.json: the file is missing"),
        ((1, 2, 10), "neuron-10.json: expected neuron-1.json to neuron-9.json and no other"),
        ((1, "two"), "neuron-two.json: expected neuron-1.json to neuron-9.json and no other"),
    ],
)
def test_a_neuron_that_would_be_passed_over_is_named(
    pack_folder: Path, present: tuple[int | str, ...], complaint: str
) -> None:
    content = (pack_folder / "neuron-1.json").read_text()
    for path in pack_folder.glob("neuron-*.json"):
        path.unlink()
    for name in present:
        (pack_folder / f"neuron-{name}.json").write_text(content)
    with pytest.raises(InvalidInput) as error:
        load_pack(str(pack_folder))
    assert complaint in str(error.value)


@pytest.mark.parametrize("name", ["x" * 41, "my pack", "a+b", "é"])
def test_a_folder_name_that_cannot_be_part_of_a_name_is_refused(pack_folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="expected a name of up to 40 letters, digits, dots, _ and -"):
        load_pack(str(pack_folder.rename(pack_folder.with_name(name))))


def test_a_pack_can_be_asked_for_fewer_few_shot_neurons_and_not_for_more() -> None:
    pack = load_pack("default")
    assert with_few_shots(pack, None) == pack
    assert with_few_shots(pack, 2).few_shots == pack.few_shots[:2]
    with pytest.raises(InvalidInput, match="4 few-shot neurons; expected at most 3: default@"):
        with_few_shots(pack, 4)


def test_unknown_pack_lists_the_shipped_ones() -> None:
    with pytest.raises(
        UnknownName, match=r"no prompt pack 'fancy'; expected one of default, or a folder with a pack.json"
    ):
        load_pack("fancy")


def test_a_missing_file_is_named(pack_folder: Path) -> None:
    (pack_folder / "system" / "avhs.txt").unlink()
    with pytest.raises(InvalidInput, match=r"mine/system/avhs.txt: the file is missing"):
        load_pack(str(pack_folder))


def test_an_empty_file_is_named(pack_folder: Path) -> None:
    (pack_folder / "system" / "avhs.txt").write_text(" \n")
    with pytest.raises(InvalidInput, match=r"mine/system/avhs.txt: the file is empty"):
        load_pack(str(pack_folder))


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("pack.json", "{", "pack.json: the whole file: Invalid JSON"),
        ("pack.json", '{"cue": "it"}', "pack.json: zeros_left_out: Field required"),
        ("pack.json", '{"cue": "", "zeros_left_out": "z"}', "pack.json: cue: String should have at least 1 character"),
        ("pack.json", '{"cue": "c", "zeros_left_out": "z", "c": 1}', "pack.json: c: Extra inputs are not permitted"),
        (
            "neuron-2.json",
            json.dumps({"explanation": "cats.", "excerpts": [["a"], ["b"]]}),
            "neuron-2.json: explanation: a full stop at the end",
        ),
        (
            "neuron-3.json",
            json.dumps({"explanation": "cats", "excerpts": [["a"], ["b", ["c", "high"]]]}),
            "neuron-3.json: excerpts.1.1: expected a token, or a pair of token and activation",
        ),
        (
            "neuron-3.json",
            json.dumps({"explanation": "cats", "excerpts": [["a"]]}),
            "neuron-3.json: excerpts: List should have at least 2 items",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_file(pack_folder: Path, file: str, content: str, complaint: str) -> None:
    (pack_folder / file).write_text(content)
    with pytest.raises(InvalidInput) as error:
        load_pack(str(pack_folder))
    assert complaint in str(error.value)
