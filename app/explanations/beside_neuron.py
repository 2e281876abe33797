"""The explanations of one neuron, as its page shows them to admins and researchers. Raters never reach that page."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.methods import METHOD_TITLES
from app.explanations.models import DONE, FAILED, Explanation
from app.neurons.contexts import ExplanationBeside, MethodBeside


def explanations_beside(session: Session, neuron_id: int) -> tuple[MethodBeside, ...]:
    """What was said of this neuron: methods in the paper's order, each with its explainers by name; queued ones
    included."""
    rows = session.execute(
        sa.select(
            Explanation.method,
            Explanation.explainer,
            Explanation.prompt_pack,
            Explanation.sample_number,
            Explanation.status,
            Explanation.text,
            Explanation.failure,
        )
        .where(Explanation.neuron_id == neuron_id)
        .order_by(Explanation.explainer, Explanation.prompt_pack, Explanation.sample_number)
    ).all()
    return tuple(
        MethodBeside(
            method, METHOD_TITLES.get(method, method), tuple(_beside(row) for row in rows if row.method == method)
        )
        for method in sorted({row.method for row in rows}, key=_paper_order)
    )


def _beside(row: sa.Row[str, str, str, int, str, str | None, str | None]) -> ExplanationBeside:
    return ExplanationBeside(
        explainer=row.explainer,
        prompt_pack=row.prompt_pack,
        sample_number=row.sample_number,
        text=row.text if row.status == DONE else None,
        failure=row.failure if row.status == FAILED else None,
    )


def _paper_order(method: str) -> tuple[int, str]:
    known = list(METHOD_TITLES)
    return (known.index(method) if method in known else len(known), method)
