"""A receiver of messages, and an account whose evenings can go wrong."""

from collections.abc import Iterator

import pytest

from tests.webhook_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver
