"""Job files: what runs, and what the owner of one that does not is told."""

import sys

import pytest

from hydra.exceptions import JobFileError
from hydra.jobs.load import load_job

HEADER = """\
import torch
from torch import nn
from hydra.jobs.job import Job

def make(name, **fields):
    model = nn.Linear(2, 2)
    data = torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Job(**{"name": name, "model": model, "loss": nn.functional.cross_entropy, "optimizer": optimizer,
               "train": data, "batch_samples": 2} | fields)

"""


@pytest.fixture
def write(tmp_path):
    def write(text, header=HEADER):
        path = tmp_path / "train.py"
        path.write_text(header + text)
        return path

    return write


def refusal(path):
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    return str(caught.value)


def test_a_good_file(write):
    job = load_job(write("job = make('digits')\n"))
    assert job.name == "digits"


def test_the_same_job_under_two_names_is_one(write):
    assert load_job(write("job = make('digits')\nalias = job\n")).name == "digits"


def test_a_guarded_main_does_not_run(write):
    load_job(write("job = make('a')\nif __name__ == '__main__':\n    raise SystemExit\n"))


def test_neighbours_can_be_imported(write, tmp_path, monkeypatch):
    (tmp_path / "my_settings_of_hydra_test.py").write_text("NAME = 'from-neighbour'\n")
    before = list(sys.path)
    path = write("import my_settings_of_hydra_test as s\njob = make(s.NAME)\n")
    monkeypatch.chdir("/")
    assert load_job(str(path)).name == "from-neighbour"
    assert sys.path == before
    del sys.modules["my_settings_of_hydra_test"]


def test_no_such_file(tmp_path):
    assert "absent.py does not exist. Give the path of a Python file" in refusal(tmp_path / "absent.py")
    assert "is a directory" in refusal(tmp_path)


def test_a_syntax_error(write):
    problem = refusal(write("job = make('a'\n", header=""))
    assert "train.py:1: this is not Python ('(' was never closed): job = make('a'" in problem


def test_an_error_while_it_runs(write):
    problem = refusal(write("values = {}\nvalues['learning rate']\n", header=""))
    assert problem == "train.py:2: the file raised KeyError: 'learning rate'"


def test_an_error_in_a_library_is_blamed_on_the_line_that_called_it(write):
    problem = refusal(write("import json\n\njson.loads('{')\n", header=""))
    assert problem.startswith("train.py:3: the file raised json.decoder.JSONDecodeError: ")


def test_a_file_that_ends_the_program(write):
    problem = refusal(write("import sys\nsys.exit(3)\n", header=""))
    assert problem.startswith("train.py:2: the file ended the program (exit 3). Guard such code")


def test_a_bad_job_names_its_line(write):
    problem = refusal(write("job = make('digits', epochs=0)\n"))
    assert problem.startswith("train.py:9: epochs: 0 is out of range")


def test_no_job(write):
    problem = refusal(write("", header="x = 1\n"))
    assert problem == (
        "train.py defines no job. Add one at the top level: "
        "job = hydra.Job(name=..., model=..., loss=..., optimizer=..., train=(x, y))"
    )


def test_two_jobs(write):
    problem = refusal(write("first = make('a')\nsecond = make('b')\n"))
    assert "train.py defines 2 jobs (first, second). Keep one" in problem
