"""What moves each hidden unit of a trained model, from labelled texts: what `python -m training atlas` writes.

Sizes: B texts, T steps, V tokens known, H = hidden_size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np
import torch
from torch import Tensor

from charlstm.atlas import Atlas, GateUse, Histogram, LayerAtlas, Means, RowCounts, Snippet, TokenEffect, UnitAtlas
from charlstm.config import LABELS, NEGATIVE, POSITIVE
from charlstm.gates import trace_layers
from charlstm.model import last_step
from charlstm.predictor import Predictor
from training.corpus import Batch, Corpus, encode_corpus
from training.data import LabelledTexts
from training.errors import TrainingError
from training.evaluate import rows_of_training
from training.snippets import StrongestSteps, snippet
from training.splits import Rows, SplitName, part_in_words, split_rows
from training.unit_statistics import GATES, Changes, LastStates, ReadTokens, TokenStatistics, cell_state_changes

Progress = Callable[[int, int], object]  # told how many texts are read, and of how many

_STEPS_A_BATCH: Final = 8192  # padding included: what bounds the memory, however long the texts are
_SNIPPETS_A_UNIT: Final = 4


@dataclass(frozen=True)
class AtlasSettings:
    """What to read, and how much to tell.

    Attributes:
        split: Texts come from the test part of this split; from all rows if None.
        split_seed: The seed of that division.
        limit: The most texts to read, drawn at random.
        seed: The seed of that draw.
        minimum_texts: A token that stands in fewer texts than this is not named; at least 2.
        tokens: How many tokens to name that raise a unit, and how many that lower it.
        snippets: Whether pieces of the texts themselves are kept.
    """

    split: SplitName | None = SplitName.GROUPED
    split_seed: int = 42
    limit: int = 10_000
    seed: int = 0
    minimum_texts: int = 50
    tokens: int = 5
    snippets: bool = False


def compute_atlas(predictor: Predictor, data: LabelledTexts, settings: AtlasSettings, progress: Progress) -> Atlas:
    """Read texts and say what moved each unit; the same texts and settings give the same atlas on the same machine.

    Args:
        predictor: The model.
        data: The labelled texts. Those over the model's limit are cut, those without a token are left out.
        settings: What to read.
        progress: Whom to tell how far it is.

    Raises:
        TrainingError: The data does not allow the split, or the texts drawn are all of one label.
    """
    rows = _draw_rows(predictor, data, settings)
    reading = _Reading(predictor, data, rows, snippets=settings.snippets)
    reading.run(progress)
    positive, negative = np.bincount(data.labels[rows]).tolist()
    return Atlas(
        model_version=predictor.artifacts.version,
        package_version=version("charlstm"),
        data=data.name,
        data_sha256=data.sha256,
        part=_part(predictor, data, rows, settings),
        seed=settings.seed,
        rows=RowCounts(positive=positive, negative=negative),
        steps=int(reading.tokens[0].steps.sum()),
        minimum_texts=settings.minimum_texts,
        layers=tuple(
            LayerAtlas(layer=layer, units=tuple(_describe_units(reading, layer, settings)))
            for layer in range(predictor.artifacts.config.model.num_layers)
        ),
    )


def _part(predictor: Predictor, data: LabelledTexts, rows: Rows, settings: AtlasSettings) -> str:
    """Say which texts were read, and how many of them are no news to the model, if any are."""
    part = part_in_words(settings.split, settings.split_seed)
    trained_on = rows_of_training(data, predictor.artifacts.config.training)
    known = 0.0 if trained_on is None else float(np.isin(rows, trained_on).mean())
    return part if known == 0 else f"{part}; the model was trained on {known:.0%} of these texts"


def _draw_rows(predictor: Predictor, data: LabelledTexts, settings: AtlasSettings) -> Rows:
    part = np.arange(len(data.texts))
    if settings.split is not None:
        part = split_rows(data, settings.split, settings.split_seed).test
    drawn = np.random.default_rng(settings.seed).permutation(part)[: settings.limit]
    split = predictor.artifacts.config.preprocessing.split
    rows = np.array([row for row in drawn if split(data.texts[row])], dtype=np.int64)  # white space alone is no word
    if (labels := len(np.unique(data.labels[rows]))) < 2:
        raise TrainingError(f"an atlas needs texts of both labels, found {len(rows)} texts of {labels}")
    return rows


class _Reading:
    """One pass of the network over all texts, and what it leaves behind.

    Attributes:
        tokens: What each layer did at the tokens.
        last: What each layer held after the last step.
        texts: (V,) in how many texts each token stands.
        strongest: For each layer the steps that moved each unit most; empty without snippets.
    """

    def __init__(self, predictor: Predictor, data: LabelledTexts, rows: Rows, *, snippets: bool) -> None:
        config, device = predictor.artifacts.config.model, predictor.device
        self.predictor, self.data, self.rows = predictor, data, rows
        layers, size = range(config.num_layers), config.hidden_size
        self.tokens = [TokenStatistics.empty(config.num_embeddings, size, device) for _ in layers]
        self.last = [LastStates(data.labels[rows], size) for _ in layers]
        self.texts = torch.zeros(config.num_embeddings, dtype=torch.int64, device=device)
        self.strongest = [StrongestSteps(size, device) for _ in layers] if snippets else []

    @torch.inference_mode()
    def run(self, progress: Progress) -> None:
        """Read every text once."""
        artifacts, device = self.predictor.artifacts, self.predictor.device
        texts, labels = self.data.texts_of(self.rows), self.data.labels[self.rows].tolist()
        corpus = encode_corpus(artifacts.encoder, texts, labels, artifacts.config.model.pad_to, device)
        done = 0
        progress(done, len(corpus))
        for indices in _batches(corpus):
            self._read(indices, corpus.lengths[indices], corpus.batch(indices))
            done += len(indices)
            progress(done, len(corpus))

    def _read(self, indices: Tensor, token_counts: Tensor, batch: Batch) -> None:
        steps = torch.arange(batch.token_ids.shape[1], device=token_counts.device)  # (T,)
        is_token = steps < token_counts.unsqueeze(1)  # (B, T)
        read = ReadTokens(batch.token_ids[is_token], is_token)
        self._count_texts(batch.token_ids, is_token)
        model = self.predictor.artifacts.model
        for layer, signals in enumerate(trace_layers(model, model.embed(batch.token_ids))):
            self.tokens[layer].add(signals, read)
            self.last[layer].add(indices, last_step(signals.hidden_state, batch.lengths))
            if self.strongest:
                self.strongest[layer].add(indices, cell_state_changes(signals), is_token)

    def _count_texts(self, token_ids: Tensor, is_token: Tensor) -> None:
        stands = torch.zeros(len(token_ids), len(self.texts), dtype=torch.bool, device=token_ids.device)  # (B, V)
        text, _ = is_token.nonzero(as_tuple=True)  # (N,)
        stands[text, token_ids[is_token]] = True
        self.texts += stands.sum(dim=0)

    def snippets(self, layer: int, unit: int) -> tuple[Snippet, ...]:
        """Cut out the pieces of text around the steps that moved a unit most, no two from paraphrases of one text."""
        if not self.strongest:
            return ()
        found: dict[int, Snippet] = {}
        for index, step, change in self.strongest[layer].of_unit(unit):
            row = int(self.rows[index])
            group = row if self.data.groups is None else int(self.data.groups[row])
            if group not in found and len(found) < _SNIPPETS_A_UNIT:
                text = self.data.texts[row]
                offset = self.predictor.artifacts.encoder.encode(text, truncate=True).offsets[step] or 0
                found[group] = snippet(text, offset, _rounded(change), LABELS[self.data.labels[row]])
        return tuple(found.values())


def _batches(corpus: Corpus) -> Iterator[Tensor]:
    """Divide the texts, the shortest first, into batches of a limited number of steps: (B,) indices each."""
    order = corpus.lengths.argsort(stable=True)
    steps = corpus.lengths[order].tolist() if corpus.pad_to is None else [corpus.pad_to] * len(order)
    start = 0
    for stop in range(1, len(steps) + 1):
        if stop == len(steps) or (stop + 1 - start) * steps[stop] > _STEPS_A_BATCH:
            yield order[start:stop]
            start = stop


def _describe_units(reading: _Reading, layer: int, settings: AtlasSettings) -> Iterator[UnitAtlas]:
    """Turn the statistics of a layer into one record a unit."""
    found, last, artifacts = reading.tokens[layer], reading.last[layer], reading.predictor.artifacts
    table = _TokenTable(reading, found, settings)
    readout = artifacts.readout if layer == len(reading.tokens) - 1 else None
    weights = None if readout is None else readout.weight.astype(np.float64) / readout.temperature  # (H,)
    counts = [last.histogram(label).tolist() for label in (POSITIVE, NEGATIVE)]  # 2 lists of H lists
    means = [last.mean(label) for label in (POSITIVE, NEGATIVE)]  # 2 of (H,)
    separation, spread = last.separation(), last.spread()  # (H,) each
    for unit in range(artifacts.config.model.hidden_size):
        forget_gate, input_gate, output_gate = (_gate_use(found, gate, unit) for gate in range(len(GATES)))
        yield UnitAtlas(
            unit=unit,
            histogram=Histogram(positive=counts[POSITIVE][unit], negative=counts[NEGATIVE][unit]),
            mean=Means(positive=_rounded(means[POSITIVE][unit]), negative=_rounded(means[NEGATIVE][unit])),
            separation=_rounded(separation[unit]),
            raised_by=table.most(unit, direction=1),
            lowered_by=table.most(unit, direction=-1),
            forget_gate=forget_gate,
            input_gate=input_gate,
            output_gate=output_gate,
            half_life=_half_life(float(found.log_forget[unit] / found.steps.sum())),
            weight=None if weights is None else _rounded(weights[unit]),
            share_spread=None if weights is None else _rounded(abs(weights[unit]) * spread[unit]),
            snippets=reading.snippets(layer, unit),
        )


class _TokenTable:
    """How every token that stands in enough texts moves the units of a layer."""

    def __init__(self, reading: _Reading, found: TokenStatistics, settings: AtlasSettings) -> None:
        ids = (reading.texts >= settings.minimum_texts).nonzero().squeeze(1)  # those that may be named
        self._tokens: Sequence[str] = reading.predictor.artifacts.vocabulary.decode(ids.tolist())
        self._counts = found.steps[ids].long().tolist()
        changes = found.token_changes()
        self._changes = Changes(changes.mean[ids].cpu(), changes.standard_error[ids].cpu())
        self._most = settings.tokens

    def most(self, unit: int, direction: int) -> tuple[TokenEffect, ...]:
        """Name those that raise (1) or lower (-1) a unit most."""
        effects = self._changes.mean[:, unit] * direction
        order = [index for index in effects.argsort(descending=True, stable=True).tolist() if effects[index] > 0]
        return tuple(
            TokenEffect(
                token=self._tokens[index],
                change=_rounded(self._changes.mean[index, unit]),
                standard_error=_rounded(self._changes.standard_error[index, unit]),
                count=self._counts[index],
            )
            for index in order[: self._most]
        )


def _gate_use(found: TokenStatistics, gate: int, unit: int) -> GateUse:
    sums = (found.gates[gate, unit], found.closed[gate, unit], found.open[gate, unit])
    mean, closed, opened = (_rounded(total / found.steps.sum()) for total in sums)
    return GateUse(mean=mean, closed=closed, open=opened)


def _half_life(mean_log_forget: float) -> float | None:
    return _rounded(-math.log(2) / mean_log_forget) if mean_log_forget < 0 else None


def _rounded(value: float | Tensor) -> float:
    """Keep four significant digits, which is more than a sample of texts can tell."""
    return float(f"{float(value):.4g}")
