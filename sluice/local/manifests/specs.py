"""What the manifests ask for, typed; equal specs need no change."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where events go: something by name, with a path; or, without a kind, an address."""

    kind: str = ""
    """ksvc, Broker, or Service for a Deployment or StatefulSet."""
    name: str = ""
    namespace: str = "default"
    uri: str = ""

    @property
    def public(self) -> str:
        """The address that a cluster would give it: what error reports name, whoever runs it."""
        if not self.kind:
            return self.uri
        if self.kind == "Broker":
            return f"http://broker-ingress.knative-eventing.svc.cluster.local/{self.namespace}/{self.name}{self.uri}"
        return f"http://{self.name}.{self.namespace}.svc.cluster.local{self.uri}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a container runs; ConfigMaps and Secrets are values here."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_path: str | None
    """Of its readinessProbe; None: it is ready when it accepts connections."""
    listens: bool = True
    """False for a Deployment without ports: it is ready when it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Knative's autoscaling annotations, with its defaults."""

    minimum: int = 0
    maximum: int = 0
    """0 is Knative's "without limit"."""
    target: float
    """Requests at once that one instance should have, utilisation included."""
    window_s: float = 60
    down_delay_s: float = 0
    retention_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Knative Service."""

    name: str
    namespace: str
    command: Command
    concurrency: int
    """Requests at once that one instance may have; 0 is without limit."""
    timeout_s: int
    scale: Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or a StatefulSet."""

    name: str
    kind: str
    command: Command
    replicas: int
    grace_s: int
    sink: Destination | None = None
    """From a SinkBinding: becomes K_SINK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How often an event is tried, and where it goes then; None: not said here."""

    retry: int | None = None
    policy: str | None = None
    delay_s: float | None = None
    timeout_s: float | None = None
    dead_letter: Destination | None = None

    def pause_s(self, retry: int) -> float:
        """The wait before a retry, counted from 0 as Knative's retries.go does: the first linear wait is none."""
        delay_s = self.delay_s or 0.0
        return delay_s * (retry if self.policy == "linear" else 2.0**retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A Broker; its name is unique over all namespaces here."""

    name: str
    namespace: str
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A Trigger, its delivery completed from its Broker's and Knative's defaults."""

    name: str
    broker: str
    filters: tuple[Filter, ...]
    subscriber: Destination
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A PingSource."""

    name: str
    namespace: str
    schedule: str
    timezone: str
    content_type: str
    data: bytes
    sink: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """All that was read, by name."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    brokers: Mapping[str, Broker] = field(default_factory=dict)
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    pings: Mapping[str, Ping] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
