"""The demo's eyes: they must see a word that is wrong, and forgive a renderer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from appliance.page import DPI, SAME, difference, thumbnail
from tests import make_sample


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """The sample page as Ghostscript puts it out."""
    target = tmp_path / "page.png"
    argv = [
        "gs",
        "-q",
        "-dSAFER",
        "-dBATCH",
        "-dNOPAUSE",
        "-sDEVICE=png16m",
        "-dTextAlphaBits=4",
        "-dGraphicsAlphaBits=4",
    ]
    subprocess.run([*argv, f"-r{DPI}", f"-sOutputFile={target}", str(make_sample.TARGET)], check=True, timeout=60)
    return target


def test_the_same_page_by_another_renderer_is_the_same(printed: Path) -> None:
    assert difference(make_sample.TARGET, printed) <= SAME


def test_one_other_word_is_seen(printed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_sample, "TEXT", tuple(line.replace("disk", "tape") for line in make_sample.TEXT))
    make_sample.make(tmp_path / "other.pdf")
    assert difference(tmp_path / "other.pdf", printed) > SAME


def test_an_empty_page_and_a_page_of_another_size_are_seen(printed: Path, tmp_path: Path) -> None:
    with Image.open(printed) as page:
        Image.new("L", page.size, 255).save(tmp_path / "empty.png")
        page.resize((page.width // 2, page.height)).save(tmp_path / "narrow.png")
    assert difference(make_sample.TARGET, tmp_path / "empty.png") > 2 * SAME
    assert difference(make_sample.TARGET, tmp_path / "narrow.png") == 1.0


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    make_sample.make(tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == make_sample.TARGET.read_bytes()


def test_a_picture_for_a_terminal(printed: Path) -> None:
    lines = thumbnail(printed, 40).split("\n")
    assert len(lines) == 28
    assert all(line.count("▀") == 40 and line.endswith("\x1b[0m") for line in lines)
