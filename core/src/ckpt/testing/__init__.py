"""The conformance kit: the promises of a result handler and of an object store, as tests to subclass.

    from ckpt.testing import ResultHandlerTests

    class TestMyResultHandler(ResultHandlerTests):
        @pytest.fixture
        def handler(self, tmp_path):
            return MyResultHandler(tmp_path)

Needs pytest: `pip install 'ckpt-core[testing]'`.
"""

from __future__ import annotations

import pytest

# By name, before they are imported: an assert of a module that pytest has not rewritten shows nothing.
pytest.register_assert_rewrite(
    *(
        f"ckpt.testing.{module}"
        for module in (
            "handler_faults",
            "handler_keys",
            "handler_travel",
            "handler_trust",
            "handler_values",
            "processes",
            "store_faults",
            "store_keys",
            "store_trust",
            "store_values",
            "store_writers",
            "suites",
        )
    )
)

from ckpt.testing.doors import BackDoor  # noqa: E402  see above
from ckpt.testing.handlers import ResultHandlerTests  # noqa: E402
from ckpt.testing.stores import ObjectStoreTests  # noqa: E402

__all__ = ["BackDoor", "ObjectStoreTests", "ResultHandlerTests"]
