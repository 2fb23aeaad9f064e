"""What a fold applies, and where it looks for it: the rules that no playlist shows by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from sluice.errors import ConflictError, UnavailableError
from sluice.fold import TRIES, Cursor, Held, Input, fold, in_order
from sluice.names import ChunkName
from sluice.references import reference
from sluice.store import ListedObject
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_name


def chunk(number: int) -> ChunkName:
    """The chunk of that number, right behind the one before."""
    start_ms = NOON_MS + number * 3000
    return a_chunk_name(start_ms=start_ms, duration_ms=3000, seq=number, session=1, activity="active")


@dataclass
class Listed:
    """A function that remembers what it was given."""

    taken: list[Input] = field(default_factory=list)
    conflicts: int = 0

    def load(self) -> Held[int]:
        """See Folding."""
        return Held(state=len(self.taken), cursor=Cursor.after(self.taken[-1].name) if self.taken else None)

    def apply(self, held: Held[int], inputs: Sequence[Input]) -> Held[int]:
        """See Folding."""
        self.given = list(inputs)
        return Held(state=held.state + len(inputs))

    def write(self, _state: int, _etag: str | None) -> None:
        """See Folding."""
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError("state", "another")
        self.taken += self.given


@dataclass(slots=True, kw_only=True)
class AskedStore(MemoryStore):
    """Notes from where it was listed."""

    asked: list[str] = field(default_factory=list)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        self.asked.append(after)
        return MemoryStore.list(self, prefix, after=after)


def seqs(found: Iterator[Input]) -> list[int]:
    return [each.name.seq for each in found]


@pytest.mark.parametrize("seq", [3, 4, 5])
def test_a_number_that_was_passed_is_never_applied(seq: int) -> None:
    """Not even to what came later in time: a numbering that began anew would edit what players have."""
    later = Input(name=replace(chunk(9), seq=seq), size_bytes=1)

    assert seqs(in_order(Cursor.after(chunk(5)), [later])) == []


def test_the_next_number_is_applied() -> None:
    """So is one that leaves some out."""
    found = [Input(name=chunk(each), size_bytes=1) for each in (9, 6)]

    assert seqs(in_order(Cursor.after(chunk(5)), found)) == [6, 9]


def test_the_size_of_a_chunk_is_looked_up_where_the_event_has_none() -> None:
    """Of the next chunk, too, which otherwise needs no listing."""
    store, listed = AskedStore(), Listed(taken=[Input(name=chunk(1), size_bytes=1)])
    store.put(chunk(2).key, b"x" * 70)

    fold(reference(chunk(2), bucket="b", size_bytes=0), listed, store=store, bus=MemoryBus())

    assert [each.size_bytes for each in listed.taken] == [1, 70]


def test_the_next_chunk_is_taken_from_its_event() -> None:
    """Nothing is listed."""
    store, listed = AskedStore(), Listed(taken=[Input(name=chunk(1), size_bytes=1)])

    fold(reference(chunk(2), bucket="b", size_bytes=70), listed, store=store, bus=MemoryBus())

    assert [each.size_bytes for each in listed.taken] == [1, 70]
    assert store.asked == []


def test_it_lists_from_the_last_chunk_on() -> None:
    """What was applied is not read again."""
    store, listed = AskedStore(), Listed(taken=[Input(name=chunk(1), size_bytes=1)])
    for number in range(4):
        store.put(chunk(number).key, b"x")

    fold(reference(chunk(3), bucket="b", size_bytes=1), listed, store=store, bus=MemoryBus())

    assert [each.name.seq for each in listed.taken] == [1, 2, 3]
    assert store.asked == [chunk(1).key]


def test_somebody_who_always_writes_first_is_waited_for_elsewhere() -> None:
    """It gives up after so many tries; the event comes again."""
    event = reference(chunk(2), bucket="b", size_bytes=1)
    once = Listed(taken=[Input(name=chunk(1), size_bytes=1)], conflicts=TRIES - 1)
    always = Listed(taken=[Input(name=chunk(1), size_bytes=1)], conflicts=TRIES)

    fold(event, once, store=AskedStore(), bus=MemoryBus())

    assert [each.name.seq for each in once.taken] == [1, 2]
    with pytest.raises(UnavailableError):
        fold(event, always, store=AskedStore(), bus=MemoryBus())
