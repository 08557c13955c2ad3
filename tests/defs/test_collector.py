"""The garbage collector goes on after definitions were loaded, and does not look at them."""

import gc
from collections.abc import Iterator

import pytest

from wavcaps_assets.defs.collector import objects_that_stay, paused_collector


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_a_pause_inside_a_pause_does_not_end_it() -> None:
    with paused_collector():
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_goes_on_after_an_error() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ValueError, match="a wrong setting"), objects_that_stay():
        raise ValueError("a wrong setting")
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_what_was_made_meanwhile_is_left_alone() -> None:
    with objects_that_stay():
        made = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)
