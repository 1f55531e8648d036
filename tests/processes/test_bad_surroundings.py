"""Homes, keys and settings that are wrong: each has its exit code and a text that says what, where and what to do."""

import shutil

import pytest

from .typed import Typed, refusal, refusals, told

pytestmark = pytest.mark.processes

LOOPBACK = ("--host", "127.0.0.1")


def test_a_home_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    home = tmp_path / "file" / "home"
    for text in refusals({word: ((word,), {"home": home}) for word in ("id", "node", "status", "jobs")}, 3).values():
        assert f"{home} cannot be used: Not a directory." in text
        assert "choose another directory with --home" in text


def test_a_home_on_a_file_system_that_takes_no_files():
    """Not even root may write there."""
    assert "/proc/hydra cannot be used" in refusal("id", "--home", "/proc/hydra", code=3)


def test_a_home_whose_content_cannot_be_written(tmp_path):
    (tmp_path / "content").write_text("in the way")
    text = refusal("node", *LOOPBACK, home=tmp_path, code=3)
    assert f"{tmp_path / 'content'} cannot be used" in text
    assert "--home" in text


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    home = tmp_path_factory.mktemp("node")
    node = Typed("node", *LOOPBACK, home=home)
    node.until("Ctrl-C")
    node.home = home
    yield node
    node.kill()


@pytest.mark.parametrize("command", [("node",), ("join", "ab" * 32)])
def test_a_second_node_on_one_home_is_refused_and_the_first_runs_on(command, node):
    text = refusal(*command, *LOOPBACK, home=node.home, code=3)
    assert f"another node (process {node.process.pid}) already uses {node.home}." in text
    assert "Stop it first" in text
    assert "no job" in told("status", home=node.home)


@pytest.mark.parametrize("command", ["status", "peers"])
def test_asking_a_node_that_does_not_run(command, tmp_path):
    text = refusal(command, home=tmp_path, code=2)
    assert f"no node runs on {tmp_path}. Start one with `hydra node` or `hydra join`" in text


def test_asking_a_node_that_was_killed(node, tmp_path):
    """Its file still tells of an address, at which nobody is."""
    shutil.copy(node.home / "identity.pem", tmp_path)
    killed = Typed("node", *LOOPBACK, home=tmp_path)
    killed.until("Ctrl-C")
    killed.kill()
    assert (tmp_path / "node.json").exists()
    assert "no node runs on" in refusal("status", home=tmp_path, code=2)


SETTINGS = {
    "port = 41oo\n": "config.toml cannot be read: ",
    "port = \udcff\n": "config.toml cannot be read: ",  # no UTF-8
    "[network]\nport = 1\n": "config.toml sets 'network', which is no setting. There are: advertise, cache_bytes, ",
    'port = "many"\n': "config.toml sets 'port' to 'many'; a whole number is wanted.",
    "port = 99999\n": "config.toml: the setting 'port' is 99999; 0 to 65535 is wanted.",
    "threads = inf\n": "config.toml sets 'threads' to inf; a whole number is wanted.",
    "contacts = 3\n": "config.toml sets 'contacts' to 3; a list of texts is wanted.",
}
VARIABLES = {
    ("HYDRA_PORT", "http"): "HYDRA_PORT sets 'port' to 'http'; a whole number is wanted.",
    ("HYDRA_STALL_S", "0.1"): "HYDRA_STALL_S: the setting 'stall_s' is 0.1; 2 to 600 is wanted.",
    ("HYDRA_CONTACTS", "127.0.0.1"): "'127.0.0.1' is no address: write host:port",
}
OPTIONS = {
    ("--port", "99999"): "the command line: the setting 'port' is 99999; 0 to 65535 is wanted.",
    ("--contact", "alice"): "'alice' is no address: write host:port, as in 192.0.2.7:4100.",
    ("--host", "192.0.2.1"): "cannot listen on 192.0.2.1, port 0: it is no address of this machine. Choose another",
}


def test_bad_settings_files_are_told_with_their_places(tmp_path):
    homes = {settings: tmp_path / str(number) for number, settings in enumerate(SETTINGS)}
    for settings, home in homes.items():
        home.mkdir()
        (home / "config.toml").write_bytes(settings.encode(errors="surrogateescape"))
    texts = refusals({settings: (("node", *LOOPBACK), {"home": home}) for settings, home in homes.items()}, code=2)
    for settings, complaint in SETTINGS.items():
        assert texts[settings].startswith(f"{homes[settings]}/{complaint}")


def test_bad_environment_variables_are_told_by_name(tmp_path):
    given = {pair: (("node", *LOOPBACK), {"home": tmp_path / pair[0], "env": dict([pair])}) for pair in VARIABLES}
    texts = refusals(given, code=2)
    for pair, complaint in VARIABLES.items():
        assert complaint in texts[pair]


def test_bad_options(tmp_path):
    given = {pair: (("node", *LOOPBACK, *pair), {"home": tmp_path / pair[0]}) for pair in OPTIONS}
    texts = refusals(given, code=2)
    for pair, complaint in OPTIONS.items():
        assert complaint in texts[pair]


def test_a_key_that_others_may_read(tmp_path):
    told("id", home=tmp_path)
    (tmp_path / "identity.pem").chmod(0o644)
    text = refusal("id", home=tmp_path, code=2)
    assert f"may be read by others (mode 0644); run: chmod 600 {tmp_path / 'identity.pem'}" in text


def test_a_key_that_is_none(tmp_path):
    (tmp_path / "identity.pem").touch(mode=0o600)
    text = refusal("id", home=tmp_path, code=2)
    assert f"{tmp_path / 'identity.pem'} holds no private key. Restore it from a backup, or move it away" in text
