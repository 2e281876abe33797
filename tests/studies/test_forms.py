"""What people type into the forms of studies."""

import pytest
from starlette.datastructures import FormData

from app.errors import InvalidInput
from app.neurons.lists import ListedNeurons
from app.studies.forms import InviteForm, JudgementForm, NewStudyForm, judgement_form
from app.studies.neuron_sets import PerLayer


def test_the_neurons_are_drawn_per_layer_or_listed() -> None:
    assert NewStudyForm(n_per_layer="2", layers="0-1").neuron_set() == PerLayer(2, (0, 1))
    assert NewStudyForm(n_per_layer="2").neuron_set() == PerLayer(2, None)
    listed = NewStudyForm(neuron_choice="listed", csv_name="mine.csv", csv_text="layer,neuron\n0,1\n")
    assert listed.neuron_set() == ListedNeurons("mine.csv", "layer,neuron\n0,1\n")


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


def test_a_judgement_arrives_as_it_was_sent() -> None:
    sent = FormData(
        [("rating-aa", "4"), ("rating-bb", "2"), ("rating-bb", "5"), ("best", "aa"), ("best", "bb"), ("x", "1")]
    )
    assert judgement_form(sent) == JudgementForm({"aa": "4", "bb": "2, 5"}, ("aa", "bb"))


def test_an_empty_form_is_an_empty_judgement() -> None:
    assert judgement_form(FormData()) == JudgementForm({}, ())
