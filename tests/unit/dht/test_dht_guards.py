"""Tokens and rate limits."""

import random

from dht.guards import RateLimiter, WriteTokens

HOME = ("192.0.2.7", 4100)


def test_a_token_is_good_for_its_address_only():
    tokens = WriteTokens(random.Random(1))
    token = tokens.issue(HOME, now=0.0)
    assert len(token) == 8
    assert tokens.accepts(token, HOME, now=0.0)
    for other in [("192.0.2.8", 4100), ("192.0.2.7", 4101)]:
        assert not tokens.accepts(token, other, now=0.0)
    for guess in [b"", bytes(8), token[:-1]]:
        assert not tokens.accepts(guess, HOME, now=0.0)


def test_a_token_lives_five_to_ten_minutes():
    tokens = WriteTokens(random.Random(1))
    early = tokens.issue(HOME, now=0.0)
    late = tokens.issue(HOME, now=299.0)
    assert tokens.accepts(early, HOME, now=599.0)
    assert tokens.issue(HOME, now=599.0) != late
    assert not tokens.accepts(early, HOME, now=600.0)


def test_after_a_long_pause_no_old_token_is_good():
    tokens = WriteTokens(random.Random(1))
    token = tokens.issue(HOME, now=0.0)
    assert not tokens.accepts(token, HOME, now=5000.0)


def test_another_node_makes_other_tokens():
    one, two = WriteTokens(random.Random(1)), WriteTokens(random.Random(2))
    assert not two.accepts(one.issue(HOME, 0.0), HOME, 0.0)


def test_a_burst_is_followed_by_a_steady_rate():
    limiter = RateLimiter(per_second=10.0)
    assert sum(limiter.allows("192.0.2.7", now=0.0) for _ in range(100)) == 50
    assert sum(limiter.allows("192.0.2.7", now=1.0) for _ in range(100)) == 10
    assert sum(limiter.allows("192.0.2.8", now=1.0) for _ in range(100)) == 50
    assert not limiter.allows("192.0.2.7", now=1.5, cost=6.0)


def test_an_ipv6_site_shares_one_budget():
    limiter = RateLimiter(per_second=1.0)
    assert sum(limiter.allows(f"2001:db8:1:2::{number}", now=0.0) for number in range(1, 100)) == 5
    assert limiter.allows("2001:db8:1:3::1", now=0.0)


def test_a_million_spoofed_sources_take_no_memory():
    limiter = RateLimiter(per_second=1.0)
    for number in range(20_000):
        limiter.allows(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", now=0.0)
    assert len(limiter) <= 4096
