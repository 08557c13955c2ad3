"""Stage 3 of a source as a run makes it: with second questions where they are needed, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from wavcaps_assets.captioning.refining import Postprocessed, Rejected, SecondAnswer, postprocess
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.progress import Account, Facts
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleChoice, RuleSettings
from wavcaps_assets.store.storage import Store


def choose_rules(choice: RuleChoice, embedded_model: bool) -> RuleSettings:
    """The rules of a run: those of a preset, with what a person wants otherwise.

    Args:
        embedded_model: whether the model is the demo's small one, which writes nothing better when it is
            told what is wrong: without a word on it, it is not asked again.

    Raises:
        ValueError: there is no such preset, rule or repair, or a value is not allowed; says which are.
    """
    name = choice.preset or "paper"
    if name not in RULE_PRESETS:
        raise ValueError(f"no preset {name!r} of rules; there are {', '.join(RULE_PRESETS)}")
    rules = RULE_PRESETS[name]
    changes = choice.model_dump(exclude={"preset", "verdicts"}, exclude_none=True)
    if embedded_model:
        changes = {"second_questions": 0, **changes}
    verdicts = {**rules.verdicts, **choice.verdicts}
    try:
        return RuleSettings.model_validate({**rules.model_dump(), **changes, "verdicts": verdicts})
    except ValidationError as error:
        problems = (
            ": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")])
            for one in error.errors()
        )
        raise ValueError(f"the rules of stage 3 cannot be so: {'; '.join(problems)}") from error


@dataclass(frozen=True)
class Refined:
    """A source's published captions, and what is worth knowing of how they came about."""

    outcome: Postprocessed
    facts: Facts


def postprocess_source(
    captions: pa.Table,
    source: str,
    rules: RuleSettings,
    captioning: CaptioningSettings,
    llm: ModelSettings,
    store: Store,
    say: Callable[[str], object] = lambda line: None,
    account: Account | None = None,
    run: str = "",
) -> Refined:
    """Judges a source's captions, and asks about some again, within the budget of `llm`.

    Neither the model nor the ledger is looked for before a question has to be asked.

    Args:
        captions: `tables.LLM_CAPTIONS`.
        captioning: how stage 2 put the texts.
        say: told what a person wants to read in the log.
        account: told the estimate before anything is asked, and what was spent, whatever the end.
        run: the run that the budget is counted in; empty: one of its own.

    Raises:
        Paused: a budget is used up; what was answered stays, and the next run goes on from there.
        EndpointError, PromptError, PriceError, BudgetTooSmall: a question cannot be asked.
    """
    account = account or Account()
    with ExitStack() as opened:
        asker: Asker | None = None

        def ask(rejected: Sequence[Rejected], turn: int) -> Sequence[SecondAnswer]:
            nonlocal asker
            say(f"{len(rejected)} captions are asked about again (question {turn + 2} about each)")
            asker = asker or Asker(source, captioning, llm, store, opened, say, account, run)
            return asker.ask(rejected, turn)

        try:
            outcome = postprocess(
                captions, rules, ask, _shown(captions, source) if rules.compares_prompt else {}
            )
        finally:
            if asker is not None:
                account.spent(asker.facts())
    return Refined(outcome, {"captions asked about again": outcome.asked_again, **account.facts})


def _shown(captions: pa.Table, source: str) -> dict[str, tuple[str, ...]]:
    """What a model was and will be shown besides the texts, by the version of its prompt."""
    from wavcaps_assets.captioning.prompts import find_prompt
    from wavcaps_assets.captioning.second_questions import second_prompts

    versions = pc.unique(captions.column("prompt_version")).to_pylist()
    first = (find_prompt(version, source) for version in versions)
    return {prompt.version: prompt.shown for prompt in (*first, *second_prompts()) if prompt is not None}


class Asker:
    """The way to the model, with one budget for all the questions of a run."""

    def __init__(
        self,
        source: str,
        captioning: CaptioningSettings,
        llm: ModelSettings,
        store: Store,
        opened: ExitStack,
        say: Callable[[str], object],
        account: Account,
        run: str,
    ) -> None:
        from wavcaps_assets.captioning.run import Reporter
        from wavcaps_assets.llm.budget import Budget
        from wavcaps_assets.llm.chat import ChatModel
        from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
        from wavcaps_assets.llm.prices import load_prices

        self._source = source
        self._captioning = captioning
        self._llm = llm
        self._say = say
        self._account = account
        self._model = ChatModel(llm)
        self._ledger = opened.enter_context(ResponseLedger(store, ANSWERS))
        self._prices = load_prices(llm.prices)
        budget = Budget(self._prices, self._model.name, self._ledger, llm, run=run)
        self._budget = opened.enter_context(budget)
        self._reporter = Reporter(say)

    def ask(self, rejected: Sequence[Rejected], turn: int) -> list[SecondAnswer]:
        from wavcaps_assets.captioning.second_questions import ask_again, planned_questions
        from wavcaps_assets.llm.estimate import estimate

        planned = planned_questions(rejected, turn, self._captioning, self._model.name, self._ledger)
        before = estimate(planned, self._ledger, self._prices, self._llm)
        self._say(before.summary)
        if not self._account.facts:
            # Later questions ask about what earlier ones left: the first estimate says the most.
            self._account.estimated(before.metadata())
        self._reporter.next_asking()
        return ask_again(
            rejected,
            turn,
            self._source,
            self._captioning,
            self._model,
            self._ledger,
            self._budget,
            watch=self._reporter.hear,
        )

    def facts(self) -> Facts:
        return {**self._reporter.facts(), "spent by this run (USD)": self._budget.run_usd}
