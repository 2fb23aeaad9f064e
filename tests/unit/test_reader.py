"""A camera is read for ever: whatever its source does, it is tried again, and stopping waits for nobody."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from segmenter.conversion import ConversionCounts
from segmenter.cutter import CutChunk, Cutter
from segmenter.reader import AWAITED_WAIT_S, FIRST_WAIT_S, LONGEST_WAIT_S, STEADY_S, Reader, Waits, gathering_s
from segmenter.report import CameraReport
from segmenter.source import SourceError
from tests.scripted import Played, Script, Time, Trackless

LONG_S = 10.0


@dataclass(slots=True, kw_only=True, eq=False)
class Told:
    """What the reader said, in order."""

    said: list[Any] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def cut(self, chunks: list[CutChunk]) -> None:
        """See Sink."""
        self.said += chunks

    def lost(self, error: SourceError) -> None:
        """See Sink."""
        self.said.append(error)
        if error.final:
            self.over.set()

    def chunks(self) -> list[CutChunk]:
        """Of all it said."""
        return [each for each in self.said if isinstance(each, CutChunk)]

    def reasons(self) -> list[str]:
        """Of all it said."""
        return [each.reason for each in self.said if isinstance(each, SourceError)]


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A reader and those around it."""

    source: Script
    told: Told = field(default_factory=Told)
    time: Time = field(default_factory=Time)
    report: CameraReport = field(default_factory=lambda: CameraReport(camera="gate"))

    def reader(self, *, epoch_s: float = 1_790_000_000.0) -> Reader:
        """Not started yet."""
        return Reader(
            self.source,
            Cutter(epoch_s=epoch_s),
            self.told,
            self.report,
            now=self.time.now,
            jitter=lambda: 1.0,
            pause=self.time.pause,
        )

    def run(self) -> None:
        """Until the script is over."""
        self.reader().start()
        assert self.told.over.wait(LONG_S), self.told.said


def unreachable() -> SourceError:
    return SourceError("unreachable", "nobody is there")


def test_attempts_come_less_and_less_often() -> None:
    """0.5 to 15 s, half of it chance, for ever."""
    least, most = Waits(lambda: 0.0), Waits(lambda: 1.0)

    longest = [most.after(0.0) for _ in range(2000)]

    assert longest[:7] == [FIRST_WAIT_S, 1.0, 2.0, 4.0, 8.0, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert longest[-1] == LONGEST_WAIT_S
    assert [least.after(0.0) for _ in range(7)] == [each / 2 for each in longest[:7]]


def test_a_steady_connection_forgives_the_failures_before() -> None:
    """One that lived shortly does not."""
    waits = Waits(lambda: 1.0)
    for _ in range(5):
        waits.after(0.0)

    assert waits.after(STEADY_S - 1) == LONGEST_WAIT_S
    assert waits.after(STEADY_S) == FIRST_WAIT_S
    assert waits.after(0.0) == 1.0


def test_the_reader_waits_as_the_rule_says() -> None:
    """The time that counts is from the connection to its end, on the clock that was given."""
    line = Line(source=Script(unreachable(), unreachable()))
    line.source.then(Played(lambda _: setattr(line.time, "now_s", line.time.now_s + 0.04)))
    line.source.then(unreachable())

    line.run()

    assert line.time.waited == [FIRST_WAIT_S, 1.0, FIRST_WAIT_S, 1.0]
    assert line.told.reasons() == ["unreachable", "unreachable", "ended", "unreachable", "ended"]


class Counted(Played):
    """A connection that lost a picture and three packets of sound."""

    counts = ConversionCounts(pictures_broken=1, sound_broken=3)


def test_what_connections_count_adds_up() -> None:
    """Each counts for itself alone."""
    line = Line(source=Script(Counted(), unreachable(), Played(), Counted()))
    reader = line.reader()

    reader.start()

    assert line.told.over.wait(LONG_S)
    assert reader.counts == {"pictures_broken": 2, "sound_broken": 6}


class Awaiting(Script):
    """A source that waits for its camera by itself."""

    awaits_its_camera = True


def test_a_camera_that_comes_by_itself_may_come_at_once() -> None:
    """Refused or cut, it is let in again; only what keeps its source from waiting is tried less and less often."""
    refused, cut = SourceError("garbage", "refused"), SourceError("ended", "cut")
    line = Line(source=Awaiting(refused, Played(), cut, unreachable(), unreachable()))

    line.run()

    at_once = AWAITED_WAIT_S
    assert line.time.waited == [at_once, at_once, at_once, 4.0, 8.0]


def test_the_open_chunk_is_kept_when_the_source_goes() -> None:
    """It is told before the loss is, and the connection is given back."""
    played = Played()
    line = Line(source=Script(played))

    line.run()

    assert [type(each) for each in line.told.said[-3:]] == [CutChunk, SourceError, SourceError]
    assert sum(each.chunk.frames for each in line.told.chunks()) == 300
    assert played.closed
    assert (line.report.packets, line.report.connections) == (300, 1)


def test_after_its_proper_end_a_source_is_left_alone() -> None:
    """A file that is not looped is not played again."""
    line = Line(source=Script(SourceError("ended", "the file is over", final=True), Played()))

    line.run()

    assert line.told.reasons() == ["ended"]
    assert line.time.waited == []


@pytest.mark.parametrize("bug", [KeyError("oops"), RuntimeError("in a library"), MemoryError()])
def test_a_bug_that_a_camera_shows_does_not_end_its_thread(bug: Exception) -> None:
    """It is tried again like any other failure."""
    line = Line(source=Script(bug, Played()))

    line.run()

    assert line.told.reasons() == ["garbage", "ended", "ended"]
    assert line.told.chunks()


def test_a_sink_that_fails_does_not_end_the_thread() -> None:
    """Whoever keeps the chunks may have a bug of its own: the next connection is read all the same."""

    class Failing(Told):
        def cut(self, chunks: list[CutChunk]) -> None:
            if chunks and not self.reasons():
                raise KeyError("oops")
            Told.cut(self, chunks)

    line = Line(source=Script(Played(), Played()), told=Failing())

    line.run()

    assert line.told.reasons() == ["ended", "ended", "ended"]
    assert line.told.chunks()


def test_what_cannot_be_read_is_unsupported() -> None:
    """No video track, or a codec that no chunk can hold: said in words, and tried again."""

    class Silent(Played):
        def __init__(self) -> None:
            super().__init__()
            self.container.close()
            self.container = Trackless()

        def close(self) -> None:
            self.closed = True

    line = Line(source=Script(Silent()))

    line.run()

    assert line.told.reasons() == ["unsupported", "ended"]


def test_stopping_does_not_wait_for_a_read_that_hangs() -> None:
    """The open chunk is cut at once, and what the library gives afterwards is ignored."""
    reached, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def arrive(number: int) -> None:
        if number == 30:
            reached.set()
            assert let_go.wait(LONG_S)

    class Ending(Played):
        def close(self) -> None:
            super().close()
            ended.set()

    line = Line(source=Script(Ending(arrive)))
    reader = line.reader()
    reader.start()
    assert reached.wait(LONG_S)

    reader.stop()
    at_once = [each.chunk.frames for each in line.told.chunks()]
    let_go.set()
    assert ended.wait(LONG_S)
    reader.stop()

    assert sum(at_once) == 30
    assert [each.chunk.frames for each in line.told.chunks()] == at_once
    assert line.told.reasons() == []
    assert line.source.interrupted.is_set()
    assert line.report.packets == 30


def test_a_connection_that_comes_after_the_stop_is_given_back() -> None:
    """open() may hang as well."""
    reached, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    class Late(Played):
        def close(self) -> None:
            super().close()
            ended.set()

    def late() -> Played:
        reached.set()
        assert let_go.wait(LONG_S)
        return Late()

    line = Line(source=Script(late))
    reader = line.reader()
    reader.start()
    assert reached.wait(LONG_S)

    reader.stop()
    let_go.set()

    assert ended.wait(LONG_S)
    assert line.told.said == []
    assert line.report.connections == 0


def arriving(time: Time, at: Callable[[int], float]) -> Callable[[int], None]:
    """Packets that are there from a time on: who asks earlier waits."""
    began = time.now_s

    def arrive(number: int) -> None:
        time.now_s = max(time.now_s, began + at(number))

    return arrive


def test_packets_gather_only_where_one_was_waited_for() -> None:
    """What has gathered is read without a pause."""
    line = Line(source=Script())
    line.source.then(Played(arriving(line.time, lambda number: number / 25), gather_s=0.2))

    line.run()

    assert set(line.time.waited[:-1]) == {0.2}
    assert 40 <= len(line.time.waited) <= 60, "300 packets in 12 s"
    line = Line(source=Script(Played(gather_s=0.2)))
    line.run()
    assert line.time.waited == [FIRST_WAIT_S], "everything was there: nothing is gathered"


@pytest.mark.parametrize(
    ("megabits", "expected_s"), [(0.0, 0.5), (2.0, 0.5), (8.0, 0.197), (50.0, 0.031)], ids=["none", "2", "8", "50"]
)
def test_no_more_gathers_than_a_socket_holds(megabits: float, expected_s: float) -> None:
    """The more a camera sends the sooner it is read: else it would have to drop pictures."""
    came_bytes = round(megabits * 1e6 / 8 * 0.3)

    assert gathering_s(0.5, came_bytes, 0.3) == pytest.approx(expected_s, abs=0.001)


@pytest.mark.parametrize("gather_s", [0.04, 0.2, 0.5])
def test_gathering_does_not_move_the_time_of_chunks(gather_s: float) -> None:
    """A packet that was waited for came when it was read, and the least delay is what counts."""

    def starts(gathering_s: float) -> list[int]:
        line = Line(source=Script())
        jittery = arriving(line.time, lambda number: number / 25 + 0.015 * (number * 7 % 5) / 5)
        line.source.then(Played(jittery, gather_s=gathering_s))
        line.run()
        return [each.start_ms for each in line.told.chunks()]

    at_once, gathered = starts(0.0), starts(gather_s)

    assert len(gathered) == len(at_once) == 4
    assert max(abs(one - other) for one, other in zip(at_once, gathered, strict=True)) <= 40


@pytest.mark.parametrize(("segmented", "sessions"), [(True, {1}), (False, {1, 2})])
def test_segments_that_come_sooner_are_no_jump(*, segmented: bool, sessions: set[int]) -> None:
    """A playlist is read when it is read: once late by a second and a half, then as soon as it has changed."""
    line = Line(source=Script())

    def read(number: int) -> float:
        segment = number // 50
        return 2 * (segment + 1) + (1.5 if segment < 2 else 0)

    played = Played(arriving(line.time, read))
    played.segmented = segmented
    line.source.then(played)
    line.run()

    assert {each.session for each in line.told.chunks()} == sessions
