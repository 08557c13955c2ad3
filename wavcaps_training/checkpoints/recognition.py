"""Recognises the model of a checkpoint from the names of its weights."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Family(Enum):
    """A model that a checkpoint may belong to.

    Attributes:
        title: its name in errors.
        initialises: the family of our models that its weights fill: itself, except for AudioSet's.
    """

    HTSAT_BERT = "WavCaps' retrieval model HTSAT-BERT"
    CNN14_BERT = "WavCaps' retrieval model CNN14-BERT"
    HTSAT_BART = "WavCaps' captioning model HTSAT-BART"
    CNN14_BART = "WavCaps' captioning model CNN14-BART"
    HTSAT = "an HTSAT audio encoder"
    CNN14 = "a CNN14 audio encoder"
    AUDIOSET_HTSAT = "HTSAT trained on AudioSet"
    PANNS_CNN14 = "PANNs' CNN14"
    PANNS_OTHER = "a network of PANNs other than CNN14"
    LAION_CLAP = "LAION's CLAP"
    MICROSOFT_CLAP = "Microsoft's CLAP"
    AUDIOLDM = "AudioLDM"
    BERT = "only a BERT"
    BART = "only a BART"
    UNKNOWN = "an unknown model"

    @property
    def title(self) -> str:
        return self.value

    @property
    def initialises(self) -> Family:
        return {Family.AUDIOSET_HTSAT: Family.HTSAT, Family.PANNS_CNN14: Family.CNN14}.get(self, self)

    @property
    def is_panns(self) -> bool:
        return self is Family.PANNS_CNN14

    @property
    def is_audioset(self) -> bool:
        return self.is_panns or self is Family.AUDIOSET_HTSAT


# For each family, beginnings of its weights' names. The first family that has all of them is the one.
BEGINNINGS: tuple[tuple[Family, tuple[str, ...]], ...] = (
    (Family.AUDIOLDM, ("model.diffusion_model.",)),
    (Family.AUDIOLDM, ("first_stage_model.",)),
    (Family.HTSAT_BERT, ("audio_encoder.audio_enc.patch_embed.", "text_encoder.text_encoder.")),
    (Family.CNN14_BERT, ("audio_encoder.audio_enc.conv_block6.", "text_encoder.text_encoder.")),
    (Family.HTSAT_BART, ("encoder.audio_enc.patch_embed.", "decoder.model.")),
    (Family.CNN14_BART, ("encoder.audio_enc.conv_block6.", "decoder.model.")),
    (Family.MICROSOFT_CLAP, ("audio_encoder.", "caption_encoder.")),
    (Family.LAION_CLAP, ("audio_branch.", "text_branch.")),
    (Family.LAION_CLAP, ("module.audio_branch.", "module.text_branch.")),
    (Family.AUDIOSET_HTSAT, ("sed_model.patch_embed.", "sed_model.layers.")),
    (Family.HTSAT, ("patch_embed.", "layers.", "tscam_conv.")),
    (Family.PANNS_CNN14, ("spectrogram_extractor.", "conv_block6.", "bn0.")),
    (Family.PANNS_OTHER, ("spectrogram_extractor.", "bn0.")),
    (Family.CNN14, ("conv_block6.", "bn0.")),
    (Family.BERT, ("embeddings.word_embeddings.", "encoder.layer.")),
    (Family.BERT, ("bert.embeddings.",)),
    (Family.BART, ("model.shared.",)),
    (Family.BART, ("shared.", "decoder.layers.")),
)


def recognise(names: Iterable[str]) -> Family:
    """The family whose weights have these names."""
    known = list(names)
    for family, beginnings in BEGINNINGS:
        if all(any(name.startswith(beginning) for name in known) for beginning in beginnings):
            return family
    return Family.UNKNOWN
