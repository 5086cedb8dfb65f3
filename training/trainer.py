"""The training loop: epochs over a corpus, the best one kept, every whole epoch saved."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from charlstm.model import SentimentLSTM
from charlstm.vocabulary import PADDING_ID
from training.checkpoint import EpochRecord, RunState, Validation, load_checkpoint, save_checkpoint
from training.corpus import Batch, Corpus
from training.distillation import LessonBatch, Student, lesson_losses
from training.errors import TrainingError
from training.metrics import accuracy_and_auc, fit_temperature
from training.recipe import Recipe

_SCORING_BATCH = 256

Learner = SentimentLSTM | Student


class Progress(Protocol):
    """Whom the loop tells how far it is."""

    def preparing(self, what: str) -> None:
        """Something begins that may take minutes, before the training."""

    def run_started(self, title: str, epochs: int) -> None:
        """The training of one model begins."""

    def epoch_started(self, epoch: int, batches: int) -> None:
        """An epoch of this many batches begins."""

    def batch_done(self, mean_loss: float) -> None:
        """One more batch is trained; the epoch's mean loss so far."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch is over and saved."""


@dataclass(frozen=True)
class Run:
    """What one training run is made of, apart from the network.

    Attributes:
        recipe: How to train.
        train, validation: What to train on and what to choose the best epoch by; the latter may be empty.
        seed: Seeds order, dropout and masking of every epoch.
        checkpoint: Where the state is kept between epochs.
        fingerprint: Everything that shapes the result, to recognise the run by.
    """

    recipe: Recipe
    train: Corpus
    validation: Corpus
    seed: int
    checkpoint: Path
    fingerprint: str


def train(model: SentimentLSTM, run: Run, progress: Progress) -> RunState:
    """Train to the last epoch, from where an earlier run of the same fingerprint stopped, if one did.

    Ctrl-C ends the run after the last whole epoch, and is not raised once there is one. The network is left with
    the best epoch's weights.

    Raises:
        CheckpointError: An unfinished run of another kind stands at the checkpoint's place.
        TrainingError: The loss is no number any more.
        KeyboardInterrupt: Ctrl-C before the first epoch was over.
    """
    recipe = run.recipe
    lessons = run.train.lessons
    learner = model if lessons is None else Student(model, lessons.embeddings.shape[1]).to(model.device)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    state = load_checkpoint(run.checkpoint, run.fingerprint)
    if state is not None:
        learner.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
    try:
        for epoch in range(0 if state is None else len(state.history), recipe.epochs):
            record = _train_epoch(learner, optimizer, run, epoch, progress)
            state = _after_epoch(learner, optimizer, record, state)
            save_checkpoint(run.checkpoint, run.fingerprint, state)
            progress.epoch_done(record)
    except KeyboardInterrupt:
        if state is None:
            raise
        state.interrupted = True
    if state is None:
        raise AssertionError("a recipe has at least one epoch")
    model.load_state_dict(state.best_weights)
    return state


def predict_logits(model: SentimentLSTM, corpus: Corpus) -> Tensor:
    """Return the logits of all R texts, in their order: (R,) on the CPU."""
    model.eval()
    logits = torch.empty(len(corpus))
    with torch.inference_mode():
        for rows, batch in corpus.in_order_of_length(_SCORING_BATCH):
            logits[rows.cpu()] = model(batch.token_ids, batch.lengths).cpu()
    return logits


def learning_rate_at(progress: float, recipe: Recipe) -> float:
    """Return the learning rate after this share of all steps, 0 to 1."""
    if recipe.warmup is None:
        return recipe.learning_rate
    if progress < recipe.warmup:
        return recipe.learning_rate * progress / recipe.warmup
    falling = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * falling))


def _train_epoch(
    learner: Learner, optimizer: torch.optim.Optimizer, run: Run, epoch: int, progress: Progress
) -> EpochRecord:
    # One seed an epoch: a resumed run then draws the same numbers as an uninterrupted one.
    torch.manual_seed(run.seed * 1_000_003 + epoch)
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    recipe, started = run.recipe, time.perf_counter()
    batches = math.ceil(len(run.train) / recipe.batch_size)
    progress.epoch_started(epoch, batches)
    learner.train()
    total_loss, texts = 0.0, 0
    for number, batch in enumerate(run.train.shuffled(recipe.batch_size, generator, by_length=recipe.by_length)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at((epoch + (number + 1) / batches) / recipe.epochs, recipe)
        loss = _train_batch(learner, optimizer, recipe, batch)
        _check_finite(loss)
        total_loss, texts = total_loss + loss * len(batch.labels), texts + len(batch.labels)
        progress.batch_done(total_loss / texts)
    seconds = time.perf_counter() - started
    tokens = int(run.train.lengths.sum())
    validation = _validate(_network(learner), run.validation)
    return EpochRecord(epoch, total_loss / texts, validation, seconds, tokens / seconds)


def _train_batch(learner: Learner, optimizer: torch.optim.Optimizer, recipe: Recipe, batch: Batch) -> float:
    unknown_id = _network(learner).config.num_embeddings - 1
    token_ids = _mask(batch.token_ids, recipe.mask_rate, unknown_id)
    if batch.lessons is not None and recipe.word_mask_rate > 0:
        token_ids = _mask_words(token_ids, batch.lessons, recipe.word_mask_rate, unknown_id)
    loss, objective = _losses(learner, token_ids, batch, recipe)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(objective)
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(learner.parameters(), recipe.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _losses(learner: Learner, token_ids: Tensor, batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return the loss against the labels, which is reported, and that which is minimised."""
    if batch.lessons is None or isinstance(learner, SentimentLSTM):
        with torch.autocast(token_ids.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = _network(learner)(token_ids, batch.lengths)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), batch.labels)
        return loss, loss
    with torch.autocast(token_ids.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        answers = learner(token_ids, batch.lengths, batch.lessons)
    loss = nn.functional.binary_cross_entropy_with_logits(answers.logits.float(), batch.labels)
    opinion, distance = lesson_losses(answers, batch.lessons)
    return loss, loss + recipe.word_weight * opinion + recipe.embedding_weight * distance


def _mask(token_ids: Tensor, rate: float, unknown_id: int) -> Tensor:
    if rate == 0:
        return token_ids
    masked = (torch.rand(token_ids.shape, device=token_ids.device) < rate) & (token_ids != PADDING_ID)
    return token_ids.masked_fill(masked, unknown_id)


def _mask_words(token_ids: Tensor, lessons: LessonBatch, rate: float, unknown_id: int) -> Tensor:
    """Mask whole words: a lesson stands at the last step of each."""
    ends = torch.zeros_like(token_ids)
    ends[lessons.texts, lessons.steps] = 1
    word = ends.cumsum(dim=1) - ends  # (B, T) how many words are over before each step
    masked = (torch.rand(token_ids.shape, device=token_ids.device) < rate).gather(1, word) & (token_ids != PADDING_ID)
    return token_ids.masked_fill(masked, unknown_id)


def _validate(model: SentimentLSTM, validation: Corpus) -> Validation | None:
    if len(validation) == 0:
        return None
    logits, labels = predict_logits(model, validation), validation.labels.cpu()
    loss = float(nn.functional.binary_cross_entropy_with_logits(logits, labels))
    _check_finite(loss)
    _, calibrated_loss = fit_temperature(labels.numpy(), logits.numpy())
    accuracy, auc = accuracy_and_auc(labels.numpy(), logits.sigmoid().numpy())
    return Validation(loss, calibrated_loss, accuracy, auc)


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"training diverged, the loss is {loss}: lower --learning-rate or --clip-norm")


def _after_epoch(
    learner: Learner, optimizer: torch.optim.Optimizer, record: EpochRecord, before: RunState | None
) -> RunState:
    weights = _copy(learner)
    state = RunState(weights, optimizer.state_dict(), _copy(_network(learner)), record.epoch, [record])
    if before is None:
        return state
    state.history = [*before.history, record]
    best = before.history[before.best_epoch].validation
    # As it would ship: calibrated, so that a network that has become too sure of itself does not lose by that. Accuracy
    # and the area under the curve jump about more on a thousand texts.
    if record.validation and best and record.validation.calibrated_loss >= best.calibrated_loss:
        state.best_weights, state.best_epoch = before.best_weights, before.best_epoch
    return state


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def _network(learner: Learner) -> SentimentLSTM:
    return learner.model if isinstance(learner, Student) else learner
