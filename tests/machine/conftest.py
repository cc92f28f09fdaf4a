"""Assertions inside the kits are explained as those of tests are."""

import pytest

pytest.register_assert_rewrite("tests.machine.vector_kit", "tests.machine.script_kit")
