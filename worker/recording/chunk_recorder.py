"""Records chunks of the corpus one by one, with batches as large as the GPU's memory allows. Knows no database."""

import logging
from collections.abc import Callable

import torch

from app.errors import Unavailable
from worker.recording.plan import RecordingPlan
from worker.recording.recorder import Int32Array, ObservedModel, Recorder

log = logging.getLogger(__name__)


class ChunkRecorder:
    """token_ids: of the whole corpus, shape (excerpts, tokens). batch_size: excerpts that the model reads at once; it
    is halved whenever the GPU's memory does not hold so many."""

    def __init__(self, subject: ObservedModel, plan: RecordingPlan, token_ids: Int32Array, batch_size: int):
        self._subject = subject
        self._plan = plan
        self._token_ids = token_ids
        self._batch_size = batch_size
        self._recorder: Recorder | None = None
        self._next_excerpt = 0

    def record(self, chunk: range, progress: Callable[[int], None]) -> list[bytes]:
        """What a chunk adds to each layer, layer by layer. progress: called with the excerpts of the chunk seen so far.

        Errors: Unavailable when even single excerpts are too much for the GPU; else as Recorder.record.
        """
        while True:
            try:
                return self._parts(chunk, progress)
            except torch.OutOfMemoryError:
                self._recorder = None
            # Only here, after the error with everything that its traceback holds is gone, can the memory be given back.
            torch.cuda.empty_cache()
            if self._batch_size == 1:
                raise Unavailable(
                    "the GPU's memory is too small to record this model, even one excerpt at a time; "
                    "expected a smaller model, another --dtype or a larger GPU"
                )
            self._batch_size //= 2
            log.warning("out of GPU memory; going on with batches of %d", self._batch_size)

    def _parts(self, chunk: range, progress: Callable[[int], None]) -> list[bytes]:
        if self._recorder is None or self._next_excerpt != chunk.start:
            # A recorder goes on only where it stopped. The parts of a fresh one may hold more, and join to the same.
            self._recorder = None
            self._recorder = Recorder(self._subject, self._plan)
        recorder = self._recorder
        try:
            recorder.record(self._token_ids, chunk, self._batch_size, progress)
        except BaseException:
            self._recorder = None
            raise
        self._next_excerpt = chunk.stop
        return [recorder.take_part(layer) for layer in range(self._subject.n_layers)]
