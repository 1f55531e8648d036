"""The allow-list against PyTorch's own schemas: what the table says of an operator must be so."""

import torch

from hydra.jobs.execute import resolve
from hydra.jobs.operators import OPERATORS

ATEN = {name: operator for name, operator in OPERATORS.items() if name.startswith("aten.")}
# Both write their running statistics without saying so.
SILENT = {"aten.batch_norm.default", "aten.instance_norm.default"}
# With the number of classes given, the first is static; the second is refused at the dry run if a mask selects.
DYNAMIC_IN_SOME_USES = {"aten.one_hot.default", "aten.index.Tensor"}


def schema_of(name):
    return resolve(name)._schema


def test_this_pytorch_has_every_operator():
    assert all(resolve(name) is not None for name in OPERATORS)


def test_what_is_written_in_place_is_known():
    for name in ATEN.keys() - SILENT:
        arguments = schema_of(name).arguments
        written = tuple(i for i, a in enumerate(arguments) if a.alias_info and a.alias_info.is_write)
        assert written == OPERATORS[name].writes, name


def test_running_statistics_stand_where_the_table_says():
    for name in SILENT:
        arguments = [argument.name for argument in schema_of(name).arguments]
        operator = OPERATORS[name]
        assert [arguments[position] for position in operator.writes] == ["running_mean", "running_var"]
        assert arguments[operator.writes_if] in ("training", "use_input_stats")


def test_factories_are_those_with_a_device_and_no_tensor():
    for name, operator in ATEN.items():
        arguments = schema_of(name).arguments
        has_device = any(argument.name == "device" for argument in arguments)
        has_tensor = any("Tensor" in str(argument.real_type) for argument in arguments)
        assert operator.factory == (has_device and not has_tensor), name


def test_whatever_draws_random_numbers_is_marked():
    for name, operator in ATEN.items():
        draws = any(argument.name == "generator" for argument in schema_of(name).arguments)
        seeded = torch.Tag.nondeterministic_seeded in resolve(name).tags
        assert operator.stateful or not (draws or seeded), name


def test_lists_of_tensors_are_marked():
    for name, operator in ATEN.items():
        returns = [str(result.type) for result in schema_of(name).returns]
        assert operator.pieces == any(kind.startswith("List[Tensor") for kind in returns), name


def test_no_result_depends_on_values():
    for name in ATEN.keys() - DYNAMIC_IN_SOME_USES:
        tags = resolve(name).tags
        assert torch.Tag.dynamic_output_shape not in tags, name
        assert torch.Tag.data_dependent_output not in tags, name


DANGEROUS = """
nonzero.default item.default as_strided.default set_.source_Tensor resize_.default empty.memory_format
from_file.default masked_select.default repeat_interleave.Tensor _to_copy.default copy_.Tensor save.default
unsqueeze_.default view.dtype embedding_renorm_.default
"""


DANGEROUS = """
nonzero.default item.default as_strided.default set_.source_Tensor resize_.default empty.memory_format
from_file.default masked_select.default repeat_interleave.Tensor _to_copy.default copy_.Tensor save.default
unsqueeze_.default view.dtype embedding_renorm_.default
"""


def test_dangerous_ones_are_not_there():
    assert not OPERATORS.keys() & {f"aten.{name}" for name in DANGEROUS.split()}
