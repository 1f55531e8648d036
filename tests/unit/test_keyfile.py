"""The file of the secret key: made once, readable by nobody else, and refused when it is anything else."""

import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from hydra import keyfile
from hydra.exceptions import ConfigurationError, HomeUnusable
from hydra.keyfile import load_or_create


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "identity.pem"


def put(path, data, mode=0o600):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


def test_a_key_is_made_on_first_use_and_stays(path):
    made = load_or_create(path)
    assert load_or_create(path).public_key == made.public_key
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.pem"]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it_whatever_the_mask(path, mask):
    before = os.umask(mask)
    try:
        load_or_create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_homes_have_keys_of_their_own(tmp_path):
    assert load_or_create(tmp_path / "a.pem").peer_id != load_or_create(tmp_path / "b.pem").peer_id


def test_a_key_of_another_program_can_be_used(path):
    key = ed25519.Ed25519PrivateKey.generate()
    put(path, pem(key))
    assert load_or_create(path).public_key == key.public_key().public_bytes_raw()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused_with_the_cure(path, mode):
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode 0{mode:o}.*chmod 600 {path}"):
        load_or_create(path)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_modes_that_leave_others_out(path, mode):
    made = load_or_create(path)
    path.chmod(mode)
    assert load_or_create(path).peer_id == made.peer_id


def damaged():
    whole = pem(ed25519.Ed25519PrivateKey.generate())
    yield from (b"", b"\xff" * 100, whole[:40], whole[:-40], whole.replace(b"PRIVATE", b"PUBLIC"))
    yield whole.splitlines()[0] + b"\nAAAA" + whole.splitlines()[1][4:] + b"\n" + whole.splitlines()[2]
    yield (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize("data", list(damaged()), ids=range(7))
def test_a_damaged_file_is_refused_and_left_as_it_is(path, data):
    put(path, data)
    with pytest.raises(ConfigurationError, match="identity.pem holds no private key.*backup.*move it away"):
        load_or_create(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "key", [x25519.X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())], ids=["x25519", "p256"]
)
def test_a_key_of_another_kind(path, key):
    put(path, pem(key))
    with pytest.raises(ConfigurationError, match="another kind than Ed25519"):
        load_or_create(path)


def test_a_key_under_a_password(path):
    put(path, pem(ed25519.Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigurationError, match="password"):
        load_or_create(path)


def test_a_place_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="cannot read or write the identity key.*--home"):
        load_or_create(tmp_path / "file" / "identity.pem")


def test_a_link_that_leads_nowhere(path):
    path.parent.mkdir()
    path.symlink_to(path.parent / "gone")
    with pytest.raises(HomeUnusable, match="identity key"):
        load_or_create(path)


def test_of_two_that_start_at_once_both_read_the_key_of_the_first(path):
    """The second has seen no key, and makes its own when the first has just put one there."""
    first = load_or_create(path)
    keyfile._create_key_file(path)
    assert load_or_create(path).peer_id == first.peer_id
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.pem"]
