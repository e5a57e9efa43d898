"""A server under many requests: its memory stays flat."""

import os

import pytest

pytestmark = pytest.mark.nightly
REQUESTS, AT_ONCE = int(os.environ.get("REQUESTS", "100000")), 32
