"""The watch page's files: who gets them, what they may do, and what a viewer is told instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.gateway import watch
from functions.gateway.watch import FILES, PAGE, content_security_policy
from tests.viewers import Gateway

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page with its player, whether this checkout was built or not."""
    for each in PAGE.iterdir():
        if each.is_file():
            (tmp_path / each.name).write_bytes(each.read_bytes())
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "hls.mjs").write_text("export default 1;\n")
    monkeypatch.setattr(watch, "PAGE", tmp_path)
    watch._read.cache_clear()
    yield
    watch._read.cache_clear()


@pytest.mark.usefixtures("built")
def test_the_page_runs_nothing_but_its_own_files() -> None:
    """No inline script or style, no other origin; also where the answer is a refusal."""
    gateway = Gateway()

    page = gateway.viewer("gate").ask("/watch/gate", headers=HTML)
    refused = gateway.viewer("yard").ask("/watch/gate", headers=HTML)

    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for answer in (page, refused):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';" in policy
        assert "unsafe" not in policy


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", FILES)
def test_each_file_is_there_and_known_by_a_tag(name: str) -> None:
    """A browser asks again each time, and is told that nothing changed."""
    viewer = Gateway().viewer()

    first = viewer.ask(f"/page/{name}")
    again = viewer.ask(f"/page/{name}", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, again.status_code) == (200, 304)
    assert first.content_type == FILES[name]


def test_every_file_of_the_page_is_served() -> None:
    """A module that nobody can load would be missed in a browser only."""
    ours = {each.name for each in PAGE.iterdir() if each.suffix in (".css", ".mjs")}

    assert ours | {"hls.mjs"} == set(FILES)


@pytest.mark.parametrize("path", ["/page/package.json", "/page/..%2fwatch.py", "/page/watch.html"])
def test_nothing_else_is_served(path: str) -> None:
    """Names are a list, not paths."""
    assert Gateway().viewer().ask(path).status_code == 404


def test_a_browser_is_told_in_words() -> None:
    """People get a sentence and the same status; programs get JSON."""
    gateway = Gateway()
    client = gateway.viewer().client

    for_people = client.get("/t/expired/watch/gate", headers=HTML)
    for_programs = client.get("/t/expired/watch/gate", headers={"Accept": "application/json"})

    assert (for_people.status_code, for_programs.status_code) == (401, 401)
    assert "no longer good" in for_people.text
    assert for_people.content_type == "text/html; charset=utf-8"
    assert "error" in for_programs.text


def test_a_page_that_was_not_built_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The player comes from npm; without it the gateway does all else."""
    monkeypatch.setattr(watch, "PAGE", tmp_path)
    watch._read.cache_clear()

    answer = Gateway().viewer().ask("/page/hls.mjs")

    assert answer.status_code == 503
    assert "make page" in answer.text


def test_the_store_may_be_asked_where_chunks_are_read_there() -> None:
    """And by its origin alone."""
    policy = content_security_policy("https://store.example:9000/some/path")

    assert "connect-src 'self' https://store.example:9000;" in policy
