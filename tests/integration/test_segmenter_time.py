"""What cameras say of time, as byte streams through the running process, side by side."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.chunks import StoredSession, checked_sessions, names_of
from tests.flv_stream import MS, FlvClip, FlvStream, flv_clip
from tests.payloads import slices
from tests.services.line import eventually
from tests.services.recording import Push
from tests.services.segmenter import SegmenterProcess, pushing, segmenter_process, segmenter_servers
from tests.transport_stream import HZ, WRAP, Picture, TransportStream, joined, pictures

pytestmark = [pytest.mark.s3, pytest.mark.nats, pytest.mark.alone]

FRAME = HZ // 25
WALL_SLACK_MS = 120
"""A push waits up to 200 ms to be read; of a minute's packets the least late one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Pictures, what is said of their times, and what is to become of them."""

    pictures: tuple[Picture, ...]
    stamps: Callable[[int, Picture], tuple[int | None, int | None]] = lambda _, each: (each.pts, each.dts)
    fps: float = 25
    """At which they are sent."""
    sessions: int = 1
    lost: range = field(default=range(0))
    """Pictures that cannot be kept."""
    length_size: ClassVar[int | None] = None
    """Of a unit's length, where there are no start codes."""

    @property
    def kept(self) -> list[Picture]:
        """Those that are to be stored."""
        return [each for at, each in enumerate(self.pictures) if at not in self.lost]

    def plan(self) -> Iterator[tuple[float, bytes]]:
        """What is sent when."""
        stream = TransportStream()
        for at, each in enumerate(self.pictures):
            pts, dts = self.stamps(at, each)
            yield at / self.fps, stream.unit(each, pts=pts, dts=None if dts == pts else dts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flv(Stream):
    """The same as FLV, which counts milliseconds, and how much later than decoded a picture is shown."""

    length_size: ClassVar[int | None] = 4
    clip: FlvClip

    def plan(self) -> Iterator[tuple[float, bytes]]:
        """As Stream has it."""
        stream = FlvStream(self.clip.sets)
        for at, each in enumerate(self.pictures):
            pts, dts = self.stamps(at, each)
            shown, decoded = (pts or 0) // MS, (dts or 0) // MS
            yield at / self.fps, stream.unit(each, at_ms=decoded, shown_later_ms=shown - decoded)


def flv(clip: FlvClip, **said: Any) -> Flv:
    """A clip as FLV."""
    return Flv(pictures=clip.pictures, clip=clip, **said)


def moved(ticks: Callable[[int], int]) -> Callable[[int, Picture], tuple[int | None, int | None]]:
    """Times that are off by what *ticks* says of the picture's ordinal."""
    return lambda at, each: (each.pts + ticks(at), each.dts + ticks(at))


def without_pts(at: int, each: Picture) -> tuple[int | None, int | None]:
    """Every other picture has no time at all."""
    return (None, None) if at % 2 else (each.pts, each.dts)


def standing_dts(at: int, each: Picture) -> tuple[int | None, int | None]:
    """Now and then the decoding time falls back behind that of the picture before, or stands."""
    back = {7: 2 * FRAME, 13: FRAME}.get(at % 25, 0)
    return each.pts, each.dts - back


TEN_S = pictures(seconds=10)
REORDERED = pictures(seconds=10, bf=2)

STREAMS = {
    "plain": Stream(pictures=REORDERED, stamps=moved(lambda _: HZ)),
    "wraps": Stream(pictures=REORDERED, stamps=moved(lambda _: WRAP - 5 * HZ)),
    "reset": Stream(pictures=TEN_S, stamps=moved(lambda at: -5 * HZ if at >= 125 else 700 * HZ), sessions=2),
    "reset-within-a-gop": Stream(
        pictures=TEN_S,
        stamps=moved(lambda at: (690 if at >= 135 else 700) * HZ),
        sessions=2,
        lost=range(135, 150),
    ),
    "leaps": Stream(pictures=TEN_S, stamps=moved(lambda at: 3600 * HZ if at >= 125 else 0), sessions=2),
    "negative-dts": Stream(pictures=REORDERED, stamps=moved(lambda _: -2 * FRAME)),
    "standing-dts": Stream(pictures=REORDERED, stamps=standing_dts),
    "without-pts": Stream(pictures=TEN_S, stamps=without_pts),
    "slow": Stream(pictures=TEN_S, fps=24.97),
    "too-fast": Stream(pictures=pictures(seconds=12), fps=32, sessions=2),
    "keyframes-alone": Stream(pictures=pictures(seconds=10, gop=1)),
    "long-gops": Stream(pictures=pictures(seconds=13, gop=300)),
    "changing-size": Stream(
        pictures=tuple(joined(pictures(seconds=5), pictures(seconds=5, size=(640, 360)))), sessions=2
    ),
    "changing-gops": Stream(
        pictures=tuple(
            joined(*(pictures(seconds=float(Fraction(gop, 25)), gop=gop) for gop in (50, 10, 80, 5, 60, 15, 100)))
        )
    ),
    "flv": flv(flv_clip(seconds=10, bf=2), stamps=moved(lambda _: HZ)),
    "flv-reset": flv(flv_clip(seconds=10), stamps=moved(lambda at: -5 * HZ if at >= 125 else 700 * HZ), sessions=2),
    "flv-shown-before-decoded": flv(
        flv_clip(seconds=10, bf=2), stamps=lambda _, each: (each.pts + HZ, each.dts + HZ + 2 * FRAME)
    ),
}


@pytest.fixture(scope="module")
def process(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmenterProcess]:
    """A segmenter that has had all of the streams."""
    folder = tmp_path_factory.mktemp("time")
    with segmenter_servers(minio_binary, folder) as prepared, segmenter_process(prepared, folder) as segmenter:
        segmenter.save(*(pushing(name, target_s=2) for name in STREAMS))
        segmenter.until("every camera waits for its push", lambda said: set(said) == set(STREAMS))
        pushes = [Push(segmenter, name, stream.plan()) for name, stream in STREAMS.items()]
        BEGAN_MS.clear()
        for each in pushes:
            each.join(within_s=60)
            BEGAN_MS[each.camera] = each.began_ms
        segmenter.until("all of it is stored", lambda said: not any(each["spooled"] for each in said.values()))
        eventually("every push has ended", lambda: all(each["state"] == "offline" for each in said_of(segmenter)))
        yield segmenter


BEGAN_MS = dict[str, float]()


def said_of(process: SegmenterProcess) -> list[dict[str, object]]:
    """What it says of each camera."""
    return list(process.cameras().values())


def sent(stream: Stream) -> list[str]:
    """What is to be stored of it."""
    kept = [slices(each.data, "h264", length_size=stream.length_size) for each in stream.kept]
    return [hashlib.sha256(each).hexdigest()[:16] for each in kept]


def stored(sessions: list[StoredSession]) -> list[str]:
    """What is."""
    return [each for session in sessions for each in session.payloads.video]


@pytest.mark.parametrize("name", STREAMS)
def test_whatever_a_camera_says_of_time_every_picture_is_stored_once_in_order(
    process: SegmenterProcess, name: str
) -> None:
    """Chunks of honest, continuous time; a new session only where the camera's time cannot be believed."""
    stream = STREAMS[name]

    sessions = checked_sessions(process.store, name)

    assert stored(sessions) == sent(stream)
    assert len(sessions) == stream.sessions


@pytest.mark.parametrize("name", sorted(set(STREAMS) - {"too-fast"}))
def test_wall_time_is_when_it_arrived_whatever_the_stamps_say(process: SegmenterProcess, name: str) -> None:
    """The camera's clock is trusted for durations alone."""
    names = names_of(process.store, name)
    lasted_ms = 1000 * len(STREAMS[name].pictures) / STREAMS[name].fps

    late_ms = names[0].start_ms - BEGAN_MS[name]
    over_ms = names[-1].end_ms - BEGAN_MS[name] - lasted_ms

    assert -10 <= late_ms <= WALL_SLACK_MS
    assert -10 <= over_ms <= WALL_SLACK_MS


def test_what_is_lost_for_want_of_a_keyframe_is_counted(process: SegmenterProcess) -> None:
    """Nothing goes missing in silence."""
    said = process.cameras()

    waiting = {name: said[name]["frames_waiting"] + said[name]["frames_dropped"] for name in STREAMS}

    assert waiting == {name: len(stream.lost) for name, stream in STREAMS.items()}


def test_a_gop_longer_than_the_target_makes_a_longer_chunk(process: SegmenterProcess) -> None:
    """A chunk begins at a keyframe, always."""
    lengths = [name.duration_ms for name in names_of(process.store, "long-gops")]

    assert lengths == [pytest.approx(12_000, abs=10), pytest.approx(1000, abs=10)]


def test_another_size_begins_with_another_init_segment(process: SegmenterProcess) -> None:
    """A player is told before the first picture of that size."""
    small, large = checked_sessions(process.store, "changing-size")

    sizes = [each.chunks[0].metadata["width"] for each in (small, large)]

    assert sizes == ["320", "640"]
    assert small.init != large.init
