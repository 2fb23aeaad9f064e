"""What the bridge reads from its environment, besides NATS and how it is served."""

from dataclasses import dataclass

from sluice.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """Where events go, who may hand announcements in, and how many are carried at once."""

    bucket: str = setting("SLUICE_BUCKET", "bucket that holds everything", "sluice")
    sink: str = setting("K_SINK", "where events are posted: the Broker; a SinkBinding sets it")
    sink_certificates: str = setting("K_CA_CERTS", "certificates that an https sink is checked with, as PEM", "")
    webhook_token: str = setting(
        "SLUICE_WEBHOOK_TOKEN", "bearer token of POST /webhook; without one nobody is let in", "", secret=True
    )
    workers: int = setting("SLUICE_BRIDGE_WORKERS", "announcements, and events, that the bridge carries at once", 8)
    post_timeout_s: float = setting(
        "SLUICE_BRIDGE_POST_TIMEOUT_S", "longest wait for the Broker to take one event, in seconds", 10.0
    )
