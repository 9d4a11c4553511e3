"""Says what was checked and how it went."""

import contextlib
import os
import threading
import time
import traceback


class Report:
    """Counts and prints checks; safe to be used by several threads."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def check(self, text):
        """A check: it fails if its body raises anything. What comes after it goes on."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # a check fails on whatever goes wrong in it
            self._say(False, text, began, describe(error))
        else:
            self._say(True, text, began, "")

    def _say(self, good, text, began, details):
        with self._lock:
            self.passed += good
            self.failed += not good
            word = "ok    " if good else "FAILED"
            print(f"{word} {time.monotonic() - began:6.1f}s  {text}", flush=True)
            for line in details.splitlines():
                print(f"    {line}", flush=True)

    def skip(self, text, reason):
        """Names a part that cannot be run here; in CI every part must be."""
        if os.environ.get("CI") == "true":
            self._say(False, text, time.monotonic(), f"cannot be run: {reason}")
        else:
            print(f"skipped: {text}: {reason}", flush=True)

    def close(self):
        """Prints the closing line and gives the exit code."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def describe(error):
    """An assertion in its own words; anything else with the place it came from."""
    if isinstance(error, AssertionError) and str(error):
        return str(error)
    return "".join(traceback.format_exception(error)[-4:])


def same(actual, expected, what="value"):
    """Refuses anything but `expected`."""
    assert actual == expected, f"{what}: expected {expected!r}, found {actual!r}"
