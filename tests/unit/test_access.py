"""The table of rights, and the secrets that go with it."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sluice.errors import SettingsError
from sluice.preparation.access import PARTS, Rights
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, S3_SECRET, S3_USER, WEBHOOK_TOKEN, load_or_create


@pytest.mark.parametrize("part", PARTS)
def test_no_part_may_delete(part: str) -> None:
    """Neither objects, but for a camera's settings, nor streams or messages; a stream's limits would delete too."""
    policy = json.dumps(PARTS[part].policy("sluice"))

    assert PARTS[part].delete == (("cameras/*",) if part == "gateway" else ())
    assert ("Delete" in policy) == (part == "gateway")
    assert "s3:*" not in policy
    assert not [
        s for s in PARTS[part].publish if any(v in s for v in ("DELETE", "PURGE", "UPDATE", "API.>", "RESTORE"))
    ]


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("minio", "admin")])
def test_a_part_listens_to_its_own_inbox_only(part: str) -> None:
    """An answer may hold what its reader has no right to."""
    assert PARTS[part].subscribe == (f"_INBOX.{part}.>",)


def test_each_kind_of_event_has_one_speaker_among_the_parts() -> None:
    """Who takes over a part cannot speak in another's name, except to reject."""
    speakers: dict[str, list[str]] = {}
    for part, rights in PARTS.items():
        for subject in rights.publish:
            if subject.startswith("sluice.v1.") and "rejected" not in subject:
                speakers.setdefault(subject, []).append(part)

    assert speakers == {
        "sluice.v1.chunks.*": ["bridge"],
        "sluice.v1.health.*": ["inspect"],
        "sluice.v1.detections.*": ["detect"],
        "sluice.v1.playlists.*": ["package"],
        "sluice.v1.cameras.*": ["segmenter"],
    }


def test_a_policy_says_what_the_table_says() -> None:
    """Only the bucket's own listing is narrowed by a condition: it is one action on the whole bucket."""
    policy = Rights(read=("a/*",), write=("b/*",), listing=("a/*",)).policy("box")

    assert policy["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::box/a/*"]},
        {
            "Effect": "Allow",
            "Action": ["s3:AbortMultipartUpload", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::box/b/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::box"],
            "Condition": {"StringLike": {"s3:prefix": ["a/*"]}},
        },
    ]


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """A second start finds what the first made."""
    folder = tmp_path / "state" / "secrets"

    made = load_or_create(folder)

    assert load_or_create(folder) == made
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{part}.env" for part in PARTS)


def test_no_two_secrets_are_equal_and_none_is_shown(tmp_path: Path) -> None:
    """Nothing is defaulted; what is printed by accident tells nothing."""
    first, second = load_or_create(tmp_path / "a"), load_or_create(tmp_path / "b")

    names = (S3_SECRET, NATS_PASSWORD, WEBHOOK_TOKEN)
    parts = [*first.parts.values(), *second.parts.values()]
    everything = [part[name] for part in parts for name in names if name in part]
    assert len(set(everything)) == len(everything)
    assert all(len(value) >= 32 for value in everything)
    assert not [value for value in everything if value in repr(first) or value in repr(first.nats_users())]


def test_secrets_made_at_once_by_two_are_the_same(tmp_path: Path) -> None:
    """Whoever is second uses what is there."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_or_create(tmp_path / "secrets"), range(8)))

    assert all(each == made[0] for each in made)


def test_a_damaged_file_of_secrets_is_refused_by_name(tmp_path: Path) -> None:
    """A new secret in its place would lock the part out of a store that knows the old one."""
    load_or_create(tmp_path)
    (tmp_path / "inspect.env").write_text(f"{NATS_USER}=inspect\n")

    with pytest.raises(SettingsError, match=rf"inspect\.env: expected SLUICE_NATS_PASSWORD, {S3_USER}"):
        load_or_create(tmp_path)


def test_an_unwritable_folder_is_a_problem_of_settings(tmp_path: Path) -> None:
    """Named, not a traceback."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="secrets in"):
        load_or_create(tmp_path / "file" / "secrets")


def test_an_unknown_part_has_no_secrets(tmp_path: Path) -> None:
    """A misspelt Secret in a manifest is named."""
    with pytest.raises(SettingsError, match="no secrets for 'inpsect'"):
        load_or_create(tmp_path).part("inpsect")
