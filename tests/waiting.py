"""Waiting for a page: as long as a busy machine needs, no longer than it takes."""

import time


def until(condition, seconds=60):
    """Return what a condition gives as soon as that is true.

    Args:
        condition: Function without arguments.
        seconds: Only a page that hangs takes as long.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing came about in {seconds} s")
