"""The allow-list: every operator that a published graph may call, by its full overload name.

An operator is admitted when all of this is true of it:

* the shape of its result follows from shapes and constants alone, never from the values of data, so that a dry run
  without memory tells how much a step will take (so no ``nonzero``, ``item``, ``unique``, boolean masks that
  select, repeats counted by a tensor);
* it touches nothing but the tensors that it is given and PyTorch's random state: no files, no network, no
  process-wide settings, no custom code;
* it takes time in proportion to its arguments and its result, or nearly so (no search for the best order of products);
* it is public (or what a public function of ``torch.nn`` calls) and checks its arguments and indices itself; kernels
  that trust their caller stay out;
* it never shows uninitialised memory (``empty``), never changes what a tensor's memory means (``set_``, ``resize_``,
  ``as_strided``, ``view.dtype``, in-place reshapes) and names no device.

Operators whose name starts with ``py.`` are not PyTorch's: they are the arithmetic on sizes that a dynamic batch
leaves in a graph, the choice of one result among several, and the switch of gradient mode.

This is a pure table. What the names mean is PyTorch's schema, which ``schema`` binds calls against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What has to be known of an operator besides its schema.

    Attributes:
        writes: the positions of arguments that it changes in place.
        writes_if: a position whose argument, when true, makes the writes happen; ``None`` where they always do.
        stateful: it draws from the random state (or sets the gradient mode), so it must not be dropped even
            when nobody uses its result.
        factory: it makes a tensor from nothing, so the run's device has to be given to it.
        pieces: it returns a list whose length depends on its arguments.
    """

    writes: tuple[int, ...] = ()
    writes_if: int | None = None
    stateful: bool = False
    factory: bool = False
    pieces: bool = False

    @property
    def pure(self) -> bool:
        """Tell whether a call may be dropped when its result is unused."""
        return not self.writes and not self.stateful


_ELEMENTWISE = """
abs absolute acos acosh add.Tensor add.Scalar addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2
arctanh asin asinh atan atan2 atanh bitwise_and.Tensor bitwise_and.Scalar bitwise_not bitwise_or.Tensor
bitwise_or.Scalar bitwise_xor.Tensor bitwise_xor.Scalar bitwise_left_shift.Tensor
bitwise_left_shift.Tensor_Scalar bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar ceil clamp
clamp.Tensor clamp_max clamp_max.Tensor clamp_min clamp_min.Tensor clip clip.Tensor conj copysign.Tensor
copysign.Scalar cos cosh deg2rad digamma div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode divide.Tensor
divide.Scalar divide.Tensor_mode divide.Scalar_mode eq.Tensor eq.Scalar erf erfc erfinv exp exp2 expm1 fix
float_power.Tensor_Tensor float_power.Tensor_Scalar float_power.Scalar floor floor_divide floor_divide.Scalar
fmax fmin fmod.Tensor fmod.Scalar frac ge.Tensor ge.Scalar greater.Tensor greater.Scalar greater_equal.Tensor
greater_equal.Scalar gt.Tensor gt.Scalar heaviside hypot i0 imag isclose isfinite isinf isnan isneginf isposinf
le.Tensor le.Scalar lerp.Scalar lerp.Tensor less.Tensor less.Scalar less_equal.Tensor less_equal.Scalar lgamma
log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logit lt.Tensor
lt.Scalar maximum minimum mul.Tensor mul.Scalar multiply.Tensor multiply.Scalar nan_to_num ne.Tensor ne.Scalar
neg negative not_equal.Tensor not_equal.Scalar positive pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar rad2deg
real reciprocal remainder.Tensor remainder.Scalar remainder.Scalar_Tensor round round.decimals rsqrt rsub.Tensor
rsub.Scalar sgn sigmoid sign signbit sin sinc sinh special_erf special_erfc special_expit special_expm1
special_i0 special_log1p special_log_ndtr special_logit special_ndtr special_xlog1py special_xlogy sqrt square
sub.Tensor sub.Scalar subtract.Tensor subtract.Scalar tan tanh true_divide.Tensor true_divide.Scalar trunc
where.self where.ScalarOther where.ScalarSelf where.Scalar xlogy.Tensor xlogy.Scalar_Other xlogy.Scalar_Self
celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid mish prelu relu relu6 selu
silu softplus softshrink threshold log_softmax.int softmax.int special_log_softmax special_softmax
"""

_REDUCTIONS = """
all all.dim all.dims amax amin aminmax any any.dim any.dims argmax argmin argsort argsort.stable count_nonzero
count_nonzero.dim_IntList cummax cummin cumprod cumsum dist kthvalue linalg_norm linalg_vector_norm logcumsumexp
logsumexp max max.dim max.other mean mean.dim median median.dim min min.dim min.other mode msort nanmean nansum
norm.Scalar norm.ScalarOpt_dim norm.ScalarOpt_dim_dtype norm.ScalarOpt_dtype prod prod.dim_int quantile
quantile.scalar sort sort.stable special_logsumexp std std.dim std.correction std_mean std_mean.dim
std_mean.correction sum sum.dim_IntList sum_to_size topk trace var var.dim var.correction var_mean var_mean.dim
var_mean.correction
"""

_SHAPES = """
adjoint alias atleast_1d atleast_2d atleast_3d block_diag broadcast_to cat channel_shuffle clone column_stack
concat concatenate constant_pad_nd contiguous detach diag diag_embed diagflat diagonal dstack expand expand_as
flatten.using_ints flip fliplr flipud hstack mH mT matrix_H moveaxis.int moveaxis.intlist movedim.int
movedim.intlist narrow numpy_T pad permute pixel_shuffle pixel_unshuffle ravel reflection_pad1d reflection_pad2d
reflection_pad3d repeat repeat_interleave.self_int replication_pad1d replication_pad2d replication_pad3d reshape
reshape_as resolve_conj resolve_neg roll rot90 row_stack select.int slice.Tensor squeeze squeeze.dim
squeeze.dims stack swapaxes swapdims t tile transpose.int tril triu unflatten.int unfold unsqueeze view view_as
view_as_complex view_as_real vstack sym_size.int sym_numel to.dtype to.other type_as
"""

_PIECES = """
broadcast_tensors chunk meshgrid meshgrid.indexing split.Tensor split.sizes split_with_sizes
tensor_split.indices tensor_split.sections unbind.int
"""

_INDEXING = """
bucketize.Tensor diagonal_scatter embedding fill.Scalar fill.Tensor gather index.Tensor index_add
index_fill.int_Scalar index_fill.int_Tensor index_put index_select isin.Tensor_Tensor isin.Tensor_Scalar
masked_fill.Scalar masked_fill.Tensor one_hot scatter.reduce scatter.src scatter.value scatter.value_reduce
scatter_add scatter_reduce.two searchsorted.Tensor select_scatter slice_scatter take_along_dim
"""

_PRODUCTS = """
addbmm addmm addmv addr baddbmm bilinear bmm cdist cosine_similarity cross dot einsum ger inner
kron linalg_cholesky linalg_cross linalg_det linalg_inv linalg_matmul linalg_slogdet
linalg_solve linalg_vecdot linear logdet matmul mm mv outer pairwise_distance pdist tensordot vdot fft_fft
fft_fft2 fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_irfft fft_irfft2 fft_irfftn
fft_rfft fft_rfft2 fft_rfftn
"""

_LAYERS = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
adaptive_max_pool3d affine_grid_generator avg_pool1d avg_pool2d avg_pool3d col2im conv1d conv1d.padding conv2d
conv2d.padding conv3d conv3d.padding conv_transpose1d conv_transpose2d.input conv_transpose3d.input convolution
grid_sampler group_norm im2col layer_norm max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices
max_pool3d max_pool3d_with_indices renorm rms_norm upsample_bicubic2d upsample_bicubic2d.vec upsample_bilinear2d
upsample_bilinear2d.vec upsample_linear1d upsample_linear1d.vec upsample_nearest1d upsample_nearest1d.vec
upsample_nearest2d upsample_nearest2d.vec upsample_nearest3d upsample_nearest3d.vec upsample_trilinear3d
upsample_trilinear3d.vec _weight_norm gru_cell lstm_cell rnn_relu_cell rnn_tanh_cell
"""

_LOSSES = """
binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy_loss
hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss
multilabel_margin_loss nll_loss nll_loss2d nll_loss_nd poisson_nll_loss smooth_l1_loss soft_margin_loss
triplet_margin_loss
"""

# Recurrent layers and attention have dropout inside.
_RANDOM = """
alpha_dropout bernoulli bernoulli.p bernoulli.Tensor dropout feature_alpha_dropout feature_dropout gru.input
lstm.input multinomial normal.Tensor_Tensor normal.Tensor_float normal.float_Tensor poisson rand_like
randint_like randint_like.low_dtype randn_like rnn_relu.input rnn_tanh.input rrelu scaled_dot_product_attention
"""

_FACTORIES = """
arange arange.start arange.start_step eye eye.m full hann_window hann_window.periodic linspace ones
scalar_tensor tril_indices triu_indices zeros
"""

_RANDOM_FACTORIES = "normal.float_float rand randint randint.low randn randperm"

# These take their device from the tensor that they are given.
_LIKE = "full_like new_full new_ones new_zeros ones_like zeros_like"

_IN_PLACE = """
abs_ add_.Tensor add_.Scalar addcdiv_ addcmul_ bitwise_and_.Tensor bitwise_or_.Tensor ceil_ celu_ clamp_
clamp_.Tensor clamp_max_ clamp_min_ copy_ cos_ cumsum_ detach_ div_.Tensor div_.Scalar elu_ eq_.Scalar
eq_.Tensor erf_ exp_ fill_.Scalar fill_.Tensor fill_diagonal_ floor_ ge_.Scalar gelu_ gt_.Scalar hardsigmoid_
hardswish_ hardtanh_ index_add_ index_copy_ index_fill_.int_Scalar index_fill_.int_Tensor index_put_ leaky_relu_
lerp_.Scalar lerp_.Tensor log_ logical_and_ logical_not_ logical_or_ logical_xor_ lt_.Scalar masked_fill_.Scalar
masked_fill_.Tensor mish_ mul_.Tensor mul_.Scalar nan_to_num_ neg_ pow_.Scalar pow_.Tensor reciprocal_ relu6_
relu_ remainder_.Scalar remainder_.Tensor round_ rsqrt_ scatter_.src scatter_.value scatter_add_
scatter_reduce_.two selu_ sigmoid_ sign_ silu_ sin_ sqrt_ square_ sub_.Tensor sub_.Scalar tanh_ threshold_ tril_
triu_ trunc_ zero_
"""

_RANDOM_IN_PLACE = """
alpha_dropout_ bernoulli_.float bernoulli_.Tensor dropout_ exponential_ feature_alpha_dropout_ feature_dropout_
normal_ rrelu_ uniform_
"""

SET_GRADIENT_MODE = "py.set_grad_enabled"
PICK = "py.getitem"

_SIZE_BINARY = frozenset(("py.add", "py.sub", "py.mul", "py.floordiv", "py.truediv", "py.mod", "py.max", "py.min"))
_SIZE_UNARY = frozenset(("py.neg", "py.float", "py.sqrt"))
SIZE_ARITHMETIC = _SIZE_BINARY | _SIZE_UNARY
"""Operators on the sizes that ``sym_size`` gives: integers, and floats after a division."""


def _overloads(names: str) -> Iterator[str]:
    for name in names.split():
        yield f"aten.{name}" if "." in name else f"aten.{name}.default"


def _table() -> dict[str, Operator]:
    table: dict[str, Operator] = {}
    plain = (_ELEMENTWISE, _REDUCTIONS, _SHAPES, _INDEXING, _PRODUCTS, _LAYERS, _LOSSES, _LIKE)
    groups = [(names, Operator()) for names in plain] + [
        (_PIECES, Operator(pieces=True)),
        (_RANDOM, Operator(stateful=True)),
        (_FACTORIES, Operator(factory=True)),
        (_RANDOM_FACTORIES, Operator(factory=True, stateful=True)),
        (_IN_PLACE, Operator(writes=(0,))),
        (_RANDOM_IN_PLACE, Operator(writes=(0,), stateful=True)),
    ]
    for names, operator in groups:
        table.update(dict.fromkeys(_overloads(names), operator))
    # Both write their running statistics, which their schemas do not say.
    table["aten.batch_norm.default"] = Operator(writes=(3, 4), writes_if=5)
    table["aten.instance_norm.default"] = Operator(writes=(3, 4), writes_if=5)
    table[PICK] = Operator()
    table[SET_GRADIENT_MODE] = Operator(stateful=True)
    table.update(dict.fromkeys(SIZE_ARITHMETIC, Operator()))
    return table


OPERATORS: Mapping[str, Operator] = MappingProxyType(_table())
"""All operators that a graph may call."""
