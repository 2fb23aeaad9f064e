"""Who may do what at the store and at NATS: a table, and what servers make of it.

No part may delete what was recorded or found; the gateway may forget a camera's configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sluice.topology import BUCKETS, CAMERAS, CHUNKS, CONSUMERS, RESULTS, STREAMS

JSAPI: Final = "$JS.API"
ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one part may do: patterns of object keys at the store, subjects at NATS."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    """Also leave an upload of several pieces; neither deletes nor reads."""
    listing: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    @property
    def uses_store(self) -> bool:
        """False: the part has no user at the store."""
        return bool(self.read or self.write or self.listing)

    def policy(self, bucket: str) -> dict[str, Any]:
        """The policy of its user, in the language of S3."""
        resource = f"arn:aws:s3:::{bucket}"
        statements: list[dict[str, Any]] = []
        if self.read:
            statements.append(_allow(["s3:GetObject"], [f"{resource}/{keys}" for keys in self.read]))
        if self.write:
            actions = ["s3:AbortMultipartUpload", "s3:PutObject"]
            statements.append(_allow(actions, [f"{resource}/{keys}" for keys in self.write]))
        if self.delete:
            statements.append(_allow(["s3:DeleteObject"], [f"{resource}/{keys}" for keys in self.delete]))
        if self.listing:
            condition = {"StringLike": {"s3:prefix": list(self.listing)}}
            statements.append(_allow(["s3:ListBucket"], [resource]) | {"Condition": condition})
        return {"Version": "2012-10-17", "Statement": statements}


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def function(name: str, *kinds: str, models: bool = False, also: tuple[str, ...] = ()) -> Rights:
    """A stateless function: reads chunks and *also*, writes its own results, publishes *kinds* and rejections."""
    results = f"results/{name}-*/*" if models else f"results/{name}/*"
    return Rights(
        read=("chunks/*", "init/*", results, *also),
        write=(results,),
        listing=("chunks/*", "init/*", results),
        publish=tuple(f"sluice.v1.{kind}.*" for kind in (*kinds, "rejected")),
        subscribe=(f"_INBOX.{name}.>",),
    )


_MENDED: Final = (*(stream.name for stream in STREAMS), *(f"KV_{bucket.name}" for bucket in BUCKETS))
_CAMERAS: Final = f"KV_{CAMERAS.name}"

BRIDGE: Final = Rights(
    publish=(
        "sluice.intake.sure",
        "sluice.v1.chunks.*",
        "sluice.v1.rejected.*",
        "sluice.deadletter.*",
        # It makes what a wiped server has lost, but changes nothing that is there: a shorter age would delete.
        f"{JSAPI}.INFO",
        *(f"{JSAPI}.STREAM.{verb}.{name}" for name in _MENDED for verb in ("INFO", "CREATE")),
        *(f"{JSAPI}.CONSUMER.{verb}.{c.stream}.{c.name}" for c in CONSUMERS for verb in ("INFO", "CREATE", "MSG.NEXT")),
        *(f"$JS.ACK.{consumer.stream}.{consumer.name}.>" for consumer in CONSUMERS),
    ),
    subscribe=("_INBOX.bridge.>",),
)
SWEEP: Final = Rights(
    read=("state/sweep/*", "cameras/*", "hls/*"),
    write=("state/sweep/*",),
    listing=("chunks/*", "results/*", "hls/*"),
    # And a look at the newest message of a subject: was it told?
    publish=("sluice.intake.sure", "$JS.API.STREAM.MSG.GET.SLUICE_RESULTS"),
    subscribe=("_INBOX.sweep.>",),
)
INDEX: Final = Rights(
    read=("results/detect-*/*", "index/*", "state/index/*"),
    write=("index/*", "state/index/*"),
    listing=("chunks/*", "results/*", "index/*"),
    subscribe=("_INBOX.index.>",),
)
PACKAGE: Final = Rights(
    # The gateway shows what it writes; the chunks it reads for their metadata alone.
    read=("chunks/*", "hls/*"),
    write=("hls/*",),
    listing=("chunks/*", "init/*", "hls/*"),
    publish=("sluice.v1.playlists.*", "sluice.v1.rejected.*"),
    subscribe=("_INBOX.package.>",),
)
SEGMENTER: Final = Rights(
    read=("state/segmenter/*", "cameras/*"),
    write=("chunks/*", "init/*", "state/segmenter/*"),
    listing=("chunks/*", "cameras/*"),
    publish=(
        "sluice.v1.cameras.*",
        f"$KV.{CAMERAS.name}.>",
        f"{JSAPI}.STREAM.INFO.{_CAMERAS}",
        f"{JSAPI}.DIRECT.GET.{_CAMERAS}.>",
        f"{JSAPI}.CONSUMER.CREATE.{_CAMERAS}.>",
        f"{JSAPI}.CONSUMER.MSG.NEXT.{_CAMERAS}.>",
    ),
    subscribe=("_INBOX.segmenter.>",),
)
_FOLLOWED: Final = (RESULTS.name, CHUNKS.name)
GATEWAY: Final = Rights(
    # A token's object is read by its name, which only who has the token knows.
    read=("cameras/*", "tokens/*", "hls/*", "chunks/*", "init/*", "results/*", "index/*"),
    write=("cameras/*",),
    listing=("cameras/*", "hls/*", "chunks/*", "init/*", "results/*", "index/*"),
    delete=("cameras/*",),
    publish=(
        f"$KV.{CAMERAS.name}.>",
        f"{JSAPI}.STREAM.INFO.{_CAMERAS}",
        *(f"{JSAPI}.STREAM.INFO.{name}" for name in _FOLLOWED),
        *(f"{JSAPI}.CONSUMER.{verb}.{name}.>" for name in _FOLLOWED for verb in ("INFO", "CREATE", "MSG.NEXT")),
    ),
    subscribe=("_INBOX.gateway.>",),
)
MINIO: Final = Rights(
    publish=("sluice.intake.fast", "sluice.intake.sure"),
    # nats.go makes its inboxes right under _INBOX and MinIO has no setting for it.
    subscribe=("_INBOX.>",),
)

PARTS: Final[Mapping[str, Rights]] = {
    "bridge": BRIDGE,
    "inspect": function("inspect", "health"),
    "detect": function("detect", "detections", models=True, also=("cameras/*",)),
    "package": PACKAGE,
    "index": INDEX,
    "sweep": SWEEP,
    "segmenter": SEGMENTER,
    "gateway": GATEWAY,
    "minio": MINIO,
    ADMIN: Rights(),
}
"""By part. The admin is the store's root and NATS' user without limits; what deletes runs as it."""
