"""Patterns for the formats of JSON Schema that the grammar's engine has none for.

Each matches texts of its format only; of those with rare characters, not all. They are written in
Rust's syntax.
"""

from __future__ import annotations

_POINTER = r"(?:/(?:[^~/]|~[01])*)*"
_PATH = r"[0-9A-Za-z._~/-]"
_QUERY = r"(?:\?[0-9A-Za-z._~/?=&+,-]*)?(?:#[0-9A-Za-z._~/?=&+,-]*)?"
_REFERENCE = rf"(?:https?://[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*(?:/{_PATH}*)?|{_PATH}*){_QUERY}"

# Regular expressions: one level of groups, nothing that validators read differently.
_ATOM = (
    r"(?:[0-9A-Za-z _@#%&=~'<>,;:/!-]|\."
    r"|\\[dDwWsS.\\/*+?()\[\]{}|^$-]"
    r"|\[\^?(?:[0-9A-Za-z_ .,:;/@%+=!?]|a-z|A-Z|0-9|\\[dws])+\])"
)
_TIMES = r"(?:[*+?]|\{[0-9]{1,2},?\})?"
_SEQUENCE = rf"(?:{_ATOM}{_TIMES})*"
_GROUP = rf"\((?:\?:)?{_SEQUENCE}(?:\|{_SEQUENCE})*\){_TIMES}"
_PIECES = rf"(?:{_ATOM}{_TIMES}|{_GROUP})*"

PATTERNS = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "json-pointer": _POINTER,
        "relative-json-pointer": rf"(?:0|[1-9][0-9]{{0,8}})(?:#|{_POINTER})",
        "uri-reference": _REFERENCE,
        "iri-reference": _REFERENCE,
        "iri": rf"[a-z]{{2,10}}:{_PATH}+{_QUERY}",
        "uri-template": rf"(?:{_PATH}|\{{[0-9A-Za-z_]+\}})*",
        "regex": rf"\^?{_PIECES}(?:\|{_PIECES})*\$?",
    }.items()
}
