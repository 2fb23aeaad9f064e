"""Readers from outside: what each may, what of them is kept, and what the commands say."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from Crypto.Protocol.KDF import bcrypt_check

from sluice.errors import InvalidNameError
from sluice.preparation.access import PARTS
from sluice.preparation.readers import Reader, load_all, new_password
from sluice.preparation.secrets import load_or_create
from sluice.testing.streams import matches
from tests.desk import Desk
from tests.services.nats import nats_binary

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def a_reader(*, cameras: tuple[str, ...] = (), kinds: tuple[str, ...] = ()) -> Reader:
    return Reader(name="wall", password="hash", created=NOW, cameras=cameras, kinds=kinds)


@pytest.mark.parametrize(
    ("cameras", "kinds", "subjects"),
    [
        pytest.param((), (), ("sluice.v1.>",), id="everything"),
        pytest.param(("gate",), (), ("sluice.v1.*.gate",), id="a camera"),
        pytest.param((), ("health", "chunks"), ("sluice.v1.health.*", "sluice.v1.chunks.*"), id="kinds"),
        pytest.param(
            ("gate", "yard"),
            ("detections",),
            ("sluice.v1.detections.gate", "sluice.v1.detections.yard"),
            id="a kind of cameras",
        ),
    ],
)
def test_cameras_and_kinds_become_subjects(
    cameras: tuple[str, ...], kinds: tuple[str, ...], subjects: tuple[str, ...]
) -> None:
    """What is not named is not limited."""
    assert a_reader(cameras=cameras, kinds=kinds).subjects == subjects


def test_a_reader_has_a_place_in_the_streams_that_hold_something_for_it() -> None:
    """Of exactly its subjects."""
    (consumer,) = a_reader(cameras=("gate",), kinds=("detections",)).consumers

    assert (consumer.stream, consumer.name, consumer.filters) == (
        "SLUICE_RESULTS",
        "user-wall",
        ("sluice.v1.detections.gate",),
    )


@pytest.mark.parametrize("reader", [a_reader(), a_reader(cameras=("gate",)), a_reader(kinds=("chunks",))])
def test_a_reader_publishes_nothing_but_questions_about_its_own_place(reader: Reader) -> None:
    """No event, and no word to a consumer, stream or bucket of somebody else."""
    allowed = reader.nats_user().publish
    foreign = [
        "sluice.v1.chunks.gate",
        "sluice.intake.fast",
        "$KV.sluice_cameras.gate",
        "$JS.API.CONSUMER.CREATE.SLUICE_RESULTS.user-wall",
        "$JS.API.CONSUMER.MSG.NEXT.SLUICE_CHUNKS.bridge",
        "$JS.ACK.SLUICE_CHUNKS.bridge.1.1.1.1.1",
        "$JS.API.STREAM.INFO.SLUICE_RESULTS",
    ]

    assert {subject.split(".")[-1] for subject in allowed} <= {"user-wall", ">"}
    assert not [subject for subject in foreign for pattern in allowed if matches(subject, pattern)]


def test_its_login_is_none_of_the_parts() -> None:
    """A camera may be called bridge, and so may a user."""
    reader = Reader(name="bridge", password="hash", created=NOW)

    assert reader.login not in PARTS
    assert not [s for part in PARTS.values() for s in part.subscribe if s.startswith(f"_INBOX.{reader.login}")]


@pytest.mark.parametrize("changes", [{"name": "No"}, {"cameras": ("No",)}, {"kinds": ("detection",)}])
def test_what_names_nothing_is_refused(changes: dict[str, object]) -> None:
    """A typing error must not give more, or less, than was meant."""
    with pytest.raises(InvalidNameError):
        Reader(**{"name": "wall", "password": "hash", "created": NOW, **changes})  # type: ignore[arg-type]  # on purpose


def test_its_time_ends() -> None:
    """At the moment that was named."""
    reader = Reader(name="wall", password="hash", created=NOW, expires=NOW + timedelta(days=1))

    assert not reader.has_expired(NOW + timedelta(hours=23))
    assert reader.has_expired(NOW + timedelta(days=1))
    assert not a_reader().has_expired(NOW + timedelta(days=10_000))


def test_of_a_password_only_a_hash_is_kept() -> None:
    """And it is not shown by accident."""
    password, kept = new_password()

    bcrypt_check(password, kept.encode())
    assert len(password) >= 32
    assert new_password()[0] != password
    assert kept not in repr(Reader(name="wall", password=kept, created=NOW))


def test_add_shows_once_what_the_reader_needs(sluice: Desk) -> None:
    """And keeps what the administrator needs."""
    said = sluice("user", "add", "wall", "--camera", "gate", "--kind", "detections", "--days", "2")

    (kept,) = load_all(sluice.store).readers
    password = said.split("password  ")[1].split()[0]
    bcrypt_check(password, kept.password.encode())
    assert (kept.cameras, kept.kinds) == (("gate",), ("detections",))
    assert kept.expires
    assert kept.expires - kept.created == timedelta(days=2)
    assert "replay    SLUICE_RESULTS/user-wall" in said
    assert password not in sluice("user", "list") + sluice("user", "list", "--json")


def test_a_user_that_nobody_can_read_hides_no_other(sluice: Desk) -> None:
    """It is told."""
    sluice("user", "add", "wall")
    sluice.store.put("users/odd.json", b"{")

    assert sluice("user", "list").startswith("wall                 for ever")
    assert "users/odd.json is no user" in sluice.errors


def test_whoever_is_not_there_cannot_be_removed(sluice: Desk) -> None:
    """And those who are there are named."""
    sluice("user", "add", "wall")

    assert sluice.tried("user", "remove", "walls") == (1, "")
    assert "there is no user 'walls'; there are: wall" in sluice.errors
    sluice("user", "remove", "wall")
    assert load_all(sluice.store).readers == ()


@pytest.mark.nats
def test_a_cluster_is_told_by_a_secret_that_nats_takes(sluice: Desk, tmp_path: Path) -> None:
    """All users, as NATS takes no list in pieces; without those whose time is over."""
    sluice("user", "add", "wall")
    sluice("user", "add", "late", "--days", "1e-9")

    load_or_create(tmp_path / "secrets")

    manifest = json.loads(sluice("user", "list", "--secret", "--secrets", tmp_path / "secrets"))

    text = manifest["stringData"]["authorization.conf"]
    (tmp_path / "authorization.conf").write_text(text)
    (tmp_path / "nats.conf").write_text('listen: "127.0.0.1:4222"\ninclude "authorization.conf"\n')
    done = subprocess.run([nats_binary(), "-t", "-c", tmp_path / "nats.conf"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", "sluice-nats-authorization")
    assert [name for name in ("user-wall", "bridge", "user-late") if f'user: "{name}"' in text] == [
        "user-wall",
        "bridge",
    ]


def test_a_secret_is_never_made_of_passwords_that_nobody_uses(sluice: Desk, tmp_path: Path) -> None:
    """New ones would lock every part out of the cluster's NATS."""
    status, _ = sluice.tried("user", "list", "--secret", "--secrets", tmp_path / "secrets")

    assert status == 1
    assert "no secrets in" in sluice.errors
    assert not (tmp_path / "secrets").exists()


def test_a_password_is_shown_though_nats_is_away(sluice: Desk) -> None:
    """It is shown once only, so nothing may come in between."""
    sluice.bus.available = False

    said = sluice("user", "add", "wall", "--camera", "gate")

    assert "password  " in said
    assert "warning: nats is unavailable" in sluice.errors
    assert "warning: there is no camera gate, yet" in sluice.errors
    assert sluice("user", "remove", "wall").startswith("removed wall\n")
