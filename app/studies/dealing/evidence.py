"""Which excerpts a rater sees beside the descriptions: ranks by band, decided at dealing and stored with the judgement.

Pure.
"""

from collections.abc import Mapping

from app.explanations.methods.splits import explain_ranks
from app.neurons.records import TOP
from app.studies.protocol import Protocol


def shown_ranks(protocol: Protocol, n_by_band: Mapping[str, int]) -> dict[str, list[int]]:
    """Ranks, from 0, of the excerpts to show, by band in the protocol's order; a band without any is left out.

    n_by_band: how many excerpts are recorded. Without the explained ones, the top excerpts that a prompt shows are
    passed over and the next best take their places.
    """
    shown = {}
    for band, n in protocol.evidence.items():
        hidden = explain_ranks() if band == TOP and not protocol.shows_explained else ()
        ranks = [rank for rank in range(n_by_band.get(band, 0)) if rank not in hidden][:n]
        if ranks:
            shown[band] = ranks
    return shown
