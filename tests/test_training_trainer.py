"""The training loop alone: schedule, clipping, masking, and what the scores of a network are."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from charlstm.encoding import TextEncoder
from charlstm.model import SentimentLSTM
from charlstm.text import Preprocessing
from charlstm.vocabulary import PADDING_ID, Vocabulary
from tests.training_data import Row, labelled, sentiment_rows
from training import trainer
from training.checkpoint import EpochRecord, Validation
from training.corpus import Corpus, encode_corpus
from training.errors import TrainingError
from training.recipe import Recipe
from training.trainer import Run, learning_rate_at, predict_logits, train

RECIPE = Recipe(embedding_dim=6, hidden_size=6, epochs=3, batch_size=16, learning_rate=0.02)


class Listener:
    """Hears what the loop tells, and may be told to do something after an epoch."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.losses: list[float] = []
        self.records: list[EpochRecord] = []

    def preparing(self, what: str) -> None:
        raise AssertionError(what)

    def run_started(self, title: str, epochs: int) -> None:
        """It does not matter here."""

    def epoch_started(self, epoch: int, batches: int) -> None:
        self.heard.append(("started", epoch))
        self.batches = batches

    def batch_done(self, mean_loss: float) -> None:
        self.losses.append(mean_loss)

    def epoch_done(self, record: EpochRecord) -> None:
        self.heard.append(("done", record.epoch))
        self.records.append(record)


def corpus_of(rows: list[Row], encoder: TextEncoder) -> Corpus:
    data = labelled(rows)
    return encode_corpus(encoder, data.texts, data.labels.tolist(), None, torch.device("cpu"))


@pytest.fixture(scope="module")
def parts() -> tuple[Corpus, Corpus]:
    """Texts to train on and texts to validate on."""
    rows = sentiment_rows(tweets=40)
    encoder = TextEncoder(Preprocessing(), Vocabulary.build([row.text for row in rows]))
    return corpus_of(rows[:120], encoder), corpus_of(rows[120:], encoder)


def run_of(parts: tuple[Corpus, Corpus], folder: Path, **changes: Any) -> tuple[SentimentLSTM, Run]:
    recipe = Recipe.model_validate(RECIPE.model_dump() | changes)
    torch.manual_seed(0)
    model = SentimentLSTM(recipe.model_settings(int(torch.cat([part.token_ids for part in parts]).max()) + 2))
    return model, Run(recipe, *parts, seed=1, checkpoint=folder / "state.pt", fingerprint="mine")


def used_learning_rates(model: SentimentLSTM, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    used: list[float] = []
    step = torch.optim.AdamW.step

    def listen(self: torch.optim.AdamW) -> None:
        used.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", listen)
    train(model, run, Listener())
    return used


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    recipe = RECIPE.model_copy(update={"warmup": 0.25})
    rates = [learning_rate_at(step / 100, recipe) for step in range(101)]
    assert (rates[0], rates[25]) == (0.0, recipe.learning_rate)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert all(earlier < later for earlier, later in itertools.pairwise(rates[:26]))
    assert all(earlier > later for earlier, later in itertools.pairwise(rates[25:]))
    assert learning_rate_at(0.625, recipe) == pytest.approx(recipe.learning_rate / 2)  # half way down the cosine


def test_without_a_warmup_the_learning_rate_stands() -> None:
    assert {learning_rate_at(step / 10, RECIPE) for step in range(11)} == {RECIPE.learning_rate}


def test_the_optimizer_follows_the_schedule(
    parts: tuple[Corpus, Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = run_of(parts, tmp_path, warmup=0.5)
    steps = 3 * -(-len(parts[0]) // 16)
    expected = [learning_rate_at((step + 1) / steps, run.recipe) for step in range(steps)]
    assert used_learning_rates(model, run, monkeypatch) == pytest.approx(expected)


def test_progress_is_told_of_every_batch_and_epoch(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    heard = Listener()
    state = train(*run_of(parts, tmp_path), heard)
    assert heard.heard == [(what, epoch) for epoch in range(3) for what in ("started", "done")]
    assert len(heard.losses) == 3 * heard.batches == 3 * 8
    assert heard.records == state.history
    assert [record.train_loss for record in state.history] == heard.losses[7::8]
    assert all(record.seconds > 0 and record.tokens_per_second > 0 for record in state.history)


def test_a_first_step_is_adams(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    """One batch of everything: PyTorch's own Adam on the same loss makes the same weights."""
    model, run = run_of(parts, tmp_path, epochs=1, batch_size=1000)
    twin = SentimentLSTM(model.config)
    twin.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(twin.parameters(), lr=run.recipe.learning_rate)
    batch = parts[0].batch(torch.arange(len(parts[0])))
    torch.autograd.backward(
        torch.nn.functional.binary_cross_entropy(twin(batch.token_ids, batch.lengths).sigmoid(), batch.labels)
    )
    optimizer.step()
    train(model, run, Listener())
    torch.testing.assert_close(dict(model.state_dict()), dict(twin.state_dict()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_the_gradient_is_clipped_only_if_asked(
    parts: tuple[Corpus, Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_norm: float | None
) -> None:
    model, run = run_of(parts, tmp_path, clip_norm=clip_norm)
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def listen(self: torch.optim.AdamW) -> None:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", listen)
    train(model, run, Listener())
    limit = 0.01 * (1 + 1e-4)
    assert (max(norms) <= limit) == (clip_norm is not None)


def test_weight_decay_shrinks_the_weights(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    def size(decay: float) -> float:
        model, run = run_of(parts, tmp_path / str(decay), weight_decay=decay)
        train(model, run, Listener())
        return float(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).norm())

    assert size(2.0) < 0.95 * size(0.0)


def test_masking_shows_some_characters_as_unknown_and_never_touches_padding(
    parts: tuple[Corpus, Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = run_of(parts, tmp_path, mask_rate=0.3, epochs=4)
    unknown_id = model.config.num_embeddings - 1
    assert not bool((parts[0].token_ids == unknown_id).any())
    batches: list[tuple[Tensor, Tensor]] = []
    forward = SentimentLSTM.forward

    def listen(self: SentimentLSTM, token_ids: Tensor, lengths: Tensor) -> Tensor:
        batches.append((token_ids, lengths))
        return forward(self, token_ids, lengths)

    monkeypatch.setattr(SentimentLSTM, "forward", listen)
    train(model, Run(run.recipe, parts[0], parts[0], 1, run.checkpoint, "mine"), Listener())
    masked = texts = padding = 0
    for token_ids, lengths in batches:
        inside = torch.arange(token_ids.shape[1]) < lengths[:, None]
        assert bool((token_ids[~inside] == PADDING_ID).all())
        assert bool((token_ids[inside] != PADDING_ID).all())
        if len(lengths) <= run.recipe.batch_size:  # validation is never masked, and comes in one larger batch
            masked, texts = masked + int((token_ids == unknown_id).sum()), texts + int(inside.sum())
            padding += int((~inside).sum())
        else:
            assert not bool((token_ids == unknown_id).any())
    assert padding > 0
    assert masked / texts == pytest.approx(0.3, abs=0.03)


def test_every_epoch_has_its_own_order_and_mask(
    parts: tuple[Corpus, Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = run_of(parts, tmp_path, mask_rate=0.3, epochs=3, batch_size=1000)
    unknown_id, first_ones = model.config.num_embeddings - 1, int(parts[0].lengths.min())
    orders: list[list[int]] = []
    masks: list[Tensor] = []
    forward = SentimentLSTM.forward

    def listen(self: SentimentLSTM, token_ids: Tensor, lengths: Tensor) -> Tensor:
        if self.training:
            orders.append(lengths.tolist())
            masks.append(token_ids[:, :first_ones] == unknown_id)
        return forward(self, token_ids, lengths)

    monkeypatch.setattr(SentimentLSTM, "forward", listen)
    train(model, run, Listener())
    for (one_order, one_mask), (other_order, other_mask) in itertools.combinations(zip(orders, masks, strict=True), 2):
        assert one_order != other_order
        assert not torch.equal(one_mask, other_mask)


def test_logits_come_in_the_order_of_the_texts(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    """Each as the network gives it for that text alone, with dropout off."""
    model, _ = run_of(parts, tmp_path, dropout=0.5)
    logits = predict_logits(model.train(), parts[1])
    alone = [
        model(batch.token_ids, batch.lengths) for batch in map(parts[1].batch, torch.arange(len(parts[1]))[:, None])
    ]
    torch.testing.assert_close(logits, torch.cat(alone).detach())


@pytest.mark.parametrize(("losses", "best"), [([0.4, 0.1, 0.3], 1), ([0.4, 0.1, 0.1], 1), ([0.5, 0.4, 0.3], 2)])
def test_the_epoch_of_the_least_calibrated_loss_is_kept(
    parts: tuple[Corpus, Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    best: int,
) -> None:
    """Not that of the best loss as it is, accuracy or area under the curve; of equals the first."""
    model, run = run_of(parts, tmp_path)
    weights: list[dict[str, Tensor]] = []

    def validate(model: SentimentLSTM, _: Corpus) -> Validation:
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        count = len(weights)  # all else gets worse with every epoch
        return Validation(loss=count, calibrated_loss=losses[count - 1], accuracy=1 / count, auc=1 / count)

    monkeypatch.setattr(trainer, "_validate", validate)
    state = train(model, run, Listener())
    assert state.best_epoch == best
    torch.testing.assert_close(dict(model.state_dict()), weights[best], rtol=0, atol=0)
    torch.testing.assert_close(state.best_weights, weights[best], rtol=0, atol=0)
    torch.testing.assert_close(state.weights, weights[-1], rtol=0, atol=0)


def test_without_validation_the_last_epoch_is_kept(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    model, run = run_of(parts, tmp_path)
    nothing = encode_corpus(TextEncoder(Preprocessing(), Vocabulary([])), [], [], None, torch.device("cpu"))
    state = train(model, dataclasses.replace(run, validation=nothing), Listener())
    assert (state.best_epoch, [record.validation for record in state.history]) == (2, [None] * 3)
    torch.testing.assert_close(dict(model.state_dict()), state.weights, rtol=0, atol=0)


def test_a_loss_that_is_no_number_ends_the_run(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    model, run = run_of(parts, tmp_path)
    with torch.no_grad():
        model.head.bias.fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"diverged.*lower --learning-rate"):
        train(model, run, Listener())
    assert not run.checkpoint.exists()


def test_bfloat16_trains_float32_weights(parts: tuple[Corpus, Corpus], tmp_path: Path) -> None:
    model, run = run_of(parts, tmp_path, precision="bfloat16", epochs=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = train(model, run, Listener())
    assert {tensor.dtype for tensor in state.best_weights.values()} == {torch.float32}
    moved = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert moved == list(before)
