"""Whatever comes in is an event of its contract or an InvalidEventError; what goes out comes in again unchanged."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import events
from sluice.contracts.chunk import ChunkInspected, ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import InvalidEventError
from tests.builders import a_chunk_ref, a_chunk_stored, an_inspection

GOLDENS = sorted((Path(__file__).parent.parent / "data" / "events").glob("*.json"))
STRUCTURED = {"content-type": "application/cloudevents+json"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = replace(a_chunk_stored(seq=7), time=datetime(2026, 11, 21, 12, 0, 3, 250_000, tzinfo=UTC))
HEADERS, BODY = events.to_http(EVENT)
DOCUMENT: dict[str, Any] = json.loads(events.to_structured(EVENT))


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


def document(**changes: Any) -> bytes:
    return json.dumps({**DOCUMENT, **changes}).encode()


def lying(**changes: Any) -> bytes:
    chunk = {**DOCUMENT["data"]["chunk"], **changes}
    return json.dumps({"chunk": chunk}).encode()


def refusal(headers: Mapping[str, str], body: bytes, contract: type = ChunkStored) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as refused:
        events.from_http(headers, body, contract)
    return refused.value


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_an_event_of_yesterday_reads_and_renders_as_it_did(path: Path) -> None:
    """The golden documents are what others have stored: contracts grow by optional fields only."""
    golden = json.loads(path.read_text("utf-8"))

    event: Event[Any] = events.from_structured(path.read_bytes(), events.CONTRACTS[golden["type"]])

    assert json.loads(events.to_structured(event)) == golden


def test_an_event_survives_binary_http() -> None:
    """Headers carry the attributes, the body the data."""
    assert events.from_http(HEADERS, BODY, ChunkStored) == EVENT
    assert HEADERS["content-type"] == "application/json"
    assert "ce-datacontenttype" not in HEADERS


def test_an_event_survives_structured_http() -> None:
    """One document carries both."""
    headers = {"Content-Type": "Application/CloudEvents+JSON; charset=UTF-8"}

    assert events.from_http(headers, events.to_structured(EVENT), ChunkStored) == EVENT


def test_an_event_survives_nats() -> None:
    """All attributes are headers there, the content type too."""
    headers, payload = events.to_nats(EVENT)

    assert headers["ce-datacontenttype"] == "application/json"
    assert {name.partition("-")[0] for name in headers} == {"ce"}
    assert events.from_nats(headers, payload, ChunkStored) == EVENT


@given(text=st.text(min_size=1))
def test_any_text_survives_in_a_header(text: str) -> None:
    """Percent-encoding goes both ways, and a header stays printable ASCII."""
    event = replace(EVENT, id=text, extensions={"note": text})

    headers, body = events.to_http(event)

    assert headers["ce-note"].isascii()
    assert " " not in headers["ce-note"]
    assert events.from_http(headers, body, ChunkStored) == event


def test_a_quoted_header_is_read_without_its_quotes() -> None:
    """Other senders quote; the binding tells receivers to undo it."""
    headers = {**HEADERS, "ce-note": r'"a \"b\" c"'}

    assert events.from_http(headers, BODY, ChunkStored).extensions["note"] == 'a "b" c'


def test_a_structured_event_wins_over_stray_headers() -> None:
    """The content type decides the mode; the SDK would take any ce- header for binary."""
    headers = {**STRUCTURED, "ce-id": "stray", "ce-type": "stray"}

    assert events.from_http(headers, events.to_structured(EVENT), ChunkStored) == EVENT


def test_a_header_that_is_no_attribute_costs_no_event() -> None:
    """ce-my-ext is no attribute name."""
    assert events.from_http({**HEADERS, "Ce-My-Ext": "1"}, BODY, ChunkStored) == EVENT


def test_null_stands_for_an_attribute_that_is_not_there() -> None:
    """The JSON format says so; nothing of it is written on as null."""
    event = events.from_http(STRUCTURED, document(note=None, dataschema=None), ChunkStored)

    assert event == EVENT


def test_binary_data_in_a_document_is_decoded() -> None:
    """data_base64 is data."""
    encoded = {name: value for name, value in DOCUMENT.items() if name != "data"}
    body = json.dumps({**encoded, "data_base64": base64.b64encode(BODY).decode()}).encode()

    assert events.from_http(STRUCTURED, body, ChunkStored) == EVENT


def test_numbers_and_truths_become_the_text_that_headers_carry() -> None:
    """An extension reads the same in both modes."""
    event = events.from_http(STRUCTURED, document(number=7, truth=True), ChunkStored)

    assert (event.extensions["number"], event.extensions["truth"]) == ("7", "true")


def test_unknown_fields_are_ignored() -> None:
    """A newer sender may say more."""
    assert events.from_http(HEADERS, lying(tomorrow=1), ChunkStored) == EVENT


@pytest.mark.parametrize("name", ["ce-id", "ce-source", "ce-type", "ce-specversion"])
def test_a_missing_attribute_is_not_made_up(name: str) -> None:
    """With an id of its own making the SDK would break deduplication."""
    assert name in refusal(without(name), BODY).found


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
@pytest.mark.parametrize("value", [pytest.param(None, id="null"), pytest.param(5, id="number"), ""])
def test_a_required_attribute_is_text(name: str, value: object) -> None:
    """In a document it may be anything; it is refused unless it is text."""
    assert refusal(STRUCTURED, document(**{name: value}))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({**HEADERS, "ce-time": "yesterday"}, id="no time"),
        pytest.param({**HEADERS, "ce-time": "2026-11-21T12:00:00"}, id="time without a zone"),
        pytest.param({**HEADERS, "ce-time": "9999-12-31T24:00:00Z"}, id="time after the last"),
        pytest.param({**HEADERS, "ce-specversion": "0.3"}, id="old"),
        pytest.param({**HEADERS, "ce-subject": "yard"}, id="subject of another camera"),
        pytest.param({**HEADERS, "ce-type": InputRejected.TYPE}, id="another type"),
        pytest.param({**HEADERS, "ce-type": "dev.sluice.chunk.eaten.v9"}, id="unknown type"),
        pytest.param({**HEADERS, "content-type": "text/plain"}, id="not JSON by its own account"),
        pytest.param({**HEADERS, "ce-note": "\ud800"}, id="half a surrogate pair"),
        pytest.param({"content-type": "application/json"}, id="no event at all"),
        pytest.param({}, id="no headers"),
        pytest.param({"content-type": "application/cloudevents+avro"}, id="unknown format"),
    ],
)
def test_headers_that_are_no_event_are_refused(headers: dict[str, str]) -> None:
    """Each says what was expected, what was found, and where."""
    error = refusal(headers, BODY)

    assert error.expected
    assert error.found
    assert error.where


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(document(time=None)[:-1], id="broken JSON"),
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"[" * 100_000, id="brackets"),
        pytest.param(b'{"id":' * 100_000, id="braces"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(document().replace(b"gate", b"g\xffte"), id="not UTF-8 inside"),
        pytest.param(document(time=5), id="time as a number"),
        pytest.param(document(time="yesterday"), id="no time"),
        pytest.param(document(time="2026-11-21T12:00:00"), id="time without a zone"),
        pytest.param(document(note=[1]), id="list as an extension"),
        pytest.param(document(note=2**40), id="number too large"),
        pytest.param(document(note=0.5), id="fraction"),
        pytest.param(document(**{"my-ext": "1"}), id="dash in a name"),
        pytest.param(document(**{"myext\n": "1"}), id="newline in a name"),
        pytest.param(document(note="\ud800"), id="half a surrogate pair"),
        pytest.param(document(data=None), id="null as data"),
        pytest.param(document(data_base64="%"), id="no base64"),
        pytest.param(document(data_base64=["eA=="]), id="list as base64"),
    ],
)
def test_a_document_that_is_no_event_is_refused(body: bytes) -> None:
    """Nothing else is raised, whatever the parsers underneath would."""
    assert refusal(STRUCTURED, body).expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BODY[:-1], id="broken JSON"),
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"hello", id="text"),
        pytest.param(b'"hello"', id="JSON text"),
        pytest.param(b"[{}]", id="list"),
        pytest.param(b'{"chunk":' * 100_000, id="braces"),
        pytest.param(b'{"chunk": {}}', id="another shape"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(BODY.replace(b"gate", b"g\xffte"), id="not UTF-8 inside"),
    ],
)
def test_data_that_is_not_the_contract_is_refused(body: bytes) -> None:
    """The SDK would hand broken JSON on as text, and an empty body as None."""
    assert refusal(HEADERS, body).where == "data"


def test_the_place_of_a_wrong_field_is_named() -> None:
    """The decoder's own words are kept."""
    error = refusal(HEADERS, lying(seq="7"))

    assert error.found == "Expected `int`, got `str` - at `$.chunk.seq`"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "chunks/gate/poem.txt"),
        ("key", a_chunk_ref("yard", seq=7).key),
        ("camera", "yard"),
        ("session", 2),
        ("seq", 8),
        ("activity", "idle"),
        ("duration_ms", 1),
        ("init_key", "init/gate/ffffffff.mp4"),
        ("start", "2026-11-21T12:00:01Z"),
        ("start", "2026-11-21T12:00:00"),
        ("start", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_a_reference_agrees_with_its_key(field: str, value: object) -> None:
    """Whoever trusts the one and whoever trusts the other see the same chunk."""
    assert refusal(HEADERS, lying(**{field: value})).where.startswith("$.chunk.")


@pytest.mark.parametrize("suffix", ["", "; charset=utf-8"])
def test_a_batch_is_refused_and_told_apart(suffix: str) -> None:
    """Nobody may send one unasked; the SDK would stumble over the list."""
    headers = {"Content-Type": f"application/cloudevents-batch+json{suffix}", **without("content-type")}

    assert events.is_batch(headers)
    assert refusal(headers, b"[]").where == "content-type"
    assert not events.is_batch(HEADERS)


ANY_HEADERS = st.dictionaries(
    st.sampled_from([*HEADERS, "Ce-Note", "ce-", "ce-datacontenttype", "ce-dataschema"]) | st.text(max_size=8),
    st.sampled_from([*HEADERS.values(), *STRUCTURED.values(), '"', '"%', "%ff"]) | st.text(max_size=20),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ANY_BODY = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from([*DOCUMENT, "data_base64", "note"]), JSON).map(
        lambda changes: document(**changes)
    )
    | st.dictionaries(st.sampled_from(sorted(DOCUMENT["data"]["chunk"])), JSON).map(lambda changes: lying(**changes))
    | st.just(BODY)
)
MODES: st.SearchStrategy[Callable[[dict[str, str]], dict[str, str]]] = st.sampled_from(
    [lambda odd: odd, lambda odd: {**HEADERS, **odd}, lambda odd: {**odd, **HEADERS}, lambda odd: {**odd, **STRUCTURED}]
)


@given(ANY_HEADERS, ANY_BODY, MODES)
def test_anything_is_an_event_or_an_invalid_event(
    odd: dict[str, str], body: bytes, mode: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """And whatever was taken in can be passed on unchanged, in every mode."""
    headers = mode(odd)
    try:
        event = events.from_http(headers, body, ChunkStored)
    except InvalidEventError as error:
        assert error.expected and error.where and len(error.found) < 1000  # noqa: PT017, PT018 (either is right)
        return

    assert events.from_http(*events.to_http(event), ChunkStored) == event
    assert events.from_nats(*events.to_nats(event), ChunkStored) == event
    assert events.from_structured(events.to_structured(event), ChunkStored) == event
    assert events.peek(headers, body)["type"] == ChunkStored.TYPE


def test_a_peek_reads_the_attributes_as_text() -> None:
    """What triggers filter by; the data stays unread."""
    binary, structured = events.peek(HEADERS, b"?"), events.peek(STRUCTURED, events.to_structured(EVENT))

    assert binary == structured
    assert binary["time"] == "2026-11-21T12:00:03.250000Z"
    assert binary["activity"] == "opening"
    with pytest.raises(InvalidEventError):
        events.peek({}, b"")


def test_our_events_carry_what_brokers_and_folds_read() -> None:
    """Partition key, padded sequence, activity, attempt and trace, from the chunk unless said otherwise."""
    data = ChunkStored(chunk=a_chunk_ref("gate", seq=7, activity="idle"))

    event = events.new(data, part="bridge", camera="gate", event_id="1", attempt=2, traceparent=TRACE)

    assert event.extensions == {
        "partitionkey": "gate",
        "sequence": "0000000007",
        "activity": "idle",
        "attempt": "2",
        "traceparent": TRACE,
    }
    assert (event.source, event.subject) == ("/cameras/gate/bridge", "gate")


def test_an_answer_has_the_same_id_every_time_and_the_extensions_of_its_cause() -> None:
    """Whoever does the work again says the same; what a broker noted about the delivery stays behind."""
    cause = replace(EVENT, extensions={**EVENT.extensions, "note": "x", "knativearrivaltime": "now"})
    data: ChunkInspected = an_inspection(cause.data.chunk)

    once, again = (events.answer(cause, data, function="inspect") for _ in range(2))
    other = events.answer(cause, data, function="inspect", model="faces")

    assert once.id == again.id != other.id
    assert once.extensions == {**EVENT.extensions, "note": "x"}
    assert (once.type, once.source, once.subject) == (ChunkInspected.TYPE, "/cameras/gate/inspect", "gate")


def test_nothing_is_written_that_is_no_json() -> None:
    """NaN is none."""
    event = events.answer(EVENT, an_inspection(EVENT.data.chunk, fps=float("nan")), function="inspect")

    assert json.loads(events.to_structured(event))["data"]["video"]["fps"] is None
