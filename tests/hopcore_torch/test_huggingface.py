"""Models of transformers with hopcore's attention: the same logits, tokens and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")
huggingface = pytest.importorskip("hopcore_torch.huggingface")

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
WORDS = {**SIZES, "vocab_size": 64}
GROUPED = {**WORDS, "num_key_value_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 64}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64}
WHISPER = {
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")},
    "vocab_size": 64,
    "num_mel_bins": 8,
    "d_model": 32,
    "max_source_positions": 12,
    "max_target_positions": 24,
}

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**GROUPED, "head_dim": 8}),
    "mistral": ("MistralForCausalLM", "MistralConfig", {**GROUPED, "sliding_window": 4}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {**GPT2, "bos_token_id": 1, "eos_token_id": 2}),
    "bert": ("BertForMaskedLM", "BertConfig", WORDS),
    "vit": ("ViTForImageClassification", "ViTConfig", {**SIZES, "image_size": 16, "patch_size": 4}),
    "t5": ("T5ForConditionalGeneration", "T5Config", {**T5, **SPECIAL}),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", {**WHISPER, **SPECIAL}),
}
GENERATING = ("llama", "qwen3", "mistral", "gpt2", "t5")

huggingface.register("hopfield")


def model_of(name: str) -> Any:
    model, config, fields = MODELS[name]
    torch.manual_seed(0)
    made = getattr(transformers, model)(getattr(transformers, config)(**fields))
    return made.eval()


def inputs_of(name: str, side: str = "left") -> dict[str, Any]:
    """Two sequences, the first one padded at one side."""
    torch.manual_seed(1)
    words = torch.randint(3, 64, (2, 9))
    kept = torch.ones(2, 9, dtype=torch.long)
    kept[0, :3] = 0
    kept = kept if side == "left" else kept.flip(1)
    if name == "vit":
        return {"pixel_values": torch.randn(2, 3, 16, 16)}
    if name == "whisper":
        sound = torch.randn(2, 8, 24)
        return {"input_features": sound, "decoder_input_ids": words}
    padded = {"input_ids": words, "attention_mask": kept}
    return {**padded, "decoder_input_ids": words} if name == "t5" else padded


def kept_positions(name: str, inputs: dict[str, Any]) -> Any:
    """Positions that are no padding, of the logits of a model."""
    if name in ("vit", "whisper", "t5"):
        return ...
    return inputs["attention_mask"].bool()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_those_of_the_eager_attention(name: str, side: str) -> None:
    model, inputs = model_of(name), inputs_of(name, side)
    found = {}
    for attention in ("eager", "hopfield"):
        model.set_attn_implementation(attention)
        model.zero_grad()
        logits = model(**inputs).logits[kept_positions(name, inputs)]
        logits.square().mean().backward()
        gradients = {n: x.grad for n, x in model.named_parameters() if x.grad is not None}
        found[attention] = {"logits": logits, **gradients}
    assert model.config._attn_implementation == "hopfield"
    # Roundings of float32: the eager attention of most models takes the softmax in float32 alone.
    torch.testing.assert_close(found["hopfield"], found["eager"], rtol=1e-5, atol=2e-6)


def logits_of(name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The logits of a model in a dtype, with hopcore's attention and both of transformers.

    Sequences are padded at the right, so that each position has a key. In float64, the eager
    attention gives nan to positions that have none.
    """
    model, inputs = model_of(name).to(dtype), inputs_of(name, "right")
    cast = {n: x.to(dtype) if x.is_floating_point() else x for n, x in inputs.items()}
    found = {}
    for attention in ("eager", "sdpa", "hopfield"):
        model.set_attn_implementation(attention)
        with torch.no_grad():
            found[attention] = model(**cast).logits[kept_positions(name, inputs)]
    assert found["eager"].dtype == dtype
    return found


@pytest.mark.parametrize("name", MODELS)
def test_logits_in_float64_are_those_of_transformers_within_a_millionth(name: str) -> None:
    """The eager attention of Llama, Qwen 3, Mistral and ViT takes its softmax in float32."""
    found = logits_of(name, torch.float64)
    rounded = name in ("llama", "qwen3", "mistral", "vit")
    torch.testing.assert_close(
        found["hopfield"], found["eager"], rtol=0, atol=1e-6 if rounded else 1e-12
    )
    torch.testing.assert_close(found["hopfield"], found["sdpa"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_logits_in_float32_differ_from_eager_like_those_of_sdpa(name: str) -> None:
    """Within a millionth of the largest logit, and no further than transformers' own attention."""
    found = logits_of(name, torch.float32)
    differences = {
        attention: float((found[attention] - found["eager"]).abs().max())
        for attention in ("sdpa", "hopfield")
    }
    largest = float(found["eager"].abs().max())
    unit = torch.finfo(torch.float32).eps * largest
    assert differences["hopfield"] <= 1e-6 * max(largest, 1.0)
    assert differences["hopfield"] <= 2 * max(differences["sdpa"], unit)


@pytest.mark.parametrize("name", GENERATING)
def test_the_same_words_are_generated_with_a_cache(name: str) -> None:
    model, inputs = model_of(name), inputs_of(name)
    inputs.pop("decoder_input_ids", None)
    words = []
    for attention in ("eager", "hopfield"):
        model.set_attn_implementation(attention)
        options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        words.append(model.generate(**inputs, **options))
    assert torch.equal(*words)


def test_options_change_the_attention() -> None:
    model, inputs = model_of("llama"), inputs_of("llama")
    model.set_attn_implementation("hopfield")
    softly = model(**inputs).logits.detach()
    options = {"separation": "sparsemax"}, {"beta": 3.0}, {"update_steps": 1}
    for number, option in enumerate(options):
        huggingface.register(f"hopfield-{number}", **option)
        model.set_attn_implementation(f"hopfield-{number}")
        other = model(**inputs).logits.detach()
        assert bool(torch.isfinite(other).all())
        assert float((other - softly).abs().max()) > 1e-6


def test_an_update_moves_the_queries_over_the_keys() -> None:
    query, key, value = (torch.randn(2, 4, n, 8, dtype=torch.float64) for n in (3, 5, 5))
    attend = huggingface.hopfield_attention("softmax", 0.7, 2)
    got, weights = attend(torch.nn.Identity(), query, key, value, None, is_causal=False)
    assert weights is None
    for _ in range(2):
        query = torch.softmax(0.7 * query @ key.mT, -1) @ key
    want = torch.softmax(0.7 * query @ key.mT, -1) @ value
    torch.testing.assert_close(got, want.transpose(1, 2))


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_a_monitor_records_each_head_without_padding(name: str) -> None:
    model, inputs = model_of(name), inputs_of(name, "left" if name == "llama" else "right")
    monitor = huggingface.AttentionMonitor(model, every=2)
    huggingface.register("hopfield-watched", monitor=monitor)
    model.set_attn_implementation("hopfield-watched")
    for _ in range(3):
        model(**inputs)
    layers = 6 if name == "t5" else 2
    rows = [row for row in monitor.records if row.step == 0]
    assert {row.step for row in monitor.records} == {0, 2}
    assert len(rows) == layers * 4
    assert len({row.layer for row in rows}) == layers
    model.set_attn_implementation("eager")
    found = model(**inputs, output_attentions=True)
    weights = found.encoder_attentions[0] if name == "t5" else found.attentions[0]
    kept = inputs["attention_mask"].bool()
    weights = weights.detach().double().transpose(1, 2)[kept]  # (queries, heads, keys)
    logarithms = torch.where(weights > 0, weights, 1.0).log()
    first = [row for row in rows if row.layer == rows[0].layer]
    for head, row in enumerate(first):
        assert row.head == head
        assert row.queries == int(kept.sum())
        entropy = -(weights[:, head] * logarithms[:, head]).sum(-1).mean().item()
        assert row.entropy == pytest.approx(entropy, rel=1e-4)
        effective = (1 / weights[:, head].square().sum(-1)).mean().item()
        assert row.effective == pytest.approx(effective, rel=1e-4)


def test_a_monitor_of_another_model_is_refused() -> None:
    watched, other = model_of("llama"), model_of("llama")
    huggingface.register("hopfield-other", monitor=huggingface.AttentionMonitor(watched))
    other.set_attn_implementation("hopfield-other")
    with pytest.raises(ValueError, match="watches another model"):
        other(**inputs_of("llama"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "name must be a word"),
        ({"name": torch.nn.Identity()}, "name must be a word"),
        ({"monitor": True}, "must be an AttentionMonitor"),
        ({"beta": "auto"}, "beta must be a positive number"),
        ({"beta": -1.0}, "beta must be a positive number"),
        ({"separation": "sparsemx"}, "sparsemax"),
    ],
)
def test_bad_arguments_are_refused_when_registered(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        huggingface.register(**{"name": "hopfield-bad", **arguments})


def test_a_bad_interval_of_records_is_refused() -> None:
    with pytest.raises(ValueError, match="every must be >= 1, got 0"):
        huggingface.AttentionMonitor(torch.nn.Identity(), every=0)


def test_a_training_step_with_dropout_runs() -> None:
    fields = {**GROUPED, "attention_dropout": 0.5}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields)).train()
    model.set_attn_implementation("hopfield")
    inputs = inputs_of("llama")
    torch.manual_seed(2)
    one = model(**inputs, labels=inputs["input_ids"]).loss
    other = model(**inputs, labels=inputs["input_ids"]).loss
    one.backward()
    assert one.item() != other.item()


def test_a_limit_of_scores_and_sinks_are_refused_by_name() -> None:
    fields = {**GROUPED, "head_dim": 8, "attn_logit_softcapping": 50.0}
    model = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**fields))
    model.set_attn_implementation("hopfield")
    with pytest.raises(ValueError, match="softcap"):
        model(**inputs_of("llama"))


@pytest.mark.parametrize("name", ["sdpa", "eager", "flash_attention_2"])
def test_names_of_transformers_itself_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="choose another name"):
        huggingface.register(name)


@pytest.mark.parametrize("steps", [-1, 1.5, True])
def test_a_bad_number_of_updates_is_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="update_steps must be an integer >= 0"):
        huggingface.register("hopfield-bad", update_steps=steps)
