"""The embedded engine: the contract, and what is its own."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts.engines", "tests.contracts.store")

from tests.contracts.store import *  # noqa: E402, F403 - the suite is collected here
