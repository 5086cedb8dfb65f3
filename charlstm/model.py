"""The network: an embedding, a unidirectional LSTM, and a linear head that reads its last step.

The logit is that of label 1, negative. Sizes: B texts, T steps, E = embedding_dim, H = hidden_size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from charlstm.config import ModelConfig
from charlstm.vocabulary import PADDING_ID


class SentimentLSTM(nn.Module):
    """Reads a text token by token and gives the logit of its being negative."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Where padding counts as a step its vector is learnt like any other; elsewhere it is never read and stays 0.
        padding_idx = PADDING_ID if config.pad_to is None else None
        self.embedding = nn.Embedding(config.num_embeddings, config.embedding_dim, padding_idx=padding_idx)
        self.lstm = nn.LSTM(
            config.embedding_dim,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.head = nn.Linear(config.hidden_size, 1)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Give one logit a text.

        Args:
            token_ids: (B, T) integers, padded at the end.
            lengths: (B,) steps to read of each text, 1 to T.

        Returns:
            (B,) logits of label 1, negative.
        """
        hidden_states = self.hidden_states(self.embed(token_ids))  # (B, T, H)
        return self.readout(last_step(hidden_states, lengths))  # (B,)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Look up the vectors of (B, T) token ids: (B, T, E)."""
        embedded: Tensor = self.dropout(self.embedding(token_ids))
        return embedded

    def hidden_states(self, embedded: Tensor) -> Tensor:
        """Run the LSTM from a zero state over (B, T, E); return its top layer's hidden states, (B, T, H)."""
        outputs: Tensor = self.lstm(embedded)[0]
        return outputs

    def readout(self, hidden_state: Tensor) -> Tensor:
        """Turn hidden states (..., H) into logits (...)."""
        logits: Tensor = self.head(self.dropout(hidden_state))
        return logits.squeeze(-1)


def use_whole_float32() -> None:
    """Have this process's GPUs compute an LSTM's float32 as such: by default, cuDNN keeps 10 bits of the mantissa.

    With them, a trace would miss the identities of its cell by a thousandth. On the CPU it changes nothing.
    """
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]  # torch does not declare it


def last_step(hidden_states: Tensor, lengths: Tensor) -> Tensor:
    """Pick from (B, T, H) each text's state after its last step: (B, H). Later steps are padding, never read."""
    return hidden_states[torch.arange(len(lengths), device=lengths.device), lengths - 1]


def collate(sequences: Sequence[Sequence[int]], pad_to: int | None = None) -> tuple[Tensor, Tensor]:
    """Pad texts to one batch.

    Args:
        sequences: B non-empty sequences of token ids.
        pad_to: As in `ModelConfig`: pad to this many steps and count the padding as steps.

    Returns:
        token_ids (B, T) and lengths (B,), both int64 on the CPU. T is `pad_to`, or else the longest length.

    Raises:
        ValueError: There is no text, one is empty, or one is longer than `pad_to`.
    """
    lengths = [len(sequence) for sequence in sequences]
    if not lengths or min(lengths) == 0:
        raise ValueError("a batch needs at least one text and every text at least one token")
    token_ids = pad_sequence(
        [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences],
        batch_first=True,
        padding_value=PADDING_ID,
    )  # (B, longest)
    if pad_to is None:
        return token_ids, torch.tensor(lengths)
    if pad_to < max(lengths):
        raise ValueError(f"a text of {max(lengths)} tokens does not fit into {pad_to} steps")
    missing = pad_to - token_ids.shape[1]
    return nn.functional.pad(token_ids, (0, missing), value=PADDING_ID), torch.full((len(lengths),), pad_to)
