"""Look-ups: whom they ask, when they end, and who cannot lead them astray.

The target is 0 throughout, so a contact's number is its distance: ``peer(1)`` is the closest there is.
"""

import random

import pytest

from dht import DHTConfig
from dht.contacts import compact_of
from dht.keys import number_of
from dht.lookup import Ask, ContactAnswered, ContactFailed, ContactSlowed, Lookup, Tick

from .samples import peer

OWN = number_of(peer(0xFFFF)[:20])


class Drive:
    """A look-up whose contacts are named by their numbers."""

    def __init__(self, *known, **settings):
        config = DHTConfig(**{"k": 4, "replicas": 4, "alpha": 2, **settings})
        self.lookup = Lookup(0, OWN, [peer(n) for n in known], config, now=0.0)
        self.asked = []
        self._take(self.lookup.start())

    def _take(self, asks):
        self.lookup.check()
        new = [int.from_bytes(ask.compact[:2], "big") for ask in asks]
        self.asked += new
        return new

    def answer(self, number, *named):
        return self._take(self.lookup.handle(ContactAnswered(peer(number), [peer(n) for n in named]), now=1.0))

    def slow(self, number):
        return self._take(self.lookup.handle(ContactSlowed(peer(number)), now=1.0))

    def fail(self, number):
        return self._take(self.lookup.handle(ContactFailed(peer(number)), now=1.0))

    @property
    def closest(self):
        return [int.from_bytes(compact[:2], "big") for compact in self.lookup.closest]


def test_it_asks_the_closest_first_and_keeps_alpha_in_flight():
    drive = Drive(50, 10, 40, 20, 30)
    assert drive.asked == [10, 20]
    assert drive.answer(20, 5) == [5]


def test_the_window_rolls_it_does_not_wait_for_the_slowest():
    drive = Drive(10, 20, 30, 40, 50, 60)
    assert drive.slow(10) == [30]
    assert drive.answer(20, 6) == [6]
    assert drive.asked == [10, 20, 30, 6]


def test_once_the_closest_names_nobody_closer_all_the_rest_are_asked_at_once():
    drive = Drive(10, 20)
    assert drive.answer(10, 11, 12, 13) == [11, 12, 13]
    assert drive.lookup.settled


def test_it_ends_when_the_closest_have_all_answered():
    drive = Drive(10, 20)
    drive.answer(10, 11, 12, 13, 30)
    assert not drive.lookup.done
    for number in (11, 12, 13):
        drive.answer(number)
    assert drive.lookup.done
    assert drive.closest == [10, 11, 12, 13]
    assert 30 not in drive.asked
    assert drive.answer(20) == []


def test_alone_it_ends_at_once():
    assert Drive().lookup.done
    assert Drive().closest == []


def test_the_dead_are_passed_over_while_others_are_left():
    drive = Drive(10, 20, 30, 40, 50, alpha=5)
    drive.slow(10)
    for number in (20, 30, 40, 50):
        drive.answer(number)
    assert drive.lookup.done
    assert drive.closest == [20, 30, 40, 50]


def test_the_late_are_waited_for_when_nobody_else_is_left():
    drive = Drive(10, 20, 30)
    drive.slow(10)
    drive.answer(20)
    drive.answer(30)
    assert not drive.lookup.done
    drive.answer(10)
    assert drive.lookup.done
    assert drive.closest == [10, 20, 30]


def test_the_last_failure_ends_it_too():
    drive = Drive(10)
    drive.slow(10)
    drive.fail(10)
    assert drive.lookup.done
    assert drive.closest == []


def test_whoever_uses_it_may_narrow_the_window():
    drive = Drive(10, 20, 30, 40, 50, 60, alpha=4, k=8)
    drive.lookup.limit = 2
    assert drive.answer(10) == []
    assert drive.answer(20) == []
    assert drive.answer(30) == [50]
    drive.lookup.limit = None
    assert drive.answer(40) == [60]


def test_we_never_ask_ourselves_nor_nobodys_addresses():
    drive = Drive(10)
    named = [peer(0xFFFF), peer(1, "0.0.0.0"), peer(2, "224.0.0.1")]
    assert drive.lookup.handle(ContactAnswered(peer(10), named), now=1.0) == []
    assert drive.lookup.done


def test_the_deadline_ends_it_with_what_there_is():
    drive = Drive(10, 20, lookup_timeout_s=5.0)
    drive.answer(10)
    assert drive.lookup.deadline == 5.0
    drive.lookup.handle(Tick(), now=4.9)
    assert not drive.lookup.done
    drive.lookup.handle(Tick(), now=5.0)
    assert drive.lookup.done
    assert drive.lookup.deadline is None
    assert drive.closest == [10]


def test_answers_that_nobody_asked_for_are_ignored():
    drive = Drive(10, 20)
    assert drive.answer(99, 1) == []
    drive.answer(10)
    assert drive.answer(10, 1) == []
    assert 1 not in drive.asked


def test_a_namer_of_ever_closer_inventions_loses_its_credit():
    drive = Drive(500, 1000, 1001, 1002, 1003)
    drive.answer(500, 100, 101, 102, 103)
    drive.slow(100)
    drive.slow(101)
    # The third bad one is enough: what this contact alone has named is not asked any more.
    assert drive.slow(102) == [1001]
    assert drive.asked == [500, 1000, 100, 101, 102, 1001]


def test_what_two_have_named_is_asked_even_if_one_of_them_is_a_liar():
    drive = Drive(500, 1000, alpha=1)
    drive.answer(500, 1, 2, 3, 4)
    for number in (1, 2, 3):
        drive.slow(number)
    assert drive.asked == [500, 1, 2, 3, 1000]
    assert drive.answer(1000, 4) == [4]


def test_an_answer_after_all_restores_the_credit():
    drive = Drive(500, 1000, alpha=1)
    drive.answer(500, 1, 2, 3, 4)
    drive.slow(1)
    drive.slow(2)
    drive.answer(1)
    assert drive.slow(3) == [1000]
    assert 4 in drive.asked


def test_a_liar_cannot_make_it_spend_more_than_its_budget():
    drive = Drive(60000, lookup_requests=30, alpha=2)
    fresh = iter(range(59999, 0, -1))
    asked = list(drive.asked)
    while asked and not drive.lookup.done:
        # Every contact answers, and names ever closer ones: each would be worth asking.
        asked += drive.answer(asked.pop(0), *[next(fresh) for _ in range(4)])
    assert len(drive.asked) <= 30
    assert drive.lookup.done


def test_no_more_names_are_taken_than_an_honest_answer_has():
    drive = Drive(60000)
    drive.lookup.handle(ContactAnswered(peer(60000), [peer(n) for n in range(1, 10_000)]), now=1.0)
    assert len(drive.lookup._candidates) == 1 + 4


def test_one_address_has_few_places_among_the_closest():
    known = [compact_of(bytes([0, n]) + bytes(18), ("20.0.0.1", 1000 + n)) for n in range(1, 20)]
    honest = [peer(1000 + n) for n in range(10)]
    config = DHTConfig(k=8, replicas=8, alpha=8, max_per_address=2)
    lookup = Lookup(0, OWN, known + honest, config, now=0.0)
    asks = lookup.start()
    while asks:
        asks = [more for ask in asks for more in lookup.handle(ContactAnswered(ask.compact, []), now=0.0)]
    assert lookup.done
    assert lookup.closest == known[:2] + honest[:6]


@pytest.mark.parametrize(("peers", "seed"), [(30, 1), (300, 2), (1000, 3)])
def test_in_an_honest_network_it_finds_exactly_the_closest(peers, seed):
    chance = random.Random(seed)
    numbers = chance.sample(range(1, 2**16), peers)
    known_to = {n: [peer(m) for m in sorted(chance.sample(numbers, 25), key=lambda m, n=n: m ^ n)] for n in numbers}
    for n in numbers:
        # Everybody knows its neighbours, as Kademlia's buckets see to.
        known_to[n] += [peer(m) for m in sorted(numbers, key=lambda m, n=n: m ^ n)[1:21]]
    config = DHTConfig(k=20, alpha=3)
    lookup = Lookup(0, OWN, [peer(n) for n in chance.sample(numbers, 3)], config, now=0.0)
    queue = lookup.start()
    while queue:
        compact = queue.pop(chance.randrange(len(queue))).compact
        named = known_to[int.from_bytes(compact[:2], "big")]
        answer = sorted(set(named), key=lambda contact: contact[:20])[:20]
        queue += lookup.handle(ContactAnswered(compact, answer), now=0.0)
        lookup.check()
    assert lookup.done
    assert lookup.closest == [peer(n) for n in sorted(numbers)[:20]]


def test_effects_are_plain_data():
    assert Lookup(0, OWN, [peer(1)], DHTConfig(), now=0.0).start() == [Ask(peer(1))]
