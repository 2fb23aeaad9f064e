"""`sluice init` on real servers: it changes what differs, once, and leaves each part exactly its rights."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.bus import Message, NatsBus
from sluice.errors import ObjectNotFoundError, SettingsError, UnavailableError
from sluice.local.minio import NatsTarget
from sluice.preparation.administration import Administration
from sluice.preparation.secrets import S3_SECRET, Secrets
from sluice.store import S3Store
from sluice.topology import CAMERAS, CHUNKS_BRIDGE, INTAKE, INTAKE_BRIDGE, RESULTS, Consumer, Stream
from tests.services.prepared import BUCKET, PreparedServers, a_lane, both_lanes, servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

CHUNK = "chunks/gate/2026-11-21/05/1795239600000-03000-000001-0000000001-o-0123abcd.mp4"
RESULT = "results/inspect/gate/2026-11-21/05/1795239600000-03000-000001-0000000001-o-0123abcd.json"


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    def lanes(address: str, secrets: Secrets) -> list[NatsTarget]:
        return [*both_lanes(address, secrets), a_lane(address, secrets, "THEIRS", "theirs")]

    with servers(minio_binary, tmp_path_factory.mktemp("prepare"), lanes=lanes) as both:
        assert both.prepare(dry_run=True) == both.prepare()
        yield both


def administration(both: PreparedServers) -> Administration:
    user, password = both.secrets.store_root
    return Administration(url=both.minio.url, region=both.minio.region, user=user, password=password)


def test_the_second_time_nothing_is_changed(prepared: PreparedServers) -> None:
    """What was made compares equal to what is wanted."""
    assert prepared.prepare() == ()


def test_differences_are_shown_and_a_dry_run_leaves_them(prepared: PreparedServers) -> None:
    """Only what differs is shown, then changed."""
    administration(prepared).put_policy("sluice-inspect", prepared_policy("s3:*"))
    prepared.shown.clear()

    found = prepared.prepare(dry_run=True)

    assert found == ("policy sluice-inspect: allows something else",)
    assert prepared.shown == list(found)
    assert prepared.prepare() == found
    assert prepared.prepare() == ()


def prepared_policy(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": [action], "Resource": [f"arn:aws:s3:::{BUCKET}/*"]}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_a_changed_secret_policy_rule_or_stream_is_mended(prepared: PreparedServers) -> None:
    """Whatever somebody changed by hand is found and put right; rules that are not ours stay."""
    from minio.notificationconfig import NotificationConfig, QueueConfig

    store = administration(prepared)
    theirs = QueueConfig(queue=f"arn:minio:sqs:{prepared.minio.region}:THEIRS:nats", events=["s3:ObjectRemoved:Delete"])
    store.put_user("sluice-segmenter", "another-secret")
    store.give_policy("sluice-segmenter", "readwrite")
    store.put_rules(BUCKET, NotificationConfig(queue_config_list=[theirs]))
    shorter = Stream(name=INTAKE.name, subjects=INTAKE.subjects, about="", max_age_s=60, max_bytes=1, work_queue=True)
    with prepared.bus("admin") as bus:
        bus.ensure([Stream(**{**fields_of(shorter), "dedupe_s": 60})], [], [])

    found = prepared.prepare()

    assert len(found) == 4
    assert found[0].startswith("stream SLUICE_INTAKE")
    assert "user sluice-segmenter: disabled, or has another secret" in found
    assert "user sluice-segmenter: has not its policy" in found
    assert found[-1] == "bucket sluice: announces chunks/*.mp4 not as wanted to FAST and SURE"
    assert prepared.prepare() == ()
    prepared.store("segmenter").put(CHUNK, b"mended")
    assert theirs.queue in [rule.queue for rule in store.rules(BUCKET).queue_config_list]


def fields_of(stream: Stream) -> dict[str, Any]:
    return {name: getattr(stream, name) for name in Stream.__dataclass_fields__}


def test_a_store_without_the_targets_is_refused_with_the_settings_it_needs(minio_binary: Path, tmp_path: Path) -> None:
    """They are settings of the server; the message can be copied, and holds no secret."""
    with servers(minio_binary, tmp_path, lanes=lambda _address, _secrets: []) as both:
        with pytest.raises(SettingsError) as refused:
            both.prepare()

        text = str(refused.value)
        assert "MINIO_SITE_REGION=lab-1" in text
        assert f"MINIO_NOTIFY_NATS_ADDRESS_FAST={both.nats.url.removeprefix('nats://')}" in text
        assert "MINIO_NOTIFY_NATS_QUEUE_DIR_SURE=" in text
        assert "MINIO_NOTIFY_NATS_QUEUE_DIR_FAST=" not in text
        assert all(secret not in text for secret in secrets_of(both.secrets))


def secrets_of(secrets: Secrets) -> list[str]:
    names = ("bridge", "inspect", "segmenter", "minio", "admin")
    return [v for name in names for k, v in secrets.part(name).items() if "USER" not in k and "ACCESS" not in k]


def test_a_target_that_would_lose_events_is_refused(minio_binary: Path, tmp_path: Path) -> None:
    """A sure lane without a queue, or on another subject, would fail in silence."""

    def lanes(address: str, secrets: Secrets) -> list[NatsTarget]:
        fast, sure = both_lanes(address, secrets)
        unsure = NatsTarget(
            id="SURE", address=address, subject="elsewhere", user=sure.user, password=sure.password, queue=False
        )
        return [fast, unsure]

    with servers(minio_binary, tmp_path, lanes=lanes) as both:
        with pytest.raises(SettingsError) as refused:
            both.prepare()

        problems = refused.value.problems
        assert "target SURE: expected subject sluice.intake.sure, found 'elsewhere'" in problems
        assert "target SURE: expected a queue folder" in problems
        assert not any("FAST:" in problem for problem in problems[:-1])


def test_a_wrong_administrator_is_named(prepared: PreparedServers) -> None:
    """Not a traceback of the library."""
    prepared_as_part = PreparedServers(
        minio=prepared.minio,
        nats=prepared.nats,
        secrets=prepared.secrets.administered_by(
            store=("sluice-inspect", prepared.secrets.part("inspect")[S3_SECRET]), nats=("admin", "only-for-tests")
        ),
    )

    with pytest.raises(SettingsError, match="SLUICE_S3_ACCESS_KEY"):
        prepared_as_part.prepare()


def test_parts_may_do_their_work_at_the_store(prepared: PreparedServers) -> None:
    """What each part does in its life, conditional writes and absent objects included."""
    segmenter, inspect = prepared.store("segmenter"), prepared.store("inspect")

    segmenter.put(CHUNK, b"chunk", metadata={"camera": "gate"})
    segmenter.put("init/gate/0123abcd.mp4", b"init")
    etag = segmenter.create("state/segmenter/gate.json", b"{}")
    segmenter.replace("state/segmenter/gate.json", b"{1}", etag=etag)
    with pytest.raises(ObjectNotFoundError):
        inspect.get(RESULT)
    inspect.create(RESULT, b"{}")

    assert [each.key for each in segmenter.list("chunks/gate/")] == [CHUNK]
    assert segmenter.get("state/segmenter/gate.json").body == b"{1}"
    assert inspect.get(CHUNK).body == b"chunk"
    assert inspect.get(RESULT).body == b"{}"


DENIED_AT_THE_STORE: list[tuple[str, str, Callable[[S3Store], object]]] = [
    ("segmenter", "reads chunks", lambda store: store.get(CHUNK)),
    ("segmenter", "deletes chunks", lambda store: store.delete([CHUNK])),
    ("segmenter", "writes results", lambda store: store.put(RESULT, b"")),
    ("segmenter", "writes another's state", lambda store: store.put("state/package/gate.json", b"")),
    ("segmenter", "lists everything", lambda store: list(store.list(""))),
    ("segmenter", "writes configuration", lambda store: store.put("cameras/gate.json", b"")),
    ("inspect", "writes chunks", lambda store: store.put(CHUNK, b"")),
    ("inspect", "deletes chunks", lambda store: store.delete([CHUNK])),
    ("inspect", "deletes results", lambda store: store.delete([RESULT])),
    ("inspect", "writes another's results", lambda store: store.put("results/detect-x/gate/x.json", b"")),
    ("inspect", "reads tokens", lambda store: store.get("tokens/00.json")),
    ("inspect", "lists tokens", lambda store: list(store.list("tokens/"))),
    ("inspect", "lists everything", lambda store: list(store.list(""))),
]


@pytest.mark.parametrize(
    ("part", "attempt"), [pytest.param(p, a, id=f"{p} {what}") for p, what, a in DENIED_AT_THE_STORE]
)
def test_parts_are_denied_the_rest_of_the_store(
    prepared: PreparedServers, part: str, attempt: Callable[[S3Store], object]
) -> None:
    """Least rights: a part that was taken over can spoil its own work only."""
    prepared.store("admin").put(RESULT, b"{}")
    prepared.store("admin").put(CHUNK, b"kept")

    with pytest.raises(UnavailableError, match=r"AccessDenied|403"):
        attempt(prepared.store(part))

    assert prepared.store("admin").get(CHUNK).body == b"kept"
    assert prepared.store("admin").get(RESULT).body == b"{}"


def test_a_user_of_no_part_is_not_let_in(prepared: PreparedServers) -> None:
    """The bridge and MinIO's targets need no user at the store, so they have none."""
    assert "SLUICE_S3_ACCESS_KEY" not in prepared.secrets.part("bridge")
    assert "SLUICE_S3_ACCESS_KEY" not in prepared.secrets.part("minio")


def test_parts_may_do_their_work_at_nats(prepared: PreparedServers) -> None:
    """Publish with an acknowledgement; the bridge takes and makes; the segmenter keeps the cameras' copy."""
    with prepared.bus("inspect") as inspect, prepared.bus("segmenter") as segmenter, prepared.bus("bridge") as bridge:
        inspect.publish("sluice.v1.health.gate", b"{}", message_id="health")
        inspect.publish("sluice.v1.rejected.gate", b"{}", message_id="rejected")
        segmenter.publish("sluice.v1.cameras.gate", b"{}", message_id="online")
        cameras = segmenter.bucket(CAMERAS.name)
        cameras.put("gate", b"{}")
        bridge.publish("sluice.intake.sure", b"{}", message_id="webhook")
        with prepared.bus("sweep") as sweep:
            assert sweep.newest_id("sluice.v1.health.gate", stream=RESULTS.name) == "health"

        taken = {message.subject for consumer in (INTAKE_BRIDGE, CHUNKS_BRIDGE) for message in all_of(bridge, consumer)}

        assert taken >= {"sluice.intake.sure", "sluice.v1.cameras.gate"}
        entry = cameras.get("gate")
        assert entry
        assert entry.value == b"{}"
        assert next(cameras.watch(idle_s=2)) == entry


def test_the_bridge_makes_again_what_a_wiped_server_lost(minio_binary: Path, tmp_path: Path) -> None:
    """With its own rights, by the definitions that init uses."""
    from sluice.topology import BUCKETS, CONSUMERS, STREAMS

    with servers(minio_binary, tmp_path, lanes=both_lanes) as both:
        with both.bus("bridge") as bridge:
            bridge.ensure(STREAMS, CONSUMERS, BUCKETS)

        with both.bus("admin") as admin:
            assert admin.differences(STREAMS, CONSUMERS, BUCKETS) == ()


DENIED_AT_NATS = [
    ("inspect", "sluice.v1.chunks.gate"),
    ("inspect", "sluice.v1.detections.gate"),
    ("inspect", "sluice.intake.fast"),
    ("inspect", "$JS.API.STREAM.DELETE.SLUICE_RESULTS"),
    ("inspect", "$JS.API.STREAM.MSG.GET.SLUICE_RESULTS"),
    ("sweep", "$JS.API.STREAM.MSG.GET.SLUICE_CHUNKS"),
    ("segmenter", "sluice.v1.chunks.gate"),
    ("segmenter", "sluice.v1.health.gate"),
    ("segmenter", "$JS.API.STREAM.PURGE.KV_sluice_cameras"),
    ("bridge", "sluice.v1.health.gate"),
    ("bridge", "sluice.v1.cameras.gate"),
    ("bridge", "$JS.API.STREAM.DELETE.SLUICE_CHUNKS"),
    ("bridge", "$JS.API.STREAM.PURGE.SLUICE_CHUNKS"),
    ("bridge", "$JS.API.STREAM.UPDATE.SLUICE_CHUNKS"),
    ("bridge", "$JS.API.STREAM.MSG.DELETE.SLUICE_CHUNKS"),
    ("bridge", "$JS.API.CONSUMER.DELETE.SLUICE_CHUNKS.bridge"),
    ("minio", "sluice.v1.chunks.gate"),
    ("minio", "$JS.API.STREAM.DELETE.SLUICE_INTAKE"),
]


@pytest.mark.parametrize(("part", "subject"), DENIED_AT_NATS)
def test_parts_are_denied_the_rest_of_nats(prepared: PreparedServers, part: str, subject: str) -> None:
    """Nobody speaks in another's name, nobody deletes."""
    with prepared.bus(part) as bus, pytest.raises(UnavailableError, match=r"(?i)permissions violation"):
        bus.publish(subject, b"{}", message_id="denied")


@pytest.mark.parametrize("part", ["bridge", "inspect", "segmenter"])
def test_parts_do_not_read_answers_to_others(prepared: PreparedServers, part: str) -> None:
    """Each has an inbox of its own; somebody else's is refused."""
    settings = prepared.bus_settings(part)

    denied = denied_subscriptions(settings.url, settings.user, settings.password, ["_INBOX.>", "sluice.>", "$JS.ACK.>"])

    assert denied == {"_INBOX.>", "sluice.>", "$JS.ACK.>"}


def denied_subscriptions(url: str, user: str, password: str, subjects: list[str]) -> set[str]:
    """Those of *subjects* that the server refuses."""
    import asyncio

    import nats

    said: list[str] = []

    async def note(error: Exception) -> None:
        said.append(str(error).lower())

    async def ask() -> None:
        client = await nats.connect(url, user=user, password=password, error_cb=note)
        for subject in subjects:
            await client.subscribe(subject)
        deadline = time.monotonic() + 5  # a refusal is told by a task of its own
        while len(said) < len(subjects) and time.monotonic() < deadline:
            await client.flush()
        await client.close()

    asyncio.run(ask())
    return {subject for subject in subjects if any(f'"{subject.lower()}"' in each for each in said)}


def test_a_prepared_store_announces_on_both_lanes(prepared: PreparedServers) -> None:
    """The rule, the targets' settings and MinIO's rights at NATS fit together."""
    with prepared.bus("bridge") as bridge:
        all_of(bridge, INTAKE_BRIDGE)
        prepared.store("segmenter").put(CHUNK, b"announced")

        subjects: set[str] = set()
        intake = bridge.subscribe(INTAKE_BRIDGE)
        while len(subjects) < 2:
            fetched = intake.fetch(10, wait_s=8)
            assert fetched, subjects
            subjects |= {message.subject for message in fetched}
            for message in fetched:
                message.ack()

    assert subjects == {"sluice.intake.fast", "sluice.intake.sure"}


def all_of(bus: NatsBus, consumer: Consumer) -> list[Message]:
    """All that is there, each ended."""
    subscription = bus.subscribe(consumer)
    taken: list[Message] = []
    while fetched := subscription.fetch(100, wait_s=0.5):
        taken += fetched
        for message in fetched:
            message.ack()
    return taken
