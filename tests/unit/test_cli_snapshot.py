"""`sluice snapshot`: a picture of what was recorded, and what is said where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.store import ListedObject
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_name
from tests.desk import Desk, put_a_recording


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def test_a_snapshot_is_of_the_newest_chunk(sluice: Desk, tmp_path: Path) -> None:
    """Its last keyframe."""
    put_a_recording(sluice)
    put_a_recording(sluice, start_ms=NOON_MS + 86_400_000)

    output = sluice("snapshot", "gate", "-o", tmp_path / "x.jpg")

    assert output == f"{tmp_path}/x.jpg: 320x180, 2026-11-22T12:00:01.000Z\n"
    assert (tmp_path / "x.jpg").read_bytes().startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("2026-11-21T12:00:00.5Z", "12:00:00.000Z"),
        ("2026-11-21T12:00:01.5", "12:00:01.000Z"),
        ("2026-11-21T13:00:01.999+01:00", "12:00:01.000Z"),
    ],
)
def test_a_snapshot_of_a_time_is_the_last_keyframe_until_then(
    sluice: Desk, tmp_path: Path, at: str, taken: str
) -> None:
    """From the chunk that shows it."""
    for start_ms in (NOON_MS - 3_600_000, NOON_MS, NOON_MS + 2000, NOON_MS + 86_400_000):
        put_a_recording(sluice, start_ms=start_ms)

    output = sluice("snapshot", "gate", "-o", tmp_path / "x.jpg", "--at", at)

    assert taken in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gate", "--at", "2026-11-21T12:00:09Z"), "from 2026-11-21T12:00:02.000Z to 2026-11-21T12:00:09.000Z"),
        (("gate", "--at", "2026-11-21T11:59:59Z"), "nothing was recorded of 'gate' until 2026-11-21T11:59:59.000Z"),
        (("lobby",), "nothing was recorded of 'lobby'"),
        (("Gate",), "camera id 'Gate'"),
        (("gate", "--at", "noon"), "expected a time"),
        (("gate", "-o", "/nowhere/x.jpg"), "/nowhere/x.jpg: No such file"),
    ],
)
def test_a_picture_that_cannot_be_had_is_refused(sluice: Desk, arguments: tuple[str, ...], complaint: str) -> None:
    """With what is there instead."""
    put_a_recording(sluice)

    assert complaint in sluice.refused("snapshot", *arguments)


def test_a_snapshot_lists_little_of_what_was_recorded(
    sluice: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A year has ten million chunks."""
    for day in range(30):
        for chunk in range(20):
            name = a_chunk_name(start_ms=NOON_MS + day * 86_400_000 + chunk * 2000)
            sluice.store.put(name.key, b"x")
    put_a_recording(sluice, start_ms=NOON_MS + 40 * 86_400_000)
    seen: list[str] = []
    listed = sluice.store.list

    def counted(prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        for each in listed(prefix, after=after):
            seen.append(each.key)
            yield each

    monkeypatch.setattr(MemoryStore, "list", lambda _self, prefix, *, after="": counted(prefix, after=after))

    sluice("snapshot", "gate", "-o", tmp_path / "x.jpg")

    assert len(seen) < 40
