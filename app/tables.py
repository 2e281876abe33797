"""Every table in one metadata, for migrations and for anyone who needs them all."""

from app import jobs as _jobs
from app.accounts import models as _accounts
from app.batches import models as _batches
from app.database import Base
from app.explanations import models as _explanations
from app.neurons import models as _neurons
from app.studies import models as _studies

metadata = Base.metadata
__all__ = ["metadata"]
_ = (_accounts, _batches, _jobs, _explanations, _neurons, _studies)
