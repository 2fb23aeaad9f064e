"""A camera in a worker: what is said of it, how it follows its configuration, and what becomes of its chunks."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from segmenter.fleet.channel import DROPS_S, Channel, Services
from segmenter.fleet.standby import SILENT_S
from segmenter.fleet.uploads import Steps, Uploads
from segmenter.numbering import start_session
from segmenter.reader import Reader
from segmenter.source import Source, SourceError
from segmenter.spool import Dropped, Limits
from segmenter.timeline import Clock
from segmenter.uploader import WATCH_S
from sluice.contracts.camera import Camera, CameraOffline, CameraOnline, ChunksDropped, Work
from sluice.errors import StoreError, UnavailableError
from sluice.names import CHUNKS
from sluice.testing.store import MemoryStore
from tests.scripted import Hanging, Played, Script

LONG_S = 10.0
CAMERA = Camera(name="gate", source="test://?size=64x48")


class ByHand(Uploads):
    """No threads: the test steps."""

    def __init__(self) -> None:
        super().__init__(threads=0)
        self.woken: Counter[str] = Counter()
        self.steps: dict[str, Steps] = {}

    def add(self, name: str, steps: Steps) -> None:
        """See Uploads."""
        self.steps[name] = steps

    def wake(self, name: str) -> None:
        """See Uploads."""
        self.woken[name] += 1

    def remove(self, name: str) -> None:
        """See Uploads."""
        del self.steps[name]


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A channel and those around it."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    uploads: ByHand = field(default_factory=ByHand)
    told: list[Any] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    """Made so far."""
    make: Callable[[], Source] = Hanging
    heard: threading.Condition = field(default_factory=threading.Condition)
    limits: Limits = field(default_factory=Limits)
    channels: list[Channel] = field(default_factory=list)

    def channel(self, camera: Camera = CAMERA) -> Channel:
        """Not started yet."""
        services = Services(
            store=self.store,
            uploads=self.uploads,
            clock=Clock(),
            spools=self.folder,
            limits=self.limits,
            source_of=self._source_of,
            tell=self._tell,
            reader=partial(Reader, pause=lambda *_: None),
        )
        self.channels.append(Channel(camera, services))
        return self.channels[-1]

    def _source_of(self, _: Camera) -> Source:
        source = self.make()
        self.sources.append(source)
        return source

    def _tell(self, event: Any) -> None:
        with self.heard:
            self.told.append(event)
            self.heard.notify_all()

    def running(self, camera: Camera = CAMERA) -> Channel:
        """Started, and as far as its source goes before it hangs."""
        channel = self.channel(camera)
        channel.start()
        assert self.sources[-1].reached.wait(LONG_S)
        return channel

    def wait_told(self, count: int) -> list[tuple[str, str]]:
        """The events in order, as (type, reason)."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.told) >= count, LONG_S), self.told
        return [(type(each).__name__, getattr(each, "reason", "")) for each in self.told]

    def upload(self, name: str = "gate") -> None:
        """Everything that is spooled."""
        while self.uploads.steps[name].step() == 0.0:
            pass

    def stored(self) -> int:
        """Chunks."""
        return sum(1 for _ in self.store.list(CHUNKS))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Of one test."""
    line = Line(folder=tmp_path)
    yield line
    for channel in line.channels:
        channel.stop_reading("stopped")


class Losing(Hanging):
    """A camera whose network lost three packets."""

    counts = {"packets_lost": 3}  # noqa: RUF012 (nobody changes it)


def test_what_sources_count_adds_up(line: Line) -> None:
    """A counter that falls when the source is changed would be a restart to whoever reads it."""
    line.make = Losing
    channel = line.running()
    first = channel.tick().packets_lost

    channel.change(replace(CAMERA, source="test://?size=32x24"))

    assert (first, channel.tick().packets_lost) == (3, 6)


def test_online_and_offline_are_told_once_per_change(line: Line) -> None:
    """Attempts that fail alike are one event; the first chunk is online, however many follow."""
    acts = Script(*[SourceError("unreachable", f"attempt {n}") for n in range(3)], Played())
    line.make = lambda: acts
    channel = line.channel()
    channel.start()

    told = line.wait_told(3)

    assert told == [("CameraOffline", "unreachable"), ("CameraOnline", ""), ("CameraOffline", "ended")]
    assert channel.tick().state == "offline"
    assert channel.report.reason == "ended"


def test_what_does_not_touch_the_source_interrupts_nothing(line: Line) -> None:
    """Recording, retention, functions, and the length of chunks."""
    channel = line.running()
    changed = replace(
        CAMERA,
        record=False,
        retention_days=1.0,
        functions={"detect": (Work(fps=1.0),)},
        target_s=1.0,
        keyframes_only=True,
    )

    channel.change(changed)

    assert len(line.sources) == 1
    assert not line.sources[0].interrupted.is_set()
    assert channel.camera == changed
    assert channel._cutter.target_s == 1.0


@pytest.mark.parametrize("change", [{"source": "test://?size=96x48"}, {"audio": False}, {"push_key": "ab" * 32}])
def test_what_touches_the_source_begins_anew(line: Line, change: dict[str, Any]) -> None:
    """The open chunk is kept; a revoked key lets nobody stay who came with it."""
    channel = line.running()

    channel.change(replace(CAMERA, **change))

    assert len(line.sources) == 2
    assert line.sources[0].interrupted.is_set()
    assert len(channel._spool) >= 1


def test_a_paused_camera_uploads_and_does_not_read(line: Line) -> None:
    """Its open chunk arrives; resumed it is read again."""
    channel = line.running()

    channel.change(replace(CAMERA, paused=True))
    state = channel.tick().state
    line.upload()
    channel.change(CAMERA)

    assert state == "paused"
    assert line.wait_told(2)[-1] == ("CameraOffline", "paused")
    assert line.stored() >= 1
    assert len(line.sources) == 2


def test_a_camera_that_is_added_paused_is_not_read(line: Line) -> None:
    """Nothing is made of its source."""
    channel = line.channel(replace(CAMERA, paused=True))

    channel.start()

    assert (line.sources, channel.tick().state) == ([], "paused")


def fenced(line: Line) -> Channel:
    """A channel that another segmenter took its camera from, with a chunk in the spool."""
    channel = line.running()
    channel._cutter.target_s = 1.0
    channel.stop_reading("stopped")
    channel.change(CAMERA)
    assert line.sources[-1].reached.wait(LONG_S)
    line.upload()
    start_session(line.store, "gate")
    channel._uploader._clock = lambda: time.monotonic() + WATCH_S + 1
    channel.change(replace(CAMERA, source="test://?size=96x48"))  # cuts what is open
    assert line.sources[-1].reached.wait(LONG_S)
    return channel


def test_the_loser_throws_away_and_stands_by(line: Line) -> None:
    """What it has is a time that the other has recorded as well."""
    channel = fenced(line)
    before = line.stored()

    line.uploads.steps["gate"].step()

    assert channel.tick().state == "fenced"
    assert line.sources[-1].interrupted.is_set()
    assert len(channel._spool) == 0
    assert channel.report.dropped["fenced"] >= 1
    assert line.stored() == before
    assert ("CameraOffline", "fenced") in line.wait_told(1)


def test_a_camera_whose_other_segmenter_is_silent_is_taken_over(line: Line) -> None:
    """Three of the longest chunks without one; with the store away nobody can say."""
    channel = fenced(line)
    step = line.uploads.steps["gate"].step
    step()
    made = len(line.sources)
    line.store.down = True
    away = step()
    line.store.down = False
    fresh = step()
    channel._standby._now = lambda: time.monotonic() + SILENT_S

    free = step()

    assert (away, fresh, free) == (30.0, 30.0, 0.0)
    assert len(line.sources) == made + 1
    assert line.sources[-1].reached.wait(LONG_S)
    channel.stop_reading("stopped")
    before = line.stored()
    line.upload()
    assert line.stored() > before


def test_a_camera_that_leaves_is_not_taken_over(line: Line) -> None:
    """It was fenced, then removed: a reader that began now would read for ever."""
    channel = fenced(line)
    step = line.uploads.steps["gate"].step
    step()
    step()
    channel.stop_reading("removed")
    channel._standby._now = lambda: time.monotonic() + SILENT_S
    made = len(line.sources)

    step()

    assert len(line.sources) == made
    assert channel.is_drained


def test_losses_are_one_event_in_ten_seconds(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is told at once, what follows together; all are counted."""
    now = [1000.0]
    monkeypatch.setattr("segmenter.fleet.channel.time.monotonic", lambda: now[0])
    channel = line.channel()
    for _ in range(3):
        channel._lost_chunk(Dropped(reason="full", size_bytes=10))
    channel.tick()
    for _ in range(9):
        channel._lost_chunk(Dropped(reason="full", size_bytes=10))
        channel._lost_chunk(Dropped(reason="old", size_bytes=1))
        now[0] += 1
        channel.tick()
    early = list(line.told)
    now[0] += DROPS_S
    channel.tick()
    channel.tick()

    assert [(each.reason, each.chunks, each.size_bytes) for each in early] == [("full", 3, 30)]
    assert sorted((each.reason, each.chunks, each.size_bytes) for each in line.told[1:]) == [
        ("full", 9, 90),
        ("old", 9, 9),
    ]
    assert channel.report.dropped == {"full": 12, "old": 9}


def test_losses_of_the_last_seconds_are_told_at_the_end(line: Line) -> None:
    """Nobody ticks a channel that was closed."""
    channel = line.channel(replace(CAMERA, paused=True))
    channel.start()
    channel._lost_chunk(Dropped(reason="full", size_bytes=10))
    channel.tick()
    channel._lost_chunk(Dropped(reason="full", size_bytes=10))

    channel.close()

    assert [each.chunks for each in line.told if isinstance(each, ChunksDropped)] == [1, 1]


def test_counting_losses_and_telling_them_do_not_hurt_each_other(line: Line) -> None:
    """Upload threads count while the control thread reports: none is lost, and nothing breaks."""
    channel = line.channel()
    counts = 3000
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def lose(reasons: int) -> None:
        for number in range(counts):
            channel._lost_chunk(Dropped(reason=f"reason-{number % reasons}", size_bytes=1))

    losing = [threading.Thread(target=lose, args=[reasons]) for reasons in (2, 300)]
    for each in losing:
        each.start()
    while any(each.is_alive() for each in losing):
        channel._told_s = float("-inf")
        asdict(channel.tick())
    sys.setswitchinterval(interval_s)
    channel._told_s = float("-inf")
    channel.tick()

    assert sum(each.chunks for each in line.told) == sum(channel.report.dropped.values()) == 2 * counts


def test_a_disk_that_fails_is_counted_and_read_on(line: Line) -> None:
    """Its spool's folder was removed, or does not take files."""
    channel = line.channel()
    folder = line.folder / "gate"
    (folder / "owner").unlink()
    folder.rmdir()
    channel.start()
    assert line.sources[0].reached.wait(LONG_S)

    channel.stop_reading("stopped")

    assert channel.report.dropped.get("disk-error", 0) >= 1
    assert [reason for _, reason in line.wait_told(2)] == ["", "stopped"]


def test_one_process_at_a_time_has_the_spool(line: Line) -> None:
    """The one before may still drain."""
    channel = line.channel(replace(CAMERA, paused=True))
    channel.start()

    with pytest.raises(UnavailableError):
        line.channel()
    channel.close()

    line.channel(replace(CAMERA, paused=True))


def test_who_leaves_for_good_takes_the_folder_along(line: Line) -> None:
    """Unless something is left in it."""
    channel = line.running()
    channel.stop_reading("removed")
    line.upload()

    assert channel.is_drained
    channel.close(for_good=True)

    assert not (line.folder / "gate").exists()
    kept = line.running()
    kept.stop_reading("removed")
    kept.close(for_good=True)
    assert list((line.folder / "gate").glob("*.cut"))


def test_whatever_fails_at_the_end_the_folder_is_free(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that refuses the session's end, or a bug."""
    for error in (StoreError("MethodNotAllowed"), KeyError("a bug")):
        channel = line.channel(replace(CAMERA, paused=True))
        channel.start()

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(channel._uploader, "end_session", fail)

        with suppress(KeyError):
            channel.close()

        line.channel(replace(CAMERA, name="gate", paused=True))._spool.close()


def test_online_says_what_the_chunks_hold(line: Line) -> None:
    """Codec, size, and that there is no sound."""
    line.running()

    line.channels[0].stop_reading("stopped")

    online, offline = line.told
    assert isinstance(online, CameraOnline)
    assert isinstance(offline, CameraOffline)
    assert online.codec.startswith("avc1.")
    assert (online.width, online.height, online.audio, online.transcoding) == (64, 48, None, None)
