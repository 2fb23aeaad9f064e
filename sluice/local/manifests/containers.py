"""A pod template -> the command to run, with what its ConfigMaps and Secrets hold."""

from collections.abc import Mapping
from typing import Final

from sluice.local.manifests.fields import Section
from sluice.local.manifests.specs import Command

Values = Mapping[str, Mapping[str, str]]
"""What ConfigMaps and Secrets hold, by "ConfigMap/<name>" and "Secret/<name>"."""

_HOLDERS: Final = {"configMap": "ConfigMap", "secret": "Secret"}


def command_of(pod: Section, values: Values) -> Command:
    """The command of the pod's one container; an unknown ConfigMap, Secret or key is refused."""
    container: Section = pod["containers"][0]
    environment: dict[str, str] = {}
    for field, holder in _HOLDERS.items():
        for source in (each for each in container.get("envFrom", ()) if f"{field}Ref" in each):
            held = _held(holder, source[f"{field}Ref"], values)
            environment |= {source.get("prefix", "") + key: value for key, value in held.items()}
    for variable in container.get("env", ()):
        environment[variable["name"]] = _value(variable, values)
    return Command(
        argv=(*container["command"], *container.get("args", ())),
        environment=environment,
        ready_path=container.get("readinessProbe", {}).get("httpGet", {}).get("path"),
        listens=bool(container.get("ports") or container.get("readinessProbe")),
    )


def _value(variable: Section, values: Values) -> str:
    for field, holder in _HOLDERS.items():
        reference = variable.get("valueFrom", {}).get(f"{field}KeyRef")
        if reference:
            held = _held(holder, reference, values)
            if held and reference["key"] not in held:
                reference.refuse("key", f"{holder} {reference['name']} has no key {reference['key']!r}")
            return held.get(reference["key"], "")
    return str(variable.get("value", ""))


def _held(holder: str, reference: Section, values: Values) -> Mapping[str, str]:
    found = values.get(f"{holder}/{reference['name']}")
    if found is None:
        known = sorted(name.split("/")[1] for name in values if name.startswith(holder))
        reference.refuse("name", f"no {holder} {reference['name']!r} here; there are {', '.join(known) or 'none'}")
    return found or {}
