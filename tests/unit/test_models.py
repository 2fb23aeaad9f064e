"""Graphs that users bring: what is refused and how it is said, and how outputs become boxes."""

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from sluice.errors import SluiceError, UnusableInputError
from sluice.models import configuration, repository
from sluice.models import graph as graphs
from sluice.models.added import add_model, read_labels
from sluice.models.styles import Options
from tests.data.models import tiny


@pytest.fixture(scope="module")
def decoding() -> ModuleType:
    """The wrapper's module; no package, as Triton copies it."""
    spec = importlib.util.spec_from_file_location("decoding", repository.WRAPPER / "decoding.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def added(
    tmp_path: Path,
    make: Callable[[Path], Path],
    style: str,
    *,
    labels: Sequence[str] | None = tiny.LABELS,
    options: Options | None = None,
) -> dict[str, str]:
    """Add it; the wrapper's parameters."""
    source = make(tmp_path / "graph.onnx")
    folder = add_model(tmp_path / "models", name="mine", source=source, style=style, labels=labels, options=options)
    return configuration.parameters((folder / "config.pbtxt").read_text("utf-8"))


class TestAdd:
    """What `sluice model add` refuses, and what it writes."""

    @pytest.mark.parametrize(
        ("make", "style", "options", "message"),
        [
            pytest.param(tiny.ssd, "yolox", Options(size=(64, 64)), "one output", id="ssd-as-yolox"),
            pytest.param(tiny.yolox, "ssd", Options(), "outputs boxes", id="yolox-as-ssd"),
            pytest.param(tiny.yolox, "rtdetr", Options(), "logits .* boxes", id="yolox-as-rtdetr"),
            pytest.param(tiny.rtdetr, "yolox", Options(), "one output", id="rtdetr-as-yolox"),
            pytest.param(tiny.rtdetr_finished, "ssd", Options(), "one input of four", id="two-inputs"),
            pytest.param(tiny.ssd, "ssd", Options(), "--size WxH", id="no-size"),
            pytest.param(tiny.yolox, "yolox", Options(size=(320, 320)), "--size 64x64", id="another-size"),
            pytest.param(
                partial(tiny.yolox, side="side"), "yolox", Options(size=(65, 64)), "multiples of 32", id="odd"
            ),
            pytest.param(
                lambda path: tiny.yolox(path, batch=4), "yolox", Options(), "one picture at a time", id="four"
            ),
            pytest.param(tiny.ssd, "ssd", Options(size=(64, 64), divide=255.0), "fractions", id="scaled-bytes"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, tmp_path: Path, make: Callable[[Path], Path], style: str, options: Options, message: str
    ) -> None:
        """The message says what was expected and what is there; nothing is written."""
        with pytest.raises(UnusableInputError, match=f"expected .*{message}.*, found "):
            added(tmp_path, make, style, options=options)

        assert not (tmp_path / "models" / "mine").exists()

    def test_labels_are_counted(self, tmp_path: Path) -> None:
        """Two classes and three labels are somebody's mistake."""
        with pytest.raises(UnusableInputError, match="3 labels, so 8 columns, found output"):
            added(tmp_path, tiny.yolox, "yolox", labels=("a", "b", "c"))

    def test_labels_are_asked_for(self, tmp_path: Path) -> None:
        """Only of 80 classes it is known what they are."""
        with pytest.raises(UnusableInputError, match="--labels FILE"):
            added(tmp_path, tiny.rtdetr, "rtdetr", labels=None)

    @pytest.mark.parametrize("content", [b"", b"not a graph", bytes(range(256))])
    def test_what_is_no_graph_is_refused(self, tmp_path: Path, content: bytes) -> None:
        """One sentence, no stack."""
        (tmp_path / "graph.onnx").write_bytes(content)

        with pytest.raises(UnusableInputError, match=r"graph\.onnx: expected an ONNX graph"):
            add_model(tmp_path, name="mine", source=tmp_path / "graph.onnx", style="yolox", labels=tiny.LABELS)

    def test_a_name_is_taken_once(self, tmp_path: Path) -> None:
        """Also by a model of ours; --replace is how one means it."""
        added(tmp_path, tiny.yolox, "yolox")

        with pytest.raises(SluiceError, match="already"):
            added(tmp_path, tiny.yolox, "yolox")
        with pytest.raises(SluiceError, match="'objects' already"):
            add_model(tmp_path, name="objects", source=tmp_path / "graph.onnx", style="yolox", labels=tiny.LABELS)
        place = add_model(
            tmp_path / "models",
            name="mine",
            source=tiny.rtdetr(tmp_path / "other.onnx"),
            style="rtdetr",
            labels=tiny.LABELS,
            replace=True,
        )
        assert "rtdetr" in (place / "config.pbtxt").read_text("utf-8")

    @pytest.mark.parametrize("name", ["", "Mine", "a_b", "../a", "x" * 64])
    def test_a_name_fits_keys_and_subjects(self, tmp_path: Path, name: str) -> None:
        """It becomes part of object keys."""
        with pytest.raises(UnusableInputError, match="a name of"):
            add_model(tmp_path, name=name, source=tiny.yolox(tmp_path / "g.onnx"), style="yolox", labels=tiny.LABELS)

    def test_labels_with_quotes_come_back(self, tmp_path: Path) -> None:
        """Whatever stands in a label, the configuration holds it."""
        labels = ('a "b"', "ä\\n")

        assert added(tmp_path, tiny.yolox, "yolox", labels=labels)["labels"].splitlines() == list(labels)

    def test_colours_are_scaled_inside_the_net(self, tmp_path: Path) -> None:
        """The graph that is written takes bytes, and does what the options say."""
        options = Options(divide=255.0, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0), bgr=True)
        added(tmp_path, tiny.yolox, "yolox", options=options)
        model = onnx.load(str(tmp_path / "models" / "mine" / "1" / "model.onnx"))
        model.graph.output.append(tiny.tensor("images", [1, 3, 64, 64]))
        frame = np.zeros((1, 64, 64, 3), np.uint8)
        frame[0, 0, 0] = (255, 51, 102)

        (planes,) = map(np.asarray, ReferenceEvaluator(model).run(["images"], {graphs.FRAMES: frame}))

        assert planes[0, :, 0, 0] == pytest.approx([(0.4 - 0.5) / 0.5, (0.2 - 0.25) / 1.0, (1.0 - 0.0) / 2.0])

    def test_a_label_file_has_labels(self, tmp_path: Path) -> None:
        """Empty lines are nothing, an empty file is a mistake."""
        (tmp_path / "some").write_text("a\n\n b \n", "utf-8")
        (tmp_path / "none").write_text("\n", "utf-8")

        assert read_labels(tmp_path / "some") == ["a", "b"]
        with pytest.raises(UnusableInputError, match="none"):
            read_labels(tmp_path / "none")
        with pytest.raises(UnusableInputError, match="absent"):
            read_labels(tmp_path / "absent")


class TestDecoding:
    """What the wrapper does with a net's outputs."""

    @staticmethod
    def reader(decoding: ModuleType, **parameters: str) -> Any:
        """A wrapper of boxes as they are."""
        given = {"style": "ssd", "labels": "a\nb\n", "long_side": "64", "min_score": "0.5", "max_overlap": "0.5"}
        roles = {"units": "pixels", "role_boxes": "b", "role_scores": "s", "role_classes": "c"}
        return decoding.Reader({**given, **roles, **parameters})

    def test_of_boxes_that_overlap_the_best_one_stays(self, decoding: ModuleType) -> None:
        """Within a label only: a person on a bicycle is two things."""
        boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float64)

        kept = decoding.unique(boxes, np.array([0.6, 0.9, 0.8, 0.7]), np.array([0, 0, 1, 0]), 0.5, 10)

        assert kept.tolist() == [1, 2, 3]

    def test_suppression_agrees_with_the_textbook(self, decoding: ModuleType) -> None:
        """Many boxes at random, against a loop over pairs."""
        random = np.random.default_rng(5)
        corners = random.uniform(0, 100, (200, 2))
        boxes = np.concatenate([corners, corners + random.uniform(5, 40, (200, 2))], axis=1)
        scores, classes = random.permutation(200) / 200, random.integers(0, 3, 200)

        def overlap(a: Any, b: Any) -> float:
            wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            both = max(wide, 0) * max(high, 0)
            return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))

        expected: list[int] = []
        for one in np.argsort(-scores):
            if all(classes[one] != classes[i] or overlap(boxes[one], boxes[i]) <= 0.45 for i in expected):
                expected.append(int(one))

        assert decoding.unique(boxes, scores, classes, 0.45, 200).tolist() == expected

    def test_what_lies_in_the_padding_is_not_there(self, decoding: ModuleType) -> None:
        """A box is cut at the frame's edge, and gone when nothing is left of it."""
        reader = self.reader(decoding)
        outputs = {
            "b": np.array([[[5, 5, 20, 20], [12, 2, 30, 8]]], np.float32),
            "s": np.array([[0.9, 0.9]], np.float32),
            "c": np.array([[0, 0]]),
        }

        found = reader.read(outputs, (1, 32, 32, 3), (10, 10), 4)

        assert found["COUNTS"].tolist() == [[1]]
        assert found["BOXES"][0, 0].tolist() == [0.5, 0.5, 1, 1]

    @pytest.mark.parametrize("odd", [np.nan, np.inf])
    def test_numbers_that_are_none_make_no_box(self, decoding: ModuleType, odd: float) -> None:
        """One broken box does not take the others along."""
        reader = self.reader(decoding)
        outputs = {
            "b": np.array([[[odd, 0, 4, 4], [2, 2, 8, 8], [1, 1, 3, 3]]], np.float32),
            "s": np.array([[0.9, 0.8, odd]], np.float32),
            "c": np.array([[0, 1, 7]]),
        }

        found = reader.read(outputs, (1, 32, 32, 3), (10, 10), 4)

        assert found["COUNTS"].tolist() == [[1]]
        assert found["CLASSES"][0, 0] == 1

    def test_more_than_fits_is_cut_by_score(self, decoding: ModuleType) -> None:
        """K is fixed; the best stay."""
        reader = self.reader(decoding)
        boxes = np.array([[[i * 3, 0, i * 3 + 2, 5] for i in range(6)]], np.float32)
        outputs = {"b": boxes, "s": np.linspace(0.5, 0.9, 6, dtype=np.float32)[None], "c": np.zeros((1, 6), int)}

        found = reader.read(outputs, (1, 32, 32, 3), (20, 20), 4)

        assert found["COUNTS"].tolist() == [[4]]
        assert found["SCORES"][0].tolist() == pytest.approx([0.9, 0.82, 0.74, 0.66])

    @pytest.mark.parametrize(("width", "height"), [(40, 30), (100, 10), (16, 64), (32, 32)])
    def test_any_frame_fits_a_fixed_size(self, decoding: ModuleType, width: int, height: int) -> None:
        """Smaller ones are padded, larger ones scaled down in proportion."""
        reader = self.reader(decoding, size="32x32", fill="114")

        canvas, (wide, high) = reader.padded(np.full((2, height, width, 3), 7, np.uint8))

        scale = min(1, 32 / width, 32 / height)
        assert canvas.shape == (2, 32, 32, 3)
        assert (wide, high) == (round(width * scale), round(height * scale))
        assert (canvas[:, :high, :wide] == 7).all()
        assert (canvas == 7).sum() == 2 * 3 * high * wide

    @pytest.mark.parametrize(
        ("width", "height", "wide", "high"),
        [(64, 36, 64, 64), (33, 20, 64, 32), (3840, 2160, 64, 64), (20, 640, 32, 64), (1, 1, 32, 32)],
    )
    def test_a_net_of_any_size_is_not_asked_for_more_than_its_long_side(
        self, decoding: ModuleType, width: int, height: int, wide: int, high: int
    ) -> None:
        """Whoever sends 4K by mistake does not take the server from all others."""
        canvas, size = self.reader(decoding).padded(np.zeros((1, height, width, 3), np.uint8))

        assert canvas.shape == (1, high, wide, 3)
        assert max(size) == min(64, max(width, height))
