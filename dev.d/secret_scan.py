"""Finds secrets and payment card numbers in the files named on standard input (NUL between names).

Prints "file:line: what" without the find itself, so that the report does not spread it. Exits 1 when
anything was found.
"""

import re
import sys

SECRETS = [
    ("a private key", re.compile(r"PRIVATE KEY-----(\\n|\s)*[A-Za-z0-9+/]{40}")),
    # Keys of the simulator say DEMO and open nothing.
    ("a Toss key", re.compile(r"\b(?:live|test)_g?[cs]k_(?!DEMO)[A-Za-z0-9]{16,}")),
    ("a Stripe key", re.compile(r"\b[sr]k_(?:live|test)_(?!DEMO)[A-Za-z0-9]{16,}|\bwhsec_(?!DEMO)[A-Za-z0-9]{24,}")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20}")),
    ("a Google key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("a signed token", re.compile(r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}")),
]

# 13 to 19 digits, as one or grouped as on a card, that are not part of a longer word or number.
DIGITS = re.compile(
    r"(?<![\w.+/=-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w+/=-]|\.\d)"
)
# The networks' own beginnings: without them one number in ten would look like a card.
NETWORKS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?$|5[1-5]\d{14}$|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}$"
    r"|3[47]\d{13}$|3(?:0[0-5]|[68]\d)\d{11}$|6(?:011|5\d\d|4[4-9]\d)\d{12}$|35\d{14}$|62\d{14,17}$|9\d{15}$"
)


def luhn(number):
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def finds(text):
    """Yields (offset, what)."""
    for what, pattern in SECRETS:
        for match in pattern.finditer(text):
            yield match.start(), what
    for match in DIGITS.finditer(text):
        number = re.sub(r"[ -]", "", match.group())
        if NETWORKS.match(number) and luhn(number) and len(set(number)) > 1:
            yield match.start(), "a card number"


def main():
    found = False
    for name in sys.stdin.buffer.read().split(b"\0"):
        try:
            with open(name, "rb") as file:
                data = file.read() if name else b""
        except (FileNotFoundError, IsADirectoryError):
            continue  # deleted but not committed yet, or a submodule
        if b"\0" in data[:8000]:
            continue  # a picture or a font
        text = data.decode("utf-8", "replace")
        for offset, what in finds(text):
            found = True
            line = text.count("\n", 0, offset) + 1
            print(f"{name.decode('utf-8', 'replace')}:{line}: {what}")
    return 1 if found else 0


sys.exit(main())
