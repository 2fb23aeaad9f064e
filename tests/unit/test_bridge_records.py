"""Announcements in every shape that stores send, read or refused by name."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sluice import names
from sluice.contracts.chunk import ChunkStored
from sluice.errors import UnusableInputError
from triggers.bridge import records, stored
from triggers.bridge.records import Record

GOLDEN = Path(__file__).parent.parent / "data" / "notifications"
FIRST = "chunks/gate/2026-11-21/05/1795239600000-03000-000001-0000000001-o-0123abcd.mp4"
SECOND = "chunks/gate/2026-11-21/05/1795239603000-03000-000001-0000000002-u-0123abcd.mp4"


def golden(name: str) -> list[Record | UnusableInputError]:
    return records.read((GOLDEN / name).read_bytes())


def announced(**changes: Any) -> bytes:
    """A golden announcement with changes to its record; a dot leads deeper, None takes out."""
    body = json.loads((GOLDEN / "aws-put.json").read_text())
    for path, value in changes.items():
        holder = body["Records"][0]
        *folders, last = path.split("__")
        for folder in folders:
            holder = holder[folder]
        holder.pop(last) if value is None else holder.update({last: value})
    return json.dumps(body).encode()


def one(payload: bytes) -> Record:
    [record] = records.read(payload)
    assert isinstance(record, Record)
    return record


def test_an_announcement_of_minio_is_read_whole() -> None:
    """User metadata travels in it, under title-case names and beside a header that is none."""
    assert golden("minio-put.json") == [
        Record(
            bucket="sluice",
            key=FIRST,
            time=datetime(2026, 11, 21, 5, 39, 28, 678000, tzinfo=UTC),
            size_bytes=1000,
            etag="398533d48111e9f664b1f64cb10c4b63",
            metadata={
                "camera": "gate",
                "codec": "avc1.42c01e",
                "open-gop": "0",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        )
    ]


def test_a_multipart_upload_is_a_creation() -> None:
    """Large chunks arrive in pieces, and are announced once, when they are whole."""
    [record] = golden("minio-multipart.json")

    assert isinstance(record, Record)
    assert (record.key, record.size_bytes, record.metadata) == (SECOND, 2000, {})


def test_an_empty_object_is_announced_without_its_size_and_with_its_key_escaped() -> None:
    """MinIO leaves out what is zero; keys are as in a form's query."""
    [record] = golden("minio-empty.json")

    assert isinstance(record, Record)
    assert record.size_bytes == 0
    assert record.key == "chunks/gate/2026-11-21/05/odd name +ü%2F.mp4"


def test_announcements_of_aws_have_several_records_and_no_metadata() -> None:
    """The event's name is without s3: there."""
    found = golden("aws-two-records.json")

    assert [each.key for each in found if isinstance(each, Record)] == [FIRST, SECOND]
    assert golden("aws-put.json")[0] == found[0]


@pytest.mark.parametrize("name", ["aws-test-event.json", "aws-removed.json"])
def test_what_is_no_creation_announces_nothing(name: str) -> None:
    """A test event has no records; a removal is nothing to look at."""
    assert golden(name) == []


@pytest.mark.parametrize("event", ["s3:ObjectCreated:PutTagging", "s3:ObjectCreated:PutRetention", "s3:TestEvent"])
def test_a_tag_or_a_lock_is_no_creation(event: str) -> None:
    """MinIO counts them among ObjectCreated."""
    assert records.read(announced(eventName=event)) == []


def test_the_event_may_be_named_at_the_top_alone() -> None:
    """And not at all in the record."""
    body = json.loads(announced(eventName=None)) | {"EventName": "s3:ObjectCreated:Put"}

    assert one(json.dumps(body).encode()).key == FIRST


@pytest.mark.parametrize(
    "text", ["2026-11-21T05:39:28.678123456Z", "2026-11-21T05:39:28.678123", "2026-11-21T06:39:28.678123+01:00"]
)
def test_times_are_read_with_nanoseconds_without_a_zone_and_in_another(text: str) -> None:
    """Stores differ; the event says UTC."""
    assert one(announced(eventTime=text)).time == datetime(2026, 11, 21, 5, 39, 28, 678123, tzinfo=UTC)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\xff\xfe", id="no-utf-8"),
        pytest.param(b"[" * 100_000, id="brackets"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="no-records"),
        pytest.param(b'{"Records": {}}', id="records-object"),
    ],
)
def test_what_is_no_announcement_is_refused(payload: bytes) -> None:
    """With what was expected and what came."""
    with pytest.raises(UnusableInputError):
        records.read(payload)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        pytest.param({"eventName": None}, "Records[0].eventName", id="no-event"),
        pytest.param({"eventName": 7}, "Records[0].eventName", id="event-number"),
        pytest.param({"eventTime": "yesterday"}, "Records[0].eventTime", id="time"),
        pytest.param({"eventTime": "0001-01-01T00:00:00+23:00"}, "Records[0].eventTime", id="before-time"),
        pytest.param({"s3": []}, "Records[0].s3", id="s3-list"),
        pytest.param({"s3__bucket": None}, "Records[0].bucket", id="no-bucket"),
        pytest.param({"s3__object__key": ""}, "Records[0].key", id="no-key"),
        pytest.param({"s3__object__key": "chunks/%ff.mp4"}, "Records[0]", id="key-no-utf-8"),
        pytest.param({"s3__object__key": "chunks/\ud800.mp4"}, "Records[0].key", id="half-a-pair"),
        pytest.param({"s3__object__size": -1}, "Records[0].size", id="negative"),
        pytest.param({"s3__object__size": "big"}, "Records[0].size", id="size-text"),
    ],
)
def test_a_broken_record_is_refused_by_the_place_of_its_fault(changes: dict[str, Any], where: str) -> None:
    """As a value: the other records of its message are none the worse."""
    [found] = records.read(announced(**changes))

    assert isinstance(found, UnusableInputError)
    assert found.where == where


def test_a_record_that_is_no_object_leaves_the_others() -> None:
    """One bad record, one good."""
    body = json.loads((GOLDEN / "aws-two-records.json").read_text())
    body["Records"][0] = "junk"

    bad, good = records.read(json.dumps(body).encode())

    assert isinstance(bad, UnusableInputError)
    assert isinstance(good, Record)


def test_metadata_that_is_no_text_is_left_out() -> None:
    """It is for readers; nothing is decided by it."""
    given = {"X-Amz-Meta-Fps": "25", "X-Amz-Meta-Odd": 7, "content-type": "video/mp4", "X-Amz-Meta-Half": "\ud800"}

    assert one(announced(s3__object__userMetadata=given)).metadata == {"fps": "25"}


def test_the_event_of_a_chunk_says_what_its_name_says() -> None:
    """Id, time and trace depend on the announcement alone, so both lanes make the same event."""
    event = stored.chunk_stored(one((GOLDEN / "minio-put.json").read_bytes()))

    assert event.id == names.event_id(ChunkStored.TYPE, FIRST, 0)
    assert event.source == "/cameras/gate/bridge"
    assert event.time == datetime(2026, 11, 21, 5, 39, 28, 678000, tzinfo=UTC)
    assert event.extensions == {
        "partitionkey": "gate",
        "sequence": "0000000001",
        "activity": "opening",
        "attempt": "0",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert event.data.chunk.key == FIRST
    assert event.data.chunk.start == datetime(2026, 11, 21, 5, 40, tzinfo=UTC)
    assert event.data.chunk.init_key == "init/gate/0123abcd.mp4"
    assert event.data.metadata["codec"] == "avc1.42c01e"


@pytest.mark.parametrize("offered", [None, "", "00-short-01"])
def test_a_chunk_without_a_trace_gets_one_that_both_lanes_agree_on(offered: str | None) -> None:
    """And each chunk its own."""
    given = {} if offered is None else {"X-Amz-Meta-Traceparent": offered}
    first = one(announced(s3__object__userMetadata=given))
    other = one(announced(s3__object__userMetadata=given, s3__object__key=SECOND))

    traces = [stored.chunk_stored(each).extensions["traceparent"] for each in (first, first, other)]

    assert traces[0] == traces[1] != traces[2]
    assert traces[0].startswith("00-")
    assert len(traces[0]) == 55


@pytest.mark.parametrize(
    ("key", "camera"),
    [
        ("chunks/gate/2026-11-21/05/hello.mp4", "gate"),
        ("chunks/gate/hello.mp4", "gate"),
        ("chunks/hello.mp4", "_"),
        ("chunks/Gate 7/2026-11-21/05/hello.mp4", "_"),
        ("Records[0].eventTime", "_"),
    ],
)
def test_a_rejection_names_the_camera_when_the_key_does(key: str, camera: str) -> None:
    """Whoever watches a camera sees what was wrong with its chunks."""
    event = stored.rejection(UnusableInputError("a chunk", "none", key), stream="SLUICE_INTAKE", stream_seq=7)

    assert event.subject == camera
    assert event.source == f"/cameras/{camera}/bridge"
    assert event.id == names.event_id("dev.sluice.input.rejected.v1", "SLUICE_INTAKE", 7)
    assert event.data.where == (key if key.startswith("chunks/") else f"SLUICE_INTAKE 7: {key}")


def test_records_of_one_message_are_rejected_under_ids_of_their_own() -> None:
    """The second rejection is no copy of the first."""
    error = UnusableInputError("a chunk", "none", "key")

    ids = {stored.rejection(error, stream="SLUICE_INTAKE", stream_seq=7, ordinal=n).id for n in range(3)}

    assert len(ids) == 3


def test_a_key_whose_folder_lies_about_the_camera_is_refused() -> None:
    """The folder and the start of a chunk have to agree."""
    record = one(announced(s3__object__key=FIRST.replace("2026-11-21", "2026-11-22")))

    with pytest.raises(UnusableInputError) as refused:
        stored.chunk_stored(record)

    assert refused.value.where.startswith("chunks/gate/2026-11-22/")
