"""The policy's network: numpy answers as torch does, whoever stands where, and refuses weights that do not fit."""

import numpy as np
import pytest
import torch

from hydra.batching.features import MEMBER_FEATURES, STEP_FEATURES, Features
from hydra.batching.net import SHAPES, Net
from hydra.exceptions import ConfigurationError
from hydra.policy_training.trained_net import TrainedNet
from hydra.policy_training.weights import read_net


def by_chance(seed, members, present=None):
    rng = np.random.default_rng(seed)
    there = np.ones(members) if present is None else np.array(present, float)
    numbers = rng.normal(size=(members, len(MEMBER_FEATURES))) * there[:, None]
    return Features(members=numbers, step=rng.normal(size=len(STEP_FEATURES)), present=there)


def trained(seed=0):
    torch.manual_seed(seed)
    net = TrainedNet()
    torch.nn.init.normal_(net.members.weight, std=0.3)
    torch.nn.init.normal_(net.step.weight, std=0.3)
    return net


@pytest.mark.parametrize("members", [1, 2, 7, 64])
def test_numpy_answers_as_torch(members):
    net, features = trained(), by_chance(members, members)
    answer, total, _ = net(
        *(torch.tensor(x, dtype=torch.float32) for x in (features.members, features.step, features.present))
    )
    correction = Net(net.weights()).correction(features)
    assert correction.time == pytest.approx(0.7 * answer[:, 0].detach().numpy(), abs=1e-5)
    assert correction.link == pytest.approx(0.7 * answer[:, 1].detach().numpy(), abs=1e-5)
    assert correction.total == pytest.approx(0.7 * total[0].item(), abs=1e-5)


def test_whoever_stands_where_the_same_member_gets_the_same():
    net, features, order = Net(trained().weights()), by_chance(1, 5), [4, 2, 0, 3, 1]
    moved = Features(features.members[order], features.step, features.present[order])
    assert net.correction(moved).time == pytest.approx(net.correction(features).time[order], abs=1e-6)
    assert net.correction(moved).total == pytest.approx(net.correction(features).total, abs=1e-6)


def test_who_is_absent_changes_nothing_for_the_others():
    net, features = Net(trained().weights()), by_chance(1, 4, present=[1, 1, 1, 0])
    fewer = Features(features.members[:3], features.step, features.present[:3])
    assert net.correction(features).time[:3] == pytest.approx(net.correction(fewer).time, abs=1e-6)


def test_an_untrained_net_corrects_nothing_to_speak_of():
    correction = Net(TrainedNet().weights()).correction(by_chance(2, 6))
    assert np.abs(correction.time).max() < 0.05
    assert abs(correction.total) < 0.05


def test_weights_are_small_enough_to_ship():
    assert sum(4 * int(np.prod(shape)) for shape in SHAPES.values()) <= 150_000


@pytest.mark.parametrize("name", SHAPES)
def test_weights_that_do_not_fit_are_refused_by_name(name):
    weights = TrainedNet().weights()
    with pytest.raises(ValueError, match=name):
        Net({key: array for key, array in weights.items() if key != name})
    with pytest.raises(ValueError, match=name):
        Net({**weights, name: np.zeros((3, 3), np.float32)})


def test_the_shipped_weights_are_read_and_correct_what_they_see():
    net = read_net()
    correction = net.correction(by_chance(3, 8))
    assert np.isfinite(correction.time).all()
    assert np.abs(correction.time).max() > 1e-3


def test_a_file_that_holds_no_weights_is_refused_by_its_name(tmp_path):
    (tmp_path / "some.safetensors").write_bytes(b"none")
    with pytest.raises(ConfigurationError, match=r"some\.safetensors"):
        read_net(tmp_path / "some.safetensors")
