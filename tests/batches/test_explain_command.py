"""The command `explain`: which neurons its options mean, and what it says beforehand."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.batches.choice_options import ChoiceOptions
from app.batches.choosing import (
    ClearPeaks,
    NeuronChoice,
    RandomInterpretable,
    RandomNeurons,
    SavedSet,
    TopNeurons,
    TopPerLayer,
)
from app.batches.models import Batch
from app.database import Database
from app.errors import InvalidInput
from app.explanations.models import Explanation
from app.migrating import prepare_databases
from app.neurons.models import NeuronSet
from app.settings import Settings
from tests.command_line import command_line
from tests.factories import make_neuron, make_records, make_subject


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        (ChoiceOptions(per_layer=2, layers="0-1", seed=3), ClearPeaks(2, (0, 1), 3)),
        (ChoiceOptions(kind="peaks", n=2), ClearPeaks(2, None, 0)),
        (ChoiceOptions(kind="random", n=2, seed=3), RandomNeurons(2, None, 3)),
        (ChoiceOptions(kind="interpretable", n=2, threshold=0.5), RandomInterpretable(2, None, 0, 0.5)),
        (ChoiceOptions(kind="top-per-layer", n=20, layers="5"), TopPerLayer(20, (5,))),
        (ChoiceOptions(kind="top", n=1000), TopNeurons(1000)),
        (ChoiceOptions(neuron_set="mine"), SavedSet("mine")),
    ],
)
def test_options_mean_a_choice(options: ChoiceOptions, choice: NeuronChoice) -> None:
    assert options.choice() == choice


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (ChoiceOptions(), "say one of --per-layer N, --set KIND --n N, --neuron-set NAME and --neurons FILE.csv"),
        (ChoiceOptions(per_layer=1, kind="random", n=1), "say one of --per-layer N"),
        (ChoiceOptions(kind="random"), "--set random without --n"),
        (ChoiceOptions(kind="dice", n=1), "--set dice; expected one of peaks, random, interpretable"),
        (ChoiceOptions(csv=Path("absent.csv")), "absent.csv"),
    ],
)
def test_options_that_mean_none_or_two_are_refused(options: ChoiceOptions, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        options.choice()


def test_a_dry_run_says_what_it_would_take_and_a_real_one_keeps_the_choices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run, settings = command_line(monkeypatch, capsys), Settings(data=tmp_path)
    prepare_databases(settings)
    database = Database(settings.data_database_url)
    with database.writing() as session:
        make_records(session, make_neuron(session, make_subject(session)))
    options = ("explain", "--subject", "toy", "--set", "random", "--n", "1", "--save-set", "mine", "--cutoff", "q99")
    asked = run(*options, "--method", "hs", "--explainer", "openai:x", "--requests-per-minute", "2", "--dry-run")
    assert asked.exit_code == 0, asked
    lines = dict(line.split(":", 1) for line in asked.out.splitlines())
    assert list(lines) == ["Explanations", "Calls", "Prompt tokens", "Answer tokens", "Money", "Time"]
    assert (lines["Explanations"].strip(), lines["Time"].strip()) == (
        "1 to make, of 1 neuron",
        "at least 30 s at the given limit",
    )
    with database.reading() as session:
        assert [session.scalar(sa.select(sa.func.count()).select_from(each)) for each in (Batch, NeuronSet)] == [0, 0]
    calls = ("--timeout", "120", "--context", "8192", "--in-flight", "3")
    ordered = run(*options, *calls, "--method", "tokens", "--explainer", "none", "--budget-tokens", "9", "--detach")
    assert ordered.out == "Batch 1 waits for a worker: neuronjury worker\n"
    with database.reading() as session:
        batch = session.get_one(Batch, 1)
        assert (batch.budget_tokens, batch.settings["ordered_for"]) == (9, "the set mine: random, 1 per layer, seed 0")
        chosen = [batch.settings[name] for name in ("timeout_seconds", "n_context", "n_in_flight")]
        assert chosen == [120.0, 8192, 3]
        assert session.scalars(sa.select(Explanation.prompt_pack)).one() == "none+q99"
        assert "OPENAI_API_KEY" not in json.dumps(batch.settings)
    database.dispose()
