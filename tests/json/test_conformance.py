"""A value that is its own location is a result handler as the kit understands them."""

from __future__ import annotations

import pytest

from ckpt import ResultHandler
from ckpt.testing import ResultHandlerTests
from ckpt_json import JSONResultHandler


class TestJSONResultHandler(ResultHandlerTests):
    does_not_apply = {  # noqa: RUF012  of the contract
        "raw": "the value is in its location: nothing is stored",
        "refused": "nobody is asked for permission",
        "secret": "nothing needs a credential",
        "unreachable": "nothing is reached for",
    }

    @pytest.fixture
    def handler(self) -> ResultHandler:
        return JSONResultHandler()
