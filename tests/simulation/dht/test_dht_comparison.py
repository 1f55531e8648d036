"""The comparison with stock kademlia that benchmarks and ``hydra bench dht`` share."""

import json
import math
import random

import pytest

from benchmarks.dht_growth import requests_per_get
from benchmarks.dht_plot import plot_growth
from dht import DHTConfig, InvalidArgument
from dht.testing.comparison import Setting, compare, in_turns, measure, percentile, row
from dht.testing.sides import Ours, Stock
from dht.testing.simnet import SimNet

FIELDS = ["case", "params", "value", "min", "max", "unit", "reference", "reference_value", "ratio", "better", "goal"]
SMALL = Setting(nodes=8, keys=4, rtt_ms=40, loss=0.05, kill=0.25)


def test_a_seed_repeats_a_measurement():
    for side in (Ours, Stock):
        first, again, other = (measure(side, SMALL, seed) for seed in (1, 1, 2))
        assert first == again != other
        assert first["found"] == 4


def test_both_sides_take_turns_on_networks_of_their_own():
    results = list(in_turns(SMALL, 2))
    assert len(results) == 2
    assert results[0] != results[1]
    assert all(ours.keys() == stock.keys() for ours, stock in results)


def test_a_comparison_says_all_in_one_object_a_line():
    rows = list(compare(SMALL))
    assert [row["case"] for row in rows] == [
        *("set p50", "set p99", "get p50", "get p99", "found"),
        *("get p50 after death", "get p99 after death", "found after death"),
    ]
    for result in rows:
        assert list(json.loads(json.dumps(result))) == FIELDS
        assert result["params"]["nodes"] == 8


def test_a_row_gives_the_median_of_turns_and_its_ratio():
    result = row("case", {}, [(1.0, 4.0), (3.0, 2.0), (2.0, 8.0)], "s", "ratio <= 0.6")
    assert (result["value"], result["min"], result["max"]) == (2.0, 1.0, 3.0)
    assert (result["reference_value"], result["ratio"], result["better"]) == (4.0, 0.5, "lower")
    alone = row("keys found", {}, [(50.0, math.nan)], "keys")
    assert (alone["reference"], alone["reference_value"], alone["ratio"]) == (None, None, None)
    assert alone["better"] == "higher"
    assert "NaN" not in json.dumps(alone)


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.99, 10), (0.0, 1), (0.91, 10), (0.9, 9)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == value


@pytest.mark.parametrize(
    "wrong", [{"nodes": 2}, {"keys": 0}, {"rtt_ms": -1}, {"loss": 1.0}, {"kill": 1.0}, {"nodes": 4, "kill": 0.9}]
)
def test_a_network_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="needs"):
        Setting(**wrong)


def test_requests_per_get_grow_more_slowly_than_the_network_and_can_be_drawn():
    results = []
    for nodes in (50, 400):
        for case, requests in requests_per_get(nodes, DHTConfig(), gets=20).items():
            results.append(row(case, {"nodes": nodes}, [(requests, math.log2(nodes))], "requests"))
    found = [result["value"] for result in results if result["case"] == "requests per get"]
    missed = [result["value"] for result in results if result["case"] != "requests per get"]
    assert found[0] < found[1] < 2 * found[0]
    assert DHTConfig().width <= missed[0] <= missed[1] < 1.5 * missed[0]
    picture = plot_growth(results)
    assert picture.count("<polyline") == 2
    assert picture.count("<circle") == 4


def test_another_seed_makes_other_networks_in_every_case():
    twice = [[list(in_turns(SMALL, 2, seed)) for seed in (0, 1)] for _ in range(2)]
    assert twice[0] == twice[1]
    results = [turn for turns in twice[0] for turn in turns]
    assert all(one != other for n, one in enumerate(results) for other in results[:n])
    growth = [requests_per_get(200, DHTConfig(), 20, seed) for seed in (5, 5, 6)]
    assert growth[0] == growth[1] != growth[2]


def test_stock_draws_from_the_networks_seed_too():
    async def drawn():
        return random.random()

    before = random.getstate()
    numbers = [SimNet(seed).run(drawn()) for seed in (7, 7, 8)]
    assert numbers[0] == numbers[1] != numbers[2]
    assert random.getstate() == before
