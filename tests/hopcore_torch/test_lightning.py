"""Lightning's callbacks, in trainings of a few steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hopcore
from hopcore_torch import HNM, Hopfield

pl = pytest.importorskip("pytorch_lightning", reason="Lightning is not installed")
lightning = pytest.importorskip("hopcore_torch.lightning")
Annealing, AttentionLogger = lightning.Annealing, lightning.AttentionLogger

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*workers.*:UserWarning")
"""Lightning's own use of torch's trees, and its advice on loaders."""


class Module(pl.LightningModule):
    def __init__(self, model, *, asked: bool = False):
        super().__init__()
        self.model, self.asked, self.temperature, self.seen = model, asked, None, []

    def training_step(self, batch, batch_idx):
        self.seen.append(self.temperature)
        x, y = batch
        logits = self.model(x, self.temperature) if self.asked else self.model(x)
        loss = nn.functional.cross_entropy(logits.reshape(len(y), -1)[:, :3], y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def batches(*shape):
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(12, *shape), torch.arange(12) % 3)
    return torch.utils.data.DataLoader(data, batch_size=4)


def fit(module, loader, epochs, *callbacks, folder=None, **more):
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_checkpointing=folder is not None,
        **quiet,
    )
    trainer.fit(module, loader, **more)
    return trainer


def attention() -> nn.Module:
    scaling = hopcore.LearnableTemperature(factor=(2.0, 1.0))
    return nn.Sequential(Hopfield(4, num_heads=2, scaling=scaling), nn.Flatten(), nn.Linear(20, 3))


def test_the_temperature_goes_on_where_a_checkpoint_ends(tmp_path):
    schedule = hopcore.Linear(1.0, 0.1, steps=9)
    begun = Module(HNM(input_size=8, output_size=3), asked=True)
    trainer = fit(begun, batches(8), 2, Annealing(schedule))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert begun.seen == [schedule(step) for step in range(6)]
    assert trainer.callback_metrics["temperature"] == pytest.approx(schedule(5))
    resumed = Module(HNM(input_size=8, output_size=3), asked=True)
    fit(resumed, batches(8), 3, Annealing(schedule), ckpt_path=tmp_path / "last.ckpt")
    assert resumed.seen == [schedule(step) for step in range(6, 9)]


def test_statistics_and_temperatures_are_logged():
    module = Module(attention())
    heads = AttentionLogger(every=2, statistics=("entropy", "used"))
    assert heads.records == []
    trainer = fit(module, batches(5, 4), 2, heads)
    assert [(row.step, row.head) for row in heads.records] == [
        (step, head) for step in (0, 2, 4) for head in (0, 1)
    ]
    assert {row.layer for row in heads.records} == {"model.0"}
    logged = trainer.callback_metrics
    for row in heads.records[-2:]:
        name = f"attention/model.0/{row.head}"
        assert float(logged[f"{name}/entropy"]) == pytest.approx(row.entropy, rel=1e-5)
        assert float(logged[f"{name}/used"]) == pytest.approx(row.used, rel=1e-5)
    assert not [name for name in logged if name.endswith("/energy")]
    layer = module.model[0]
    now = layer.temperature.reshape(-1).tolist()
    # Logged after step 4; one step of the optimiser, of size 0.1 at most in theta, came later.
    assert [float(logged[f"temperature/model.0/{head}"]) for head in (0, 1)] == pytest.approx(
        now, abs=0.15
    )
    assert not layer._forward_hooks
    assert not module._forward_hooks


def test_hooks_are_removed_after_an_error():
    class Broken(Module):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            raise RuntimeError("stopped")

    module = Broken(attention())
    with pytest.raises(RuntimeError, match="stopped"):
        fit(module, batches(5, 4), 1, AttentionLogger(every=1))
    assert not module.model[0]._forward_hooks


def test_the_best_and_the_last_state_are_kept(tmp_path):
    kept = pl.callbacks.ModelCheckpoint(tmp_path, monitor="loss", save_last=True)
    module = Module(attention())
    fit(module, batches(5, 4), 2, kept, AttentionLogger(every=1), folder=tmp_path)
    last = torch.load(kept.last_model_path, weights_only=True)["state_dict"]
    assert set(last) == set(module.state_dict())
    assert all(torch.equal(last[name], value) for name, value in module.state_dict().items())
    best = torch.load(kept.best_model_path, weights_only=True)["state_dict"]
    Module(attention()).load_state_dict(best)


def test_bad_settings_are_refused():
    with pytest.raises(TypeError, match=r"schedule must be a function of the step.*got float"):
        Annealing(0.1)
    with pytest.raises(ValueError, match="statistics must be a list of entropy, effective"):
        AttentionLogger(statistics=("entropie",))
    with pytest.raises(ValueError, match="statistics must be a list"):
        AttentionLogger(statistics="entropy")
    with pytest.raises(ValueError, match="every must be >= 1, got 0"):
        fit(Module(attention()), batches(5, 4), 1, AttentionLogger(every=0))
    with pytest.raises(ValueError, match=r"Module has no hopcore_torch\.Hopfield"):
        fit(Module(nn.Linear(4, 3)), batches(4), 1, AttentionLogger())
    with pytest.raises(
        AttributeError, match=r"Module has no attribute beta; set self\.beta = None"
    ):
        fit(Module(attention()), batches(5, 4), 1, Annealing(lambda step: 1.0, attribute="beta"))
