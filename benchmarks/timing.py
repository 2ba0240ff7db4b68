"""Time functions in turn, so that other work on the machine slows all of them alike."""

import statistics
import time


def time_in_turn(functions, rounds, *, warm_up=2, clock=time.perf_counter):
    """Call every function once a round and return the seconds of each call.

    Every second round runs in reverse order, so that no function always follows the
    same one.

    Args:
        functions: Dict from a name to a function without arguments.
        rounds: How often each function is timed.
        warm_up: Rounds before these, which are not timed. Defaults to 2.
        clock: Function that returns the time in seconds. Defaults to the wall clock.

    Returns:
        Dict from a name to a list of seconds, one per round.
    """
    for _ in range(warm_up):
        for function in functions.values():
            function()
    seconds = {name: [] for name in functions}
    for number in range(rounds):
        names = list(functions)
        for name in names[::-1] if number % 2 else names:
            start = clock()
            functions[name]()
            seconds[name].append(clock() - start)
    return seconds


def median_ratio(seconds, base):
    """Return the median of the ratios of two lists of seconds, round by round."""
    return statistics.median(a / b for a, b in zip(seconds, base, strict=True))
