"""Tests run two at a time (scripts/test); those that use places which are the same for all stay in one process."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# The documents' examples say /tmp/hello-world and the like, and are run as they are.
FIXED_PLACES = ("docs/", "workflows/", "whole/test_walk_through.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(TESTS) and str(item.path.relative_to(TESTS)).startswith(FIXED_PLACES):
            item.add_marker(pytest.mark.xdist_group("fixed places"))
