"""The exceptions of NeuronJury. One place turns them into HTTP answers, one into the command line's exit code.

NeuronJuryError
├── InvalidInput          a value, file or row that cannot be used; says what was expected      400
│   ├── InvalidJudgement  a rating outside 1-5, a missing or a second best pick                 422
│   └── UnknownName       no subject, neuron, study, method ... of that name                    404
├── NotAllowed            this visitor may not do that                                          403
│   └── InvitationRefused an unknown, revoked or expired invitation                             403
├── Conflict              does not fit the state of things, e.g. judging in a closed study      409
└── Unavailable           something outside cannot be reached or is not installed               503
    ├── DatabaseBusy      others write for too long; trying again helps
    └── ExplainerUnreachable

On the command line each of them is one line on stderr and exit code 1.
"""


class NeuronJuryError(Exception):
    """Base of all errors that a user can cause or mend; the message is one sentence for them."""

    http_status = 400
    exit_code = 1


class InvalidInput(NeuronJuryError):
    http_status = 400


class InvalidJudgement(InvalidInput):
    http_status = 422


class UnknownName(InvalidInput):
    http_status = 404


class NotAllowed(NeuronJuryError):
    http_status = 403


class InvitationRefused(NotAllowed):
    pass


class FormExpired(NotAllowed):
    """A form's token is not the one that this browser's session has now."""


class SignInNeeded(NotAllowed):
    http_status = 401


class TooManyAttempts(NotAllowed):
    http_status = 429


class Conflict(NeuronJuryError):
    http_status = 409


class Unavailable(NeuronJuryError):
    http_status = 503


class DatabaseBusy(Unavailable):
    pass


class ExplainerUnreachable(Unavailable):
    pass
