"""Whether a reply comes to the answer that a data set gives for its question."""

from __future__ import annotations

import re

from foreknown.strategies.answers import final_answer, same_answer

_OPTION = re.compile(r"\([A-Z]\)")


def says(reply: str, answer: str) -> bool:
    """Whether a reply ends in an answer, by the normal form of both.

    It may say so in a box, after a mark such as "the answer is", or by its last line. Where the
    answer is the letter of an option, as in (B), the option's text may follow.
    """
    said = final_answer(reply)
    if said is not None and same_answer(said, answer):
        return True
    last = reply.rstrip().rpartition("\n")[2].strip()
    if _OPTION.fullmatch(answer) and (option := _OPTION.match(last)):
        return option[0] == answer
    return bool(last) and same_answer(last, answer)
