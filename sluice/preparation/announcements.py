"""The two lanes on which a bucket announces new chunks, and the server settings that they need.

A target is a setting of the server, a rule is one of the bucket: the rule is made here, the settings are checked.
"""

import re
import time
from dataclasses import dataclass
from typing import Final

from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig, SuffixFilterRule

from sluice.errors import SettingsError, StoreError
from sluice.names import CHUNK_SUFFIX, CHUNKS
from sluice.preparation.administration import Administration
from sluice.preparation.change import Change

# Not ObjectCreated:*, which tells of tags and retention too.
EVENTS: Final = ("s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload")
START_S: Final = 10.0
"""A server that says it is ready may not know its own targets yet, for 0.1 s as measured."""
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A NATS target of the store."""

    id: str
    subject: str
    durable: bool
    """True: kept on disk until NATS has it, and up to 3 s late. False: at once, or never."""

    def arn(self, region: str) -> str:
        """The name that a rule gives it."""
        return f"arn:minio:sqs:{region}:{self.id}:nats"

    def settings(self, address: str, user: str) -> tuple[str, ...]:
        """The variables of the server that make it; values that only the operator knows stand in brackets."""
        values = {
            "ENABLE": "on",
            "ADDRESS": address,
            "SUBJECT": self.subject,
            "JETSTREAM": "on",
            "USERNAME": user,
            "PASSWORD": "<SLUICE_NATS_PASSWORD of minio.env>",
            **({"QUEUE_DIR": f"<absolute path on a disk that lasts>/{self.id}"} if self.durable else {}),
        }
        return tuple(f"MINIO_NOTIFY_NATS_{name}_{self.id}={value}" for name, value in values.items())


LANES: Final = (
    Lane(id="FAST", subject="sluice.intake.fast", durable=False),
    Lane(id="SURE", subject="sluice.intake.sure", durable=True),
)


def rule_changes(
    store: Administration, *, bucket: str, exists: bool, region: str, settings: tuple[str, ...]
) -> list[Change]:
    """What differs in the bucket's rule; raises SettingsError naming *settings* when a target is missing or differs."""
    _await_targets(store, region=region, settings=settings)
    now = store.rules(bucket) if exists else NotificationConfig()
    wanted = {lane.arn(region): lane for lane in LANES}
    ours = [rule for rule in now.queue_config_list if rule.queue in wanted]
    wrong = [
        lane.id
        for arn, lane in wanted.items()
        if [_said(rule) for rule in ours if rule.queue == arn] != [_said(_rule(arn))]
    ]
    if not wrong:
        return []
    rules = NotificationConfig(
        cloud_func_config_list=now.cloud_func_config_list,
        queue_config_list=[rule for rule in now.queue_config_list if rule.queue not in wanted]
        + [_rule(a) for a in wanted],
        topic_config_list=now.topic_config_list,
    )
    what = f"{CHUNKS}*{CHUNK_SUFFIX}"
    sentence = f"bucket {bucket}: announces {what} not as wanted to {' and '.join(wrong)}"
    return [Change(sentence=sentence, make=lambda: _put(store, bucket, rules))]


def needed(*, region: str, nats_address: str, user: str) -> tuple[str, ...]:
    """The variables that a MinIO server is started with to have both lanes."""
    lanes = (line for lane in LANES for line in lane.settings(nats_address, user))
    return (f"MINIO_SITE_REGION={region}", *lanes)


def _rule(arn: str) -> QueueConfig:
    return QueueConfig(
        queue=arn,
        events=list(EVENTS),
        prefix_filter_rule=PrefixFilterRule(CHUNKS),
        suffix_filter_rule=SuffixFilterRule(CHUNK_SUFFIX),
    )


def _said(rule: QueueConfig) -> tuple[object, ...]:
    filters = (rule.prefix_filter_rule, rule.suffix_filter_rule)
    return sorted(rule.events), *(each.value if each else "" for each in filters)


def _put(store: Administration, bucket: str, rules: NotificationConfig) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return store.put_rules(bucket, rules)
        except StoreError as error:
            if "ARN" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _await_targets(store: Administration, *, region: str, settings: tuple[str, ...]) -> None:
    wanted = {lane.arn(region) for lane in LANES}
    deadline = time.monotonic() + START_S
    # What the server was not told at all it will not find, however long it starts.
    problems = _wrong_settings(store.target_settings())
    while not problems and not wanted <= store.target_arns():
        if time.monotonic() > deadline:
            missing = sorted(wanted - store.target_arns())
            problems = [f"the store has no notification target {' nor '.join(missing)}"]
        time.sleep(_POLL_S)
    if problems:
        raise SettingsError((*problems, "start the store with\n  " + "\n  ".join(settings)))


def _wrong_settings(text: str) -> list[str]:
    """A lane that loses what it should keep, or speaks to the wrong subject, fails in silence: compare."""
    problems = []
    for lane in LANES:
        found = _target(text, lane.id)
        if found.get("enable", "on" if "address" in found else "off") != "on":
            problems.append(f"the store's notification target {lane.id} is missing")
            continue
        if found.get("subject") != lane.subject:
            problems.append(f"target {lane.id}: expected subject {lane.subject}, found {found.get('subject', '')!r}")
        if found.get("jetstream") != "on":
            problems.append(f"target {lane.id}: expected jetstream on, without it nothing is acknowledged")
        if bool(found.get("queue_dir")) != lane.durable:
            problems.append(f"target {lane.id}: expected {'a' if lane.durable else 'no'} queue folder")
    return problems


def _target(text: str, target: str) -> dict[str, str]:
    """The settings of one target: those kept by the server, and over them those of its environment."""
    kept = re.search(rf"^notify_nats:{target} (.*)$", text, re.MULTILINE)
    found = dict(pair.split("=", 1) for pair in kept[1].split() if "=" in pair) if kept else {}
    for name, value in re.findall(rf"^# MINIO_NOTIFY_NATS_(\w+)_{target}=(.*)$", text, re.MULTILINE):
        found[name.lower()] = value.strip()
    return found
