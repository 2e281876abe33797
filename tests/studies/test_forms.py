"""What people type into the forms of studies."""

import pytest

from app.batches.choosing import SavedSet
from app.errors import InvalidInput
from app.neurons.lists import ListedNeurons
from app.studies.drafting.neuron_sets import PerLayer, Stratified
from app.studies.drafting.protocol_form import NUMBERS, ProtocolForm, WrongField, protocol_form, sent_protocol
from app.studies.forms import ImportForm, InviteForm, NewStudyForm
from app.studies.protocol import CROSSED, Protocol


def test_the_neurons_are_drawn_per_layer_or_listed_or_saved() -> None:
    assert NewStudyForm(neuron_choice="per_layer", n_per_layer="2", layers="0-1").neuron_set() == PerLayer(2, (0, 1))
    assert NewStudyForm(neuron_choice="per_layer", n_per_layer="2").neuron_set() == PerLayer(2, None)
    assert NewStudyForm(n_neurons="24", layers="3").neuron_set() == Stratified(24, (3,))
    listed = NewStudyForm(neuron_choice="listed", csv_name="mine.csv", csv_text="layer,neuron\n0,1\n")
    assert listed.neuron_set() == ListedNeurons("mine.csv", "layer,neuron\n0,1\n")
    assert NewStudyForm(neuron_choice="saved", saved_set="mine").neuron_set() == SavedSet("mine")


def test_an_empty_list_of_neurons_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^the list of neurons is empty"):
        NewStudyForm(neuron_choice="listed", csv_text=" \n").neuron_set()


def test_conditions_are_read_as_method_and_explainer() -> None:
    form = NewStudyForm(conditions=("summary@openai:gpt-4", "tokens@none"))
    assert form.condition_pairs == [("summary", "openai:gpt-4"), ("tokens", "none")]


def test_invitations_have_a_number_and_a_time() -> None:
    form = InviteForm("3", "30")
    assert (form.n, form.days) == (3, 30)


@pytest.mark.parametrize(
    "form", [InviteForm("0", "30"), InviteForm("501", "30"), InviteForm("1", "0"), InviteForm("1", "")]
)
def test_invitations_out_of_range_are_refused(form: InviteForm) -> None:
    with pytest.raises(InvalidInput):
        _ = form.n, form.days


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(),
        CROSSED,
        Protocol(
            sharing="overlap",
            neurons_per_rater=12,
            evidence={"top": 5, "random": 0},
            shows_explained=False,
            names_neurons=False,
            consent="You may stop.",
            n_puzzles=0,
            n_right_to_pass=0,
            asks_for_guesses=False,
            completion_code="ABC",
            completion_url="https://example.org/done?code=ABC",
            check_source="puzzles",
            too_fast_seconds=2.5,
            exclude_failed_checks_percent=None,
            exclude_straight_line_percent=80,
        ),
    ],
)
def test_a_protocol_goes_through_the_form_unchanged(protocol: Protocol) -> None:
    assert protocol_form(protocol).protocol() == protocol


def test_a_form_without_a_protocol_means_the_usual_one() -> None:
    assert sent_protocol({"title": ["x"]}).protocol() == Protocol()


def test_an_unticked_box_is_not_sent_and_means_no() -> None:
    sent = {name: [value] for name, value in protocol_form(Protocol()).values.items() if value}
    del sent["asks_for_guesses"]
    assert sent_protocol(sent).protocol() == Protocol(asks_for_guesses=False)


WRONG = {
    "n_raters": ("0", "Raters planned is '0'; expected a whole number from 1 to 10000"),
    "shared_percent": ("101", "Shared neurons, % is '101'; expected a whole number from 0 to 100"),
    "lease_hours": ("", "neurons go to others is ''; expected a whole number from 1 to 8760"),
    "neurons_per_rater": ("few", "Neurons per rater is 'few'; expected a whole number from 1 to 100000"),
    "evidence_top": ("-1", "Top excerpts is '-1'; expected a whole number from 0 to 100"),
    "exclude_too_fast_percent": ("half", "Too fast judgements, % is 'half'; expected a whole number"),
    "too_fast_seconds": ("1e3", "Too fast below, seconds is '1e3'; expected a number of seconds such as 5 or 2.5"),
}


@pytest.mark.parametrize("field", WRONG)
def test_the_field_that_is_wrong_is_named_as_on_the_page(field: str) -> None:
    typed, message = WRONG[field]
    form = ProtocolForm({**protocol_form(Protocol()).values, field: typed})
    with pytest.raises(WrongField) as refused:
        form.protocol()
    assert refused.value.field == field
    assert message in str(refused.value)


def test_fields_that_do_not_fit_together_are_refused() -> None:
    usual = protocol_form(Protocol()).values
    with pytest.raises(InvalidInput, match="4 puzzles right to pass of 3"):
        ProtocolForm({**usual, "n_right_to_pass": "4"}).protocol()
    with pytest.raises(InvalidInput, match="expected one that begins with https://"):
        ProtocolForm({**usual, "completion_url": "http://example.org"}).protocol()
    with pytest.raises(InvalidInput, match="no excerpts to show"):
        ProtocolForm({**usual, "evidence_top": "0", "evidence_random": "0"}).protocol()


def test_every_number_of_the_form_is_a_field_of_the_protocol() -> None:
    assert set(NUMBERS) <= set(Protocol.model_fields)


def test_a_design_is_uploaded_as_utf8() -> None:
    assert ImportForm("d.json", b"\xef\xbb\xbf{}", "").design_text() == "{}"
    with pytest.raises(InvalidInput, match=r"^d.json is not UTF-8 text \(byte 0\)"):
        ImportForm("d.json", b"\xff", "").design_text()
    with pytest.raises(InvalidInput, match="no file was chosen"):
        ImportForm("", b"", "").design_text()
