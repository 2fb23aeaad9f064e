"""What there is to see when something went wrong."""

from typing import Any

from tests.cluster.kubernetes import ClusterError, Kubernetes, is_ready, name_of

LINES = 25


def of(cluster: Kubernetes) -> str:
    """Pods, what is not Ready, the newest events, the ends of the logs."""
    parts = [
        _said(cluster, "get", "pods", "--output=wide"),
        _said(cluster, "get", "ksvc,broker,trigger,job,pvc"),
        "\n".join(_said(cluster, "get", "events", "--sort-by=.lastTimestamp").splitlines()[-40:]),
    ]
    parts += [_logs(cluster, pod) for pod in cluster.pods()]
    return "\n\n".join(parts)


def _logs(cluster: Kubernetes, pod: dict[str, Any]) -> str:
    name, lines = name_of(pod), LINES if is_ready(pod) else LINES * 3
    containers = [each["name"] for each in pod["spec"]["containers"] if each["name"] != "queue-proxy"]
    said = [_said(cluster, "logs", name, f"--container={each}", f"--tail={lines}") for each in containers]
    if any(each.get("restartCount") for each in pod["status"].get("containerStatuses", ())):
        said += [
            _said(cluster, "logs", name, f"--container={each}", f"--tail={lines}", "--previous") for each in containers
        ]
    return "\n".join((f"--- {name}", *said))


def _said(cluster: Kubernetes, *arguments: str) -> str:
    try:
        return cluster.kubectl(*arguments, timeout_s=30)
    except ClusterError as error:
        return str(error)
