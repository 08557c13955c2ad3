"""The requests about texts: their keys are those of all earlier versions, so that no answer is paid again."""

from __future__ import annotations

import pytest

from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.captioning.requests import request_of
from wavcaps_assets.captioning.settings import CaptioningSettings

# Computed by the version of 2026-11-27.
KEYS = {
    Form.NUMBERED_LIST: (
        "16bd417d04660de4aa630597514adc692fb0869209c84ba943626d7db8668a2c",
        "64b451311311233235f75a89baad7c393894e4be28b20f1aed626d24f7ce8b5d",
    ),
    Form.STRUCTURED: (
        "7e12bfd3016e6627ff573189416c7037853bb8693086d83a0938185ffd92201e",
        "1596aa4e1ce484078d44804e417010af05ddcb2f87cf543850971f151a53305a",
    ),
    Form.SINGLE: (
        "85139834ff4e1b18589e3e46fb07b98815dda335ce725291c90ad7d57ce341f1",
        "f44c323939655af0eb62321723f99fa46683fe354e3f39a652c580451c25cb87",
    ),
}


@pytest.mark.parametrize("form", Form)
def test_keys_are_those_of_earlier_versions(form: Form) -> None:
    prompt, settings = load_prompt("paper", "freesound", form), CaptioningSettings(form=form)
    first = request_of(prompt, settings, "gpt-4o-mini", ["Dog barks in a yard"])
    second = request_of(prompt, settings, "gpt-4o-mini", ['Ärger "x" in a yard'], 1)
    assert (first.key, second.key) == KEYS[form]


def test_the_messages_are_no_part_of_the_key() -> None:
    prompt, settings = load_prompt("paper", "freesound", Form.SINGLE), CaptioningSettings(form=Form.SINGLE)
    request = request_of(prompt, settings, "m", ["dog"])
    assert request.messages == prompt.messages(["dog"])
    assert set(request.identity()) == {"prompt_version", "model", "parameters", "inputs", "attempt"}
