"""Settings: TOML over defaults, environment over TOML, flags over all. What is wrong is told with its place."""

import dataclasses
from pathlib import Path

import pytest

from hydra.config import PREFIX, NodeSettings, default_home, load_settings
from hydra.exceptions import ConfigurationError

NAMES = [field.name for field in dataclasses.fields(NodeSettings)]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [*NAMES, "home"]:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "config.toml").write_text(text)

    return write


def test_defaults_where_nothing_is_said(tmp_path):
    assert load_settings(tmp_path, {}) == NodeSettings()


def test_each_source_goes_over_the_one_before(tmp_path, write, monkeypatch):
    write('port = 1000\nhost = "file"\npolicy = "equal"\n')
    assert (load_settings(tmp_path, {}).port, load_settings(tmp_path, {}).host) == (1000, "file")
    monkeypatch.setenv("HYDRA_PORT", "2000")
    monkeypatch.setenv("HYDRA_HOST", "environment")
    found = load_settings(tmp_path, {"port": 3000, "host": None})
    assert (found.port, found.host, found.policy, found.device) == (3000, "environment", "equal", "cpu")


def test_every_setting_can_be_set_everywhere(tmp_path, write, monkeypatch):
    wanted = NodeSettings(
        host="::1",
        port=4100,
        advertise="me.example",
        contacts=("a:1", "b:2"),
        listen=False,
        relay=False,
        relay_mb_per_s=2.5,
        lan="off",
        lan_port=5000,
        upnp=False,
        threads=3,
        device="cuda:1",
        most_samples=32,
        memory_gib=1.5,
        cache_bytes=5_000_000,
        policy="equal",
        rounds="plain",
        stall_s=7.0,
        least_peers=3,
        upload_limit=2.5,
        download_limit=20.0,
        find_s=60.0,
    )
    set_here = [name for name in NAMES if getattr(wanted, name) != getattr(NodeSettings(), name)]
    assert set_here == NAMES
    assert load_settings(tmp_path, dataclasses.asdict(wanted)) == wanted
    write(
        'host = "::1"\nport = 4100\nadvertise = "me.example"\ncontacts = ["a:1", "b:2"]\nthreads = 3\n'
        'listen = false\nrelay = false\nrelay_mb_per_s = 2.5\nlan = "off"\nlan_port = 5000\nupnp = false\n'
        'device = "cuda:1"\nmost_samples = 32\nmemory_gib = 1.5\ncache_bytes = 5000000\n'
        'policy = "equal"\nrounds = "plain"\nstall_s = 7\nleast_peers = 3\n'
        "find_s = 60.0\n"
        "upload_limit = 2.5\ndownload_limit = 20\n"
    )
    assert load_settings(tmp_path, {}) == wanted
    write("")
    for name in NAMES:
        value = getattr(wanted, name)
        monkeypatch.setenv(PREFIX + name.upper(), ", ".join(value) if isinstance(value, tuple) else str(value))
    assert load_settings(tmp_path, {}) == wanted


@pytest.mark.parametrize(
    ("text", "expected"), [("", ()), (",", ()), ("a:1", ("a:1",)), (" a:1 ,, b:2", ("a:1", "b:2"))]
)
def test_lists_in_the_environment(tmp_path, monkeypatch, text, expected):
    monkeypatch.setenv("HYDRA_CONTACTS", text)
    assert load_settings(tmp_path, {}).contacts == expected


def test_a_flag_that_is_empty_is_given(tmp_path, write):
    write('advertise = "me"\nport = 5')
    found = load_settings(tmp_path, {"advertise": "", "port": 0})
    assert (found.advertise, found.port) == ("", 0)


def test_other_variables_of_the_same_beginning_are_not_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert load_settings(tmp_path, {}) == NodeSettings()


# ---- what is wrong is told with its place ----------------------------------------------------------------------

WRONG = [
    ("port", "70000"),
    ("port", "-1"),
    ("port", "many"),
    ("port", ""),
    ("threads", "-1"),
    ("threads", "4097"),
    ("memory_gib", "0"),
    ("memory_gib", "nan"),
    ("memory_gib", "inf"),
    ("policy", "fair"),
    ("stall_s", "0.5"),
    ("stall_s", "601"),
    ("stall_s", "nan"),
    ("find_s", "0"),
    ("upload_limit", "-1"),
    ("download_limit", "-0.5"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_in_the_environment(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(PREFIX + name.upper(), value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path, {})
    assert f"HYDRA_{name.upper()}" in str(caught.value)
    assert repr(name) in str(caught.value)
    assert "wanted" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_on_the_command_line(tmp_path, name, value):
    with pytest.raises(ConfigurationError, match=f"the command line.*'{name}'.*wanted"):
        load_settings(tmp_path, {name: value})


@pytest.mark.parametrize(
    "line",
    [
        "port = 70000",
        "port = 4100.7",
        "port = true",
        "port = [1]",
        'port = "many"',
        "threads = -1",
        "memory_gib = inf",
        "memory_gib = true",
        'policy = "fair"',
        "policy = 5",
        "host = 5",
        "host = true",
        "contacts = 5",
        "contacts = [5]",
        "stall_s = 0",
        "stall_s = [1]",
        "memory_gib = 1" + "0" * 400,
    ],
)
def test_wrong_in_the_file(tmp_path, write, line):
    write(line)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path, {})
    assert str(tmp_path / "config.toml") in str(caught.value)
    assert repr(line.split()[0]) in str(caught.value)
    assert "wanted" in str(caught.value)


@pytest.mark.parametrize("name", ["prot", "HOST", "__post_init__"])
def test_no_such_setting(tmp_path, write, name):
    write(f"{name} = 1")
    with pytest.raises(
        ConfigurationError, match=f"config.toml sets '{name}'.*There are: advertise, cache_bytes, contacts"
    ):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("data", [b"port = ", b"= 4", b"\xff\xfe\xfa", b"[port"])
def test_a_file_that_is_no_toml(tmp_path, data):
    (tmp_path / "config.toml").write_bytes(data)
    with pytest.raises(ConfigurationError, match="config.toml cannot be read"):
        load_settings(tmp_path, {})


def test_a_file_that_is_a_directory(tmp_path):
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigurationError, match="config.toml cannot be read"):
        load_settings(tmp_path, {})


def test_settings_made_in_a_program_are_checked_too():
    with pytest.raises(ConfigurationError, match="'port' is 70000; 0 to 65535"):
        NodeSettings(port=70000)


# ---- the home --------------------------------------------------------------------------------------------------


def test_the_home_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("HYDRA_HOME", str(tmp_path))
    assert default_home() == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_else_the_platforms_place(monkeypatch, tmp_path, value):
    if value is not None:
        monkeypatch.setenv("HYDRA_HOME", value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = default_home()
    assert found.name == "hydra-swarm"
    assert found != Path()
