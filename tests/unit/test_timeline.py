"""Wall time of a camera's chunks: near the truth under jitter, never back, and never believed too long."""

import random
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.timeline import SLEW, WINDOW_S, Clock, Placed, SlidingMinimum, Timeline, Verdict

EPOCH_S = 1_795_262_400.0
CHUNK_S = 3.0


class Watch:
    """Hands that a test moves."""

    def __init__(self) -> None:
        self.monotonic_s = 100.0
        self.wall_s = EPOCH_S + 100.0

    def goes_on(self, seconds: float) -> None:
        """Time passes, on both."""
        self.monotonic_s += seconds
        self.wall_s += seconds


def frames(seconds: float, *, fps: float = 25, rate: float = 1.0, first: float = 7.0) -> Iterator[tuple[float, float]]:
    """When each frame is taken (monotonic), and what a camera whose clock runs *rate* times as fast says of that."""
    for number in range(round(seconds * fps)):
        taken = number / fps
        yield taken, first + taken * rate


def run(line: Timeline, packets: Iterable[tuple[float, float]]) -> tuple[list[tuple[Placed, float]], Verdict | None]:
    """Place a chunk each three seconds of media time, once it is settled, until a verdict: with its start there."""
    placed: list[tuple[Placed, float]] = []
    waiting: list[tuple[float, float]] = []
    start = None
    for received, media in packets:
        verdict = line.saw(received, media)
        if verdict is not None:
            return placed, verdict
        start = media if start is None else start
        if media >= start + CHUNK_S - 1e-9:
            waiting.append((start, media))
            start = media
        if line.settled:
            placed += [(line.place(*each), each[0]) for each in waiting]
            waiting = []
    return placed, None


def jittered(packets: Iterable[tuple[float, float]], most: float, seed: int = 1) -> Iterator[tuple[float, float]]:
    """A network that holds everything back now and then, and some milliseconds of its own; in order, as TCP."""
    chance = random.Random(seed)
    opens = shut = received = 0.0
    for taken, media in packets:
        if taken >= shut:
            opens, shut = taken + chance.uniform(0, most), taken + chance.uniform(most, 3 * most)
        received = max(received, opens, taken + chance.uniform(0, most / 30))
        yield received, media


def scrambled(packets: Iterable[tuple[float, float]], most: float, seed: int) -> Iterator[tuple[float, float]]:
    """The worst: each packet has a delay of its own, and all that follow wait for it."""
    received, chance = 0.0, random.Random(seed)
    for taken, media in packets:
        received = max(received, taken + chance.uniform(0, most))
        yield received, media


def polled(packets: Iterable[tuple[float, float]], segment_s: float, seed: int) -> Iterator[tuple[float, float]]:
    """As FFmpeg reads a playlist: again a segment later and a little, and where nothing is new half of one later.

    So each segment is found a little older than the one before, up to one that is found as soon as it is complete.
    """
    chance = random.Random(seed)
    asked = chance.uniform(3 * segment_s, 4 * segment_s)
    for number, segment in groupby(packets, lambda each: each[0] // segment_s):
        wait = segment_s
        while asked < (number + 1) * segment_s:
            asked += wait + chance.uniform(0, 0.12)
            wait = segment_s / 2
        for _, media in segment:
            yield asked, media


@given(st.lists(st.tuples(st.floats(0.01, 40), st.floats(-1e6, 1e6)), min_size=1))
def test_the_minimum_is_that_of_the_window(steps: list[tuple[float, float]]) -> None:
    """Whatever comes, it is the least of the last minute."""
    window, now = SlidingMinimum(WINDOW_S), 0.0
    all_of_it: deque[tuple[float, float]] = deque()

    for step, value in steps:
        now += step
        all_of_it.append((now, value))
        expected = min(each for at, each in all_of_it if at > now - WINDOW_S)

        assert window.add(now, value) == expected


@pytest.mark.parametrize("seed", range(20))
def test_jitter_does_not_move_the_line(seed: int) -> None:
    """With packets up to 300 ms late every chunk is named within 40 ms of the truth, the first as well."""
    placed, verdict = run(Timeline(epoch_s=EPOCH_S), jittered(frames(120), 0.3, seed))

    assert verdict is None
    assert len(placed) == 39
    for each, media in placed:
        assert abs(each.start_ms - (EPOCH_S + media - 7) * 1000) < 40


@given(st.integers(0, 10_000))
def test_no_frame_is_named_before_it_was_taken(seed: int) -> None:
    """Where no packet is ever in time the names are late, by less than half the jitter."""
    placed, verdict = run(Timeline(epoch_s=EPOCH_S), scrambled(frames(90), 0.3, seed))
    late = [each.start_ms - (EPOCH_S + media - 7) * 1000 for each, media in placed]

    assert verdict is None
    assert all(-2 <= each < 150 for each in late)


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0.9996, 1.0004))
def test_chunks_of_a_session_touch(seed: int, jitter: float, rate: float) -> None:
    """Each starts in the millisecond in which the one before ended, and is as long as its media but for the slew."""
    placed, _ = run(Timeline(epoch_s=EPOCH_S), jittered(frames(30, rate=rate), jitter, seed))

    assert len(placed) >= 8
    for (before, _), (after, _) in pairwise(placed):
        assert after.start_ms == before.end_ms
    assert all(abs(each.duration_ms - CHUNK_S * 1000) <= CHUNK_S * 1000 * SLEW + 45 for each, _ in placed)
    total = placed[-1][0].end_ms - placed[0][0].start_ms
    assert sum(each.duration_ms for each, _ in placed) == total


@pytest.mark.parametrize("rate", [0.9998, 1.0002], ids=["slow", "fast"])
def test_a_camera_whose_clock_is_off_is_followed(rate: float) -> None:
    """200 ppm either way are less than the slew, so the names stay true."""
    placed, verdict = run(Timeline(epoch_s=EPOCH_S), frames(3600, rate=rate, fps=5))

    assert verdict is None
    for each, media in placed:
        assert abs(each.start_ms / 1000 - EPOCH_S - (media - 7) / rate) < 0.04


@pytest.mark.parametrize("rate", [24.97 / 25, 25.03 / 25], ids=["slow", "fast"])
def test_a_wrong_frame_rate_ends_the_session(rate: float) -> None:
    """24.97 fps labelled 25 drift by 1.2 ms a second: more than is slewed, so a new session begins at one second."""
    placed, verdict = run(Timeline(epoch_s=EPOCH_S), frames(1200, rate=rate, fps=5))

    assert verdict is not None
    assert verdict.reason == "drift"
    assert 0.99 < abs(verdict.error_s) < 1.01
    assert 700 < placed[-1][1] < 900


def test_a_stall_that_is_made_up_for_costs_nothing() -> None:
    """Five seconds of silence, then all at once: the frames were taken when the camera says."""
    stalled = ((received if not 100 < received < 105 else 105.0, media) for received, media in frames(300))

    placed, verdict = run(Timeline(epoch_s=EPOCH_S), stalled)

    assert verdict is None
    assert all(abs(each.start_ms - (EPOCH_S + media - 7) * 1000) < 2 for each, media in placed)


def test_a_clock_that_stood_still_ends_the_session() -> None:
    """Five seconds that the camera's clock does not know: believed for a minute, as it may be a slow network."""
    stood = ((received, media - 5 if received > 100 else media) for received, media in frames(300))

    placed, verdict = run(Timeline(epoch_s=EPOCH_S), stood)

    assert verdict is not None
    assert verdict.reason == "stall"
    assert verdict.error_s == pytest.approx(5)
    assert placed[-1][0].end_ms / 1000 - EPOCH_S < 100 + WINDOW_S


def test_a_jump_ends_the_session_at_once() -> None:
    """A frame cannot arrive before it was taken."""
    jumped = ((received, media + 5 if received > 100 else media) for received, media in frames(300))

    placed, verdict = run(Timeline(epoch_s=EPOCH_S), jumped)

    assert verdict is not None
    assert verdict.reason == "jump"
    assert placed[-1][0].end_ms / 1000 - EPOCH_S < 101


@pytest.mark.parametrize("segment_s", [2, 4, 6, 10])
@pytest.mark.parametrize("seed", range(5))
def test_when_a_playlist_is_read_is_no_time_of_the_camera(segment_s: float, seed: int) -> None:
    """A quarter of an hour is one session, named within a segment of when it could be known."""
    line = Timeline(epoch_s=EPOCH_S, segmented=True)

    placed, verdict = run(line, polled(frames(900, fps=5), segment_s, seed))

    assert verdict is None
    assert len(placed) >= 299
    assert all(-1 <= each.start_ms / 1000 - EPOCH_S - (media - 7) <= 4 * segment_s for each, media in placed)
    assert all(before.end_ms == after.start_ms for (before, _), (after, _) in pairwise(placed))


@pytest.mark.parametrize("by_s", [15.0, -15.0], ids=["forward", "back"])
def test_a_playlist_whose_clock_jumps_ends_the_session(by_s: float) -> None:
    """By more than segments explain; what went back is believed for a minute, as it may be a slow server."""
    jumped = ((at, media + by_s if at > 300 else media) for at, media in polled(frames(900, fps=5), 4, 1))

    placed, verdict = run(Timeline(epoch_s=EPOCH_S, segmented=True), jumped)

    assert verdict is not None
    assert placed[-1][0].end_ms / 1000 - EPOCH_S < 300 + 2 * WINDOW_S


@given(st.integers(-10_000, 10_000))
def test_no_chunk_starts_before_the_floor(ahead_ms: int) -> None:
    """It is held to the end of the chunk before, says so, is slewed back, and being held is no error."""
    floor_ms = round(EPOCH_S * 1000) + ahead_ms
    line = Timeline(epoch_s=EPOCH_S, floor_ms=floor_ms)

    placed, verdict = run(line, frames(60))

    assert verdict is None
    assert placed[0][0].start_ms == max(floor_ms, round(EPOCH_S * 1000))
    assert placed[0][0].held_ms == max(0, ahead_ms)
    assert placed[-1][0].held_ms == pytest.approx(max(0, ahead_ms - 54 * 0.5), abs=2)
    assert line.error_s == pytest.approx(0)


@given(st.lists(st.floats(1e-6, 0.02), min_size=1, max_size=50))
def test_the_shortest_chunks_touch_too(durations: list[float]) -> None:
    """A name has whole milliseconds, at least one; what follows waits for it."""
    line, at, end_ms = Timeline(epoch_s=EPOCH_S), 0.0, 0
    line.saw(0.0, 0.0)

    for each in durations:
        placed = line.place(at, at + each)
        at += each

        assert placed.duration_ms >= 1
        assert placed.start_ms >= end_ms
        end_ms = placed.end_ms


def test_what_a_server_had_kept_does_not_count_as_late() -> None:
    """Servers send their last GOP at once: the chunk is placed when that is over."""
    line = Timeline(epoch_s=EPOCH_S)

    for taken, media in frames(10):
        line.saw(max(taken, 6.0), media)
        if taken <= 7.9:
            assert not line.settled
    placed = line.place(7.0, 10.0)

    assert line.settled
    assert placed.start_ms == EPOCH_S * 1000


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_the_monotonic_clock_goes_on_when_the_machine_is_set(step: float) -> None:
    """The step is a fact that is told once; time goes on as if nothing was."""
    watch = Watch()
    clock = Clock(monotonic=lambda: watch.monotonic_s, wall=lambda: watch.wall_s)
    watch.goes_on(5)

    assert clock.stepped_by() is None

    watch.wall_s += step
    watch.goes_on(1)

    assert clock.stepped_by() == pytest.approx(step)
    assert clock.stepped_by() is None
    assert clock.epoch_s + clock.now() == pytest.approx(EPOCH_S + 106)
