"""How long an import of 10,000 neuron records takes into an empty SQLite database: `make bench-importing`.

The records are made up: 20 top and 10 random excerpts of 64 tokens for each neuron, which recur across neurons as those
of a corpus of 60,000 excerpts do. Writing the files is not part of the time; reading them is.
"""

import json
import random
import tempfile
import time
from pathlib import Path

from app.database import Database
from app.exchange.neuron_records import import_neuron_records
from app.exchange.report import ImportReport
from app.migrating import upgrade
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine

N_NEURONS = 10_000
N_NEURONS_PER_LAYER = 2_500
N_EXCERPTS = 60_000
N_TOKENS = 64
N_TOP, N_RANDOM = 20, 10
LONGEST_S = 60.0

Tokens = list[str]


def main() -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "records"
        write_records(records)
        database = Database(f"sqlite:///{folder}/study.sqlite")
        upgrade(database)
        report = ImportReport("neuron-records")
        started = time.perf_counter()
        import_neuron_records(database, records, subject="made up", report=report)
        took = time.perf_counter() - started
        database.dispose()
    print(report.summary(), flush=True)
    if report.n_neurons != N_NEURONS:
        raise SystemExit(f"{report.n_neurons} neurons were imported; expected {N_NEURONS}")
    print_figures(
        [
            Figure("import of 10,000 neuron records", took, "s", LONGEST_S),
            Figure("neuron records imported", N_NEURONS / took, "per s"),
        ]
    )


def write_records(folder: Path) -> None:
    """A folder L/N.json with all neurons; the same files every time."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(1, 8))) for _ in range(5000)]
    corpus = [[f" {word}" for word in chance.choices(words, k=N_TOKENS)] for _ in range(N_EXCERPTS)]
    for number in range(N_NEURONS):
        layer, index = divmod(number, N_NEURONS_PER_LAYER)
        path = folder / str(layer) / f"{index}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(neuron_record(chance, corpus, layer, index)), encoding="utf-8")


def neuron_record(chance: random.Random, corpus: list[Tokens], layer: int, index: int) -> dict[str, object]:
    return {
        "neuron_id": {"layer_index": layer, "neuron_index": index},
        "most_positive_activation_records": [activation_record(chance, corpus, 8.0) for _ in range(N_TOP)],
        "random_sample": [activation_record(chance, corpus, 1.0) for _ in range(N_RANDOM)],
        "random_sample_by_quantile": None,
        "quantile_boundaries": None,
        "mean": chance.random(),
        "variance": chance.random(),
        "skewness": None,
        "kurtosis": chance.random(),
    }


def activation_record(chance: random.Random, corpus: list[Tokens], strength: float) -> dict[str, object]:
    activations = [strength * chance.random() - 0.2 for _ in range(N_TOKENS)]
    return {"tokens": chance.choice(corpus), "activations": activations}


if __name__ == "__main__":
    main()
