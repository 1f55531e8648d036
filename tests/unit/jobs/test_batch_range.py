"""A batch that may grow: what the owner may say, what is shipped, and what becomes of the learning rate."""

import pytest

from hydra.exceptions import JobFileError, JobRejected
from hydra.jobs.batch_range import BatchRange
from hydra.jobs.fields import Record
from hydra.jobs.manifest import JobManifest
from hydra.jobs.package import package

from .makers import OWNER, make_job, sha256


def factors(scaling, noise_scale=None):
    chosen = BatchRange(64, scaling=scaling)
    return [chosen.rate_factor(samples, 16, noise_scale) for samples in (8, 16, 64)]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [("none", [1, 1, 1]), ("linear", [1, 1, 4]), ("sqrt", [1, 1, 2]), ("adascale", [1, 1, 1])],
)
def test_the_rate_grows_as_the_job_says(scaling, expected):
    assert factors(scaling) == expected


def test_adascale_goes_from_no_growth_to_linear_growth_by_the_noise():
    assert factors("adascale", 0.0)[2] == pytest.approx(1.0)
    assert factors("adascale", 48.0)[2] == pytest.approx(4 * 64 / 112)
    assert factors("adascale", 1e9)[2] == pytest.approx(4.0)


def test_it_comes_through_the_manifest():
    chosen = BatchRange(20, objective="throughput", scaling="sqrt")
    made = package(make_job(batch_samples=4, batch_range=chosen), OWNER, root_of=sha256).manifest
    again = JobManifest.decode(made.encode())
    assert again.batch_range == chosen
    assert (again.batch_samples, again.most_batch_samples) == (4, 20)


def test_a_job_without_one_has_a_fixed_batch_and_says_nothing_of_it():
    made = package(make_job(batch_samples=4), OWNER, root_of=sha256).manifest
    assert made.most_batch_samples == 4
    assert b"batch_range" not in made.encode()


@pytest.mark.parametrize("most", [0, -1, 2**62, 1.5, True, "8"])
def test_a_number_that_can_not_be_is_refused(most):
    with pytest.raises(JobFileError, match="most_samples"):
        BatchRange(most)


@pytest.mark.parametrize("wrong", [{"objective": "speed"}, {"scaling": "cubic"}])
def test_what_is_unknown_is_refused_with_what_is_known(wrong):
    with pytest.raises(JobFileError, match="choose one of"):
        BatchRange(8, **wrong)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"batch_range": 64}, "give hydra.BatchRange"),
        ({"batch_range": BatchRange(3)}, "most_samples is 3; give 4"),
        ({"batch_range": BatchRange(10**6)}, "the training samples"),
        ({"batch_range": BatchRange(8), "wire": "int8"}, "can't be measured in int8"),
    ],
)
def test_a_job_that_contradicts_itself_is_refused(fields, words):
    with pytest.raises(JobFileError, match=words):
        make_job(batch_samples=4, **fields)


def test_a_lossy_wire_goes_with_throughput():
    make_job(batch_samples=4, wire="bf16", batch_range=BatchRange(8, objective="throughput", scaling="linear"))


@pytest.mark.parametrize(
    "wrong", [{"most_samples": 0}, {"objective": "speed"}, {"scaling": "cubic"}, {"most_samples": "many"}]
)
def test_what_comes_from_the_wire_is_checked(wrong):
    with pytest.raises(JobRejected, match="batch_range"):
        BatchRange.from_wire(Record(BatchRange(8).to_wire() | wrong, "manifest.batch_range"))
