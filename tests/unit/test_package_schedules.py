"""Any order of events, packagers and deaths leaves playlists that a player can follow, and nothing untold."""

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.errors import ObjectNotFoundError
from sluice.hls import live
from sluice.hls.current import current
from sluice.hls.playlist import MediaPlaylist, parse
from sluice.names import ChunkName, live_playlist_key
from tests.packaging import CAMERA, Gate
from tests.schedules import SteppedStore, Work

MOST_AT_ONCE = 3


@dataclass
class Scene:
    """A camera, packagers at work, and what must be true in the end."""

    gate: Gate = field(default_factory=lambda: Gate(store=SteppedStore()))
    works: list[Work] = field(default_factory=list)
    strangers: list[ChunkName] = field(default_factory=list)
    """Of a segmenter that was held up: it goes on under an older session."""

    def announce(self, name: ChunkName) -> None:
        """A packager gets the event, and stands before its first look."""
        if len(self.working) < MOST_AT_ONCE:
            self.works.append(Work(lambda: self.gate.announce(name)))

    @property
    def working(self) -> list[Work]:
        """Those that have not come to their end."""
        return [each for each in self.works if not each.over]

    def finish(self) -> None:
        """Everybody comes to an end; the newest chunk's event is delivered until it lists nothing more."""
        for each in self.works:
            each.finish()
        assert [each.error for each in self.works if each.error] == []
        taken = [each.seq for each in (*self.strangers, *self.gate.chunks)]
        # A segmenter names no chunk before the end of what is stored when its session begins.
        behind = max((each.end_ms for each in self.strangers), default=0) - max(
            (each.end_ms for each in self.gate.chunks), default=0
        )
        self.gate.put(seq=max(taken, default=0) + 1, pause_ms=max(0, behind))
        for _ in range(3):
            self.gate.announce(self.gate.chunks[-1])

    def stray(self, step: int) -> None:
        """The old segmenter stores its next chunk: an older session, a number that the new one has or will have."""
        last = self.gate.chunks[-1]
        name = replace(last, session=max(0, last.session - 1), seq=last.seq + step, start_ms=last.end_ms + step)
        if last.session > 1:
            self.gate.store.put(name.init_key, b"i" * 1000)
            self.gate.store.put(name.key, b"x" * 5000)
            self.strangers.append(name)

    def lists(self) -> list[MediaPlaylist]:
        """All live playlists that there are."""
        found = list[MediaPlaylist]()
        for target_duration in range(4, 11):
            try:
                body = self.gate.store.get(live_playlist_key(CAMERA, target_duration)).body
            except ObjectNotFoundError:
                continue
            found.append(parse(body.decode()))
        return found


CHUNKS = st.fixed_dictionaries(
    {
        "duration_ms": st.sampled_from([3000, 3000, 3000, 4000, 400, 6000, 9000, 15_000]),
        "session": st.sampled_from([0, 0, 0, 1, 2]),
        # Less than nothing: a segmenter that was held up has taken the numbers meanwhile.
        "skip": st.sampled_from([0, 0, 0, 1, 3, 12, -2]),
        "pause_ms": st.sampled_from([0, 0, 7, 90_000]),
    }
)
PUT = st.tuples(st.just("put"), CHUNKS)
NUMBERED = {"announce": 6, "step": 9, "kill": 1, "stray": 1, "lose": 1}
"""What else happens, and how often."""
ACTIONS = st.one_of(
    PUT,
    PUT,
    *(
        st.tuples(
            st.sampled_from([each for each, weight in NUMBERED.items() for _ in range(weight)]), st.integers(0, 3)
        )
        for _ in range(5)
    ),
)


def play(scene: Scene, what: str, how: object) -> None:
    """One action; nothing where it has no object."""
    chunks, works = scene.gate.chunks, scene.working
    match what, how:
        case "put", dict() if how["skip"] >= 0 or (how["session"] and chunks and chunks[-1].seq > 2):
            scene.gate.put(**how)
        case "announce", int() if chunks:
            scene.announce([*scene.strangers[-2:], *chunks][-1 - how % len(chunks)])
        case (("step" | "kill"), int()) if works:
            works[how % len(works)].step(kill=what == "kill")
        case "stray", int() if chunks:
            scene.stray(1 + how)
        case "lose", _:
            # Nobody is at work: a writer that looked before the list was deleted and writes after it was begun anew
            # and deleted again would repeat numbers. That takes two deletions and a request that hangs between them.
            for each in works:
                each.finish()
            scene.gate.lose()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=20, max_size=80))
def test_any_schedule_leaves_playlists_that_players_follow(actions: list[tuple[str, object]]) -> None:
    """Each write is checked against the one before as it happens; in the end the newest chunk is listed and told."""
    scene = Scene()

    for what, how in actions:
        play(scene, what, how)
    scene.finish()

    now = current(scene.gate.store, CAMERA).playlist
    assert now.entries[-1].uri.endswith(scene.gate.chunks[-1].key)
    assert not now.ended
    # Of one in which nothing was to be played, and which was deleted or left before, nobody knows any more.
    known = [now, *(each for each in scene.lists() if live.note_of(each).moved)]
    assert [live.note_of(each).untold for each in known if live.note_of(each).untold] == []
    told = [each.chunk.key for each in scene.gate.told()]
    assert len(told) == len(set(told))
