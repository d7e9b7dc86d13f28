"""Text for the tokenizer cases: what people, editors and attackers really write, and random mixtures of it."""

import unicodedata

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"

NASTY = [
    "",
    " ",
    "   ",
    "\n",
    "\t\n\r\n ",
    "Hello world",
    " Hello  world ",
    "   three   blanks   ",
    "tab\there, newline\nthere, both \t\n everywhere\r\n",
    "a\n\nb \n c\n d",
    "\u00a0no\u00a0break\u00a0 spaces\u202f\u2003\u3000wide",
    "line\u2028separator\u2029paragraph\u0085next line",
    "\ufeffbyte order mark \ufeff inside\ufeff",
    "zero\u200bwidth\u200cnon\u200djoiners\u2060 and\u00adsoft",
    "It's what they've said: I'd, you'll, we're, I'm, can't 's 't 'x 'S 'LL '",
    "''s 'll' ''' 'ss 'd'd o'clock",
    "\u2019s typographic \u2018quotes\u2019 don\u2019t contract",
    "1234567890 3.14159 1,000,000 \u00bd \u00b2 \u2167 \u0661\u0662\u0663 \u4e00\u4e8c",
    "x1y2 3z 4 _5_ 6th",
    "!!! ??? ... --- ,,, ;;; a!b?c.d",
    "<html>&amp;</html> {json: [1, 2]} \\path\\to #tag @name $5 50% ^ ~ ` |",
    "e\u0301 n\u0303 a\u0308\u0304 \u0915\u094d\u0937\u093f \u0e01\u0e33\u0e19",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f\u031e\u0320\u034d A\u036b\u0357\u0334\u0362\u0335\u031c\u0330\u0354",
    "\u6f22\u5b57\u304b\u306a\u30ab\u30ca\u4ea4\u3058\u308a\u6587\u3002\u6c34\u7740\uff01 \uff21\uff22\uff23 \uff11\uff12\uff13",
    "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8 \u1112\u1161\u11ab",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd, \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u200f\u202babc\u202c",
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440, \u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0928\u092e\u0938\u094d\u0924\u0947 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "caf\u00e9 na\u00efve \u00dcber stra\u00dfe \u0152uvre \u0130stanbul \ufb01 \ufdfa",
    f"family {FAMILY}{FAMILY} wave \U0001f44b\U0001f3fd flag \U0001f1e9\U0001f1ea\U0001f1eb heart \u2764\ufe0f keycap 1\ufe0f\u20e3",
    "\U0001f600\U0001f603\U0001f604",
    "\U0001f600 \U0001f603  \U0001f604a",
    "math \U0001d54f\U0001d552\U0001d7db gothic \U00010330\U00010331 rare \U00020bb7 flag \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u0000nul \u0001\u0002 bell\u0007 escape\u001b[31m delete\u007f c1\u0080\u009f",
    "\ufffd replacement \ufffd\ufffd \ufffe \uffff \U0010ffff \ue000 \U000f0000",
    "words\u0378unassigned \U0001f8ff \u088f \U000323b0",
    "\u01c5\u02b0\u02c7 \u00aa\u00ba \u2160\u3007\u3021 \u24b6 \u00b5",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "def f(x):\n    return x ** 2  # square\n\n\tif x:\n\t\tpass\n",
    "https://example.org/path?query=1&other=%20#anchor mail@example.org",
    "\u0120\u010a already \u0120in byte symbols \u00c2\u00a0 \u0100",
    "ends with blank ",
    "ends with blanks  \n",
    "Longformer reads long documents: 4,096 tokens and more.",
]

WITH_SPECIAL = [
    "<mask>",
    " <mask>",
    "<mask> ",
    "Paris is the <mask> of France.",
    "Paris is the<mask>of France.",
    "two  <mask>   blanks \n<mask>\u00a0\u3000<mask>\u0085<mask>\ufeff<mask>",
    "<mask><mask> <mask>  <mask>",
    "\U0001f600 <mask>\U0001f600<mask> \u00e9",
    "<s>",
    "</s>",
    "<s> inside </s> text </s></s> more <pad><unk>",
    " <s> <pad> </s>",
    "<s><s>Hello</s>",
    "< s> </ s> <<s>> <mask <MASK> <s <mask>>",
    "<|endoftext|> <sep> [MASK]",
    "\u6f22<mask>\u5b57 \u6f22 <mask> \u5b57",
    "   <mask>",
    "a\t\n <mask>\n",
]

NASTY_PAIRS = [
    ("Who wrote the \U0001f4d6 of na\u00efve sheep?", "Nobody\u2019s sure; perhaps \u6f22\u5b57 or <mask> did, in 1998\u2026 \U0001f468\u200d\U0001f33e"),
    ("question", "answer"),
    (" question ", " answer "),
    ("", ""),
    ("", "second"),
    ("first", ""),
    (" ", "\n"),
    ("\U0001f600", "\U0001f600\U0001f600"),
    ("</s>", "<s> <mask>"),
    ("ends in <mask>", " <mask> begins"),
    ("l'\u00e9t\u00e9", "\u05e9\u05dc\u05d5\u05dd"),
]  # fmt: skip

WORDS = [
    "The", " long", " document", " of", " the", " Longformer", ",", " which", " reads", " 4096", " tokens", ".", " It's",
    " na\u00efve", " \u6f22\u5b57", " \U0001f600", "\n", "\n\n", "  ", " don't", " (and", " more)", " \u041f\u0440\u0438\u0432\u0435\u0442", " 3.14", "\u2014", " \u201cquoted\u201d",
    " <mask>", " end", " a", " b", " sliding-window", " attention", " e\u0301",
]  # fmt: skip

# text = pieces[(i * i * step[0] + i * step[1]) mod number of pieces] for i = 0 .. count - 1, joined.
RULES = [
    {"pieces": WORDS, "step": [7, 3], "count": 19000},
    {"pieces": list("abcdefghijklmnop"), "step": [13, 7919], "count": 3000},
    {"pieces": ["\U0001f600", "\u6f22", "\u00e9"], "step": [1, 1], "count": 1500},
    {"pieces": [" "], "step": [0, 0], "count": 3000},
    {"pieces": ["a"], "step": [0, 0], "count": 3000},
    {"pieces": ["<mask>", " ", "</s>"], "step": [1, 1], "count": 900},
]


def random_text(source, length):
    pools = [
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "     \t\n\r\u00a0\u2003\u3000\u0085\ufeff",
        "0123456789\u00b2\u00bd\u0663\u2167",
        "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\u2019\u2026\u2014",
        "\u00e9\u00e8\u00fc\u00df\u00f1\u0301\u0308\u0327\u0915\u094d\u0937",
        "\u6f22\u5b57\u304b\u306a\ud55c\uad6d\u05e9\u05dc\u0645\u0631",
        "\U0001f600\U0001f44b\U0001f3fd\u200d\ufe0f\U0001f1e9\U0001f1ea\U00020bb7\U0001d54f",
        "\u0000\u0007\u001b\u007f\u0080\ufffd\uffff\U0010ffff",
    ]
    phrases = [
        "'s",
        "'ll",
        " <mask>",
        "<s>",
        "</s>",
        "<mask>s",
        " the",
        " word ",
        "left",
        " right ",
        "both",
        "<entity>",
        " in blanks ",
    ]
    parts = []
    for _ in range(length):
        choice = source.random()
        if choice < 0.15:
            parts.append(source.choice(phrases))
        elif choice < 0.5:
            parts.append(source.choice(pools[0]))
        else:
            parts.append(source.choice(source.choice(pools)))
    return "".join(parts)


def class_edges():
    """Texts of characters at which the general category changes between letter, number and anything else."""

    def kind(code_point):
        return unicodedata.category(chr(code_point))[0]

    edges = []
    for code_point in range(0x80, 0x33500):
        if 0xD800 <= code_point < 0xE000 or 0xD800 <= code_point - 1 < 0xE000:
            continue
        if kind(code_point) != kind(code_point - 1):
            edges += [code_point - 1, code_point]
    edges = sorted({edge for edge in edges if not 0xD800 <= edge < 0xE000})
    texts = []
    for start in range(0, len(edges), 80):
        texts.append("".join(f"a{chr(edge)}1" for edge in edges[start : start + 80]))
    return texts
