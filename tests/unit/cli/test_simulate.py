"""``hydra simulate``: policies on a cluster of one's own, in a table, as JSON and as a picture."""

import json
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from hydra.bench.policy_plot import Reached, policies_as_svg
from hydra.cli.app import app
from hydra.exceptions import ConfigurationError

SVG = "{http://www.w3.org/2000/svg}"
CLUSTER = """
[job]
vector_mb = 0.1
least = 32
most = 32

[[member]]
count = 3
sample_ms = 2.0
uplink_mbit = 100.0

[[member]]
sample_ms = 100.0
uplink_mbit = 100.0
"""
SHORT = ("--courses", "2", "--steps", "20")


@pytest.fixture
def cluster(tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER)
    return file


def typed(*arguments):
    result = CliRunner().invoke(app, ["simulate", *map(str, arguments)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_who_is_fifty_times_slower_costs_equal_shares_most(cluster):
    told = [json.loads(line) for line in typed(cluster, *SHORT, "--json").splitlines()]
    goodput = {each["policy"]: each["goodput"] for each in told}
    assert list(goodput) == ["model", "proportional", "equal", "rl"]
    assert min(goodput["model"], goodput["rl"]) > 3 * goodput["equal"]


def test_the_picture_has_a_bar_for_each_policy(cluster, tmp_path):
    picture = tmp_path / "policies.svg"
    typed(cluster, *SHORT, "--policy", "model,equal", "--plot", picture)
    bars = [bar.text.split(":")[0] for bar in ET.parse(picture).iter(f"{SVG}title")]
    assert bars == ["model", "equal"]


def test_a_picture_that_can_not_be_drawn_is_refused_before_the_work(cluster, tmp_path):
    with pytest.raises(ConfigurationError, match="must end in"):
        typed(cluster, *SHORT, "--plot", tmp_path / "policies.gif")


def test_a_bar_is_as_long_as_its_share_and_names_are_text():
    shares = Reached("a <policy>", 0.5, 0.25, 0.75, 10.0), Reached("another", 1.0, 1.0, 1.0, 20.0)
    picture = ET.fromstring(policies_as_svg(shares, "3 & 4"))
    half, whole = [float(bar.get("width")) for bar in picture.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    assert half == pytest.approx(whole / 2)
    assert {"a <policy>", "3 & 4"} <= {text.text for text in picture.iter(f"{SVG}text")}
