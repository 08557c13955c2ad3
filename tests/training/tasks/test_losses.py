"""The losses, by equation 3 and by the released code's numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wavcaps_training.settings.training import Objective
from wavcaps_training.tasks.losses import embedding_regulariser, nt_xent, objective_loss, soft_nt_xent
from wavcaps_training.training.run import learning_rate_factor

DISTINCT = tuple("abcdefgh")
REPEATED = tuple("aabcccde")  # the oracle's ids 0, 0, 1, 2, 2, 2, 3, 4


@pytest.fixture(scope="module")
def expected(oracles: Path) -> Mapping[str, np.ndarray]:
    return np.load(oracles / "losses.npz")


def leaves(expected: Mapping[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.tensor(expected["A"], requires_grad=True),
        torch.tensor(expected["T"], requires_grad=True),
        torch.tensor(0.07, requires_grad=True),
    )


@pytest.mark.parametrize(("case", "ids"), [("distinct", DISTINCT), ("dups", REPEATED)])
def test_released_loss(expected: Mapping[str, np.ndarray], case: str, ids: tuple[str, ...]) -> None:
    audio, text, temperature = leaves(expected)
    contrastive = soft_nt_xent(audio, text, ids, temperature)
    regulariser = embedding_regulariser(audio, text)
    assert contrastive.item() == pytest.approx(float(expected[f"{case}_contrastive"]), abs=1e-5)
    assert regulariser.item() == pytest.approx(float(expected[f"{case}_reg"]), abs=1e-5)
    whole = objective_loss(Objective.RELEASED, audio, text, ids, temperature)
    assert whole.item() == pytest.approx((contrastive + regulariser).item())


@pytest.mark.parametrize(("case", "ids"), [("distinct", DISTINCT), ("dups", REPEATED)])
def test_gradients_of_the_released_loss(
    expected: Mapping[str, np.ndarray], case: str, ids: tuple[str, ...]
) -> None:
    audio, text, temperature = leaves(expected)
    objective_loss(Objective.RELEASED, audio, text, ids, temperature).backward()
    assert audio.grad is not None and text.grad is not None and temperature.grad is not None
    np.testing.assert_allclose(audio.grad, expected[f"{case}_dA"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(text.grad, expected[f"{case}_dT"], rtol=1e-4, atol=1e-6)
    assert temperature.grad.item() == pytest.approx(float(expected[f"{case}_dtemp"]), rel=1e-4)


def test_paper_loss_is_the_released_one_where_no_clip_repeats(expected: Mapping[str, np.ndarray]) -> None:
    audio, text, temperature = leaves(expected)
    found = objective_loss(Objective.PAPER, audio, text, DISTINCT, temperature)
    assert found.item() == pytest.approx(float(expected["distinct_contrastive"]), abs=1e-5)


def test_equation_3_by_hand() -> None:
    audio = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    tau = 0.5
    s = [[1.0, 0.6], [0.0, 0.8]]

    def log_share(own: float, others: list[float]) -> float:
        return math.log(math.exp(own / tau) / sum(math.exp(other / tau) for other in others))

    total = sum(log_share(s[i][i], s[i]) + log_share(s[i][i], [s[0][i], s[1][i]]) for i in (0, 1))
    assert float(nt_xent(audio, text, torch.tensor(tau))) == pytest.approx(-total / (2 * 2), abs=1e-6)


def test_paper_loss_takes_other_captions_of_the_same_clip_for_negatives() -> None:
    audio = text = F.normalize(torch.ones(2, 4))
    temperature = torch.tensor(0.07)
    same_clip = ("a", "a")
    assert float(objective_loss(Objective.PAPER, audio, text, same_clip, temperature)) == pytest.approx(
        math.log(2)
    )
    assert float(soft_nt_xent(audio, text, same_clip, temperature)) == pytest.approx(math.log(2))
    apart = torch.eye(2, 4)
    assert float(nt_xent(apart, apart, temperature)) < float(
        soft_nt_xent(apart, apart, same_clip, temperature)
    )


def test_learning_rate_of_the_released_code(oracles: Path) -> None:
    expected = json.loads((oracles / "training_utils.json").read_text())["cosine"]
    found = [
        expected["base"] * learning_rate_factor(step, expected["warmup"], expected["total"], cosine=True)
        for step in range(len(expected["lr"]))
    ]
    np.testing.assert_allclose(found, expected["lr"], rtol=1e-12)


def test_learning_rate_of_the_paper_is_constant() -> None:
    assert {learning_rate_factor(step, 0, 100, cosine=False) for step in range(100)} == {1.0}
