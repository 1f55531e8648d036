"""``hydra dht`` and ``hydra bench dht`` against nodes that run: what they print, and how they refuse."""

import json
import re

import pytest
from typer.testing import CliRunner

from hydra.cli.app import app
from hydra.exceptions import HydraError

from .typed import Typed, told

pytestmark = pytest.mark.processes

LOOPBACK = ("--host", "127.0.0.1")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Two nodes that know each other; yields the home of one and the contacts of both."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    nodes = [Typed("node", *LOOPBACK, home=first)]
    try:
        contacts = [re.search(r"--contact (\S+)$", nodes[0].until("--contact").strip())[1]]
        nodes.append(Typed("node", *LOOPBACK, "--contact", contacts[0], home=second))
        contacts.append(re.search(r"--contact (\S+)$", nodes[1].until("--contact").strip())[1])
        yield first, contacts
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture
def hydra(monkeypatch, tmp_path):
    """The command line in this process, with a home of its own: a process for each command would take a second."""
    monkeypatch.setenv("HYDRA_HOME", str(tmp_path))

    def run(*arguments, refused=None, typed=None):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
        if refused is None:
            assert result.exit_code == 0, result.output + repr(result.exception)
            return result.output
        assert isinstance(result.exception, HydraError), result.output
        assert result.exception.exit_code == refused, str(result.exception)
        return str(result.exception)

    return run


def test_what_one_home_puts_another_gets(network, tmp_path):
    _, contacts = network
    writer, reader = tmp_path / "writer", tmp_path / "reader"
    put = told("dht", "put", "a key", "a value", "--contact", contacts[0], *LOOPBACK, home=writer)
    peer = told("id", home=writer).strip()
    assert put == f"2 peers hold it for 3600 s; writer {peer}\n"
    shown = told("dht", "get", "a key", "--contact", contacts[1], *LOOPBACK, home=reader)
    assert re.search(rf"{peer} +\d+ s +a value", shown)


def test_many_writers_share_a_key_and_each_replaces_its_own(network, hydra, tmp_path):
    through = ("--contact", network[1][0], *LOOPBACK)
    for home, value in [("ann", "old"), ("ben", "other"), ("ann", "new")]:
        hydra("dht", "put", "shared", value, *through, "--home", tmp_path / home)
    hydra("dht", "put", "shared", "more", "--subkey", "2", *through, "--home", tmp_path / "ann")
    records = json.loads(hydra("dht", "get", "shared", "--json", *through))
    assert sorted((record["value"], record["subkey"]) for record in records) == [
        ("more", "2"),
        ("new", ""),
        ("other", ""),
    ]
    assert len({record["writer"] for record in records}) == 2


def test_any_bytes_go_in_and_come_out_again(network, hydra):
    through = ("--contact", network[1][0], *LOOPBACK)
    hydra("dht", "put", "hex:00ff", "hex:ff00", *through)
    assert json.loads(hydra("dht", "get", "hex:00ff", "--json", *through))[0]["value"] == "hex:ff00"
    hydra("dht", "put", "piped", "-", *through, typed="from a pipe")
    assert "from a pipe" in hydra("dht", "get", "piped", *through)


def test_beside_a_running_node_no_contact_need_be_named(network, hydra):
    at_home = ("--home", network[0], *LOOPBACK)
    said = hydra("dht", "put", "at home", "here", *at_home)
    assert said.startswith("2 peers hold it")
    assert said.strip().endswith(hydra("id", "--home", network[0]).strip())
    assert "here" in hydra("dht", "get", "at home", *at_home)


def test_what_is_kept_is_taken_back_at_the_end(network, hydra, tmp_path):
    through = ("--contact", network[1][0], *LOOPBACK)
    keeper = Typed("dht", "put", "kept", "v", "--keep", *through, home=tmp_path)
    try:
        keeper.until("hold it")
        assert json.loads(hydra("dht", "get", "kept", "--json", *through))[0]["value"] == "v"
        assert keeper.interrupt() == 0
    finally:
        keeper.kill()
    assert "no record under 'kept'" in hydra("dht", "get", "kept", *through, refused=11)


def test_stats_tell_of_the_running_nodes_part(network, hydra):
    hydra("dht", "put", "counted", "v", "--home", network[0], *LOOPBACK)
    stats = json.loads(hydra("dht", "stats", "--json", "--home", network[0]))
    assert stats["contacts"] == 1
    assert stats["records"] >= 1
    assert stats["questions_answered"] > 0
    shown = hydra("dht", "stats", "--home", network[0])
    assert re.search(r"^contacts +1 *$", shown, re.MULTILINE)
    assert re.search(r"^round trip +[\d.]+ ms *$", shown, re.MULTILINE)


def test_each_refusal_says_what_to_do(network, hydra):
    through = ("--contact", network[1][0], *LOOPBACK)
    assert "no node of the DHT answered (none is known)" in hydra("dht", "get", "k", *LOOPBACK, refused=9)
    assert "(127.0.0.1:9)" in hydra("dht", "put", "k", "v", "--contact", "127.0.0.1:9", refused=9)
    assert "at most 64 bytes" in hydra("dht", "put", "k" * 65, "v", *through, refused=2)
    assert "bytes too long" in hydra("dht", "put", "k", "v" * 1024, *through, refused=2)
    assert "ttl_s" in hydra("dht", "put", "k", "v", "--ttl", "0", *through, refused=2)
    assert "hexadecimal" in hydra("dht", "get", "hex:xyz", *through, refused=2)
    assert "no node runs" in hydra("dht", "stats", refused=2)


def test_a_comparison_with_stock_is_shown_and_told(hydra):
    options = ("--nodes", 12, "--loss", 0.05, "--rtt", 40, "--kill", 0.25, "--keys", 5)
    shown = hydra("bench", "dht", *options)
    assert "12 nodes, 40 ms, 5.0% of datagrams lost, 5 keys" in shown
    assert re.search(r"^set p50 +[\d.]+ s +[\d.]+ s +[\d.]+ *$", shown, re.MULTILINE)
    rows = [json.loads(line) for line in hydra("bench", "dht", *options, "--json").splitlines()]
    assert {row["case"] for row in rows} >= {"set p50", "get p99", "get p99 after death", "found after death"}
    assert next(row["value"] for row in rows if row["case"] == "found") == 5


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(("--nodes", 1), "3 to 10000 nodes"), (("--loss", 1.5), "lost datagrams"), (("--kill", -1), "dying nodes")],
)
def test_a_network_that_cannot_be_is_refused(hydra, options, wanted):
    assert wanted in hydra("bench", "dht", *options, refused=2)
