"""OpenAI's tokens as a GraphBit program counts them, against OpenAI's own tiktoken."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphbit import (
    count_tokens,
    count_tokens_many,
    decode_tokens,
    encode_tokens,
    exceptions,
    truncate_tokens,
)
from graphbit.exceptions import GraphbitError
from hypothesis import given, settings
from hypothesis import strategies as st

GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
O200K = (
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
    r"""|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""
    r"""|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
# Pattern, number of ids, ids that are no token.
ENCODINGS = {
    "cl100k_base": (CL100K, 100_256, ()),
    "o200k_base": (O200K, 199_998, ()),
    "p50k_base": (GPT2, 50_281, (50_256,)),
    "r50k_base": (GPT2, 50_256, ()),
}
TEXTS = [
    "",
    "Hello, world! It's 12345 o'clock\n\n\n  and   all's WELL\t\r\n ",
    "Übergrößenträger naïve café — “quotes” … ½ ① ٣٤٥",
    "日本語のテキスト、中文文本。한국어 텍스트 🚀👩‍👩‍👧 हिन्दी العربية",
    "def f(x):\n    return {'a': x ** 2}  # comment\n\n\nclass A:\n\tpass\n",
    "<|endoftext|><|fim_prefix|>",
    "HTMLParser's HELLOWorld iPhone'S \u0301ABC !\u0301 \0\0 x\u00a0\u3000y\u0085z '\u017f",
]


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    """Encodings of tiktoken itself, over the vocabularies in our own package: no download."""
    tiktoken = pytest.importorskip("tiktoken")
    source = Path(__file__).parents[2] / "src" / "tokens" / "data"

    def ranks(name: str) -> dict[bytes, int]:
        file = (source / f"{name.replace('r50k', 'p50k')}.bin").read_bytes()
        count = int.from_bytes(file[:4], "little")
        plain = zlib.decompress(file[8:], -15)
        found, at = {}, count
        for token, length in enumerate(plain[:count]):
            if length and token < ENCODINGS[name][1]:
                found[plain[at : at + length]] = token
            at += length
        return found

    return {
        name: tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=ranks(name), special_tokens={}
        )
        for name, (pattern, _, _) in ENCODINGS.items()
    }


def agree(oracle: dict[str, Any], text: str) -> None:
    for name, encoding in oracle.items():
        ids = encoding.encode_ordinary(text)
        assert encode_tokens(text, name) == ids, (name, text)
        assert count_tokens(text, name) == len(ids)
        assert decode_tokens(ids, name) == text
        for cut in (1, len(ids) // 2):
            assert decode_tokens(ids[:cut], name) == encoding.decode(ids[:cut])


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_tiktokens(oracle: dict[str, Any], text: str) -> None:
    for variant in (text, text * 3, text + " \n ", f" {text}x"):
        agree(oracle, variant)


@settings(max_examples=300)
@given(text=st.text())
def test_ids_are_tiktokens_on_anything(oracle: dict[str, Any], text: str) -> None:
    agree(oracle, text)


@settings(max_examples=300)
@given(
    text=st.text(
        alphabet="aBc 'sSlLvVeEdD\n\r\t\u00a0\u3000\u0085\u06612½./!=\u0301éÉßǅʰЖж中あ한🚀\u200d\0\u017f"
    )
)
def test_ids_are_tiktokens_where_patterns_are_delicate(oracle: dict[str, Any], text: str) -> None:
    agree(oracle, text)


def test_the_vocabularies_reach_python() -> None:
    for name, (_, ids, holes) in ENCODINGS.items():
        letters = [token for token in range(ids) if token not in holes]
        assert len(decode_tokens(letters, name)) > ids
    assert decode_tokens([100257, 9906]) == "<|endoftext|>Hello"
    assert decode_tokens(encode_tokens("🚀")[:1]) == "\ufffd"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("gpt2", "r50k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("ft:gpt-4o:team::id", "o200k_base"),
    ],
)
def test_models_stand_for_their_encoding(name: str, encoding: str) -> None:
    assert encode_tokens(TEXTS[1], name) == encode_tokens(TEXTS[1], encoding)


def test_many_texts_keep_their_order() -> None:
    texts = [f"{text} {number}" * (number % 7 * 400) for number in range(50) for text in TEXTS]
    expected = [count_tokens(text) for text in texts]
    assert count_tokens_many(texts) == expected
    assert count_tokens_many(iter(texts), max_workers=3) == expected
    assert count_tokens_many(texts, "o200k_base", max_workers=1) == [
        count_tokens(text, "o200k_base") for text in texts
    ]
    assert count_tokens_many([]) == []


@given(text=st.text(alphabet="ab C'é中🚀\n 1!") | st.sampled_from(TEXTS), n=st.integers(0, 40))
def test_truncated_text_fits(text: str, n: int) -> None:
    for encoding in ENCODINGS:
        kept = truncate_tokens(text, n, encoding)
        assert text.startswith(kept)
        assert count_tokens(kept, encoding) <= n
        if count_tokens(text, encoding) <= n:
            assert kept == text


def test_truncation_stops_at_tokens() -> None:
    assert truncate_tokens("Hello world, how are you?", 2) == "Hello world"
    assert truncate_tokens("Hello", 0) == ""
    assert truncate_tokens("🚀🚀", 1) == ""


@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "?", "é", "中", "\u0301", "<|endoftext|>"])
def test_hostile_texts_are_counted(unit: str) -> None:
    text = unit * 100_000
    assert count_tokens(text) == len(encode_tokens(text))


def test_bad_input_is_told() -> None:
    for call in (
        lambda: count_tokens("x", "no-such-model"),
        lambda: count_tokens_many(["x"], "no-such-model"),
        lambda: truncate_tokens("x", 1, "no-such-model"),
    ):
        with pytest.raises(GraphbitError, match="no-such-model.*o200k_base"):
            call()
    with pytest.raises(exceptions.ParameterError, match="max_workers"):
        count_tokens_many(["x"], max_workers=0)
    with pytest.raises(exceptions.ValidationError, match=r"ids\[1\]: 100256"):
        decode_tokens([0, 100256])
    with pytest.raises(UnicodeEncodeError):
        count_tokens("\ud800")
    with pytest.raises(OverflowError):
        truncate_tokens("x", -1)
    for wrong in (b"bytes", None, 3):
        with pytest.raises(TypeError):
            count_tokens(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            count_tokens_many(["x", wrong])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="not one str"):
        count_tokens_many("a text")


def test_an_iterable_that_raises_raises() -> None:
    def texts() -> Iterator[str]:
        yield "one"
        raise LookupError("half-way")

    with pytest.raises(LookupError, match="half-way"):
        count_tokens_many(texts())


def test_threads_share_the_tables() -> None:
    counts: list[int] = []
    text = "".join(TEXTS) * 200

    def work() -> None:
        counts.append(count_tokens(text, "p50k_base"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(counts)) == 1
