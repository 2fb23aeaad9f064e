"""The tables: every kind of manifest that is read, and every field that it may have here.

`anything` marks what a cluster needs and one machine does not. A field that is in no table is refused.
"""

import re
from typing import Final

import yaml

from sluice.local.knative.filters import attributes, one_filter
from sluice.local.manifests.fields import (
    Place,
    Rule,
    Section,
    anything,
    fields,
    iso_duration,
    listing,
    mapping,
    refused,
    text,
    whole,
)

NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_GIVEN: Final = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
"""Set by the platform; Knative's webhook refuses them too."""

_name = text(NAME, "a name of small letters, digits and dashes")
_strings = mapping(text())
_metadata = fields({"name": _name, "namespace": _name, "labels": _strings, "annotations": _strings}, need=("name",))
_pod_metadata = fields({"labels": _strings, "annotations": _strings})
_key_of = fields(
    {"name": _name, "key": text(), "optional": refused("what may be absent is a guess")}, need=("name", "key")
)
_all_of = fields({"name": _name, "optional": refused("what may be absent is a guess")}, need=("name",))


def _plain(node: yaml.Node, place: Place) -> str:
    value: str = text()(node, place)
    if "$(" in value:
        place.refuse(node, "references to other variables are not expanded here")
    return value


def _variable_name(node: yaml.Node, place: Place) -> str:
    value: str = text(r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name")(node, place)
    if value in _GIVEN:
        place.refuse(node, f"{value} is given by the platform")
    return value


def _variable(node: yaml.Node, place: Place) -> Section:
    sources = fields({"configMapKeyRef": _key_of, "secretKeyRef": _key_of})
    found: Section = fields({"name": _variable_name, "value": _plain, "valueFrom": sources}, need=("name",))(
        node, place
    )
    if "value" in found and "valueFrom" in found:
        found.refuse("valueFrom", "stands beside value")
    return found


_probe = fields(
    {
        "httpGet": fields(
            {"path": text(r"/.*", "a path"), "port": anything, "scheme": text("HTTP"), "httpHeaders": anything}
        ),
        "tcpSocket": anything,
        **dict.fromkeys(
            ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"), anything
        ),
    }
)
_container = fields(
    {
        "name": _name,
        "command": listing(_plain, at_least=1),
        "args": listing(_plain),
        "env": listing(_variable),
        "envFrom": listing(fields({"prefix": text(), "configMapRef": _all_of, "secretRef": _all_of})),
        "ports": listing(fields({"name": text(), "containerPort": whole(1, 65535), "protocol": text("TCP")})),
        "readinessProbe": _probe,
        **dict.fromkeys(
            (
                "image",
                "imagePullPolicy",
                "resources",
                "securityContext",
                "volumeMounts",
                "livenessProbe",
                "startupProbe",
            ),
            anything,
        ),
    },
    need=("command",),
)
_volume = fields(
    {"name": _name, **dict.fromkeys(("emptyDir", "persistentVolumeClaim", "configMap"), anything)}, need=("name",)
)
_POD: Final[dict[str, Rule]] = {
    "containers": listing(_container, at_least=1, at_most=1),
    "volumes": listing(_volume),
    **dict.fromkeys(
        (
            "serviceAccountName",
            "imagePullSecrets",
            "enableServiceLinks",
            "automountServiceAccountToken",
            "securityContext",
        ),
        anything,
    ),
}
_DEPLOYED: Final[dict[str, Rule]] = _POD | {
    "terminationGracePeriodSeconds": whole(0, 3600),
    **dict.fromkeys(
        ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"), anything
    ),
}


def _uri(node: yaml.Node, place: Place) -> str:
    return str(text(r"https?://[^\s]+|/[^\s]*", "an http address, or a path beside a ref")(node, place))


def _destination(node: yaml.Node, place: Place) -> Section:
    reference = fields(
        {"apiVersion": text(), "kind": text("Service|Broker", "Service or Broker"), "name": _name, "namespace": _name},
        need=("kind", "name", "apiVersion"),
    )
    found: Section = fields({"ref": reference, "uri": _uri})(node, place)
    uri = found.get("uri")
    if not found.keys_at or ("ref" not in found and uri and not re.match("https?://", uri)):
        place.refuse(node, "expected a ref, or a whole address as uri")
    return found


_delivery = fields(
    {
        "deadLetterSink": _destination,
        "retry": whole(0, 1000),
        "timeout": iso_duration,
        "backoffPolicy": text("linear|exponential", "linear or exponential"),
        "backoffDelay": iso_duration,
        "retryAfterMax": refused("an alpha feature of Knative, off by default"),
    }
)


def _object(spec: Rule) -> Rule:
    return fields(
        {"apiVersion": text(), "kind": text(), "metadata": _metadata, "spec": spec}, need=("metadata", "spec")
    )


def _workload(**more: Rule) -> Rule:
    template = fields({"metadata": _pod_metadata, "spec": fields(_DEPLOYED, need=("containers",))}, need=("spec",))
    known = {"replicas": whole(0, 32), "selector": anything, "template": template, "revisionHistoryLimit": anything}
    return _object(fields(known | more, need=("template",)))


_revision = fields(
    _POD | {"containerConcurrency": whole(0, 1000), "timeoutSeconds": whole(1, 600)}, need=("containers",)
)
_subject = fields(
    {"apiVersion": text(), "kind": text("Deployment|StatefulSet|Service"), "name": _name, "namespace": _name}
)

KINDS: Final[dict[tuple[str, str], Rule]] = {
    ("serving.knative.dev/v1", "Service"): _object(
        fields(
            {"template": fields({"metadata": _pod_metadata, "spec": _revision}, need=("spec",))},
            need=("template",),
        )
    ),
    ("eventing.knative.dev/v1", "Broker"): fields(
        {
            **dict.fromkeys(("apiVersion", "kind"), anything),
            "metadata": _metadata,
            "spec": fields({"config": anything, "delivery": _delivery}),
        },
        need=("metadata",),
    ),
    ("eventing.knative.dev/v1", "Trigger"): _object(
        fields(
            {
                "broker": _name,
                "subscriber": _destination,
                "delivery": _delivery,
                "filter": fields({"attributes": attributes}),
                "filters": listing(one_filter),
            },
            need=("broker", "subscriber"),
        )
    ),
    ("sources.knative.dev/v1", "PingSource"): _object(
        fields(
            {"schedule": text(), "timezone": text(), "contentType": text(), "data": text(), "sink": _destination},
            need=("schedule", "sink"),
        )
    ),
    ("sources.knative.dev/v1", "SinkBinding"): _object(
        fields({"subject": _subject, "sink": _destination}, need=("subject", "sink"))
    ),
    ("apps/v1", "Deployment"): _workload(strategy=anything, progressDeadlineSeconds=anything),
    ("apps/v1", "StatefulSet"): _workload(
        serviceName=anything, podManagementPolicy=anything, updateStrategy=anything, volumeClaimTemplates=anything
    ),
}
SKIPPED: Final = {
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("v1", "PersistentVolumeClaim"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
}
"""Means nothing on one machine: listed by `sluice status`, not read. Kustomizations are skipped whatever they say."""
