"""Neurons as people list them: every way to get one wrong is named with file, line and reason."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput
from app.neurons.lists import ListedNeurons, first_reasons, layer_numbers, listed_neurons, read_csv, whole_number
from app.neurons.models import MLP, Neuron
from tests.factories import make_neuron, make_subject


def test_reads_neurons_by_layer_and_index_of_one_subject(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        first, second = make_neuron(session, subject, 0, 2), make_neuron(session, subject, 1, 0)
        make_neuron(session, make_subject(session, "other"), 1, 0)
        text = '\ufeffscore,Layer,Neuron\n0.5,1,0\n"0,6", 0 ,2\n\n'
        assert listed_neurons(session, subject, ListedNeurons("n.csv", text)) == [second, first]


@pytest.mark.parametrize("text", ["1,0\n0,2", "\ufeff\r\n1, 0\r\n0,2\r\n"])
def test_a_list_may_go_without_a_header(database: Database, text: str) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        first, second = make_neuron(session, subject, 0, 2), make_neuron(session, subject, 1, 0)
        assert listed_neurons(session, subject, ListedNeurons("n.csv", text)) == [second, first]
        with pytest.raises(InvalidInput, match=r"^n.csv, line 1: toy has no neuron 7:7$"):
            listed_neurons(session, subject, ListedNeurons("n.csv", "7,7"))


def test_every_bad_line_is_named_with_file_line_and_reason(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_neuron(session, subject, 0, 0)
        listed = ListedNeurons("n.csv", "layer,neuron\n0,0\nx,1\n0,-1\n5,5\n0\n0,0\n")
        with pytest.raises(InvalidInput) as error:
            listed_neurons(session, subject, listed)
    assert str(error.value) == (
        "n.csv, line 3: layer 'x' is not a whole number from 0; "
        "n.csv, line 4: neuron '-1' is not a whole number from 0; "
        "n.csv, line 5: toy has no neuron 5:5; "
        "n.csv, line 6: neuron '' is not a whole number from 0; "
        "n.csv, line 7: neuron 0:0 is there twice"
    )


def test_what_cannot_be_taken_is_named_with_the_callers_reason(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_neuron(session, subject, 0, 0)
        with pytest.raises(InvalidInput, match=r"^n.csv, line 2: too quiet$"):
            listed_neurons(session, subject, ListedNeurons("n.csv", "layer,neuron\n0,0\n"), lambda neuron: "too quiet")


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent.csv: No such file"):
        read_csv(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes(b"layer,neuron\n\xff")
    with pytest.raises(InvalidInput, match=r"latin.csv is not UTF-8 text \(byte 13\)"):
        read_csv(tmp_path / "latin.csv")


def test_very_many_reasons_are_counted() -> None:
    reasons = [str(number) for number in range(25)]
    assert first_reasons(reasons) == "; ".join(reasons[:20]) + "; and 5 more"
    assert first_reasons(reasons[:20]) == "; ".join(reasons[:20])


@pytest.mark.parametrize(
    ("typed", "layers"),
    [("", None), ("  ", None), ("3", (3,)), ("0-3, 7", (0, 1, 2, 3, 7)), ("7,5–6,5", (5, 6, 7)), ("4-4", (4,))],
)
def test_layers_are_numbers_and_ranges(typed: str, layers: tuple[int, ...] | None) -> None:
    assert layer_numbers(typed) == layers


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("3-1", "3-1"),
        ("a", "a"),
        ("1,,2", ""),
        ("-1", "-1"),
        ("1-2-3", "1-2-3"),
        ("0-99999", "0-99999"),
        ("1, 2.5", "2.5"),
    ],
)
def test_what_is_no_layer_is_named(typed: str, wrong: str) -> None:
    with pytest.raises(InvalidInput, match=f"^layers has '{wrong}'; expected numbers and ranges such as 0-11, 14$"):
        layer_numbers(typed)


@pytest.mark.parametrize("typed", ["", "0", "11", "-1", "2.5", "two", "²", "9" * 30])
def test_a_number_outside_its_range_names_its_field(typed: str) -> None:
    with pytest.raises(InvalidInput, match=r"^raters is '.*'; expected a whole number from 1 to 10$"):
        whole_number(typed, "raters", 1, 10)


def test_numbers_may_stand_between_blanks() -> None:
    assert whole_number(" 7 ", "raters", 1, 10) == 7


def test_a_long_list_is_looked_up_in_groups(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, n_layers=1, n_neurons_per_layer=1101)
        values = {"subject_id": subject.id, "site": MLP, "layer": 0, "maximum": 1.0}
        session.execute(sa.insert(Neuron), [values | {"index": index} for index in range(1101)])
        text = "layer,neuron\n" + "".join(f"0,{index}\n" for index in reversed(range(1101)))
        asked: list[str] = []
        sa.event.listen(database.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        chosen = listed_neurons(session, subject, ListedNeurons("n.csv", text))
        assert [neuron.index for neuron in chosen] == list(reversed(range(1101)))
        assert len(asked) == 3
