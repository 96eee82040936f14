"""Compare a source table, as a function makes it, with the target: completely, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lift_dynamorm.errors import CopyDiffers
from lift_dynamorm.keys import RESERVED
from lift_dynamorm.migrations.conversion import equal, error_of, is_claim
from lift_dynamorm.migrations.tour import Tour
from lift_dynamorm.operations.batch import get_items
from lift_dynamorm.streams.change import whose
from lift_dynamorm.unit_of_work import identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from lift_dynamorm.migrations.conversion import Conversion
    from lift_dynamorm.operations.context import Context
    from lift_dynamorm.operations.scan import Pace
    from lift_dynamorm.operations.write import Write
    from lift_dynamorm.unit_of_work import Identity

    Item = dict[str, Any]

_BUCKETS = 1 << 16
_LOOKS = 10


class Comparison:
    """One comparison, while the source goes on being written to.

    catch_up: carries over what has changed; both tables are looked at again then. touched, images: see `Follower`.
    shared: the target holds items of other origin too, so nothing in it is too much.
    """

    def __init__(
        self,
        conversion: Conversion[Any, Any],
        context: Context,
        *,
        segments: int,
        check: Callable[[], None],
        catch_up: Callable[[], Awaitable[None]],
        touched: set[Identity],
        images: dict[Identity, Item | None],
        pace: Pace | None = None,
        shared: bool = False,
    ) -> None:
        self.compared: int = 0
        self._conversion = conversion
        self._context = context
        self._segments = segments
        self._check = check
        self._catch_up = catch_up
        self._touched = touched
        self._images = images
        self._pace = pace
        self._shared = shared

    async def run(self) -> None:
        """Compare. Raises CopyDiffers with what stays different after it was looked at again, some seconds long."""
        self._touched.clear()
        self._images.clear()
        expected = [0] * _BUCKETS
        suspects: dict[Identity, Item] = {}

        async def look(_: int, items: list[Item], __: Item | None) -> None:
            suspects.update(await self._differing(items, expected))

        await self._tour(self._conversion.source, look)
        surplus = {} if self._shared else await self._surplus(expected)
        differing = await self._again(suspects)
        surplus = await self._still_there(surplus)
        if not differing and not surplus:
            return
        source, target = self._conversion.source.name, self._conversion.target.name
        texts = []
        if differing:
            text = f"{len(differing)} items of {source} are not in the target as they should be"
            texts.append(error_of(text, list(differing.values())))
        if surplus:
            text = f"{len(surplus)} items of {target} are in the target, and no item of {source} makes them"
            texts.append(error_of(text, list(surplus.values())))
        raise CopyDiffers(". ".join(texts), differing=list(differing.values()), surplus=list(surplus.values()))

    async def _differing(self, items: list[Item], expected: list[int] | None = None) -> dict[Identity, Item]:
        """Give the keys of those source items of which something in the target is not what they make."""
        source = self._conversion.source
        made = {}
        for item in items:
            if self._conversion.prefix(item) is not None:
                made[identity(source, item)] = source.key_of_item(item), self._conversion.made(self._context, item)
        wanted = [(write.schema, write.key) for _, places in made.values() for write in places.values()]
        stored = await get_items(self._context, wanted, consistent=True)
        now = self._context.now()
        for _, places in made.values():
            self.compared += 1
            for at, write in places.items():
                if expected is not None and not is_claim(write):
                    expected[hash(at) % _BUCKETS] += hash(at)
        return {
            at: key
            for at, (key, places) in made.items()
            if not all(as_made(write, stored.get(place), now) for place, write in places.items())
        }

    async def _again(self, suspects: dict[Identity, Item]) -> dict[Identity, Item]:
        """Look at some source items again, after what has changed since was carried over; give those that still differ.

        What is written so often that it differs at every look passes if the target is what the stream told last.
        """
        source = self._conversion.source
        seen: dict[Identity, Item | None] = {}
        for look in range(_LOOKS):
            if not suspects:
                break
            self._images.update((place, self._images.get(place)) for place in await self._places(suspects.values()))
            await self._catch_up()
            now = await get_items(self._context, [(source, key) for key in suspects.values()], consistent=True)
            differing = await self._differing(list(now.values()))
            if look == _LOOKS - 1:
                differing = {at: key for at, key in differing.items() if not await self._follows(now[at], seen.get(at))}
            seen = dict(now)
            suspects = differing
            if suspects:
                await self._context.transport.sleep(0.05 * 2 ** min(look, 5))
        self._images.clear()
        return suspects

    async def _places(self, keys: Iterable[Item]) -> list[Identity]:
        source = self._conversion.source
        now = await get_items(self._context, [(source, key) for key in keys], consistent=True)
        return [at for item in now.values() for at in self._conversion.made(self._context, item)]

    async def _follows(self, now: Item, before: Item | None) -> bool:
        places = self._conversion.made(self._context, now)
        if before is None or equal(now, before) or not places.keys() <= self._images.keys() & self._touched:
            return False
        stored = await get_items(self._context, [(w.schema, w.key) for w in places.values()], consistent=True)
        return all(equal(self._images[at], stored.get(at)) for at in places)

    # -- what is too much ----------------------------------------------------------------------------------------------

    async def _surplus(self, expected: list[int]) -> dict[Identity, Item]:
        """Give the keys of target items that no item of the source makes, as far as both stood still.

        What is expected and what is there are summed up in buckets of a constant number; only those that differ are
        looked at by their keys.
        """
        target, source = self._conversion.target, self._conversion.source
        found = [0] * _BUCKETS

        async def count(_: int, items: list[Item], __: Item | None) -> None:
            for at in self._owned(items):
                found[hash(at) % _BUCKETS] += hash(at)

        await self._tour(target, count)
        differing = {bucket for bucket in range(_BUCKETS) if expected[bucket] != found[bucket]}
        if not differing:
            return {}
        there: dict[Identity, Item] = {}

        async def collect(_: int, items: list[Item], __: Item | None) -> None:
            there.update((at, key) for at, key in self._owned(items).items() if hash(at) % _BUCKETS in differing)

        async def strike(_: int, items: list[Item], __: Item | None) -> None:
            for item in items:
                for at in self._conversion.made(self._context, item):
                    there.pop(at, None)

        await self._tour(target, collect)
        await self._tour(source, strike)
        return there

    async def _still_there(self, surplus: dict[Identity, Item]) -> dict[Identity, Item]:
        if not surplus:
            return {}
        await self._catch_up()
        left = {at: key for at, key in surplus.items() if at not in self._touched}
        target = self._conversion.target
        stored = await get_items(self._context, [(target, key) for key in left.values()], consistent=True)
        return {at: key for at, key in left.items() if at in stored}

    def _owned(self, items: list[Item]) -> dict[Identity, Item]:
        target = self._conversion.target
        owned = {}
        for item in items:
            prefix, _ = whose(item[target.partition.attribute])
            reserved = item[target.partition.attribute].get("S", "").startswith(RESERVED, len(prefix))
            if not reserved and target.owns(item, prefix):
                owned[identity(target, item)] = target.key_of_item(item)
        return owned

    async def _tour(self, schema: Any, take: Callable[[int, list[Item], Item | None], Awaitable[None]]) -> None:
        context = self._context
        tour = Tour(context, context.table(schema), self._segments, check=self._check, pace=self._pace, consistent=True)
        await tour.run(take)


def as_made(write: Write, stored: Item | None, now: datetime) -> bool:
    """Tell whether a target item is what was made, or was deleted because the time to live of that is over."""
    if stored is None and write.item is not None and not is_claim(write):
        return write.schema.has_expired(write.item, now)
    return equal(write.item, stored)
