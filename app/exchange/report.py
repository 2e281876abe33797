"""What one import took and what it did not, each rejection with its place and its reason. Knows no file format."""

import csv
import io
from dataclasses import dataclass, field


def counted(n: int, noun: str) -> str:
    """`1 neuron`, `1,200 neurons`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class Reject:
    """Something an import did not take. place: "FILE" or "FILE, line N". reason: what was found and expected."""

    place: str
    reason: str


@dataclass
class ImportReport:
    """Counts what is stored for good, so it is added to behind each transaction, never within one.

    kind: of import, as typed. n_already_there: neurons and explanations that an earlier import had stored.
    """

    kind: str
    n_neurons: int = 0
    n_records: int = 0
    n_explanations: int = 0
    n_scores: int = 0
    n_already_there: int = 0
    rejects: list[Reject] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What people should know beside the counts, e.g. how many rows a format had that have no place here."""

    @property
    def has_taken(self) -> bool:
        """Whether anything of the import is in the database, now or from before."""
        return any((self.n_neurons, self.n_explanations, self.n_scores, self.n_already_there))

    def reject(self, place: str, reason: str) -> None:
        self.rejects.append(Reject(place, reason))

    def summary(self) -> str:
        """The import in one line for people."""
        counts = (
            (self.n_neurons, "neuron"),
            (self.n_records, "record"),
            (self.n_explanations, "explanation"),
            (self.n_scores, "score"),
        )
        taken = ", ".join(counted(n, noun) for n, noun in counts if n) or "nothing new"
        there = f"; {self.n_already_there:,} already there" if self.n_already_there else ""
        rejected = f"; {len(self.rejects):,} rejected" if self.rejects else ""
        remarks = "".join(f"; {remark}" for remark in self.remarks)
        return f"Imported {self.kind}: {taken}{there}{rejected}{remarks}"

    def rejects_csv(self) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("place", "reason"))
        rows.writerows((rejected.place, rejected.reason) for rejected in self.rejects)
        return text.getvalue()
