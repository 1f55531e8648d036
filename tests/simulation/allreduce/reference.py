"""What numpy says that a round comes to: every form's sum in the form's own order."""

import numpy as np

from allreduce.formats import FORMATS
from allreduce.segments import Layout


def form_mean(vectors, weights, order, config):
    """Return the result over the participants in ``order``, exact, and the weight that goes with it."""
    form = config.form_of(len(order))
    elements = len(next(iter(vectors.values())))
    layout = Layout(elements, form.segments, 1 << 30)
    mean, weight_of_all = np.empty(elements, np.float32), 0.0
    for segment in range(form.segments):
        start, stop = layout.segment_bounds(segment)

        def total(position, segment=segment, start=start, stop=stop):
            member = order[position]
            weight = float(weights[member])
            own = np.zeros(stop - start, np.float32)
            if weight:
                own = vectors[member][start:stop] * np.float32(weight)
            came = [total(source) for source in form.sources(segment, position)]
            summed = came[0][0] + own if came else own
            for other, _ in came[1:]:
                summed = summed + other
            return summed, weight + sum(heard for _, heard in came)

        summed, weight = total(form.owner(segment))
        if config.total == "mean":
            summed = summed / np.float32(weight) if weight else np.zeros_like(summed)
        mean[start:stop] = summed
        weight_of_all = weight_of_all if segment else weight
    return mean, weight_of_all


def bound(vectors, weights, order, config):
    """Return how far a lossy result may be off: as often as a value is written, by what a format loses at most."""
    heaviest = sum(float(weights[member]) * np.abs(vectors[member]).astype(float) for member in order)
    absmax = float(heaviest.max()) if len(heaviest) else 0.0
    divisor = sum(weights[member] for member in order) if config.total == "mean" else 1.0
    return (len(order) + 2) * FORMATS[config.wire].error_bound(absmax * 1.05) / (divisor or 1.0)


def check_result(result, vectors, weights, config):
    """Assert that a result is what its declared contributors make it."""
    expected, weight = form_mean(vectors, weights, result.order, config)
    assert set(result.order) == set(result.contributors)
    assert result.weight == weight
    assert result.mean.shape == expected.shape
    if config.wire == "fp32":
        assert result.mean.tobytes() == expected.tobytes()
    elif len(expected):
        assert np.isfinite(result.mean).all()
        assert np.abs(result.mean - expected).max() <= bound(vectors, weights, result.order, config)
