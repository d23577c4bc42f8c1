"""Makes the reference data of the tokenizer tests with Hugging Face's `tokenizers` package:

    python make_tokenizer.py TEXT_FILE OUT_DIR [--size 600]

writes OUT_DIR/tokenizer.json, a byte-level BPE in GPT-NeoX's manner trained on TEXT_FILE, and OUT_DIR/cases.json, a
list of [text, token numbers].
"""
import argparse
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "", " ", "  ", "a", " a", "  a", "a ", "\n", "\n\n", " \n a", "\t\tx\n", "it's we'll I'd they've you're I'm don't",
    "IT'S 'S''s's'", "hello, world!!  3.14 2026-11-24", "1234567890 12 3 4", "x²+½=Ⅷ ٣٤ 三", "naïve café coöperate",
    "naïve café Å Å ꙮ", "日本語のテキスト と 中文", "emoji 🙂🙃👩‍👩‍👧‍👦 flags 🇩🇪", "क़ ख़ ढ़", "\u00a0nbsp\u2003em\u3000wide\u0085nel",
    "a\u200bzero\u200dwidth", "tabs\tand\r\nreturns\r", "     five     spaces     ", "end<|endoftext|>start",
    "<|endoftext|><|endoftext|>", "<|endo ftext|> <|endoftext|", "mask<mask>ed <mask> ", "a  b   c    d",
    "def f(x):\n    return x ** 2\n", "https://example.org/?q=1&r=%20#top", "ÀÉÎ ÀÉÎ", "\u1100\u1161\u11a8 가각",
    "mixed123letters 45six 7_8", "'", "''", "' '", "’s curly", "\x00\x01\x7f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚", "ﬁ ligature ǅ",
]


def train(text, size):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<|endoftext|>", "<|padding|>"], show_progress=False)
    t.train_from_iterator(text.splitlines(keepends=True), trainer)
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 8)] + [AddedToken("<mask>", normalized=False)])
    return t


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=600)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    t = train(args.text.read_text(encoding="utf-8"), args.size)
    t.save(str(args.out / "tokenizer.json"), pretty=False)
    cases = [[text, t.encode(text).ids] for text in TEXTS]
    (args.out / "cases.json").write_text(json.dumps({"cases": cases}, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
