"""The table of rules.

A module of rules ends with a tuple `RULES`. To add a rule, add it to such a tuple, or write a new module
and name it here.
"""

from __future__ import annotations

from importlib import import_module

from wavcaps_assets.rules.rule import Rule

# In this order rules look at a caption, and complaints are listed.
MODULES = (
    "sentence_rules",
    "answer_rules",
    "vocabulary_rules",
    "character_rules",
    "grammar_rules",
    "prompt_rules",
    "content_rules",
    "time_rules",
    "strict_rules",
)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {}
    for module in MODULES:
        for rule in import_module(f"wavcaps_assets.rules.{module}").RULES:
            if rule.name in table:
                raise ValueError(f"two rules have the name {rule.name!r}; the second is in {module}.py")
            table[rule.name] = rule
    return table


RULES = _table()
RULES_WITHOUT_PARSER = tuple(name for name, rule in RULES.items() if not rule.needs_parser)
