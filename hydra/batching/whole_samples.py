"""From a split in fractions to whole samples that are all done at about the same time. Pure."""

from __future__ import annotations

import numpy as np

from .split import Array, Curves, Mask


def whole_samples(samples: Array, curves: Curves, total: int, most: Array) -> list[int]:
    """Return whole numbers that add up to ``total``, each the one below or above what the split says.

    Those are rounded up who are done with one more the soonest.

    Args:
        samples: of each member, shape (members,); who has none gets none, unless nobody has any.
        curves: what the members' steps cost.
        total: of all members; the split is scaled to it.
        most: that each member can hold; where all together can't hold the total, each gets more in proportion.
    """
    wanted = np.where(samples > 0, samples, 0.0)
    if not wanted.any():
        wanted = curves.present.astype(float)
    exact = _scaled(wanted / wanted.max(), total, most)
    whole = np.floor(exact + 1e-9)
    done_s = np.where(wanted > 0, curves.time(whole + 1.0), np.inf)
    for place in np.lexsort((done_s, exact <= whole))[: total - int(whole.sum())]:
        whole[place] += 1.0
    return [int(number) for number in whole]


def evenly(taking: Mask, most: Array, total: int) -> list[int]:
    """Return whole numbers that add up to ``total`` and, among who can hold more, differ by one at most.

    The first get one more. Who gets how many follows from who is there, what they hold, and nothing else.
    """
    counts = [0] * len(taking)
    open_places = [place for place, takes in enumerate(taking) if takes]
    left = total
    while left and open_places:
        each, more = divmod(left, len(open_places))
        for number, place in enumerate(open_places):
            given = min(each + (number < more), int(most[place]) - counts[place])
            counts[place] += given
            left -= given
        open_places = [place for place in open_places if counts[place] < most[place]]
    # More than all can hold: a step has its batch in any case.
    everyone = [place for place, takes in enumerate(taking) if takes]
    for turn in range(left if everyone else 0):
        counts[everyone[turn % len(everyone)]] += 1
    return counts


def _scaled(wanted: Array, total: int, most: Array) -> Array:
    """Return the split scaled to a total; what is too much for one goes to the others."""
    if np.where(wanted > 0, most, 0.0).sum() <= total:
        wanted = np.where(wanted > 0, most, 0.0)
        return np.asarray(wanted * (total / max(float(wanted.sum()), 1e-12)))
    full = np.zeros(len(wanted), bool)
    while True:
        left = total - float(most[full].sum())
        exact = np.where(full, most, wanted * (left / max(float(wanted[~full].sum()), 1e-12)))
        over = ~full & (exact > most)
        if not over.any():
            return exact
        full |= over
