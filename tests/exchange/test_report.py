"""What an import tells people."""

import csv
import io

from app.exchange.report import ImportReport


def test_the_summary_counts_what_was_taken() -> None:
    report = ImportReport("delphi", n_neurons=1, n_records=1200, n_explanations=2, n_already_there=3)
    report.reject("a.json", "broken")
    report.remarks.append("5 rows of lower bins left out")
    expected = "1 neuron, 1,200 records, 2 explanations; 3 already there; 1 rejected; 5 rows of lower bins left out"
    assert report.summary() == f"Imported delphi: {expected}"


def test_an_import_of_which_all_was_there_has_taken_something() -> None:
    assert ImportReport("delphi").summary() == "Imported delphi: nothing new"
    assert not ImportReport("delphi").has_taken
    assert ImportReport("delphi", n_already_there=1).has_taken
    assert ImportReport("delphi", n_scores=1).has_taken


def test_every_reject_is_in_the_csv_with_its_commas_and_line_breaks() -> None:
    report = ImportReport("delphi")
    rejects = [["a, b.json, line 3", 'said "no"'], ["c.json", "one\ntwo"]]
    for place, reason in rejects:
        report.reject(place, reason)
    assert list(csv.reader(io.StringIO(report.rejects_csv()))) == [["place", "reason"], *rejects]
