"""Folders of YAML -> specs, or every reason why not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from sluice.errors import SluiceError
from sluice.local.manifests.annotations import refuse_misplaced, scale_of
from sluice.local.manifests.containers import Values, command_of
from sluice.local.manifests.fields import Place, Problem, Section
from sluice.local.manifests.kinds import KINDS, SKIPPED
from sluice.local.manifests.specs import (
    Broker,
    Delivery,
    Destination,
    Function,
    Manifests,
    Ping,
    Trigger,
    Workload,
)

KNATIVE_DELIVERY: Final = Delivery(retry=10, policy="exponential", delay_s=0.2)
"""Of config-br-defaults, for a Broker that says nothing."""


@dataclass
class ManifestError(SluiceError):
    """Raised when manifests cannot be obeyed as they stand; names every reason."""

    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A manifest that has no problem by itself."""

    kind: str
    name: str
    body: Section

    @property
    def spec(self) -> Section:
        found: Section = self.body.get("spec") or Section(self.body.place, self.body.node)
        return found

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", "default"))


@dataclass(slots=True, kw_only=True)
class _Reader:
    values: Values
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    documents: dict[tuple[str, str], _Document] = field(default_factory=dict)

    def named(self, kind: str) -> Iterator[_Document]:
        return (each for (found, _), each in self.documents.items() if found == kind)

    def built(self, kinds: Sequence[str], build: Callable[["_Reader", _Document], Any]) -> dict[str, Any]:
        return {each.name: build(self, each) for kind in kinds for each in self.named(kind)}


def read(folders: Sequence[Path], values: Values) -> Manifests:
    """Read every *.yaml of *folders*; raises ManifestError with all that is wrong in them."""
    reader = _Reader(values=values)
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            _read_file(reader, path)
    if reader.problems:
        raise ManifestError(tuple(reader.problems))
    found = Manifests(
        functions=reader.built(["ksvc"], _function),
        workloads=reader.built(["Deployment", "StatefulSet"], _workload),
        brokers=reader.built(["Broker"], _broker),
        triggers=reader.built(["Trigger"], _trigger),
        pings=reader.built(["PingSource"], _ping),
        skipped=tuple(reader.skipped),
    )
    if reader.problems:
        raise ManifestError(tuple(reader.problems))
    return found


def _read_file(reader: _Reader, path: Path) -> None:
    if path.stem == "kustomization":
        reader.skipped.append(f"{path}: Kustomization")
        return
    try:
        nodes = list(yaml.compose_all(path.read_text("utf-8"), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        text = getattr(error, "problem", None) or str(error)
        reader.problems.append(Problem(file=str(path), line=mark.line + 1 if mark else 1, field="document", text=text))
        return
    for node in nodes:
        if not isinstance(node, yaml.ScalarNode) or node.value:
            _read_document(reader, node, Place(file=str(path), field="", problems=reader.problems))


def _read_document(reader: _Reader, node: yaml.Node, place: Place) -> None:
    api, kind = (_top(node, name) for name in ("apiVersion", "kind"))
    if (api, kind) in SKIPPED or kind in ("Kustomization", "Component"):
        reader.skipped.append(f"{place.file}:{node.start_mark.line + 1}: {kind}")
        return
    rule = KINDS.get((api, kind))
    if rule is None:
        place.below("kind").refuse(node, f"{api} {kind} is unknown to the local runtime")
        return
    before = len(reader.problems)
    body: Section = rule(node, place)
    if len(reader.problems) > before:
        return
    kind = "ksvc" if api.startswith("serving.") else kind
    document = _Document(kind=kind, name=body["metadata"]["name"], body=body)
    first = reader.documents.setdefault((kind, document.name), document)
    if first is not document:
        body["metadata"].refuse("name", f"{kind} {document.name} stands in {first.body.place.file} already")


def _top(node: yaml.Node, name: str) -> str:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(value.value) for key, value in pairs if key.value == name), "nothing")


def _function(reader: _Reader, document: _Document) -> Function:
    template: Section = document.spec["template"]
    spec: Section = template["spec"]
    concurrency: int = spec.get("containerConcurrency", 0)
    annotations = template.get("metadata", {}).get("annotations", {})
    refuse_misplaced(document.body["metadata"].get("annotations"))
    return Function(
        name=document.name,
        namespace=document.namespace,
        command=command_of(spec, reader.values),
        concurrency=concurrency,
        timeout_s=spec.get("timeoutSeconds", 300),
        scale=scale_of(annotations, concurrency=concurrency),
    )


def _workload(reader: _Reader, document: _Document) -> Workload:
    spec: Section = document.spec["template"]["spec"]
    binding = next((each for each in reader.named("SinkBinding") if _binds(each.spec["subject"], document)), None)
    return Workload(
        name=document.name,
        kind=document.kind,
        command=command_of(spec, reader.values),
        replicas=document.spec.get("replicas", 1),
        grace_s=spec.get("terminationGracePeriodSeconds", 30),
        sink=_destination(reader, binding.spec["sink"], binding) if binding else None,
    )


def _binds(subject: Section, document: _Document) -> bool:
    return (subject.get("kind"), subject.get("name")) == (document.kind, document.name)


def _broker(reader: _Reader, document: _Document) -> Broker:
    said = _delivery(reader, document, document.spec.get("delivery"))
    return Broker(name=document.name, namespace=document.namespace, delivery=_completed(said, KNATIVE_DELIVERY))


def _trigger(reader: _Reader, document: _Document) -> Trigger:
    spec = document.spec
    broker = reader.documents.get(("Broker", spec["broker"]))
    if broker is None:
        spec.refuse("broker", f"no Broker {spec['broker']!r} in these manifests")
    said = _delivery(reader, document, spec.get("delivery"))
    theirs = _broker(reader, broker).delivery if broker else KNATIVE_DELIVERY
    # `filters` overrides `filter`, also when it is an empty list.
    exact = [{"exact": dict(spec["filter"]["attributes"])}] if spec.get("filter", {}).get("attributes") else []
    return Trigger(
        name=document.name,
        broker=spec["broker"],
        filters=tuple(spec.get("filters", exact)),
        subscriber=_destination(reader, spec["subscriber"], document),
        delivery=_completed(said, theirs),
    )


def _delivery(reader: _Reader, document: _Document, said: Section | None) -> Delivery:
    if said is None:
        return Delivery()
    sink = said.get("deadLetterSink")
    return Delivery(
        retry=said.get("retry"),
        policy=said.get("backoffPolicy"),
        delay_s=said.get("backoffDelay"),
        timeout_s=said.get("timeout"),
        dead_letter=_destination(reader, sink, document) if sink else None,
    )


def _completed(said: Delivery, default: Delivery) -> Delivery:
    names = ("retry", "policy", "delay_s", "timeout_s", "dead_letter")
    return replace(said, **{name: getattr(default, name) for name in names if getattr(said, name) is None})


def _ping(reader: _Reader, document: _Document) -> Ping:
    from cronsim import CronSim, CronSimError

    spec = document.spec
    try:
        CronSim(spec["schedule"], datetime.now(ZoneInfo(spec.get("timezone", "UTC"))))
    except (CronSimError, ZoneInfoNotFoundError, ValueError) as error:
        spec.refuse("schedule", f"expected a cron expression and a timezone: {error}")
    return Ping(
        name=document.name,
        namespace=document.namespace,
        schedule=spec["schedule"],
        timezone=spec.get("timezone", "UTC"),
        content_type=spec.get("contentType", "application/json"),
        data=spec.get("data", "").encode(),
        sink=_destination(reader, spec["sink"], document),
    )


def _destination(reader: _Reader, found: Section, document: _Document) -> Destination:
    reference = found.get("ref")
    if reference is None:
        return Destination(uri=found["uri"])
    kind = "ksvc" if reference["apiVersion"].startswith("serving.") else reference["kind"]
    wanted = ("Deployment", "StatefulSet") if kind == "Service" else (kind,)
    if not any((each, reference["name"]) in reader.documents for each in wanted):
        reference.refuse("name", f"no {' or '.join(wanted)} {reference['name']!r} in these manifests")
    namespace = reference.get("namespace", document.namespace)
    return Destination(kind=kind, name=reference["name"], namespace=namespace, uri=found.get("uri", ""))
