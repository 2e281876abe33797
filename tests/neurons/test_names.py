"""Names of subject models: what an address, a folder and a line of text can hold."""

import pytest

from app.errors import InvalidInput
from app.neurons.names import LONGEST_NAME, check_subject_name


@pytest.mark.parametrize("name", ["gpt2", "Llama 3.1 (8B)", "...", "é", "x" * LONGEST_NAME])
def test_a_name_may_be_any_line_of_text(name: str) -> None:
    check_subject_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", " gpt2", "gpt2 ", "a/b", "a\nb", "\ud800", "x" * (LONGEST_NAME + 1)]
)
def test_a_name_that_is_none_in_an_address_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="expected 1 to 100 characters without a slash or outer blanks"):
        check_subject_name(name)
