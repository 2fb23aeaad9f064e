"""Cameras as objects: what is refused and how it is told, what is written, and who wins."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import cameras
from sluice.cameras import InvalidCameraError, Problem
from sluice.contracts.camera import Camera, Work
from sluice.errors import ConflictError, ObjectNotFoundError, UnavailableError
from sluice.store import StoredObject
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import CAMERAS

GATE = Camera(name="gate", source="rtsp://10.0.0.7/stream1")
LOBBY = Camera(
    name="lobby",
    push_key=cameras.hashed_key("correct-horse"),
    paused=True,
    target_s=4,
    record=False,
    retention_days=0.5,
    audio=False,
    keyframes_only=True,
    functions={
        "detect": (Work(model="objects", fps=5, labels=("person", "car"), min_score=0.5), Work(model="faces")),
        "inspect": (Work(),),
    },
)
KEY = "cameras/gate.json"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


def described(**fields: Any) -> dict[str, Any]:
    return {"name": "gate", "source": "rtsp://10.0.0.7/stream1", **fields}


def problems_of(given: dict[str, Any]) -> list[Problem]:
    with pytest.raises(InvalidCameraError) as refused:
        cameras.parse(given)
    return list(refused.value.problems)


def copied(bus: MemoryBus, name: str = "gate") -> bytes | None:
    entry = bus.bucket(CAMERAS.name).get(name)
    return entry.value if entry else None


def test_what_is_left_out_is_the_contracts_default() -> None:
    """A name and a source are enough."""
    assert cameras.parse(described()) == GATE


def test_every_field_is_taken() -> None:
    """And works become tuples, so that a camera cannot be changed by accident."""
    works = [{"model": "objects", "fps": 5, "labels": ["person", "car"], "min_score": 0.5}, {"model": "faces"}]
    given = {
        "name": "lobby",
        "push": {"key": "correct-horse"},
        "paused": True,
        "target_s": 4,
        "record": False,
        "retention_days": 0.5,
        "audio": False,
        "keyframes_only": True,
        "functions": {"inspect": [{}], "detect": works},
    }

    assert cameras.parse(given) == LOBBY


@pytest.mark.parametrize(
    ("field", "low", "high"), [("target_s", 1, 30), ("retention_days", 0, 3650)], ids=["target", "retention"]
)
def test_numbers_have_both_bounds(field: str, low: float, high: float) -> None:
    """What is on the bound is taken, what is past it or no number is not."""
    for good in (low, high):
        assert getattr(cameras.parse(described(**{field: good})), field) == good
    for bad in (low - 0.01, high + 0.01, float("nan"), float("inf"), 10**400, True, "3", None):
        assert [each.field for each in problems_of(described(**{field: bad}))] == [field]


@pytest.mark.parametrize(("field", "low", "high"), [("fps", 0.1, 60), ("min_score", 0, 1)])
def test_numbers_of_a_work_have_both_bounds(field: str, low: float, high: float) -> None:
    """As the camera's own."""
    for good in (low, high):
        [work] = cameras.parse(described(functions={"detect": [{field: good}]})).functions["detect"]
        assert getattr(work, field) == good
    for bad in (low - 0.01, high + 0.01, float("nan"), False):
        given = described(functions={"detect": [{}, {"model": "faces", field: bad}]})
        assert [each.field for each in problems_of(given)] == [f"functions.detect[1].{field}"]


def test_every_problem_is_told_at_once() -> None:
    """Field by field, what was expected and what was found."""
    given = {
        "name": "Gate",
        "target": 3,
        "target_s": 0,
        "audio": "yes",
        "functions": {"detect": [{"fps": 0, "model": "A/B", "labels": "person", "colour": 1}], "Detect": [{}], "x": {}},
    }

    found = {each.field: (each.expected, each.found) for each in problems_of(given)}

    assert found == {
        "name": ("[a-z0-9][a-z0-9-]{0,62}", "'Gate'"),
        "target": (
            "one of audio, functions, keyframes_only, name, paused, push_key, record, retention_days, source, target_s",
            "an unknown field",
        ),
        "target_s": ("seconds from 1 to 30", "0"),
        "audio": ("true or false", "'yes'"),
        "functions": ("names of [a-z]+", "'Detect'"),
        "functions.x": ("a list of at most 16 entries", "{}"),
        "functions.detect[0].fps": ("frames a second from 0.1 to 60", "0"),
        "functions.detect[0].model": ("[a-z0-9][a-z0-9-]{0,62}", "'A/B'"),
        "functions.detect[0].labels": ("a list of 1 to 256 labels of at most 64 characters", "'person'"),
        "functions.detect[0].colour": ("one of fps, labels, min_score, model", "an unknown field"),
        "source": ("a source or a push key, and not both", "neither"),
    }


@pytest.mark.parametrize(
    "functions",
    [
        {"detect": [{"model": "objects"}, {"model": "objects", "fps": 1}]},
        {"detect": [{}, {}]},
        {"detect": [{"model": f"m{n}"} for n in range(17)]},
        {"detect": [{}, {"model": "objects"}]},
        {"detect": ["objects"]},
        {f"f{'x' * n}": [{}] for n in range(17)},
        [],
        {"detect": [{"labels": []}]},
        {"detect": [{"labels": ["x" * 65]}]},
        {7: [{}]},
    ],
)
def test_works_that_cannot_be_are_refused(functions: Any) -> None:
    """One entry a model, few enough, each an object."""
    assert problems_of(described(functions=functions))


def test_a_camera_has_one_way_in() -> None:
    """It is pulled or it pushes; a camera without either would never show anything, which is a mistake."""
    both = problems_of(described(push={"key": "correct-horse"}))
    neither = problems_of({"name": "gate"})

    assert [(each.field, each.found) for each in both] == [("source", "both")]
    assert [(each.field, each.found) for each in neither] == [("source", "neither")]


@pytest.mark.parametrize("source", ["gopher://x/", "rtsp://", "10.0.0.7", 7, "rtsp://h/" + "x" * 2048])
def test_a_source_that_cannot_be_pulled_is_refused(source: Any) -> None:
    """By the one reader of sources."""
    assert [each.field for each in problems_of(described(source=source))] == ["source"]


def test_no_problem_tells_a_secret() -> None:
    """Neither a password in a source nor a key, in whatever field it was put by mistake."""
    given: list[dict[str, Any]] = [
        {"name": "gate", "source": "gopher://admin:hunter22@h/"},
        {"name": "gate", "push": {"key": "hunter22", "kex": 1}},
        {"name": "gate", "push": "hunter22"},
        {"name": "gate", "push": {"key": "hunter22!"}},
        {"name": "gate", "push_key": "hunter22"},
        {"name": "gate", "push_key": LOBBY.push_key, "push": {"key": "hunter22"}},
    ]

    for each in given:
        with pytest.raises(InvalidCameraError) as refused:
            cameras.parse(each)
        assert "hunter22" not in str(refused.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("test://"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
WORKS = st.lists(st.dictionaries(st.sampled_from(["model", "fps", "labels", "min_score", "x"]), ANYTHING), max_size=3)
FUNCTIONS = st.dictionaries(st.sampled_from(["detect", "Detect", "track"]), WORKS | ANYTHING, max_size=3) | ANYTHING
NAMES = [each.name for each in fields(Camera) if each.name != "functions"]


@given(st.dictionaries(st.sampled_from([*NAMES, "push", "x"]), ANYTHING), FUNCTIONS, st.booleans())
def test_whatever_is_given_is_a_camera_or_refused(given_fields: dict[str, Any], functions: Any, sound: bool) -> None:
    """By one error; and a camera that is taken is read as it was written."""
    described = {"name": "gate", "source": "test://"} if sound else {}

    try:
        camera = cameras.parse({**given_fields, "functions": functions, **described})
    except InvalidCameraError as refused:
        complaint = str(refused)
    else:
        complaint = ""
        assert cameras.decode(cameras.encode(camera), name=camera.name) == camera
    assert len(complaint) < 100_000


def test_a_function_can_be_told_to_do_nothing() -> None:
    """Which is not what it does by itself."""
    camera = cameras.parse(described(functions={"detect": []}))

    assert camera.functions == {"detect": ()}
    assert cameras.decode(cameras.encode(camera), name="gate") == camera


def test_checked_finds_what_parse_finds() -> None:
    """A camera that was made in code has no other rules."""
    assert cameras.checked(LOBBY) == LOBBY
    with pytest.raises(InvalidCameraError) as refused:
        cameras.checked(replace(LOBBY, target_s=31, functions={"detect": (Work(fps=61),)}))

    assert [each.field for each in refused.value.problems] == ["target_s", "functions.detect[0].fps"]


@pytest.mark.parametrize("camera", [GATE, LOBBY], ids=["gate", "lobby"])
def test_an_object_is_read_as_it_was_written(camera: Camera) -> None:
    """Sorted, so that the same camera gives the same bytes; what is left to the function is not in it."""
    body = cameras.encode(camera)

    assert cameras.decode(body, name=camera.name) == camera
    assert list(json.loads(body)) == sorted(json.loads(body))
    assert b"null" not in body


def test_what_a_newer_version_added_is_ignored() -> None:
    """In the camera and in a work, so that versions can be mixed while they are rolled out."""
    newer = json.loads(cameras.encode(LOBBY)) | {"tags": ["north"]}
    newer["functions"]["detect"][0]["zones"] = [1]

    assert cameras.decode(json.dumps(newer).encode(), name="lobby") == LOBBY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        cameras.encode(LOBBY),
        b'{"name": "gate"}',
        b'{"name": "gate", "source": "test://", "target_s": 99}',
    ],
)
def test_an_object_that_is_no_camera_is_refused(body: bytes) -> None:
    """Whatever it is, by one error."""
    with pytest.raises(InvalidCameraError):
        cameras.decode(body, name="gate")


def test_keys_are_hashed_and_compared() -> None:
    """Only the hash is stored; the empty key opens nothing, a camera that is pulled is open to no key."""
    assert cameras.hashed_key("correct-horse") == hashlib.sha256(b"correct-horse").hexdigest()
    assert cameras.key_fits(LOBBY, "correct-horse")
    assert not cameras.key_fits(LOBBY, "correct-horsf")
    assert not cameras.key_fits(LOBBY, LOBBY.push_key)
    assert not cameras.key_fits(LOBBY, "")
    assert not cameras.key_fits(GATE, "")
    assert not cameras.key_fits(GATE, "\udcff")


def test_new_keys_are_keys() -> None:
    """They fit where a given one fits, and no two are the same."""
    keys = {cameras.new_key() for _ in range(100)}

    assert len(keys) == 100
    assert {cameras.checked_key(key) for key in keys} == keys


@pytest.mark.parametrize("key", ["", "1234567", "x" * 129, "with space", "slash/slash", "question?mark", "grün-grün"])
def test_a_key_fits_into_a_url(key: str) -> None:
    """As it is: no camera's form knows how to quote one."""
    with pytest.raises(ValueError, match="8 to 128"):
        cameras.checked_key(key)


def test_saving_writes_the_object_and_its_copy(store: MemoryStore, bus: MemoryBus) -> None:
    """The same bytes in both."""
    warning = cameras.save(store, bus, GATE)

    assert warning is None
    assert store.get(KEY).body == cameras.encode(GATE) == copied(bus)


def test_nothing_invalid_is_written(store: MemoryStore, bus: MemoryBus) -> None:
    """Whoever calls."""
    with pytest.raises(InvalidCameraError):
        cameras.save(store, bus, replace(GATE, target_s=0))

    assert list(store.list("")) == []


def test_without_nats_the_object_is_written_with_a_warning(store: MemoryStore, bus: MemoryBus) -> None:
    """The segmenter finds it by listing."""
    bus.available = False

    warning = cameras.save(store, bus, GATE)

    assert warning is not None
    assert "within a minute" in warning
    assert cameras.load(store, "gate") == GATE


def test_without_the_store_nothing_is_copied(store: MemoryStore, bus: MemoryBus) -> None:
    """The object is the truth: a copy of nothing would be a lie."""
    store.down = True

    with pytest.raises(UnavailableError):
        cameras.save(store, bus, GATE)

    assert copied(bus) is None


def test_removing_takes_the_object_and_its_copy(store: MemoryStore, bus: MemoryBus) -> None:
    """And again is no error."""
    cameras.save(store, bus, GATE)

    assert cameras.remove(store, bus, "gate") is None
    assert cameras.remove(store, bus, "gate") is None

    assert copied(bus) is None
    with pytest.raises(ObjectNotFoundError):
        cameras.load(store, "gate")


def test_a_camera_is_created_once(store: MemoryStore, bus: MemoryBus) -> None:
    """The second does not overwrite the first."""
    cameras.create(store, bus, GATE)

    with pytest.raises(ConflictError):
        cameras.create(store, bus, replace(GATE, target_s=9))

    assert cameras.load(store, "gate") == GATE


def test_a_change_keeps_what_another_writer_changed_meanwhile(store: MemoryStore, bus: MemoryBus) -> None:
    """It is applied again to what the other wrote."""
    cameras.save(store, bus, GATE)
    others = iter([replace(GATE, target_s=9)])

    def paused(camera: Camera) -> Camera:
        for other in others:
            cameras.save(store, bus, other)
        return replace(camera, paused=True)

    camera, warning = cameras.change(store, bus, "gate", paused)

    assert (camera, warning) == (replace(GATE, target_s=9, paused=True), None)
    assert cameras.load(store, "gate") == camera
    assert copied(bus) == store.get(KEY).body


def test_a_change_keeps_fields_that_only_a_newer_version_knows(store: MemoryStore, bus: MemoryBus) -> None:
    """An old command must not take away what a new one has set."""
    newer = json.loads(cameras.encode(GATE)) | {"tags": ["north"]}
    store.put(KEY, json.dumps(newer).encode())

    cameras.change(store, bus, "gate", lambda camera: replace(camera, paused=True))

    assert json.loads(store.get(KEY).body) == newer | {"paused": True}


def test_a_change_that_never_wins_ends(store: MemoryStore, bus: MemoryBus) -> None:
    """In bounded time."""
    cameras.save(store, bus, GATE)
    targets = iter(range(2, 30))

    def beaten(camera: Camera) -> Camera:
        cameras.save(store, bus, replace(GATE, target_s=next(targets)))
        return replace(camera, paused=True)

    with pytest.raises(ConflictError):
        cameras.change(store, bus, "gate", beaten)


def test_the_copy_is_of_the_last_writer(bus: MemoryBus) -> None:
    """Even if another wrote between our object and our copy, and copied first."""

    class Overtaken(MemoryStore):
        reads = 0

        def get(self, key: str, **options: Any) -> StoredObject:
            found = super().get(key, **options)
            self.reads += 1
            if self.reads == 1:
                cameras.save(self, bus, replace(GATE, target_s=9))
            return found

    store = Overtaken()

    cameras.save(store, bus, GATE)

    assert copied(bus) == store.get(KEY).body == cameras.encode(replace(GATE, target_s=9))


def test_all_are_loaded_and_bad_ones_are_told(store: MemoryStore, bus: MemoryBus) -> None:
    """One bad object hides no other."""
    for camera in (GATE, LOBBY):
        cameras.save(store, bus, camera)
    odd = ("cameras/deep/er.json", "cameras/noend", "cameras/gate", "cameras/Upper.json", "cameras/.json")
    for key in ("cameras/bad.json", *odd):
        store.put(key, b"{}")
    store.put("cameras/large.json", b" " * 100_000)

    loaded = cameras.load_all(store)

    assert loaded.cameras == {"gate": GATE, "lobby": LOBBY}
    assert set(loaded.problems) == {"bad", "large", *odd}


def test_what_has_not_changed_is_not_read_again(store: MemoryStore, bus: MemoryBus) -> None:
    """Thousands of cameras are listed each minute."""
    for camera in (GATE, LOBBY):
        cameras.save(store, bus, camera)
    store.put("cameras/bad.json", b"{}")
    first = cameras.load_all(store)
    cameras.save(store, bus, replace(GATE, target_s=9))
    read: list[str] = []

    class Watched:
        list = store.list

        def get(self, key: str, **options: Any) -> StoredObject:
            read.append(key)
            return store.get(key, **options)

    second = cameras.load_all(Watched(), first)  # type: ignore[arg-type]  # half a store is enough here

    assert read == [KEY]
    assert second == cameras.load_all(store)


OF_GATE = (
    "chunks/gate/2026-11-21/12/1795262400000-10000-000012-0000004711-o-0a1b2c3d.mp4",
    "init/gate/0a1b2c3d.mp4",
    "results/detect-faces/gate/2026-11-21/12/x.json",
    "results/detect/gate/2026-11-21/12/x.json",
    "results/inspect/gate/2026-11-21/12/x.json",
    "hls/gate/index.m3u8",
    "index/gate/2026-11-21/12.json",
    "state/package/gate.json",
    "state/segmenter/gate.json",
)
OF_OTHERS = (
    "cameras/gate.json",
    "chunks/gate-2/x.mp4",
    "chunks/gat/x.mp4",
    "init/gatekeeper/x.mp4",
    "results/detect/gate-2/x.json",
    "results/gate/lobby/x.json",
    "results/readme",
    "state/package/gate.json.old",
    "state/package/gate-2.json",
    "tokens/gate.json",
)


def purged(store: MemoryStore, **options: Any) -> int:
    return cameras.purge(store, "gate", lambda _line: None, **{"sleep": lambda _s: None, **options})


def test_a_purge_takes_everything_of_the_camera_and_nothing_else(store: MemoryStore) -> None:
    """In whatever folder of whatever function."""
    for key in (*OF_GATE, *OF_OTHERS):
        store.put(key, b"x")

    count = purged(store)

    assert count == len(OF_GATE)
    assert [each.key for each in store.list("")] == sorted(OF_OTHERS)


def test_a_purge_waits_for_stragglers(store: MemoryStore) -> None:
    """Until nothing new came for a while, not for a while since it began."""
    late = {3: OF_GATE[0], 6: OF_GATE[2]}
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) in late:
            store.put(late[len(slept)], b"late")

    count = purged(store, sleep=sleep, quiet_s=4)

    assert count == 2
    assert sum(slept) == 10
    assert list(store.list("")) == []


def test_a_purge_of_a_camera_that_goes_on_recording_ends(store: MemoryStore) -> None:
    """It says so."""
    with pytest.raises(UnavailableError, match="still being recorded"):
        purged(store, sleep=lambda _s: store.put(OF_GATE[0], b"again"))


def test_a_purge_deletes_in_batches_and_can_be_resumed(store: MemoryStore) -> None:
    """A store that fails in the middle has kept what was deleted deleted."""
    for number in range(2500):
        store.put(f"chunks/gate/{number:04d}", b"x")
    batches: list[int] = []

    class Failing:
        list = store.list

        def delete(self, keys: Sequence[str]) -> None:
            batches.append(len(keys))
            if len(batches) == 2:
                raise UnavailableError("store", "gone")
            store.delete(keys)

    shown: list[str] = []
    with pytest.raises(UnavailableError):
        cameras.purge(Failing(), "gate", shown.append)  # type: ignore[arg-type]  # half a store is enough here

    assert shown == ["1000 objects of gate deleted"]
    assert purged(store) == 1500
    assert max(batches) == 1000
