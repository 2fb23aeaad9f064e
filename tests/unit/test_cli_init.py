"""`sluice init`: what it does before there are servers, and while they are not there yet."""

import stat
import subprocess
from pathlib import Path

import pytest

from sluice.cli import init
from sluice.errors import UnavailableError
from sluice.local.nats import authorization
from sluice.local.tools import ROOT
from sluice.preparation.access import PARTS
from sluice.preparation.secrets import AUTHORIZATION, load_or_create
from tests.desk import Desk

SERVERS = ("SLUICE_S3_URL", "SLUICE_NATS_URL")


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    for variable in SERVERS:
        monkeypatch.delenv(variable, raising=False)
    return Desk(monkeypatch, capsys)


def test_without_servers_it_only_makes_secrets(sluice: Desk, tmp_path: Path) -> None:
    """A file each part, as an overlay takes them, and whom NATS lets in; for their owner alone."""
    folder = tmp_path / "secrets"

    said = sluice("init", "--secrets", folder)

    assert {each.name for each in folder.iterdir()} == {f"{part}.env" for part in PARTS} | {AUTHORIZATION}
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "none was prepared" in said
    for secrets in load_or_create(folder).parts.values():
        assert not [value for name, value in secrets.items() if "PASSWORD" in name and value in said]


def test_the_second_time_all_stay_as_they_are(sluice: Desk, tmp_path: Path) -> None:
    """Servers know them by then."""
    sluice("init", "--secrets", tmp_path)
    before = {each.name: (each.read_bytes(), each.stat().st_ino) for each in tmp_path.iterdir()}

    sluice("init", "--secrets", tmp_path)

    assert {each.name: (each.read_bytes(), each.stat().st_ino) for each in tmp_path.iterdir()} == before


def test_nats_lets_in_who_has_a_new_password(sluice: Desk, tmp_path: Path) -> None:
    """The file follows those of the parts: to change a password is to delete one of them."""
    sluice("init", "--secrets", tmp_path)
    (tmp_path / "detect.env").unlink()

    sluice("init", "--secrets", tmp_path)

    wanted = authorization(load_or_create(tmp_path).nats_users())
    assert (tmp_path / AUTHORIZATION).read_text("utf-8") == "\n".join(wanted) + "\n"


@pytest.mark.parametrize("named", SERVERS)
def test_one_server_alone_is_a_mistake(
    sluice: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whoever names one wanted both to be prepared."""
    monkeypatch.setenv(named, "nats://127.0.0.1:1")

    status, _ = sluice.tried("init", "--secrets", tmp_path)

    (other,) = set(SERVERS) - {named}
    assert status == 1
    assert f"{other} is not set" in sluice.errors


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that come at the third try; every try is in the list."""
    tries: list[str] = []

    def prepare(*, nats_url: str, **_rest: object) -> tuple[str, ...]:
        tries.append(nats_url)
        if len(tries) < 3:
            raise UnavailableError("nats", "no connection")
        return ("bucket sluice: missing",)

    monkeypatch.setattr("sluice.preparation.prepare.prepare", prepare)
    monkeypatch.setattr(init, "PAUSE_S", 0.0)
    for variable in (*SERVERS, "SLUICE_S3_ACCESS_KEY", "SLUICE_S3_SECRET_KEY"):
        monkeypatch.setenv(variable, "nats://127.0.0.1:1")
    return tries


def test_it_waits_for_servers_as_long_as_it_is_told(sluice: Desk, absent: list[str], tmp_path: Path) -> None:
    """In a cluster everything starts at once."""
    said = sluice("init", "--secrets", tmp_path, "--wait", "60")

    assert "1 differences mended" in said
    assert sluice.errors.splitlines() == ["waiting: nats is unavailable: no connection"] * 2
    assert len(absent) == 3


def test_it_does_not_wait_unless_it_is_told(sluice: Desk, absent: list[str], tmp_path: Path) -> None:
    """Whoever types it sees at once what is the matter."""
    status, _ = sluice.tried("init", "--secrets", tmp_path)

    assert (status, sluice.errors) == (1, "nats is unavailable: no connection\n")
    assert len(absent) == 1


@pytest.mark.parametrize("name", ["secrets/admin.env", "secrets/authorization.conf", "config.env"])
def test_git_does_not_take_what_is_secret(name: str) -> None:
    """Nor where an operator's servers are."""
    path = f"infra/knative/overlays/production/{name}"

    found = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, timeout=10, check=False)

    assert found.returncode == 0
