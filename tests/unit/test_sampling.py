"""Which frames are looked at: instants of wall time, whatever the chunks' borders."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sluice.sampling import Shown, chosen, needed, picked

NOON_MS = 1_795_262_400_000


def frames_of(kinds: str, *, start_ms: float = NOON_MS, step_ms: float = 40.0) -> list[Shown]:
    """Frames in decoding order by letter: I, P, B (no other needs it); shown in the usual order of IPBB streams."""
    order = sorted(range(len(kinds)), key=lambda index: _shown_at(kinds, index))
    place = {index: rank for rank, index in enumerate(order)}
    return [
        Shown(pts=place[i], at_ms=start_ms + place[i] * step_ms, keyframe=kind == "I", reference=kind != "B")
        for i, kind in enumerate(kinds)
    ]


def _shown_at(kinds: str, index: int) -> float:
    """A reference is shown after the B-frames that follow it in the stream."""
    if kinds[index] == "B":
        return index
    after = index + 1
    while after < len(kinds) and kinds[after] == "B":
        after += 1
    return after - 0.5 if kinds[index] != "I" or index else -1


def test_each_instant_shows_one_frame() -> None:
    """25 fps looked at five times a second: every fifth frame, begun at the instant."""
    at = [NOON_MS + 40.0 * n for n in range(50)]

    assert chosen(at, end_ms=NOON_MS + 2000, fps=5) == list(range(0, 50, 5))


def test_frames_that_are_fewer_than_the_instants_are_taken_once() -> None:
    """One frame a second cannot be looked at five times."""
    at = [NOON_MS + 1000.0 * n for n in range(3)]

    assert chosen(at, end_ms=NOON_MS + 3000, fps=5) == [0, 1, 2]


@given(
    cuts=st.lists(st.integers(1, 120), max_size=6),
    fps=st.sampled_from([0.3, 1, 2.5, 5, 7, 12.5, 25, 30]),
    start=st.integers(0, 5000),
)
def test_where_chunks_begin_changes_nothing(cuts: list[int], fps: float, start: int) -> None:
    """The union of what is chosen in the pieces is what is chosen in the whole."""
    at = [float(NOON_MS + start + 40 * n) for n in range(121)]
    end_ms = at[-1] + 40
    whole = [at[index] for index in chosen(at, end_ms=end_ms, fps=fps)]

    borders = [0, *sorted(set(cuts)), len(at)]
    pieces = []
    for first, last in itertools.pairwise(borders):
        mine = at[first:last]
        until = at[last] if last < len(at) else end_ms
        pieces += [mine[index] for index in chosen(mine, end_ms=until, fps=fps)] if mine else []

    # Each piece has whole frames, so none is chosen on both sides of a border.
    assert pieces == whole


def test_frames_that_nobody_needs_are_not_decoded() -> None:
    """B-frames that are not looked at, and all that follows the last wanted frame of its GOP."""
    frames = frames_of("IPBBPBBIPBB")
    by_kind = {each.pts: index for index, each in enumerate(frames)}
    wanted = {frames[1].pts, frames[7].pts}

    need = needed(frames, wanted)

    assert [index for index, each in enumerate(need) if each] == [0, 1, 7]
    assert by_kind[frames[7].pts] == 7


def test_a_wanted_b_frame_brings_all_its_references() -> None:
    """Everything before it in its GOP that others need."""
    frames = frames_of("IPBBPBB")
    wanted = {frames[5].pts}

    need = needed(frames, wanted)

    assert [index for index, each in enumerate(need) if each] == [0, 1, 4, 5]


def test_a_frame_before_its_keyframe_needs_the_gop_before() -> None:
    """Open GOPs: what is shown first was decoded after a keyframe that is shown later."""
    open_gop = [
        Shown(pts=0, at_ms=NOON_MS, keyframe=True, reference=True),
        Shown(pts=1, at_ms=NOON_MS + 40, keyframe=False, reference=True),
        Shown(pts=3, at_ms=NOON_MS + 120, keyframe=True, reference=True),
        Shown(pts=2, at_ms=NOON_MS + 80, keyframe=False, reference=False),
    ]

    assert needed(open_gop, {2}) == [True, True, True, True]
    assert needed(open_gop, {3}) == [False, False, True, False]


def test_keyframes_alone() -> None:
    """Of these too, no more than there are instants."""
    frames = frames_of("IPPPPIPPPPIPPPP")

    assert picked(frames, end_ms=NOON_MS + 600, fps=25, keyframes_only=True) == {0, 5, 10}
    assert picked(frames, end_ms=NOON_MS + 600, fps=2.5, keyframes_only=True) == {0, 10}
