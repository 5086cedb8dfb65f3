"""A trained model on disk: three files that describe and check each other.

    vocabulary.json     every token with its index
    model.safetensors   the weights under PyTorch's own parameter names (or model.pt, read with weights_only=True)
    config.json         everything else, and the SHA-256 of the other two

Saving is all or nothing. The new files are completed in a temporary folder beside the old ones, that folder is
renamed to `.incoming`, which is the moment the new set becomes the set, and only then do its files move to their
places. Loading prefers a file in `.incoming`, so a crash at any moment leaves the whole old set or the whole new one.
"""

import hashlib
import io
import os
import pickle
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from charlstm.config import FORMAT_VERSION, ArtifactConfig
from charlstm.documents import check_layout, parse_object, validated
from charlstm.encoding import TextEncoder
from charlstm.errors import ArtifactError
from charlstm.model import SentimentLSTM
from charlstm.readout import Readout
from charlstm.vocabulary import Vocabulary

CONFIG, VOCABULARY, SAFETENSORS, STATE_DICT = "config.json", "vocabulary.json", "model.safetensors", "model.pt"
_INCOMING, _STAGING = ".incoming", ".staging-"


@dataclass(frozen=True)
class Artifacts:
    """A verified model, ready to use.

    Attributes:
        config: Everything `config.json` says.
        vocabulary: Its tokens.
        model: The network with its weights, in evaluation mode, on the CPU.
        version: Twelve hexadecimal digits that change whenever any of the three files does.
    """

    config: ArtifactConfig
    vocabulary: Vocabulary
    model: SentimentLSTM
    version: str

    @property
    def encoder(self) -> TextEncoder:
        """The way from a text to this model's token ids."""
        return TextEncoder(self.config.preprocessing, self.vocabulary)

    @property
    def readout(self) -> Readout:
        """The way from this model's last hidden state to a probability."""
        head = self.model.head
        weight = head.weight.detach().cpu().numpy()[0]  # (H,)
        return Readout(weight, head.bias.item(), self.config.calibration.temperature)


def save_artifacts(
    directory: Path,
    config: ArtifactConfig,
    vocabulary: Vocabulary,
    state_dict: Mapping[str, Tensor],
    extras: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model into a folder, whole or not at all.

    Args:
        directory: Made if it does not exist. Other files in it are left alone.
        config: Its `files` are filled in here.
        vocabulary: The model's tokens.
        state_dict: The weights.
        extras: Further files that belong to the set, such as a learning curve: name to content.

    Raises:
        ArtifactError: Vocabulary and weights do not fit the config, or are no numbers: loading would refuse the set,
            so the old one is kept.
        ValueError: An extra has the name of one of the three files, or one that is no plain file name.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    _check_vocabulary(directory / VOCABULARY, vocabulary, config)
    _check_state_dict(directory / SAFETENSORS, weights, _without_weights(config).state_dict())
    content = {
        VOCABULARY: vocabulary.to_json().encode(),
        SAFETENSORS: safetensors.torch.save(weights),
    }
    hashes = {name: _sha256(data) for name, data in content.items()}
    content[CONFIG] = config.model_copy(update={"files": hashes}).model_dump_json(indent=2).encode() + b"\n"
    extras = extras or {}
    for name in extras:
        if name in (*content, "", "..") or Path(name).name != name:
            raise ValueError(f"an extra file cannot be called {name!r}")
    _replace_all(directory, content | dict(extras))


def holds_model(directory: Path) -> bool:
    """Tell whether a folder holds a model, sound or not; one that is being moved to its place counts."""
    return _path(directory, CONFIG).is_file()


def load_artifacts(directory: Path) -> Artifacts:
    """Read a model and verify all of it before returning any of it, also while another process saves a new one there.

    Raises:
        ArtifactError: A file is missing, damaged, of another format, or does not fit the others.
    """
    while True:
        document = _read(directory, CONFIG)
        try:
            return _load(directory, document)
        except ArtifactError:
            if _read(directory, CONFIG) == document:
                raise  # or else the set was replaced between two reads


def _load(directory: Path, document: bytes) -> Artifacts:
    config = _parse_config(_path(directory, CONFIG), document)
    vocabulary = _load_vocabulary(directory, config)
    model = _load_model(directory, config)
    return Artifacts(config, vocabulary, model, version=_sha256(document)[:12])


def _load_vocabulary(directory: Path, config: ArtifactConfig) -> Vocabulary:
    document = _read_verified(directory, VOCABULARY, config)
    try:
        vocabulary = Vocabulary.from_json(document.decode())
    except (ValueError, RecursionError) as error:
        raise ArtifactError(str(_path(directory, VOCABULARY)), "a vocabulary", str(error)) from error
    _check_vocabulary(_path(directory, VOCABULARY), vocabulary, config)
    return vocabulary


def _check_vocabulary(path: Path, vocabulary: Vocabulary, config: ArtifactConfig) -> None:
    if vocabulary.num_embeddings != config.model.num_embeddings:
        expected = f"{config.model.num_embeddings} tokens, one for each row of the embedding"
        raise ArtifactError(str(path), expected, str(vocabulary.num_embeddings))


def _load_model(directory: Path, config: ArtifactConfig) -> SentimentLSTM:
    name = STATE_DICT if STATE_DICT in config.files else SAFETENSORS
    data, path = _read_verified(directory, name, config), _path(directory, name)
    state_dict = _parse_state_dict(path, data)
    model = _without_weights(config)
    _check_state_dict(path, state_dict, model.state_dict())
    model.load_state_dict(state_dict, strict=True, assign=True)
    return model.eval()


def _without_weights(config: ArtifactConfig) -> SentimentLSTM:
    """Build the shapes alone, whatever size a damaged file wants; the caller's random numbers stay as they were."""
    with torch.device("meta"), _Uninitialized():
        return SentimentLSTM(config.model)


class _Uninitialized(TorchFunctionMode):
    """Draw no first weights: to pretend to draw them without memory, torch would import its compiler, for seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call torch, but for what fills tensors in place."""
        fills = getattr(func, "__module__", None) == nn.init.__name__
        return None if fills else func(*args, **(kwargs or {}))


def _parse_state_dict(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        if path.name == SAFETENSORS:
            return safetensors.torch.load(data)
        state_dict = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes spell: KeyError, struct.error, ...
        # torch wraps what is wrong with a pickle in advice to load it unsafely; the reason proper is what it wrapped
        cause = (isinstance(error, pickle.UnpicklingError) and error.__context__) or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise ArtifactError(str(path), "a state dict", f"a file that cannot be read as one ({reason})") from error
    if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise ArtifactError(str(path), "a state dict: parameter names to tensors", type(state_dict).__name__)
    return state_dict


def _check_state_dict(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - found.keys()):
        raise ArtifactError(str(path), f"parameter {missing[0]}", "none of that name")
    if unexpected := sorted(found.keys() - expected.keys()):
        raise ArtifactError(str(path), "only the network's parameters", unexpected[0])
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            raise ArtifactError(str(path), f"{name} as a dense tensor", "a sparse one, or one without values")
        if tensor.shape != expected[name].shape:
            raise ArtifactError(str(path), f"{name} of shape {tuple(expected[name].shape)}", str(tuple(tensor.shape)))
        if tensor.dtype != torch.float32:
            raise ArtifactError(str(path), f"{name} in float32", str(tensor.dtype).removeprefix("torch."))
        if not bool(tensor.isfinite().all()):
            raise ArtifactError(str(path), f"finite values in {name}", "NaN or infinity")


def _parse_config(path: Path, document: bytes) -> ArtifactConfig:
    check_layout(path, parse_object(path, document), FORMAT_VERSION)
    return validated(path, document, ArtifactConfig, "settings")


def _read_verified(directory: Path, name: str, config: ArtifactConfig) -> bytes:
    if (expected := config.files.get(name)) is None:
        raise ArtifactError(str(_path(directory, CONFIG)), f"the SHA-256 of {name} in files", "none")
    data = _read(directory, name)
    if (found := _sha256(data)) != expected:
        damaged = f"{found} ({len(data)} bytes): it is damaged, or of another model than {CONFIG}"
        raise ArtifactError(str(_path(directory, name)), f"SHA-256 {expected}", damaged)
    return data


def _read(directory: Path, name: str) -> bytes:
    path = directory / _INCOMING / name
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            return path.read_bytes()
        path = directory / name
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(str(path), "a file", "nothing there") from error
    except OSError as error:
        raise ArtifactError(str(path), "a readable file", error.strerror or type(error).__name__) from error


def _path(directory: Path, name: str) -> Path:
    incoming = directory / _INCOMING / name
    return incoming if incoming.exists() else directory / name


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _replace_all(directory: Path, content: Mapping[str, bytes]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    _move_incoming(directory)  # of an earlier save that was cut short
    for unfinished in directory.glob(f"{_STAGING}*"):  # likewise
        shutil.rmtree(unfinished, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=directory))
    try:
        for name, data in content.items():
            _write_durably(staging / name, data)
        with suppress(OSError):  # who may read the folder may read this; some file systems have no such thing
            staging.chmod(stat.S_IMODE(directory.stat().st_mode))
        _sync_folder(staging)  # or its names might reach the disk after the rename
        staging.rename(directory / _INCOMING)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _sync_folder(directory)
    _move_incoming(directory)


def _move_incoming(directory: Path) -> None:
    incoming = directory / _INCOMING
    if incoming.is_dir():
        for file in incoming.iterdir():
            file.replace(directory / file.name)
        incoming.rmdir()


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
