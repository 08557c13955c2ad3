"""The draft as a document: the sections of the template, each with questions and answers.

The template is the European Commission's, C(2025) 5235 of 24 July 2025, which the Commission adopted again as
C(2025) 8311 on 5 December 2025
(https://digital-strategy.ec.europa.eu/en/library/explanatory-notice-and-template-public-summary-training-content-general-purpose-ai-models).
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict

TEMPLATE = "C(2025) 5235 final of 24 July 2025, adopted again as C(2025) 8311 final of 5 December 2025"
NOT_VERIFIED = (
    "The sections and questions follow public transcriptions of the template; its official PDF was not "
    "compared word by word. Compare this draft with it before you publish."
)


MARKUP = re.compile(r"([\\`*_\[\]<>|!#~$&])")


class Answer(BaseModel):
    """An answer to a question of the template.

    Attributes:
        question: of the template, in short.
        answer: computed; None: only the provider of the model knows it.
        to_fill_in: what the provider has to write.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    answer: str | list[str] | None = None
    to_fill_in: str | None = None


class Section(BaseModel):
    """A section of the template."""

    model_config = ConfigDict(frozen=True)

    number: str
    title: str
    answers: tuple[Answer, ...]


class TrainingSummary(BaseModel):
    """The draft.

    Attributes:
        template: the version of the template.
        not_verified: what was not checked.
        data_set, set_version, content_hash, slice: what the values were computed from.
        sections: those of the template.
    """

    model_config = ConfigDict(frozen=True)

    template: str = TEMPLATE
    not_verified: str = NOT_VERIFIED
    data_set: str
    set_version: str
    content_hash: str
    slice: str
    sections: tuple[Section, ...]

    def markdown(self) -> str:
        """The draft as a page. Blanks are marked `TO FILL IN`."""
        lines = [
            f"# Summary of training content: draft for {self.data_set}",
            "",
            f"Article 53(1)(d) of Regulation (EU) 2024/1689. Template: {self.template}. {self.not_verified}",
            "",
            f"Computed from version `{self.set_version}` (hash of its content: `{self.content_hash}`). "
            "This is no legal advice. It covers this data set only, not other data that the model was "
            "trained on.",
        ]
        for section in self.sections:
            lines += ["", f"## {section.number} {section.title}"]
            for one in section.answers:
                lines += ["", f"**{one.question}**", "", *_lines(one)]
        return "\n".join(lines) + "\n"


def _lines(one: Answer) -> list[str]:
    lines = [one.answer] if isinstance(one.answer, str) else [f"- {line}" for line in one.answer or ()]
    # Names of models and sites come from outside.
    found = [MARKUP.sub(r"\\\1", line) for line in lines]
    blank = [f"TO FILL IN: {one.to_fill_in}"] if one.to_fill_in else []
    return [*found, *([""] if found and blank else []), *blank]
