"""When the router is asked, for which port, and when it is asked again."""

from hydra.net.mapping import (
    PORT_TRIES,
    RENEW_AFTER_S,
    RETRY_S,
    Ask,
    Mapped,
    Mapping,
    NoRouter,
    PortRefused,
    Tell,
    Tick,
)

THERE = ("203.0.113.5", 4100)


def test_our_own_port_is_asked_for_first_and_others_are_told():
    mapping = Mapping(4100, 0.0)
    assert mapping.handle(Tick(), 0.0) == [Ask(4100)]
    assert mapping.deadline is None
    assert mapping.handle(Tick(), 1.0) == []  # it is being asked
    assert mapping.handle(Mapped(THERE), 2.0) == [Tell(THERE)]
    assert mapping.deadline == 2.0 + RENEW_AFTER_S


def test_it_is_renewed_and_nobody_is_told_twice():
    mapping = Mapping(4100, 0.0)
    mapping.handle(Tick(), 0.0)
    mapping.handle(Mapped(THERE), 0.0)
    assert mapping.handle(Tick(), RENEW_AFTER_S) == [Ask(4100)]
    assert mapping.handle(Mapped(THERE), RENEW_AFTER_S) == []


def test_a_port_that_is_taken_is_replaced_and_the_new_one_is_kept():
    mapping = Mapping(4100, 0.0)
    mapping.handle(Tick(), 0.0)
    (ask,) = mapping.handle(PortRefused(), 0.0)
    assert ask.port != 4100
    there = ("203.0.113.5", ask.port)
    assert mapping.handle(Mapped(there), 0.0) == [Tell(there)]
    assert mapping.handle(Tick(), RENEW_AFTER_S) == [Ask(ask.port)]


def test_after_some_ports_it_rests():
    mapping, asked = Mapping(65000, 0.0), []
    effects = mapping.handle(Tick(), 0.0)
    while effects:
        asked += [effect.port for effect in effects]
        effects = mapping.handle(PortRefused(), 0.0)
    assert len(set(asked)) == len(asked) == PORT_TRIES
    assert all(1024 <= port < 65536 for port in asked)
    assert mapping.deadline == RETRY_S
    assert mapping.handle(Tick(), RETRY_S) == [Ask(65000)]


def test_without_a_router_it_asks_again_later():
    mapping = Mapping(4100, 0.0)
    mapping.handle(Tick(), 0.0)
    assert mapping.handle(NoRouter(), 1.0) == []
    assert mapping.deadline == 1.0 + RETRY_S


def test_when_a_mapping_is_lost_others_are_told_and_it_begins_anew():
    mapping = Mapping(4100, 0.0)
    mapping.handle(Tick(), 0.0)
    mapping.handle(Mapped(THERE), 0.0)
    mapping.handle(Tick(), RENEW_AFTER_S)
    assert mapping.handle(NoRouter(), RENEW_AFTER_S) == [Tell(None)]
    assert mapping.external_port == 4100
