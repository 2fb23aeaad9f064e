"""Names render and parse in both directions, and nothing else parses."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import names
from sluice.errors import InvalidNameError
from sluice.names import ChunkName, ResultName

CAMERAS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
CHUNKS = st.builds(
    ChunkName,
    start_ms=st.integers(10**12, 10**13 - 1),
    duration_ms=st.integers(0, 99_999),
    session=st.integers(0, 999_999),
    seq=st.integers(0, 10**10 - 1),
    activity=st.sampled_from(sorted(names.ACTIVITIES.values())),
    init=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    camera=CAMERAS,
)
MODELS = st.none() | st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


@given(CHUNKS)
def test_a_chunk_key_says_all_that_the_name_holds(chunk: ChunkName) -> None:
    """parse(render(x)) == x."""
    assert names.parse_chunk_key(chunk.key) == chunk


@given(CHUNKS, st.from_regex(r"[a-z]{1,20}", fullmatch=True), MODELS)
def test_a_result_key_says_function_model_and_chunk(chunk: ChunkName, function: str, model: str | None) -> None:
    """parse(render(x)) == x."""
    result = ResultName(function=function, model=model, chunk=chunk)

    assert names.parse_result_key(result.key) == result


@given(CHUNKS, CHUNKS)
def test_keys_of_one_camera_sort_by_start(one: ChunkName, other: ChunkName) -> None:
    """A listing is in order of time."""
    later = ChunkName(
        start_ms=other.start_ms,
        duration_ms=other.duration_ms,
        session=other.session,
        seq=other.seq,
        activity=other.activity,
        init=other.init,
        camera=one.camera,
    )

    if one.start_ms != later.start_ms:
        assert (one.key < later.key) == (one.start_ms < later.start_ms)


@given(st.text(max_size=200))
def test_any_other_text_is_refused_by_name(text: str) -> None:
    """Whatever parses renders to the very same text; the rest raises InvalidNameError and nothing else."""
    for parse in (names.parse_chunk_key, names.parse_result_key):
        try:
            parsed = parse(text)
        except InvalidNameError:
            continue
        assert parsed.key == text


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("chunks/gate/2026-11-21/05/x.mp4", id="no-stem"),
        pytest.param("chunks/gate/2026-11-21/05/1795150800000-03000-000001-0000000001-o-0123abcd.mp4", id="wrong-day"),
        pytest.param("chunks/Gate/2026-11-21/05/1795237200000-03000-000001-0000000001-o-0123abcd.mp4", id="camera"),
        pytest.param("chunks/../2026-11-21/05/1795237200000-03000-000001-0000000001-o-0123abcd.mp4", id="traversal"),
        pytest.param(
            "chunks/gate/2026-11-21/05/\u0660795237200000-03000-000001-0000000001-o-0123abcd.mp4", id="digits"
        ),
        pytest.param("chunks/gate/2026-11-21/05/1795237200000-03000-000001-0000000001-x-0123abcd.mp4", id="activity"),
    ],
)
def test_a_lying_key_is_refused(key: str) -> None:
    """A key that no segmenter could have made is no chunk."""
    with pytest.raises(InvalidNameError):
        names.parse_chunk_key(key)


@given(CAMERAS, st.sampled_from(["chunks", "detections", "health", "rejected"]))
def test_a_subject_says_kind_and_camera(camera: str, kind: str) -> None:
    """parse(render(x)) == x, also for the camera that could not be read."""
    assert names.parse_subject(names.subject(kind, camera)) == (kind, camera)
    assert names.parse_subject(names.subject(kind, names.UNKNOWN_CAMERA)) == (kind, "_")


@pytest.mark.parametrize("camera", ["", "Gate", "-gate", "gate.one", "gate *", "g" * 64, "tür"])
def test_a_camera_id_is_safe_in_keys_and_subjects(camera: str) -> None:
    """Nothing that NATS or a path would read otherwise is a camera id."""
    with pytest.raises(InvalidNameError):
        names.checked_camera(camera)


def test_an_id_depends_on_each_of_its_parts() -> None:
    """The same facts give the same id, any other fact another one."""
    ids = {
        names.event_id("t", "k", 0),
        names.event_id("t", "k", 1),
        names.event_id("t", "l", 0),
        names.event_id("u", "k", 0),
    }

    assert len(ids) == 4
    assert names.event_id("t", "k", 0) in ids


HOURS = st.datetimes(min_value=datetime(2001, 9, 10), max_value=datetime(2286, 1, 1))  # noqa: DTZ001 (hypothesis wants them naive)


@given(CAMERAS, HOURS)
def test_an_index_key_says_camera_day_and_hour(camera: str, at: datetime) -> None:
    """parse(render(x)) == x."""
    day, hour = f"{at:%Y-%m-%d}", f"{at:%H}"

    assert names.parse_index_key(names.index_key(camera, day, hour)) == (camera, day, hour)


@pytest.mark.parametrize(
    "key", ["index/gate/2026-02-30/05.json", "index/gate/2026-02-03/24.json", "index/../2026-02-03/05.json"]
)
def test_an_hour_that_never_was_has_no_index(key: str) -> None:
    """Nor has what is no camera."""
    with pytest.raises(InvalidNameError):
        names.parse_index_key(key)


def test_playlists_and_tokens_have_their_places() -> None:
    """A token is known by its digest only."""
    assert names.live_playlist_key("gate", 4) == "hls/gate/live-4.m3u8"
    assert names.multivariant_key("gate") == "hls/gate/index.m3u8"
    assert names.token_key("ab" * 32) == f"tokens/{'ab' * 32}.json"
    with pytest.raises(InvalidNameError):
        names.token_key("../users/me")
