"""Makes the reference data of the tokenizer tests with Hugging Face's `tokenizers` package:

    python make_tokenizer.py TEXT_FILE OUT_DIR [--size 600]

writes OUT_DIR/tokenizer.json, a byte-level BPE in GPT-NeoX's manner trained on TEXT_FILE (the committed one on WikiText-2's
valid.txt), and OUT_DIR/cases.json: a list of groups, each with changes to that file ([keys of the path, value]) and cases
[text, token numbers, text of the tokens].

    python make_tokenizer.py --small OUT_DIR

reads OUT_DIR/tokenizer.json and writes OUT_DIR/small.json in the same form: many small files, made at random, of what people
change in theirs: words in place of bytes, holes in the numbers, added tokens with every flag, what a training run leaves. The
committed one is from tokenizers 0.23.3; older versions number added tokens otherwise where the vocabulary has holes.

    python make_tokenizer.py --compare TOKENIZER.json TEXT_FILE

prints the number of tokens of a text, a checksum of them, and how fast the package is; tests/tokenizer/tokens.c is its
counterpart.
"""
import argparse
import copy
import json
import pathlib
import random
import time
import unicodedata
import zlib

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "", " ", "  ", "a", " a", "  a", "a ", "\n", "\n\n", " \n a", "\t\tx\n", "it's we'll I'd they've you're I'm don't",
    "IT'S 'S''s's'", "hello, world!!  3.14 2026-11-24", "1234567890 12 3 4", "x²+½=Ⅷ ٣٤ 三", "naïve café coöperate",
    "cafe\u0301 A\u030a \u212b \ua66e", "日本語のテキスト と 中文", "emoji 🙂🙃👩‍👩‍👧‍👦 flags 🇩🇪", "\u0958 \u0916\u093c \u0922\u093c",
    "\u00a0nbsp\u2003em\u3000wide\u0085nel", "a\u200bzero\u200dwidth", "tabs\tand\r\nreturns\r", "     five     spaces     ",
    "end<|endoftext|>start", "<|endoftext|><|endoftext|>", "<|endo ftext|> <|endoftext|", "mask<mask>ed <mask> ",
    "a  b   c    d          ", "def f(x):\n    return x ** 2\n", "https://example.org/?q=1&r=%20#top", "ÀÉÎ A\u0300E\u0301I\u0302",
    "\u1100\u1161\u11a8 \uac01 \u1100\uac00\u11a8", "mixed123letters 45six 7_8", "'", "''", "' '", "’s curly", "\x00\x01\x7f",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚", "ﬁ ligature ǅ", "\ufeffmark \ufffd \uffff \U0010ffff \ue000", "\u2028line\u2029paragraph \u180e",
    "\u0301 first", "a\u0323\u0301 a\u0301\u0323 a\u0327\u0301\u0323\u0308 q\u0307\u0323", "\u0344 \u0374 \u037e \u2126 \uf900 \ufb1d",
    "שָׁלוֹם مَرْحَبًا สวัสดี नमस्ते", "\U0001d15e \U0001d1bb", "e" + "\u0301\u0323\u0327\u0308" * 12, "aaaaaaaaaaaaaaaaaaaa bbbbbbbb",
    "don't'll've''d 's", "\r\n\r\n  \r\n", "x \u3000 y\u3000\u3000z", " \u00a0 ", "the the  the\nthe\tthe", "étage <l> <r> <lr> end",
    "a <l>b<r> c <lr> d", "<l><r><lr>", "café cafe\u0301s", "\u212b\u00c5A\u030a", "ab abab b a xqyq", "aaa aaaaa baaab", "abq O\u0308z Öz Ġt t",
]

POOLS = [
    "abcdest' \n\t", "'sStTrReEvVmMlLdD ", "0123456789²½Ⅷ٣ ", "e\u0301a\u030a\u0327\u0323o\u0308éÅ ", "日本語한\u1100\u1161\u11a8 ",
    "🙂👩\u200d\ufe0f🇩🇪 ", "\u00a0\u2003\u3000\u0085\u200b\ufeff \r\n\x0b\x0c", "<|>endoftxmaskrl ", "\u0915\u093c\u0958\u0344\u2126\uf900",
]


def random_texts(count):
    draw = random.Random(5)
    return ["".join(draw.choice(draw.choice(POOLS)) for _ in range(draw.randrange(1, 40))) for _ in range(count)]


def train(text, size):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    # GPT-NeoX's vocabulary lacks the bytes that UTF-8 never has.
    never = set("ÀÁõö÷øùúûüýþÿ")
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet() if c not in never]
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet,
                                  special_tokens=["<|endoftext|>", "<|padding|>"], show_progress=False)
    t.train_from_iterator(text.splitlines(keepends=True), trainer)
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 8)] + [AddedToken("<mask>", normalized=False)])
    return t


def added(number, content, **flags):
    token = dict(id=number, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return {**token, **flags}


def groups(plain):
    """Names of groups and what they change."""
    next_number = max(a["id"] for a in plain["added_tokens"]) + 1
    more = [("cafe\u0301", dict(normalized=True)), ("\u212b", {}), ("étage", dict(special=True)), ("<l>", dict(lstrip=True)),
            ("<r>", dict(rstrip=True, normalized=True)), ("<lr>", dict(lstrip=True, rstrip=True)), ("qy", {}), ("\n ", {}),
            ("bq", {}), ("Öz", {})]
    more = [added(next_number + i, content, **flags) for i, (content, flags) in enumerate(more)]
    listed = [added(plain["model"]["vocab"][content], content, normalized=True) for content in ("ab", "Ġt")]
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "begin", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "end", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"begin": {"id": "begin", "ids": [0], "tokens": ["<|endoftext|>"]},
                           "end": {"id": "end", "ids": [1, 7], "tokens": ["<|padding|>", "x"]}},
    }
    byte_level = plain["pre_tokenizer"]
    return {
        "plain": [],
        "prefix": [(["pre_tokenizer", "add_prefix_space"], True)],
        "no pattern": [(["pre_tokenizer", "use_regex"], False)],
        "no normalizer": [(["normalizer"], None)],
        "sequences": [(["normalizer"], {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFC"}]}),
                      (["pre_tokenizer"], {"type": "Sequence", "pretokenizers": [byte_level]}),
                      (["decoder"], {"type": "Sequence", "decoders": [byte_level]})],
        "ignore merges": [(["model", "ignore_merges"], True), (["model", "merges"], [])],
        "added": [(["added_tokens"], plain["added_tokens"] + more + listed)],
        "template": [(["post_processor"], {"type": "Sequence", "processors": [byte_level, template]})],
        "unknown": [(["model", "vocab"], {"b": 0, "a": 1, "<unk>": 2, "ab": 3, "Ã": 4, "aa": 5}),
                    (["model", "merges"], [["a", "b"], ["a", "a"]]), (["model", "unk_token"], "<unk>"),
                    (["added_tokens"], [added(6, "<mask>")])],
        "kinds": kinds_changes(),
    }


def kinds_changes():
    """A vocabulary of bytes in which the last byte of any character beyond ASCII merges with a, 1 and !, if it is of
    their kind and so in their word."""
    units = Tokenizer(models.BPE())
    units.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    unit = {c.encode()[-1]: units.pre_tokenizer.pre_tokenize_str(c)[0][0][-1] for c in map(chr, range(256))}
    tokens, merges = sorted(set(unit.values())), []
    for last in range(0x80, 0xc0):
        merges += [[unit[last], c] for c in "a1!"]
    lead = [c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c not in tokens]
    tokens += lead + ["".join(m) for m in merges]
    return [(["model", "vocab"], {token: i for i, token in enumerate(tokens)}), (["model", "merges"], merges),
            (["added_tokens"], [])]


def kinds_texts():
    """Three characters of every category, and all that look like white space."""
    by_category = {}
    for c in map(chr, range(0x80, 0x20000)):
        if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c) != "Cs":
            by_category.setdefault(unicodedata.category(c), []).append(c)
    chosen = [c for cs in by_category.values() for c in (cs[0], cs[len(cs) // 2], cs[-1])]
    chosen += [chr(c) for c in (0x85, 0xa0, 0x1680, 0x180e, 0x2000, 0x200b, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff)]
    return [f"{c}a {c}1 {c}!" for c in chosen]


def change(plain, changes):
    changed = copy.deepcopy(plain)
    for path, value in changes:
        at = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
    return changed


def make_cases(plain, texts):
    for name, changes in groups(plain).items():
        changed = change(plain, changes)
        t = Tokenizer.from_str(json.dumps(changed))
        assert all(t.token_to_id(a["content"]) == a["id"] for a in changed["added_tokens"])
        cases = []
        for text in kinds_texts() if name == "kinds" else texts:
            ids = t.encode(text).ids
            back = t.decode(ids, skip_special_tokens=False)
            if name == "plain":
                assert back == unicodedata.normalize("NFC", text), text
            if name == "added":  # the package takes their letters for byte-level characters
                back = None
            elif "\ufffd" in back and "\ufffd" not in text:  # and shows bytes that are no character so
                back = None
            cases.append([text, ids, back])
        yield {"name": name, "changes": changes, "cases": cases}


PARTS = ["a", "b", "A", "ab", "é", "e\u0301", "É", " ", "  ", "\n", " \n", "\t", "\u3000", "<x>", "_", "1", "²", "İ", "Ⓐ", "-", "!",
         "\u200d", "Σ", "\u00a0"]
NFC, LOWER = {"type": "NFC"}, {"type": "Lowercase"}
CUTTERS = [{"type": "WhitespaceSplit"}, {"type": "Whitespace"}]


def some(draw, most):
    return "".join(draw.choice(PARTS) for _ in range(draw.randint(1, most)))


def word_model(draw):
    words = list(dict.fromkeys(["[UNK]"] + [some(draw, 2) for _ in range(draw.randint(2, 9))]))
    numbers = draw.sample(range(3 * len(words)), len(words)) if draw.random() < 0.5 else list(range(len(words)))
    return {"type": "WordLevel", "vocab": dict(zip(words, numbers)), "unk_token": draw.choice(["[UNK]"] * 3 + words)}


def small_added(draw, first, listed):
    contents = [draw.choice([some(draw, 1), some(draw, 3), " ", "\n", draw.choice(listed)]) for _ in range(draw.randint(0, 6))]
    flags = ["lstrip", "rstrip", "single_word", "normalized", "special"]
    return [added(draw.choice([first + i, draw.randrange(first + 9)]), c, **{f: draw.random() < 0.4 for f in flags})
            for i, c in enumerate(dict.fromkeys(contents))]


def small_changes(draw, plain):
    words = draw.random() < 0.6
    model = word_model(draw) if words else plain["model"]
    steps = draw.choice([[], [], [NFC], [LOWER], [LOWER, NFC], [NFC, LOWER]])
    changes = [(["added_tokens"], small_added(draw, len(model["vocab"]), list(model["vocab"]) if words else ["ab", "Ġt"])),
               (["normalizer"], {"type": "Sequence", "normalizers": steps} if len(steps) > 1 else steps[0] if steps else None),
               (["truncation"], draw.choice([None, {"direction": "Right", "max_length": 2048, "strategy": "LongestFirst", "stride": 0}])),
               (["padding"], draw.choice([None, {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                                                 "pad_type_id": 0, "pad_token": "x"}]))]
    if not words:
        return changes + [(["pre_tokenizer", "add_prefix_space"], draw.random() < 0.3)]
    cutter = draw.choice([None, CUTTERS[0], CUTTERS[0], CUTTERS[1], {"type": "Sequence", "pretokenizers": CUTTERS}])
    return changes + [(["model"], model), (["pre_tokenizer"], cutter), (["decoder"], None)]


def words_text(t, changed, ids):
    """As t.decode(), but an added token as the file writes it: this version shows its normal form."""
    as_written = {t.token_to_id(a["content"]): a["content"] for a in changed["added_tokens"]}
    shown = " ".join(as_written.get(i, t.id_to_token(i)) for i in ids if t.id_to_token(i) is not None)
    assert changed["normalizer"] or shown == t.decode(ids, skip_special_tokens=False)
    return shown


def same_forms(t, tokens):
    """Of two with one normal form the package takes now this, now that one."""
    forms = [t.normalizer.normalize_str(a["content"]) if t.normalizer else a["content"] for a in tokens if a["normalized"]]
    return len(set(forms)) < len(forms)


def small_groups(plain, count):
    draw = random.Random(11)
    number = 0
    while number < count:
        changes = small_changes(draw, plain)
        changed = change(plain, changes)
        t = Tokenizer.from_str(json.dumps(changed))
        if same_forms(t, changed["added_tokens"]):
            continue
        is_words = changed["model"]["type"] == "WordLevel"
        cases = []
        for _ in range(9):
            text = "".join(draw.choice(PARTS + [a["content"] for a in changed["added_tokens"]]) for _ in range(draw.randint(1, 12)))
            try:
                ids = t.encode(text).ids
            except BaseException as stopped:  # it panics where a token strips what one before has taken
                if "bad split" in str(stopped) or "Missing" in str(stopped):
                    continue
                raise
            cases.append([text, ids, words_text(t, changed, ids) if is_words else None])
        yield {"name": f"small {number}", "changes": changes, "cases": cases}
        number += 1


def write_groups(path, groups):
    lines = [json.dumps(group, ensure_ascii=True, separators=(",", ":")) for group in groups]
    path.write_text('{"groups":[\n' + ",\n".join(lines) + "\n]}\n")


def compare(tokenizer, text):
    t = Tokenizer.from_file(str(tokenizer))
    begin = time.perf_counter()
    ids = t.encode(text).ids
    seconds = time.perf_counter() - begin
    crc = zlib.crc32(b"".join(i.to_bytes(4, "little") for i in ids))
    print(f"{len(ids)} tokens, crc32 {crc:08x}, {len(text.encode()) / seconds / 1e6:.2f} MB/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=pathlib.Path, metavar="TOKENIZER.json")
    parser.add_argument("--small", type=pathlib.Path, metavar="OUT_DIR")
    parser.add_argument("--size", type=int, default=600)
    parser.add_argument("text", type=pathlib.Path, nargs="?")
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    args = parser.parse_args()
    if args.small:
        plain = json.loads((args.small / "tokenizer.json").read_text(encoding="utf-8"))
        return write_groups(args.small / "small.json", small_groups(plain, 120))
    if not args.text:
        parser.error("TEXT_FILE is needed")
    text = args.text.read_bytes().decode("utf-8")
    if args.compare:
        return compare(args.compare, text)
    if not args.out:
        parser.error("OUT_DIR is needed")
    args.out.mkdir(parents=True, exist_ok=True)
    train(text, args.size).save(str(args.out / "tokenizer.json"), pretty=False)
    plain = json.loads((args.out / "tokenizer.json").read_text(encoding="utf-8"))
    write_groups(args.out / "cases.json", make_cases(plain, TEXTS + random_texts(60)))


if __name__ == "__main__":
    main()
