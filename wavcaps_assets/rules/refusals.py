"""Recognises answers without a caption: "Failure.", or a refusal in English."""

from __future__ import annotations

import re

FAILURE = re.compile(r"[\"'“*\s]*failure(?:[\"'”*\s]*$|\s*[.!,:;(-])", re.IGNORECASE)

# The patterns match a line in lower case, with plain apostrophes and single spaces.
NOT = r"(?:can|could|do|did|will|would|should|must|may)(?:n'?t| not)"
REFUSED = r"(?:declined|denied|rejected|blocked|refused|flagged|filtered|prohibited|disallowed)"
UNFIT = r"(?:explicit|inappropriate|unsafe|offensive|sensitive|harmful|hateful|hate)"
IS = r"(?:has been|have been|was|were|is|are|may be|contains?|may contain|appears to be|seems to be)"
OPENINGS = (
    # About the model itself.
    r"sorry\b|apolog(?:y|ies)\b|my apologies\b|regrettably\b",
    r"as an? (?:\w+ )?(?:ai|artificial intelligence|large language|language model)\b",
    r"unfortunately,? (?:i|we|this|that|it|the (?:text|description|request|content))\b",
    r"(?:i'm|i am|i was|we're|we are) (?:\w+ )?(?:sorry|afraid|unable|not|an ai|here to|designed|programmed"
    r"|trained|instructed|going to have to)\b",
    rf"(?:i|we) (?:{NOT}|can'?t|cannot|won'?t|apologi[sz]e|refuse|decline|regret|prefer not"
    r"|would (?:rather|prefer)|(?:must|have to) decline|need (?:more|the|a)|have no (?:way|ability|access)"
    r"|have been (?:instructed|trained|told|asked))\b",
    r"i (?:think|understand|recommend|suggest|appreciate|(?:strongly )?advise)\b",
    r"(?:i|we)(?:'d (?:rather|prefer)|'ve been (?:instructed|trained|told|asked))\b",
    r"(?:cannot|can't|can not|won't|unable to|not able to) (?:\w+ )?(?:assist|help|comply|process|fulfil"
    r"|describe|generate|provide|answer|complete|create|write|caption|continue|respond)",
    r"the (?:model|assistant|ai) (?:has )?(?:declined|refused|cannot|can't)\b",
    # About too little text.
    r"(?:there (?:is|was|'s) |there's )?(?:no|not enough|insufficient|too little) (?:\w+ ){0,2}"
    r"(?:information|details?|context|description|text|input|data)\b",
    r"no (?:\w+ )?(?:sounds?|audio|events?) (?:is|are|was|were|can be) (?:described|mentioned|given"
    r"|specified|provided|listed|identified|determined)\b",
    r"(?:the|this|your|that) (?:\w+ )?(?:text|description|input|title|prompt|sentence) (?:does not"
    r"|doesn'?t|do not|is too|is not|isn'?t|lacks|has no|contains no|gives no|only (?:says|has))\b",
    r"it (?:is|was|remains) (?:unclear|unknown|not clear|(?:difficult|hard) to (?:tell|say|know))\b",
    # About the request.
    r"(?:please|(?:could|can|would) you)(?: please)? (?:provide|share|give me|send|rephrase|clarify"
    r"|specify)\b",
    r"(?:it's|it is|it would be|this is|that's|that is) (?:not (?:possible|appropriate|something|allowed"
    r"|permitted|safe)|impossible|inappropriate)\b",
    r"no (?:audio )?(?:caption|description|response|answer) (?:can|could|is|was|will|has) (?:\w+ ){0,2}"
    r"(?:generated|provided|given|available|possible|produced|written)\b",
    rf"(?:(?:this|that|the|your) )?(?:\w+ )?(?:request|prompt|content) (?:{IS} )?(?:{REFUSED}|{UNFIT})\b",
    rf"(?:this|that|the|your) (?:provided |given )?(?:query|response|topic|description|text) {IS}"
    rf" (?:{REFUSED}|{UNFIT})\b",
    r"(?:(?:this|that|the|your) )?(?:request|prompt|content|query|topic|description|text) (?:(?:is|was|can)"
    r" )?(?:not|cannot)(?: be)? (?:allowed|permitted|appropriate|processed|described|provided|related)\b",
    r"thank you for (?:understanding|your (?:understanding|request|question))\b",
    r"(?:refused|refusal|declined|redacted|censored|blocked)\W*$",
)
# Anywhere in a line: terms for a model's own rules.
POLICIES = (
    r"\b(?:content|usage|safety|moderation|community|openai(?:'s)?|our|my) (?:\w+ )?(?:polic(?:y|ies)"
    r"|guidelines?)\b",
    r"\b(?:violat\w+|against|breach(?:es)?)\b[^.]{0,40}\b(?:polic(?:y|ies)|guidelines|terms of)\b",
    r"\b(?:policy (?:restriction|violation)s?|guidelines (?:prevent|forbid|prohibit|do not|don't))\b",
    rf"\b(?:prohibited|disallowed|adult|{UNFIT}) content\b",
    r"\b(?:is|are) not (?:allowed|permitted)\W*$|\bflagged (?:this|as|by)\b",
    r"\bfor (?:safety|policy|legal|ethical|privacy) reasons\b",
    r"\blanguage model\b",
)
# Each of the patterns above needs one of these words: a fast test for most captions.
POLICY_WORD = re.compile("polic|guideline|terms|reasons|model|content|allowed|permitted|flagged")
OPENING = re.compile("|".join(OPENINGS))
POLICY = re.compile("|".join(POLICIES))


def is_refusal(caption: str) -> bool:
    """Whether the model says that it cannot or will not answer."""
    line = " ".join(caption.lower().replace("’", "'").split()).lstrip("\"'“*_[( ")
    if OPENING.match(line):
        return True
    return POLICY_WORD.search(line) is not None and POLICY.search(line) is not None


def is_failure(caption: str) -> bool:
    """Whether the model says that the text is not about a sound: "Failure." (Table I)."""
    return FAILURE.match(caption) is not None
