"""The parts' users at the store, compared with the table of their rights."""

from collections.abc import Iterator
from typing import Any

from sluice.preparation.access import PARTS
from sluice.preparation.administration import Administration
from sluice.preparation.change import Change
from sluice.preparation.secrets import S3_SECRET, S3_USER, Secrets


def user_changes(store: Administration, *, bucket: str, exists: bool, secrets: Secrets) -> Iterator[Change]:
    """What differs: policies first, then who has them."""
    for part, rights in PARTS.items():
        if not rights.uses_store:
            continue
        mine = secrets.part(part)
        yield from _policy(store, mine[S3_USER], rights.policy(bucket))
        yield from _user(store, mine[S3_USER], mine[S3_SECRET], bucket if exists else None)


def _policy(store: Administration, name: str, wanted: dict[str, Any]) -> Iterator[Change]:
    found = store.policy(name)
    if found is None or _ordered(found) != _ordered(wanted):
        state = "missing" if found is None else "allows something else"
        yield Change(sentence=f"policy {name}: {state}", make=lambda: store.put_policy(name, wanted))


def _user(store: Administration, name: str, password: str, bucket: str | None) -> Iterator[Change]:
    found = store.user(name)
    if found is None:
        yield Change(sentence=f"user {name}: missing", make=lambda: store.put_user(name, password))
    elif found.get("status") != "enabled" or (bucket and not store.lets_in(name, password, bucket)):
        yield Change(
            sentence=f"user {name}: disabled, or has another secret", make=lambda: store.put_user(name, password)
        )
    if found is None or found.get("policyName") != name:
        yield Change(sentence=f"user {name}: has not its policy", make=lambda: store.give_policy(name, name))


def _ordered(value: Any) -> Any:
    """Lists of a policy are sets, and a server orders them as it likes."""
    if isinstance(value, dict):
        return {name: _ordered(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((_ordered(each) for each in value), key=repr)
    return value
