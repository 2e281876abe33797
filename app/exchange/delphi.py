"""Imports the explanations and scores of a Delphi run for neurons that are here already: its files have no activations
that could be stored.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from app.database import Database
from app.errors import InvalidInput
from app.exchange.delphi_files import Latent, explanation_in, is_failed, latent_of, score_in
from app.exchange.explained import ImportedExplanation, ImportedScore, checked_explainer
from app.exchange.explanations import ExplanationWriter
from app.exchange.json_files import read_json
from app.exchange.report import ImportReport
from app.explanations.failures import UNPARSABLE
from app.explanations.methods import IMPORTED

EXPLANATIONS, SCORES = "explanations", "scores"
PROMPT_PACK = f"{IMPORTED}:delphi"


def import_delphi(database: Database, path: Path, *, subject: str, explainer: str, report: ImportReport) -> None:
    """Takes in the run folder `path`: explanations/HOOKPOINT_latentINDEX.txt and scores/SCORER/ with the same names.

    Hookpoints are taken for the modules whose neurons are here, e.g. `layers.6.mlp` for layer 6; that a latent is a
    neuron and not a feature of a sparse autoencoder is for whoever imports to know, since the files do not say it.
    Errors: InvalidInput when the folder holds no explanation of an MLP, two hookpoints of one layer, or for an
    explainer that cannot be stored; UnknownName when there is no such subject.
    """
    checked_explainer(explainer)
    latents = _latents(path, report)
    scorers = _scorers(path)
    failed: set[str] = set()
    with ExplanationWriter(database, subject, report) as writer:
        for name, latent in latents.items():
            text = _explanation_text(path, name, report)
            if text is None:
                continue
            if is_failed(text):
                failed.add(name)
            scores = () if name in failed else tuple(_scores(path, scorers, name, report))
            writer.add(_explanation(latent, explainer, text, scores), f"{EXPLANATIONS}/{name}")
    _reject_scores_without_explanation(scorers, latents, failed, report)


def _latents(path: Path, report: ImportReport) -> dict[str, Latent]:
    """Whose each explanation file is, by file name, sorted by neuron; other files are reported."""
    latents: dict[str, Latent] = {}
    reasons: dict[str, str] = {}
    for name in _file_names(path / EXPLANATIONS):
        try:
            latents[name] = latent_of(name)
        except InvalidInput as error:
            reasons[name] = str(error)
    if not latents:
        found = next((f"{EXPLANATIONS}/{name}: {reason}" for name, reason in reasons.items()), f"{path} has none")
        raise InvalidInput(f"no explanation of an MLP neuron; {found}; expected explanations/layers.6.mlp_latent0.txt")
    _check_one_hookpoint_per_layer(latents.values())
    for name, reason in reasons.items():
        report.reject(f"{EXPLANATIONS}/{name}", reason)
    return dict(sorted(latents.items(), key=lambda named: (named[1].layer, named[1].index)))


def _check_one_hookpoint_per_layer(latents: Iterable[Latent]) -> None:
    hookpoints: dict[int, str] = {}
    for latent in latents:
        first = hookpoints.setdefault(latent.layer, latent.hookpoint)
        if latent.hookpoint != first:
            raise InvalidInput(f"{first} and {latent.hookpoint} are both of layer {latent.layer}; expected one of them")


def _scorers(path: Path) -> dict[str, set[str]]:
    """The names of each scorer's files, by its name."""
    folder = path / SCORES
    if not folder.is_dir():
        return {}
    names = sorted(scorer.name for scorer in folder.iterdir() if scorer.is_dir() and not scorer.name.startswith("."))
    return {scorer: set(_file_names(folder / scorer)) for scorer in names}


def _file_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _explanation_text(path: Path, name: str, report: ImportReport) -> str | None:
    try:
        return explanation_in(read_json(path / EXPLANATIONS / name))
    except InvalidInput as error:
        report.reject(f"{EXPLANATIONS}/{name}", str(error))
        return None


def _scores(path: Path, scorers: Mapping[str, set[str]], name: str, report: ImportReport) -> Iterator[ImportedScore]:
    """What each scorer says of the explanation in the file of that name."""
    for scorer, names in scorers.items():
        if name not in names:
            continue
        try:
            yield score_in(read_json(path / SCORES / scorer / name), scorer)
        except InvalidInput as error:
            report.reject(f"{SCORES}/{scorer}/{name}", str(error))


def _explanation(latent: Latent, explainer: str, text: str, scores: tuple[ImportedScore, ...]) -> ImportedExplanation:
    return ImportedExplanation(
        layer=latent.layer,
        index=latent.index,
        method=IMPORTED,
        explainer=explainer,
        prompt_pack=PROMPT_PACK,
        text=text,
        failure=UNPARSABLE if text.strip() and is_failed(text) else None,
        scores=scores,
    )


def _reject_scores_without_explanation(
    scorers: Mapping[str, set[str]], latents: Mapping[str, Latent], failed: set[str], report: ImportReport
) -> None:
    for scorer, names in scorers.items():
        for name in sorted(names - (latents.keys() - failed)):
            reason = "the explanation failed, so nothing is scored" if name in failed else "no explanation to score"
            report.reject(f"{SCORES}/{scorer}/{name}", f"{reason}; expected a text in {EXPLANATIONS}/{name}")
