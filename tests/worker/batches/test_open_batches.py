"""Makers are shared by the shards of a batch, kept while it lasts, and closed."""

import asyncio

from tests.worker.batches.makers import Makers, ScriptedMaker
from worker.batches.open_batches import AskedBatch, OpenBatches


def asked(batch_id: int, submission: int = 0) -> AskedBatch:
    return AskedBatch(batch_id, "explanations", submission, "openai:gpt-x", {})


def test_shards_of_one_batch_share_a_maker_one_after_another_too() -> None:
    makers = Makers(ScriptedMaker(), ScriptedMaker())

    async def three_shards() -> None:
        batches = OpenBatches(makers)
        async with batches.opened(asked(1)) as first, batches.opened(asked(1)) as second:
            assert first is second
        async with batches.opened(asked(1)) as third:
            assert third is first

    asyncio.run(three_shards())
    assert len(makers.asked) == 1


def test_shards_that_begin_together_open_one_maker() -> None:
    makers = Makers(ScriptedMaker(), ScriptedMaker())

    async def shard(batches: OpenBatches) -> None:
        async with batches.opened(asked(1)):
            await asyncio.sleep(0)

    async def together() -> None:
        batches = OpenBatches(makers)
        await asyncio.gather(*(shard(batches) for _ in range(4)))

    asyncio.run(together())
    assert len(makers.asked) == 1


def test_another_submission_gets_a_maker_of_its_own() -> None:
    makers = Makers(ScriptedMaker(), ScriptedMaker())

    async def both() -> None:
        batches = OpenBatches(makers)
        async with batches.opened(asked(1)) as old, batches.opened(asked(1, submission=1)) as new:
            assert old.maker is not new.maker

    asyncio.run(both())


def test_a_maker_that_nobody_uses_is_closed_for_the_next_batch_and_one_in_use_is_not() -> None:
    unused, used, last = ScriptedMaker(), ScriptedMaker(), ScriptedMaker()

    async def one_after_another() -> None:
        batches = OpenBatches(Makers(unused, used, last))
        async with batches.opened(asked(1)):
            pass
        assert not unused.is_closed
        async with batches.opened(asked(2)):
            assert unused.is_closed
            async with batches.opened(asked(3)):
                assert not used.is_closed
        await batches.close_unused()

    asyncio.run(one_after_another())
    assert (used.is_closed, last.is_closed) == (True, True)
