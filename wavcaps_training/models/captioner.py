"""The captioning model: a BART reads the steps of an audio encoder as if they were words (section IV.B)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import shift_tokens_right

from wavcaps_training.models.audio_encoder import AudioEncoder, build_audio_encoder
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.text import clean_caption
from wavcaps_training.models.text_encoder import TextModelError, minilm_folder, quiet_transformers
from wavcaps_training.settings.captioner import BartSettings, CaptionerSettings, GenerationSettings

IGNORED = -100  # target of padding, which cross entropy ignores


class SpecialTokens(NamedTuple):
    """Ids of the begin, padding and end tokens; the defaults are bart-base's."""

    begin: int = 0
    pad: int = 1
    end: int = 2

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
        """Those of a tokenizer; BERT's [CLS] and [SEP] are used as begin and end."""
        begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        return cls(
            begin=tokenizer.cls_token_id if begin is None else begin,
            pad=tokenizer.pad_token_id,
            end=tokenizer.sep_token_id if end is None else end,
        )


class Captioner(nn.Module):
    """Generates captions of clips.

    The audio encoder's steps are projected to BART's width and are the input embeddings of BART's own
    encoder, without a mask. The decoder attends to that encoder's output, which is called memory here.

    Names in the state dict are those of the released checkpoints: `encoder.audio_enc.*`,
    `enc_to_dec_proj.*` and `decoder.*`, the last a complete BART with its tied weights.
    """

    def __init__(
        self,
        audio: AudioNetwork,
        bart: BartForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        settings: CaptionerSettings,
    ) -> None:
        super().__init__()
        self.encoder = AudioEncoder(audio)
        self.enc_to_dec_proj = nn.Linear(audio.settings.fine_grained_dim, settings.bart.width)
        self.decoder = bart
        self.tokenizer = tokenizer
        self.settings = settings

    @classmethod
    def build(
        cls, settings: CaptionerSettings, *, pretrained_bart: bool = True, text_folder: Path | None = None
    ) -> Captioner:
        """A model with fresh audio weights, and with BART's weights from a folder if the settings name one.

        Args:
            settings: what the model is.
            pretrained_bart: whether BART's weights are read; False if a checkpoint will fill the model.
            text_folder: the tokenizer, if not that of the settings' folder. Needs `pretrained_bart=False`.

        Raises:
            TextModelError: there is no such BART where the settings say.
        """
        folder = text_folder or (Path(settings.bart.folder) if settings.bart.folder else minilm_folder())
        if settings.bart.folder and text_folder is None:
            check_folder(folder, settings.bart)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = bart_config(settings.bart, len(tokenizer), SpecialTokens.of(tokenizer))
        if settings.bart.folder and pretrained_bart:
            with quiet_transformers():
                bart = BartForConditionalGeneration.from_pretrained(
                    folder, config=config, local_files_only=True
                )
        else:
            bart = BartForConditionalGeneration(config)
        return cls(build_audio_encoder(settings.audio, pretrained=pretrained_bart), bart, tokenizer, settings)

    @property
    def text_config(self) -> PretrainedConfig:
        return self.decoder.config

    def log_mel(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, 1, frames, mel bins)."""
        return self.encoder.audio_enc.audio_feats_extractor(waveform)

    def read_audio(self, log_mel: Tensor) -> Tensor:
        """The memory that the decoder attends to.

        Args:
            log_mel: (batch, 1, frames, mel bins), in dB.

        Returns:
            (batch, audio tokens, BART's width).

        Raises:
            ValueError: the clips give more tokens than BART has positions.
        """
        tokens = self.encoder.audio_enc.encode(log_mel).fine_grained_embedding
        positions = self.decoder.config.max_position_embeddings
        if tokens.shape[1] > positions:
            raise ValueError(
                f"the clips give {tokens.shape[1]} audio tokens, but this BART has {positions} positions; "
                "crop the clips, or enlarge bart.max_positions"
            )
        encoder = self.decoder.get_encoder()
        return encoder(inputs_embeds=self.enc_to_dec_proj(tokens)).last_hidden_state

    def tokenize(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Cleans and tokenizes captions: ids and mask (1 on tokens), both (captions, tokens)."""
        tokens = self.tokenizer(
            [clean_caption(caption) for caption in captions],
            padding="longest",
            truncation=True,
            max_length=self.settings.max_tokens,
            return_tensors="pt",
        ).to(self.decoder.device)
        return tokens["input_ids"], tokens["attention_mask"]

    def predict(self, memory: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Predicts each token of known captions from the previous ones.

        Args:
            memory: from `read_audio`.
            input_ids: (batch, tokens), from the begin token to the end token, then padding.
            attention_mask: (batch, tokens), 1 on tokens. As in the released code it masks the decoder's
                inputs, which are the ids shifted right, without being shifted itself.

        Returns:
            Logits: (batch, tokens, vocabulary).
        """
        config: Any = self.decoder.config
        return self.decoder(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory),
            decoder_input_ids=shift_tokens_right(
                input_ids, config.pad_token_id, config.decoder_start_token_id
            ),
            decoder_attention_mask=attention_mask,
            use_cache=False,
        ).logits

    def loss(self, log_mel: Tensor, captions: Sequence[str]) -> Tensor:
        """Mean cross entropy of the captions' tokens (equation 4), with the settings' label smoothing.

        Args:
            log_mel: (batch, 1, frames, mel bins), in dB.
            captions: one for each clip.
        """
        input_ids, attention_mask = self.tokenize(captions)
        logits = self.predict(self.read_audio(log_mel), input_ids, attention_mask)
        return caption_loss(logits, input_ids, attention_mask, self.settings.label_smoothing)

    @torch.no_grad()
    def generate(self, log_mel: Tensor) -> list[str]:
        """Generates a caption for each clip, from (batch, 1, frames, mel bins) in dB."""
        return self.write(self.read_audio(log_mel))

    @torch.no_grad()
    def write(self, memory: Tensor) -> list[str]:
        """Generates a caption for each clip, from the memory that `read_audio` returned."""
        ids = self.generate_ids(memory, self.settings.generation)
        captions = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [caption.strip() for caption in captions]

    def generate_ids(self, memory: Tensor, settings: GenerationSettings) -> Tensor:
        """Token ids of each clip's caption: (batch, tokens), padded after the end token.

        Everything is set here, because a fresh configuration lacks bart-base's ban on repeated trigrams and
        its early stopping.
        """
        decoder: Any = self.decoder
        config = decoder.config
        generation = GenerationConfig(
            num_beams=settings.beams,
            do_sample=False,
            max_length=settings.max_tokens,
            min_length=settings.min_tokens,
            no_repeat_ngram_size=settings.no_repeat_ngram,
            early_stopping=settings.early_stopping and settings.beams > 1,
            decoder_start_token_id=config.decoder_start_token_id,
            bos_token_id=config.bos_token_id,
            forced_bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            forced_eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )
        ids: Tensor = decoder.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory), generation_config=generation
        )
        return ids


def caption_loss(logits: Tensor, input_ids: Tensor, attention_mask: Tensor, label_smoothing: float) -> Tensor:
    """Mean cross entropy over all tokens but padding; the begin token is a target too.

    Args:
        logits: (batch, tokens, vocabulary).
        input_ids: (batch, tokens), the targets.
        attention_mask: (batch, tokens), 0 on padding.
        label_smoothing: share of the target that is spread evenly over all tokens.
    """
    targets = input_ids.masked_fill(attention_mask == 0, IGNORED)
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
    )


def bart_config(
    settings: BartSettings, vocabulary: int = 50_265, tokens: SpecialTokens | None = None
) -> BartConfig:
    """A BART of these sizes; by default with bart-base's vocabulary."""
    tokens = tokens or SpecialTokens()
    return BartConfig(
        vocab_size=vocabulary,
        d_model=settings.width,
        encoder_layers=settings.encoder_layers,
        decoder_layers=settings.decoder_layers,
        encoder_attention_heads=settings.heads,
        decoder_attention_heads=settings.heads,
        encoder_ffn_dim=settings.feed_forward,
        decoder_ffn_dim=settings.feed_forward,
        max_position_embeddings=settings.max_positions,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        activation_dropout=settings.dropout,
        bos_token_id=tokens.begin,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.end,
        # BART's decoder starts with the end token; the begin token is the first that it generates.
        decoder_start_token_id=tokens.end,
        forced_eos_token_id=tokens.end,
    )


def check_folder(folder: Path, settings: BartSettings) -> None:
    """Checks that a folder contains the BART that the settings describe.

    Raises:
        TextModelError: it contains none, or one of other sizes.
    """
    if not (folder / "config.json").is_file():
        raise TextModelError(
            f"no BART model in {folder}: it needs config.json, model.safetensors and the tokenizer's files; "
            "set bart.folder to such a folder, or leave it empty for a fresh BART"
        )
    found = BartConfig.from_pretrained(folder, local_files_only=True)
    if found.model_type != "bart":
        raise TextModelError(f"the model in {folder} is a {found.model_type!r}, not a BART")
    wanted = bart_config(settings)
    names = {
        "width": "d_model",
        "encoder_layers": "encoder_layers",
        "decoder_layers": "decoder_layers",
        "heads": "decoder_attention_heads",
        "feed_forward": "decoder_ffn_dim",
        "max_positions": "max_position_embeddings",
    }
    differences = [
        f"bart.{setting} is {getattr(wanted, name)}, but the folder's is {getattr(found, name)}"
        for setting, name in names.items()
        if getattr(found, name) != getattr(wanted, name)
    ]
    if differences:
        raise TextModelError(f"the BART in {folder} is not the one of the settings: {'; '.join(differences)}")
