"""One shape for all texts, one card for equal ones, and texts that may not be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.explanations.methods import METHOD_TITLES
from app.studies.dealing.blinding import DealtCard, deal_cards, merge_identical, reason_not_to_show, shown_text

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        ("words about cats", "words about cats."),
        ("  words\n about\tcats.  ", "words about cats."),
        ('"words about cats"', "words about cats."),
        ('"words about cats".', "words about cats."),
        ("“words about cats.”", "words about cats."),
        ("'cat' and 'dog'", "'cat' and 'dog'."),
        ("questions?", "questions?"),
        ("cats, dogs etc.", "cats, dogs etc."),
        ("cafe\u0301", "café."),
        ("cafe\u200b\u0301", "café."),
        ("\ufeffb\u00adi\u200br\u2060ds \u202eof prey\u202c", "birds of prey."),
        ("می\u200cخواهم", "می\u200cخواهم."),
        ("   ", ""),
    ],
)
def test_texts_are_shown_in_one_shape(received: str, shown: str) -> None:
    assert shown_text(received) == shown


@given(st.text())
def test_a_shown_text_is_shown_as_it_is(text: str) -> None:
    assert shown_text(shown_text(text)) == shown_text(text)


def test_identical_texts_share_a_card() -> None:
    cards = merge_identical(["years", "months", " Years. ", '"years"', "years\u200b"])
    assert cards == (DealtCard("Years.", (0, 2, 3, 4)), DealtCard("months.", (1,)))


def test_a_shared_card_has_one_place_on_the_page_and_all_its_members() -> None:
    page = deal_cards(KEY, 1, 0, 0, ["years", "months", "Years.", "days", "hours"])
    assert sorted(card.members for card in page) == [(0, 2), (1,), (3,), (4,)]


@given(st.lists(st.sampled_from(["a", "A", "b", "b.", "c"]), min_size=1, max_size=6))
def test_every_text_is_on_exactly_one_card(texts: list[str]) -> None:
    members = [member for card in deal_cards(KEY, 1, 0, 0, texts) for member in card.members]
    assert sorted(members) == list(range(len(texts)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" ... ", "is empty"),
        ("As an AI, I see words", "speaks as an assistant ('As an AI')"),
        ("words, but as a large language model I may err", "speaks as an assistant ('as a large language model')"),
        ("I'm sorry, but no", 'speaks as an assistant ("I\'m sorry")'),
        ("I am unable to say", "speaks as an assistant ('I am unable')"),
        ("I cannot tell", "speaks as an assistant ('I cannot')"),
        ("words<|im_end|>", "speaks as an assistant ('<|')"),
        ("Summary: words", "names a method ('Summary:')"),
        ("**Summary**: words", "names a method ('**Summary**:')"),
        ('"Original" – words', "names a method ('\"Original\" –')"),
        ("found by the Highlight method", "names a method ('Highlight method')"),
        ("seen with the method 'Original'", 'names a method ("method \'Original")'),
        ("the AVHS pairs", "names a method ('AVHS')"),
        ("the HS list", "names a method ('HS')"),
    ],
)
def test_texts_that_betray_their_origin_are_found(text: str, reason: str) -> None:
    assert reason_not_to_show(text) == reason


@pytest.mark.parametrize("title", METHOD_TITLES.values())
def test_every_method_is_found_by_its_title(title: str) -> None:
    assert reason_not_to_show(f"{title}: words") is not None
    assert reason_not_to_show(f"words, by the {title.lower()} prompt") is not None


@pytest.mark.parametrize(
    "text",
    [
        "words of a summary or an abstract.",
        "the original version of something.",
        "tokens such as 'cat'.",
        "apologies such as I'm sorry and refusals such as I cannot.",
        "mentions of language models.",
    ],
)
def test_ordinary_descriptions_may_be_shown(text: str) -> None:
    assert reason_not_to_show(text) is None
