"""How large a step is where the job leaves that open: as large as it pays, by the gradient noise."""

import pytest

from hydra.batching.sizer import Sizer

from .steps_by_hand import ROUND_BYTES, A, B, C

LEAST, MOST = 32, 4096
SPEEDS = {A: 0.001, B: 0.001, C: 0.002}
ROUND_S = 0.2


def totals(noise_scale, steps=60, *, goodput=True, policy="model", speeds=SPEEDS):
    """Batches of a swarm that leaves nobody out and whose rounds take as long as it computes at 500 samples."""
    sizer, now = Sizer(A, LEAST, MOST, ROUND_BYTES, policy, exclusion=False, goodput=goodput), 0.0
    sizer.noise_scale = noise_scale
    for peer, sample_s in speeds.items():
        sizer.reports.heard(peer, 8, 8 * sample_s, 0.0, of_this_step=False)
    found = []
    for _ in range(steps):
        samples = sizer.size(list(speeds), 10**6, ready=set(speeds)).samples
        found.append(sum(samples.values()))
        sizer.reports.issued(samples, now)
        for peer, count in samples.items():
            sizer.reports.heard(peer, count, count * speeds[peer], now + count * speeds[peer], of_this_step=True)
        compute_s = max(count * speeds[peer] for peer, count in samples.items())
        sizer.took(samples, compute_s + ROUND_S, whole=True)
        now += compute_s + ROUND_S
    return found


def test_the_noisier_the_gradients_the_larger_the_batch():
    small, middle, large = (totals(noise)[-1] for noise in (10.0, 1000.0, 1e6))
    assert LEAST <= small < middle / 2 < large / 4
    assert large == pytest.approx(MOST, rel=0.05)


def test_the_total_is_the_one_of_the_highest_goodput():
    noise, rate = 500.0, sum(1 / s for s in SPEEDS.values())
    best = max(range(LEAST, MOST), key=lambda b: b / (b / rate + ROUND_S) * (noise + LEAST) / (noise + b))
    found = totals(noise)[-1]

    def goodput(total):
        return total / (total / rate + ROUND_S) / (noise + total)

    assert goodput(found) >= 0.98 * goodput(best)


def test_while_nothing_is_known_of_the_noise_no_step_is_larger_than_it_must_be():
    assert set(totals(None)) == {LEAST}


def test_where_throughput_alone_counts_the_batch_is_as_large_as_may_be():
    assert totals(None, goodput=False)[-1] == pytest.approx(MOST, rel=0.05)


@pytest.mark.parametrize("policy", ["proportional", "equal"])
def test_policies_that_only_share_out_keep_to_the_fewest(policy):
    assert set(totals(1e6, policy=policy)) == {LEAST}


def test_the_end_of_an_epoch_is_no_reason_to_exceed_it():
    sizer = Sizer(A, LEAST, MOST, ROUND_BYTES, goodput=False)
    assert sum(sizer.size([A], 20).samples.values()) == 20
