"""The field's metrics against figures of the original tools, on hostile captions, and without their files."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from tests.support.paths import ORACLES
from wavcaps_training.evaluation.caption_scores import coco
from wavcaps_training.evaluation.caption_scores.fense import (
    ERROR_FINDER,
    SENTENCE_BERT,
    MetricModelError,
    error_probabilities,
    likeness,
)
from wavcaps_training.evaluation.caption_scores.java import JavaError, run_java
from wavcaps_training.evaluation.caption_scores.judged import judged
from wavcaps_training.evaluation.caption_scores.meteor import meteor, meteor_counts
from wavcaps_training.evaluation.caption_scores.ptb_tokens import one_line, ptb_tokens
from wavcaps_training.evaluation.caption_scores.resampling import Resampling
from wavcaps_training.evaluation.caption_scores.scoring import NothingToCompare, score_captions
from wavcaps_training.evaluation.caption_scores.spice import CORENLP, parse_answer, spice, spice_lacks
from wavcaps_training.models.text_encoder import TextEncoder, minilm_folder
from wavcaps_training.settings.metric_files import MetricFiles
from wavcaps_training.settings.model import Pooling, TextEncoderSettings

# Each would end a line, or a field of a line, in the original tools' own way of passing captions.
HOSTILE = (
    "a dog\nbarks",
    "a dog\r\nbarks\r",
    "a dog\x0b barks\x0c",
    "a dog\u2028barks\u2029",
    "a dog\x85barks",
    "a\tdog barks",
    "a dog barks\x00",
    "a dog ||| barks",
    "SCORE ||| a dog ||| EVAL ||| barks",
    "a dog barks \ud83d",
    "a 🐶 barks 🔊🔊",
    "",
    "   ",
    "... !",
    "woof " * 2_000,
    "EVAL",
    "<script>alert(1)</script> & 100% of 'quotes'",
)


@dataclass
class Run:
    """One run of both programs over the oracle's captions, and hostile ones between them."""

    oracle: dict[str, Any]
    tokens: list[str]
    references: list[list[str]]
    hostile: list[str]
    counts: np.ndarray
    hostile_counts: np.ndarray


@pytest.fixture(scope="module")
def run() -> Run:
    oracle = dict(json.loads((ORACLES / "captioning_metrics.json").read_text()))
    candidates, references = oracle["candidates"], oracle["references"]
    probes = [text for text, _, _ in oracle["extra"]]
    texts = [*candidates, *HOSTILE, *(text for own in references for text in own), *probes]
    words = ptb_tokens(texts)
    own, hostile = words[: len(candidates)], words[len(candidates) : len(candidates) + len(HOSTILE)]
    rest = words[len(candidates) + len(HOSTILE) :]
    known = [rest[place : place + 5] for place in range(0, 5 * len(candidates), 5)]
    oracle["probed"] = rest[5 * len(candidates) :]
    others = [["a dog barks"]] * len(HOSTILE)
    counts = meteor_counts([*hostile, *own], [*others, *known])
    return Run(oracle, own, known, hostile, counts[len(HOSTILE) :], counts[: len(HOSTILE)])


@pytest.mark.slow
def test_words_are_those_of_the_original_tokenizer(run: Run) -> None:
    assert run.tokens == run.oracle["tok_candidates"]
    assert run.references == run.oracle["tok_references"]
    assert run.oracle["probed"] == [words for _, _, words in run.oracle["extra"]]


@pytest.mark.slow
def test_figures_are_those_of_the_original_tools(run: Run) -> None:
    theirs = run.oracle["coco"]
    counts = coco.bleu_counts(run.tokens, run.references)
    assert coco.bleu(counts.sum(axis=0)) == pytest.approx(theirs["bleu"], abs=1e-9)
    per_clip = coco.bleu(counts).T
    assert per_clip == pytest.approx(np.array(theirs["bleu_per"]), abs=1e-9)
    assert coco.cider_d(run.tokens, run.references) == pytest.approx(theirs["cider_per"], abs=1e-9)
    assert coco.rouge_l(run.tokens, run.references) == pytest.approx(
        run.oracle["aac"]["rouge_l_per"], abs=1e-9
    )
    there = run.oracle["nonempty_indices"]
    assert meteor(run.counts[there]) == pytest.approx(theirs["meteor_per_nonempty"], abs=1e-6)
    assert meteor(run.counts[there].sum(axis=0)) == pytest.approx(theirs["meteor_nonempty"], abs=1e-6)


@pytest.mark.slow
def test_an_empty_caption_gets_nothing_and_lowers_the_score(run: Run) -> None:
    (empty,) = set(range(len(run.tokens))) - set(run.oracle["nonempty_indices"])
    assert meteor(run.counts[empty]) == 0
    assert meteor(run.counts.sum(axis=0)) < run.oracle["coco"]["meteor_nonempty"]


@pytest.mark.slow
def test_hostile_captions_stay_with_their_clips(run: Run) -> None:
    # All scores of the oracle's clips, which came after them, are right (above); and their own are plausible.
    assert run.hostile[:7] == ["a dog barks"] * 7
    assert run.hostile[7] == "a dog | | | barks"
    assert [run.hostile[place] for place in (11, 12, 13)] == ["", "", ""]
    assert len(run.hostile[14].split()) == 2_000
    scores = meteor(run.hostile_counts)
    assert scores[:7] == pytest.approx(1.0)
    assert (scores[11:16] == 0).all()
    assert np.isfinite(scores).all()
    assert scores.max() <= 1
    # The number of words that METEOR counts, and not those of another clip.
    assert run.hostile_counts[:7, 0].tolist() == [3.0] * 7


def test_no_text_has_a_second_line() -> None:
    for code in [*range(0x3000), 0xFEFF, *range(0xD800, 0xE000, 64), 0x1F436]:
        line = one_line(f"a{chr(code)}b")
        assert len(line) == 3
        assert len(line.splitlines()) == 1
        line.encode("utf-8")


@pytest.mark.slow
def test_a_program_in_java_is_ended_in_time_and_its_error_is_said(tmp_path: Path) -> None:
    with pytest.raises(JavaError, match=r"the program was ended after 0 s without a result"):
        run_java("the program", ["-version"], timeout_s=0.001)
    with pytest.raises(JavaError, match=r"the program failed with exit code 1: Error: .*NoSuchClass"):
        run_java("the program", ["-cp", str(tmp_path), "NoSuchClass"])


def test_intervals_are_those_of_resampled_test_sets() -> None:
    generator = np.random.default_rng(1)
    words = np.array(["a", "dog", "cat", "barks", "runs", "loudly"])
    captions = [" ".join(generator.choice(words, 5)) for _ in range(60)]
    references = [[" ".join(generator.choice(words, 5)) for _ in range(2)] for _ in captions]
    counts = coco.bleu_counts(captions, references)
    resampling = Resampling([str(clip) for clip in range(60)])
    drawn = []
    for draw in resampling.draws.astype(int):
        # Clips are in the order of their recordings' names.
        picked = np.repeat(np.argsort([str(clip) for clip in range(60)]), draw)
        drawn.append(coco.bleu(counts[picked].sum(axis=0)))
    some = [captions[clip] for clip in picked], [references[clip] for clip in picked]
    assert coco.bleu(coco.bleu_counts(*some).sum(axis=0)) == pytest.approx(drawn[-1], abs=1e-12)
    ends = resampling.of_counts(counts, coco.bleu)
    for (low, high), column in zip(ends, np.array(drawn).T, strict=True):
        # Wider than the plain percentiles, by what few recordings need.
        plain_low, plain_high = np.percentile(column, (2.5, 97.5))
        assert plain_low - 0.01 < low <= plain_low < plain_high <= high < plain_high + 0.01
    # Clips of one recording are drawn together; with one recording, nothing could vary.
    assert Resampling(["same"] * 60).of_mean(counts[:, 0]) == (None, None)


def test_without_files_scores_say_where_to_get_them(tmp_path: Path) -> None:
    words = (["a dog barks"], [["a dog barks"]])
    for folder in (None, tmp_path):
        scores = {score.name: score for score in judged(words, words, np.array([1.0]), folder, "cpu")}
        assert all(score.values is None for score in scores.values())
        assert "stanford-corenlp-full-2015-12-09.zip" in scores["SPICE"].note
        assert "JavaScript" in scores["SPICE"].note
        assert "blmoistawinde/fense" in scores["fluency errors"].note
        assert scores["SPIDEr"].note == "not measured: it is made of SPICE"
        assert scores["SPIDEr-FL"].note == "not measured: it is made of SPIDEr and fluency errors"
        assert scores["FENSE"].note.startswith("not measured: it is made of paraphrase-TinyBERT-L6-v2 and")
        assert "huggingface.co/sentence-transformers/paraphrase-TinyBERT-L6-v2" in scores["FENSE"].note


def test_the_folder_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVCAPS_METRIC_FILES", raising=False)
    assert MetricFiles().folder is None
    monkeypatch.setenv("WAVCAPS_METRIC_FILES", "/models")
    assert MetricFiles().folder == Path("/models")


def test_spice_is_read_by_clip() -> None:
    # The form in which SPICE writes (SpiceStats.toJSONArray), in another order than it was asked.
    answer = json.dumps(
        [
            {"image_id": 7, "scores": {"All": {"f": 0.25, "pr": 0.5, "re": 0.2}, "Color": {"f": None}}},
            {"image_id": 2, "scores": {"All": {"f": 1.0, "pr": 1.0, "re": 1.0}, "Color": {"f": None}}},
        ]
    )
    assert parse_answer(answer, [2, 7]).tolist() == [1.0, 0.25]
    for broken in ("", "[]", answer[:-20], answer.replace("0.25", "null"), answer.replace("0.25", "NaN")):
        with pytest.raises(JavaError, match="SPICE"):
            parse_answer(broken, [2, 7])
    with pytest.raises(JavaError, match="SPICE scored 2 clips of 1"):
        parse_answer(answer, [2])


@pytest.mark.slow
def test_spice_is_started_and_its_failure_is_said(tmp_path: Path) -> None:
    # SPICE itself, with a tokenizer's jar in place of the parser's: it starts, and finds no parser.
    import pycocoevalcap

    jar = Path(next(iter(pycocoevalcap.__path__))) / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    (tmp_path / CORENLP[0]).symlink_to(jar)
    with zipfile.ZipFile(tmp_path / CORENLP[1], "w"):
        pass
    assert spice_lacks(tmp_path).startswith("a JavaScript engine")
    with zipfile.ZipFile(tmp_path / "engine.jar", "w") as engine:
        engine.writestr("META-INF/services/javax.script.ScriptEngineFactory", "")
    assert not spice_lacks(tmp_path)
    with pytest.raises(JavaError, match=r"SPICE failed with exit code 1: .*Parsing reference captions"):
        spice(["a dog barks"], [["the dog is barking"]], tmp_path)
    assert spice([""], [["the dog is barking"]], tmp_path).tolist() == [0.0]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with MiniLM as the Sentence-BERT, and an error finder in the layout of FENSE's."""
    (tmp_path / SENTENCE_BERT).symlink_to(minilm_folder())
    config = BertConfig(vocab_size=30_522, hidden_size=64, num_hidden_layers=1, num_attention_heads=1)
    torch.manual_seed(0)
    bert = BertModel(config)
    weights = {f"encoder.{name}": tensor for name, tensor in bert.state_dict().items()}
    weights["encoder.embeddings.position_ids"] = torch.arange(512).unsqueeze(0)
    weights["clf.weight"], weights["clf.bias"] = torch.zeros(6, 64), torch.tensor([-9.0] * 5 + [9.0])
    torch.save(
        {"model_type": "bert-base-uncased", "num_classes": 6, "state_dict": weights}, tmp_path / ERROR_FINDER
    )
    return tmp_path


@pytest.mark.slow
def test_fense_from_a_folder(models: Path) -> None:
    captions = ["A canine is barking.", "A canine is barking.", "Rain falls."]
    references = [["A dog barks."], ["A dog barks.", "Rain falls."], ["Rain falls."]]
    alike = likeness(captions, references, models)
    assert alike[2] == pytest.approx(1.0, abs=1e-6)
    assert alike[0] > 0.7 > alike[1]
    texts = ["a dog barks", "a canine is barking", "rain falls"]
    with torch.no_grad():
        vectors = TextEncoder.from_folder(TextEncoderSettings(pooling=Pooling.MEAN)).eval()(texts)
    cosines = torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:]).mean()
    assert likeness(texts[:1], [texts[1:]], models) == pytest.approx(float(cosines), abs=1e-5)
    assert error_probabilities(captions, models) == pytest.approx(1 / (1 + np.exp(-9)), abs=1e-6)
    scores = {
        score.name: score
        for score in judged((captions, references), (captions, references), np.zeros(3), models, "cpu")
    }
    assert scores["fluency errors"].values == pytest.approx(1.0)
    assert scores["FENSE"].values == pytest.approx(alike * 0.1)
    (models / ERROR_FINDER).write_bytes(b"not a checkpoint")
    with pytest.raises(MetricModelError, match=r"echecker_clotho_audiocaps_base\.ckpt is not FENSE's"):
        error_probabilities(captions, models)


def test_nothing_to_compare() -> None:
    with pytest.raises(NothingToCompare, match="there are no captions"):
        score_captions({}, {"one": ["a dog barks"]})
