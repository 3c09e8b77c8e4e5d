"""Small decoders of the transformers library, whose heads are recorded while they train.

A decoder predicts the next token. In the task ``copy`` the second half of a sequence repeats the
first, so that a token can be predicted only from the token which stands half a sequence before.

The other tasks are controls, in which earlier tokens say nothing more than the last one, so that
attention is not needed. In ``chain`` each token determines the next one, and the loss vanishes
after a few steps. In ``branch`` each token is followed by one of four others, and in ``random`` all
tokens are independent: the loss stays above log 4 and log 16, and its gradient does not vanish.

A seed draws the first parameters and the sequences, which are the same for all attentions; none is
seen twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import numpy as np

ATTENTIONS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "entmax15": {"separation": "entmax15"},
    "uniform": {"beta": 1e-6},
}
"""The options of each attention. ``uniform``, a control, gives all earlier tokens equal weights."""

TASKS = ("copy", "chain", "branch", "random")
"""What a decoder learns to predict."""

BRANCHES = {"chain": 1, "branch": 4}
"""The number of tokens, all equally probable, one of which follows a token."""

RECORDED = (0, 5, 10, 20, 30, 40, 50, 60, 80, 100, 120, 160, 200)
"""The steps whose heads are recorded, before they are learned from. Step 0 is untrained."""

TOKENS, HALF, BATCH, TESTED = 16, 8, 32, 128
"""The number of tokens, half the length of a sequence, the sequences of a batch, and of a test."""

LAYERS, HEADS, WIDTH, RATE = 2, 2, 32, 5e-3
"""The size of a decoder, and the learning rate of Adam."""

NAME = "hopcore-study"
"""The name under which the attention of the study is registered."""


class Case(NamedTuple):
    """A task, an attention and a seed."""

    task: str
    attention: str
    seed: int


class Trial(NamedTuple):
    """A head of a decoder at one step, on test sequences.

    ``accuracy`` is the share of the tokens of the second half which the decoder predicts; the
    other numbers are those of :class:`hopcore.training.AttentionRecord`.
    """

    task: str
    attention: str
    seed: int
    step: int
    layer: int
    head: int
    accuracy: float
    entropy: float
    effective: float
    largest: float
    energy: float


def cases(tasks: list[str], attentions: list[str], seeds: int) -> list[Case]:
    """Return all cases of a study."""
    return [
        Case(task, attention, seed)
        for seed, task, attention in product(range(seeds), tasks, attentions)
    ]


def run(wanted: list[Case], steps: int) -> Iterator[list[Trial]]:
    """Train the decoder of each case, and yield its recorded heads."""
    for case in wanted:
        yield trained(case, steps)


def sequences(task: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sequences ``(count, 2 HALF)`` of a task."""
    if task == "copy":
        first = rng.integers(TOKENS, size=(count, HALF))
        return np.concatenate([first, first], axis=1)
    if task == "random":
        return rng.integers(TOKENS, size=(count, 2 * HALF))
    following, branches = np.random.default_rng(0).permutation(TOKENS), BRANCHES[task]
    drawn = [rng.integers(TOKENS, size=count)]
    while len(drawn) < 2 * HALF:
        branch = rng.integers(branches, size=count) if branches > 1 else 0
        drawn.append(following[(drawn[-1] + branch) % TOKENS])
    return np.stack(drawn, axis=1)


def decoder(seed: int) -> Any:
    """Return a decoder with random parameters."""
    torch, transformers = import_module("torch"), import_module("transformers")
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=2 * HALF,
        use_cache=False,
        pad_token_id=None,
    )
    return transformers.LlamaForCausalLM(config)


def trained(case: Case, steps: int) -> list[Trial]:
    """Train one decoder, and record its heads on the same test sequences at some steps."""
    huggingface, torch = import_module("hopcore_torch.huggingface"), import_module("torch")
    model = decoder(case.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    test = torch.from_numpy(sequences(case.task, TESTED, np.random.default_rng(case.seed + 1000)))
    rng, options = np.random.default_rng(case.seed), ATTENTIONS[case.attention]
    found: list[Trial] = []
    for step in range(steps + 1):
        if step in RECORDED or step == steps:
            monitor = huggingface.AttentionMonitor(model)
            huggingface.register(NAME, monitor=monitor, **options)
            model.set_attn_implementation(NAME)
            with torch.no_grad():
                accuracy = predicted(model, test)[1]
            huggingface.register(NAME, **options)
            model.set_attn_implementation(NAME)
            layers = list(dict.fromkeys(row.layer for row in monitor.records))
            found += [
                Trial(
                    *case, step, layers.index(row.layer), row.head, accuracy,
                    row.entropy, row.effective, row.largest, row.energy,
                )
                for row in monitor.records
            ]  # fmt: skip
        loss, _ = predicted(model, torch.from_numpy(sequences(case.task, BATCH, rng)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def predicted(model: Any, tokens: Any) -> tuple[Any, float]:
    """Return the loss of the tokens of the second half, and the share that is predicted."""
    logits = model(tokens).logits[:, HALF - 1 : -1]
    wanted = tokens[:, HALF:]
    loss = import_module("torch").nn.functional.cross_entropy(logits.mT, wanted)
    return loss, float((logits.argmax(-1) == wanted).float().mean())
