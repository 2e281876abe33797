"""Every table from the database to its CSV, on both databases; and what is said where there is nothing yet."""

import pytest

from app.database import Database
from app.errors import UnknownName
from app.explanations.models import FAILED
from app.findings.building import FINDINGS, TABLE_NAMES, finding_numbered, finding_of
from app.findings.formats import as_csv, as_text
from tests.factories import make_explanation, make_score, make_subject
from tests.findings.stored import (
    EXPLAINER,
    PACK,
    built,
    make_batch,
    make_neurons,
    make_paid,
    make_puzzles,
    make_scored,
    make_set,
)


def test_table_1_counts_tokens_by_method(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 2)
        for method, n_prompt_tokens in (("original", 1951), ("summary", 950)):
            for more, neuron in enumerate(neurons):
                made = make_explanation(session, neuron, method, EXPLAINER)
                made.n_prompt_tokens, made.n_completion_tokens = n_prompt_tokens, 50 + 2 * more
        session.flush()
        table = built(session, subject, "1")
        assert as_csv(table) == (
            "neurons,explainer,prompt_pack,method,n,tokens,sem,ratio\n"
            f"All neurons,{EXPLAINER},{PACK},Original,2,2002.0,1.0,1.0\n"
            f"All neurons,{EXPLAINER},{PACK},Summary,2,1001.0,1.0,2.0\n"
        )
        assert table.notes == ["Tokens of openai: explainers are as their servers counted them."]


def test_table_2_has_every_set_and_its_differences(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 3)
        make_scored(session, neurons, {"original": [0.25, 0.5, None], "summary": [0.5, 0.75, 1.0]})
        make_set(session, subject, "top", neurons[1:])
        table = built(session, subject, "2")
        methods = "original,original_sem,original_n,summary,summary_sem,summary_n"
        header = f"neurons,scorer,explainer,prompt_pack,n_min,n_max,{methods}"
        place = f"local:toy all-at-once,{EXPLAINER},{PACK}"
        assert as_csv(table) == (
            f"{header}\n"
            f"All neurons,{place},2,3,0.375,0.125,2,0.75,0.14433756729740646,3\n"
            f"top,{place},1,2,0.5,,1,0.875,0.125,2\n"
        )
        heads = [f"{one} · local:toy all-at-once · {EXPLAINER} · {PACK}" for one in ("All neurons", "top")]
        assert table.notes == [f"{head}: 1 undefined score left out (Original 1)." for head in heads]
        assert as_csv(built(session, subject, "2-differences")) == (
            "neurons,scorer,explainer,prompt_pack,method,other,n,n_left_out,difference,low,high,p,p_holm\n"
            f"All neurons,{place},Summary,Original,2,1,0.25,0.25,0.25,0.5,0.5\n"
            f"top,{place},Summary,Original,1,1,0.25,,,1.0,1.0\n"
        )
        assert as_csv(built(session, subject, "2", "top")) == (f"{header}\ntop,{place},1,2,0.5,,1,0.875,0.125,2\n")
        assert built(session, subject, "3").rows == []


def test_table_4_is_about_puzzles_whichever_subject_is_asked_for(database: Database) -> None:
    """Three samples per puzzle and method."""
    with database.writing() as session:
        subject, puzzles = make_subject(session), make_puzzles(session)
        of_puzzles = make_neurons(session, puzzles, 2)
        for sample_number, shift in enumerate((-0.25, 0.0, 0.25)):
            values = {"original": [0.5 + shift, 0.25 + shift], "hs": [0.75 + shift, 0.5 + shift]}
            make_scored(session, of_puzzles, values, "adacs", scorer="minilm-l6-v2", sample_number=sample_number)
        make_scored(session, make_neurons(session, subject, 1), {"hs": [0.9]}, "adacs", scorer="minilm-l6-v2")
        for asked in (subject, puzzles):
            assert as_csv(built(session, asked, "4")) == (
                "neurons,scorer,explainer,prompt_pack,n_min,n_max,original,original_sem,original_n,hs,hs_sem,hs_n\n"
                f"puzzles,minilm-l6-v2,{EXPLAINER},{PACK},2,2,0.375,0.125,2,0.625,0.125,2\n"
            )
        assert as_csv(built(session, subject, "3")).splitlines()[1].startswith("All neurons,minilm-l6-v2,")


def test_table_7_adds_up_finished_batches(database: Database) -> None:
    with database.writing() as session:
        subject, other = make_subject(session), make_subject(session, "other")
        neurons = make_neurons(session, subject, 2)
        batch = make_batch(session, subject, ["original", "summary"], spent_usd=0.5, spent_tokens=4000)
        for neuron in neurons:
            made = make_explanation(session, neuron, "original", EXPLAINER)
            make_paid(session, made, batch, 0.125, (900, 100))
            score = make_score(session, made, "simulation", 0.5)
            scoring = make_batch(session, subject, ["original"], kind="scores", explainer="local:toy")
            make_paid(session, score, scoring, 0.0, (7, 3))
        failed = make_explanation(session, neurons[0], "summary", EXPLAINER, status=FAILED)
        make_paid(session, failed, batch, None, None)
        make_batch(session, subject, ["hs"], n_reused=3)
        make_batch(session, subject, ["hs"], status="cancelled")
        foreign = make_explanation(session, make_neurons(session, other, 1)[0], "avhs")
        make_paid(session, foreign, make_batch(session, other, ["avhs"]), 9.0, (1, 1))
        table = built(session, subject, "7")
        assert as_csv(table) == (
            "work,model,settings,methods,n_batches,n_neurons,usd,tokens,hours\n"
            f'Explain,{EXPLAINER},{PACK},"Original, Summary",1,2,250.0,2000000.0,500.0\n'
            "Score: Simulation,local:toy,imported,Original,2,2,0.0,10000.0,1000.0\n"
        )
        assert table.notes[-1] == "1 batch left out: a part of what was ordered was there already."


def test_table_7_never_adds_up_what_is_measured_otherwise(database: Database) -> None:
    """Another simulator, another pack, samples, neurons of which all failed, and the negative side."""
    with database.writing() as session:
        subject = make_subject(session)
        first, second = make_neurons(session, subject, 2)
        plain, packed, sampled, negative = (make_batch(session, subject, ["hs"], seconds=0.0) for _ in range(4))
        made = make_explanation(session, first, "hs", EXPLAINER)
        make_paid(session, made, plain, 0.25, (9, 1))
        make_paid(session, make_explanation(session, second, "hs", EXPLAINER, status=FAILED), plain, 0.25, (9, 1))
        other = make_explanation(session, first, "hs", EXPLAINER, sample_number=1)
        other.prompt_pack = f"{PACK}+top5"
        make_paid(session, other, packed, 1.0, (10, 10))
        for sample_number in (2, 3):
            sample = make_explanation(session, first, "hs", EXPLAINER, sample_number=sample_number)
            sample.prompt_pack = "mine@0"
            make_paid(session, sample, sampled, 1.0, (5, 5))
        of_negative = make_explanation(session, first, "hs", EXPLAINER, side="negative")
        make_paid(session, of_negative, negative, 9.0, (1, 1))
        for simulator, usd, scored in (
            ("one-at-a-time", 2.0, made),
            ("logprob-free", 0.5, made),
            ("logprob-free", 7.0, of_negative),
        ):
            score = make_score(session, scored, "simulation", 0.5, scorer=f"openai:gpt-4o {simulator}")
            scoring = make_batch(session, subject, ["hs"], kind="scores", explainer="openai:gpt-4o", seconds=0.0)
            make_paid(session, score, scoring, usd, (1, 1))
        table = built(session, subject, "7")
        assert as_csv(table).splitlines()[1:] == [
            f"Explain,{EXPLAINER},{PACK},HS,1,1,500.0,20000.0,0.0",
            f"Explain,{EXPLAINER},{PACK}+top5,HS,1,1,1000.0,20000.0,0.0",
            f"Explain,{EXPLAINER},mine@0,HS,1,1,1000.0,10000.0,0.0",
            "Score: Simulation,openai:gpt-4o,openai:gpt-4o logprob-free,HS,1,1,500.0,2000.0,0.0",
            "Score: Simulation,openai:gpt-4o,openai:gpt-4o one-at-a-time,HS,1,1,2000.0,2000.0,0.0",
        ]
        assert table.notes[1:] == ["2 batches left out: about negative activations, or about both sides."]


@pytest.mark.parametrize(("usd", "tokens"), [(None, (900, 100)), (None, None)])
def test_a_cost_that_nobody_knows_is_unknown(
    database: Database, usd: float | None, tokens: tuple[int, int] | None
) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        batch = make_batch(session, subject, ["original"])
        first, second = make_neurons(session, subject, 2)
        make_paid(session, make_explanation(session, first, "original", EXPLAINER), batch, 0.5, (900, 100))
        make_paid(session, make_explanation(session, second, "original", EXPLAINER), batch, usd, tokens)
        table = built(session, subject, "7")
        assert (table.rows[0][6], table.rows[0][7]) == (None, 1_000_000.0 if tokens else None)
        assert "unknown" in as_text(table)


def test_who_asks_nobody_pays_nothing(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        made = make_explanation(session, make_neurons(session, subject, 1)[0], "tokens", "none")
        make_paid(session, made, make_batch(session, subject, ["tokens"], explainer="none"), None, None)
        assert built(session, subject, "7").rows[0][6:8] == (0.0, 0.0)


def test_a_batch_that_stood_still_has_no_time(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        first, second = make_neurons(session, subject, 2)
        straight = make_batch(session, subject, ["original"])
        make_paid(session, make_explanation(session, first, "original", EXPLAINER), straight, 0.5, (900, 100))
        assert built(session, subject, "7").rows[0][8] == 1000.0
        paused = make_batch(session, subject, ["original"], submission=1)
        make_paid(session, make_explanation(session, second, "original", EXPLAINER), paused, 0.5, (900, 100))
        assert built(session, subject, "7").rows[0][8] is None


def test_figure_3_counts_neurons_by_layer_and_score(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_scored(session, make_neurons(session, subject, 3), {"hs": [0.26, 0.31, 0.27]})
        assert as_csv(built(session, subject, "figure3-layers")) == "layer,n_neurons\n0,2\n1,1\n"
        assert as_csv(built(session, subject, "figure3-scores")) == "low,high,n_neurons\n0.25,0.3,2\n0.3,0.35,1\n"


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_an_empty_table_names_the_command_that_fills_it(database: Database, name: str) -> None:
    with database.writing() as session:
        text = as_text(built(session, make_subject(session), name))
    assert "Nothing is stored for it yet." in text
    assert "neuronjury explain --subject" in text or "neuronjury score --subject" in text


def test_unknown_tables_are_told_from_table_5() -> None:
    with pytest.raises(UnknownName, match=r"no table '5' here; expected 1, 2, 3, 4, 6, 7, figure3; Table 5 is with"):
        finding_numbered("5")
    with pytest.raises(UnknownName, match="no table '2-other' here"):
        finding_of("2-other")
    assert [finding.number for finding in FINDINGS.values()] == ["1", "2", "3", "4", "6", "7", "figure3"]
