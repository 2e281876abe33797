"""Which excerpts a rater sees beside the descriptions: ranks by band, decided at dealing and stored with the judgement.

Pure.
"""

from collections.abc import Iterable, Mapping

from app.explanations.scoring.splits import ranks_seen
from app.neurons.records import TOP
from app.studies.protocol import Protocol


def shown_ranks(protocol: Protocol, n_by_band: Mapping[str, int], prompt_packs: Iterable[str]) -> dict[str, list[int]]:
    """Ranks, from 0, of the excerpts to show, by band in the protocol's order; a band without any is left out.

    n_by_band: how many excerpts are recorded. prompt_packs: of all descriptions of the neuron, whose names say which
    excerpts their prompts showed. Without the explained ones, what any of these prompts shows is passed over and the
    next best take their places.
    """
    # A draft that is tried out has no descriptions of its own yet: as if all prompts were the default ones.
    n_top = n_by_band.get(TOP, 0)
    explained = frozenset[int]().union(*(ranks_seen(pack, n_top) for pack in list(prompt_packs) or [""]))
    shown = {}
    for band, n in protocol.evidence.items():
        hidden = explained if band == TOP and not protocol.shows_explained else ()
        ranks = [rank for rank in range(n_by_band.get(band, 0)) if rank not in hidden][:n]
        if ranks:
            shown[band] = ranks
    return shown
