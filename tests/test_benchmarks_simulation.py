"""The simulated instance, held against queues whose waiting times are known."""

import itertools

import pytest

from benchmarks.simulation import Costs, Limits, Simulation, arrivals_at

SEATS, STEPS = (1, 2, 4, 8, 16, 24, 32, 48, 64), (16, 32)
ENDLESS = Limits(10**9, 10**9, 1e9)


def costs(chunk: float, http: float) -> Costs:
    shapes = [*itertools.product(SEATS, STEPS), *((1, steps) for steps in range(8, 257, 8))]
    return Costs(dict.fromkeys(shapes, chunk), http)


def test_a_text_alone_takes_its_http_and_its_chunks() -> None:
    """257 characters are a chunk of 256, the longest that one text alone has, and one of 8."""
    found = Simulation(costs(0.010, 0.002), ENDLESS, [5.0], [257]).run()
    assert found.latencies == pytest.approx([0.022])


def test_texts_that_arrive_together_share_their_chunks() -> None:
    found = Simulation(costs(0.010, 0.0), ENDLESS, [0.0] * 65, [16] * 65).run()
    # The first is read alone, as nobody else was there yet; then the others, all at once.
    assert found.latencies == pytest.approx([0.010] + [0.020] * 64)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_http_alone_waits_as_a_queue_with_one_server_does(load: float) -> None:
    """With reading for nothing, and both halves of HTTP the same: M/D/1 (Pollaczek-Khinchine) bounds what they wait."""
    service = 0.010
    arrivals = arrivals_at(load / service, 60, seed=1)
    found = Simulation(costs(0.0, service), ENDLESS, arrivals, [1] * len(arrivals)).run()
    mean = sum(found.latencies) / len(found.latencies)
    # The work in the queue is that of M/D/1. Halves wait behind others' halves, so a request takes at least what one
    # of M/D/1 takes, and at most twice its waiting more.
    waiting = load * service / (2 * (1 - load))
    assert service + waiting * 0.8 <= mean <= service + 3 * waiting


def test_what_is_over_a_limit_is_refused_and_the_first_refusal_is_noted() -> None:
    arrivals = [0.0, 0.001, 0.002, 0.003]
    found = Simulation(costs(1.0, 0.0), Limits(2, 10**9, 10.0), arrivals, [16] * 4).run()
    # The first is being read, and leaves the count when its chunk begins; two more wait, the fourth is one too many.
    assert (len(found.latencies), found.refused, found.first_refusal, found.late) == (3, 1, 0.003, 0)


def test_what_takes_too_long_is_late() -> None:
    found = Simulation(costs(1.0, 0.0), Limits(9, 10**9, 1.5), [0.0, 0.5], [16, 16]).run()
    assert (found.latencies, found.late) == ([1.0, 1.5], 0)
    found = Simulation(costs(1.0, 0.0), Limits(9, 10**9, 1.4), [0.0, 0.5], [16, 16]).run()
    assert (found.latencies, found.late) == ([1.0], 1)


def test_arrivals_come_at_their_rate_and_in_order() -> None:
    arrivals = arrivals_at(50.0, 400.0, seed=0)
    assert arrivals == sorted(arrivals)
    assert len(arrivals) / 400 == pytest.approx(50.0, rel=0.03)
