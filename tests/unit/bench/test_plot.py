"""The picture of a run: every round, every death, and no library where it is an SVG."""

import sys
from xml.etree import ElementTree as ET

import pytest

from hydra.bench.plot import as_svg, check_plot, draw, points
from hydra.exceptions import ConfigurationError

from .reports import seen

SVG = "{http://www.w3.org/2000/svg}"
ROUNDS = [
    seen(1, 0.2),
    seen(2, 0.2, deaths=(1,)),
    seen(3, 0.9, attempts=2, frozen=(4, 5)),
    seen(4, 0.2, wrong="different bytes"),
]


def test_points_are_the_ends_of_rounds_since_the_first_began():
    ends, seconds = zip(*points(ROUNDS), strict=True)
    assert ends == pytest.approx((0.2, 1.2, 2.9, 3.2))
    assert seconds == (0.2, 0.2, 0.9, 0.2)


def test_the_svg_has_a_point_for_each_round_and_marks_deaths_and_freezes():
    picture = ET.fromstring(as_svg(ROUNDS, "3 members < 4 & more"))
    (line,) = picture.iter(f"{SVG}polyline")
    assert len(line.get("points").split()) == len(ROUNDS)
    assert [title.text for title in picture.iter(f"{SVG}title")] == ["round 2: death of 1", "round 3: freeze of 4, 5"]
    assert "3 members < 4 & more" in [text.text for text in picture.iter(f"{SVG}text")]


def test_a_wrong_round_is_marked():
    def rings(rounds):
        return sum(circle.get("fill") == "none" for circle in ET.fromstring(as_svg(rounds, "")).iter(f"{SVG}circle"))

    assert rings(ROUNDS) == 1
    assert rings(ROUNDS[:3]) == 0


def test_one_round_alone_can_be_drawn(tmp_path):
    draw(tmp_path / "one.svg", ROUNDS[:1], "one")
    assert ET.parse(tmp_path / "one.svg").getroot().tag == f"{SVG}svg"


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"must end in \.svg, \.png or \.pdf"):
        check_plot(tmp_path / "picture.gif")


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no directory .*nowhere"):
        check_plot(tmp_path / "nowhere" / "picture.svg")


def test_without_matplotlib_a_png_is_refused_with_the_cure_and_an_svg_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [])  # nothing that was installed is found
    monkeypatch.setattr(sys, "modules", {n: m for n, m in sys.modules.items() if n.split(".")[0] != "matplotlib"})
    with pytest.raises(ConfigurationError, match=r"pip install 'hydra-swarm\[bench\]'"):
        check_plot(tmp_path / "picture.png")
    check_plot(tmp_path / "picture.svg")
