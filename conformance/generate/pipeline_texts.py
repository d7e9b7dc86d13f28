"""Seeded texts for the pipelines: short sentences in many scripts, as people and programs write them.

Most of a text is ASCII; emoji, combining marks, right-to-left and CJK stand in between, so that code points, UTF-16 units and bytes all differ.
"""

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

WORDS = (
    "the a of to and in on with from by old new long short red blue quiet early river house train letter garden morning "
    "teacher engine window answer question attention reads writes finds keeps opens moves sends waits stands turns runs "
    "Anna Boris Chen Dolores Emil Fatima Paris Oslo Lima Kyoto 3 17 1984 2,048 3.5 don't it's we're"
).split()

PIECES = [
    "caf\u00e9", "na\u00efve", "\u00dcber", "stra\u00dfe", "\u0130stanbul", "e\u0301te\u0301", "n\u0303andu\u0301", "Z\u0351\u036ba\u0334",
    "\u041f\u0440\u0438\u0432\u0435\u0442", "\u03ba\u03cc\u03c3\u03bc\u03bf\u03c2", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\u6f22\u5b57\u304b\u306a", "\ud55c\uad6d\uc5b4", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600", "\U0001f44b\U0001f3fd", FAMILY, "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\U0001d54f\U00010330", "\ufb01n", "\u201cquoted\u201d", "a\u00a0b", "x\u200by",
    "(so)", "end.", "why?", "no!", "--", "http://a.b/c?d=1", "me@example.org", "C:\\temp", "<b>", "&amp;", "#5",
]  # fmt: skip

GAPS = [" "] * 12 + ["  ", "\n", "\t", " \n ", ", ", "; ", "", "\u00a0", "\u3000"]

SHORT = ["a", "ab", ".", "\u00e9", "\U0001f600", "\u05d0", "\u4e2d", "e\u0301", " a", "a ", "\na\n", "Hi", "1", "  word  ", "\t\U0001f600\t"]


def text(random, fewest, most):
    """So many words, with what stands between them; sometimes blanks at the ends."""
    parts = []
    for _ in range(random.randint(fewest, most)):
        parts.append(random.choice(PIECES if random.random() < 0.25 else WORDS))
        parts.append(random.choice(GAPS))
    if random.random() < 0.8:
        parts.pop()
    if random.random() < 0.1:
        parts.insert(0, random.choice([" ", "  ", "\n"]))
    return "".join(parts)


def short_or(random, fewest, most, share=0.2):
    """Every fifth text is as short as a text can be."""
    return random.choice(SHORT) if random.random() < share else text(random, fewest, most)
