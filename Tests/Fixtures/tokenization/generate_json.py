"""Makes the fixtures of the folder json: tokenizer.json files and what the tokenizers library does with them.

Run:  python3 generate_json.py FILE.json...   (needs tokenizers)
Each file becomes json/NAME.json: {"tokenizer": {...}, "cases": [{text, ids, special, plain, decoded}]}; `special` with
special tokens added, `plain` with special tokens of the text as text. They are kept short: one case per kind of text.
"""
import json, pathlib, random, sys
from tokenizers import Tokenizer

RANGES = [(0, 0x1F), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
          (0x900, 0xDFF), (0xE00, 0xEFF), (0x1100, 0x11FF), (0x1E00, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFE00, 0xFFFF), (0x1D400, 0x1D7FF),
          (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x100000, 0x1000FF)]
BASE = ["", " ", "a", "  a  b ", "Hello, world!  How's it\ngoing?\r\n", "I'M WE'LL 's 'ſ", "1234567 12 1,234.5 ١٢٣ ½²Ⅳ",
        "你好，世界。カタカナ゛ひらがな・한국어", "e\u0301x \u0301 a\u0301\u0302 Å ﬁ", "مرحبا שלום नमस्ते ภาษาไทย", "👨‍👩‍👧‍👦🏳️‍🌈🇩🇪", "\0\1\x07\x1b\x7f\x85",
        "\u200b\u200d\ufeff\u00ad", "\ue000\U000f0000\U0010ffff\ufffe", "x" * 120, "ab" * 60, " " * 40 + "x", "\n" * 30,
        "\t\tdef f(x):\n\treturn x**2 # c\n", "İıßẞǅΣς", " \u00a0\u3000\u2028 x", "#include <a.h>\n!important @user"]


def texts(tokenizer, count):
    rng = random.Random(20261125)
    names = [token.content for token in tokenizer.get_added_tokens_decoder().values()][:8]
    result = BASE + [form % name for name in names for form in ("%s", " %s x", "a%sb", "%s \n")]
    pieces = [" ", "  ", "\n", "\r\n", "\t", "\u3000", "'s", "'LL", "12", "345", ".", "?!", "the", "hello", "世界", "\u0301"] + names
    while len(result) < count:
        text = ""
        for _ in range(rng.choice([2, 4, 8, 14])):
            if rng.random() < 0.5:
                text += rng.choice(pieces)
            else:
                low, high = rng.choice(RANGES)
                text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 4)))
        result.append(text)
    return result


for path in sys.argv[1:]:
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cases = []
    for text in texts(tokenizer, 120):
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text, add_special_tokens=True).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "special": special, "plain": plain, "decoded": decoded})
    out = pathlib.Path(__file__).parent / "json" / pathlib.Path(path).name
    description = json.load(open(path))
    out.write_text(json.dumps({"tokenizer": description, "cases": cases}, ensure_ascii=True, separators=(",", ":")) + "\n")
