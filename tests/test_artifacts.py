"""A model on disk: what is saved comes back, and what is damaged is refused by name."""

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlstm.artifacts import CONFIG, SAFETENSORS, STATE_DICT, VOCABULARY, Artifacts, load_artifacts, save_artifacts
from charlstm.config import ArtifactConfig
from charlstm.errors import ArtifactError
from charlstm.vocabulary import Vocabulary
from tests.tiny import HIDDEN_SIZE, tiny_artifacts, tiny_config, tiny_model

FILES = (CONFIG, VOCABULARY, SAFETENSORS)
StateDict = dict[str, Tensor]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tiny_artifacts(tmp_path / "artifacts")


def edit_config(directory: Path, change: dict[str, Any]) -> None:
    path = directory / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def rewrite(directory: Path, name: str, data: bytes) -> None:
    """Put other bytes into a file and their true hash into the config, so that later checks are reached."""
    (directory / name).write_bytes(data)
    files = json.loads((directory / CONFIG).read_text())["files"]
    edit_config(directory, {"files": files | {name: hashlib.sha256(data).hexdigest()}})


def weights_of(directory: Path) -> StateDict:
    return dict(load_artifacts(directory).model.state_dict())


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def become_pt(directory: Path, data: bytes) -> None:
    """Turn the set into one whose weights are a model.pt of these bytes."""
    (directory / SAFETENSORS).unlink()
    rewrite(directory, STATE_DICT, data)
    files = json.loads((directory / CONFIG).read_text())["files"]
    files.pop(SAFETENSORS)
    edit_config(directory, {"files": files})


def refusal(directory: Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load_artifacts(directory)
    return caught.value


def assert_refused(directory: Path, name: str, *, expected: str, found: str) -> None:
    error = refusal(directory)
    assert Path(error.file).name == name, error
    assert expected in error.expected, error
    assert found in error.found, error
    assert str(error) == f"{error.file}: expected {error.expected}, found {error.found}"


# What is saved comes back


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("pad_to", [None, 20])
def test_a_saved_model_comes_back_bit_for_bit(tmp_path: Path, num_layers: int, pad_to: int | None) -> None:
    config, vocabulary = tiny_config(num_layers=num_layers, pad_to=pad_to, temperature=1.7)
    weights = tiny_model(config.model).state_dict()
    save_artifacts(tmp_path / "new" / "folder", config, vocabulary, weights)
    loaded = load_artifacts(tmp_path / "new" / "folder")
    assert loaded.vocabulary == vocabulary
    assert loaded.config.model_copy(update={"files": {}}) == config
    assert loaded.encoder.preprocessing == config.preprocessing
    found = loaded.model.state_dict()
    assert list(found) == list(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_loaded_model_is_ready_to_predict(directory: Path) -> None:
    model = load_artifacts(directory).model
    assert not model.training
    assert {parameter.device for parameter in model.parameters()} == {torch.device("cpu")}


def test_the_three_files_are_readable_by_other_tools(directory: Path) -> None:
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    assert config["files"] == {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in (VOCABULARY, SAFETENSORS)
    }
    assert json.loads((directory / VOCABULARY).read_text(encoding="utf-8"))["<PAD>"] == 0
    assert safetensors.torch.load_file(directory / SAFETENSORS).keys() == weights_of(directory).keys()
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_any_vocabulary_and_weights_survive(
    tmp_path_factory: pytest.TempPathFactory, seed: int, texts: list[str]
) -> None:
    config, _ = tiny_config()
    vocabulary = Vocabulary.build(texts)
    sized = config.model.model_copy(update={"num_embeddings": vocabulary.num_embeddings})
    config = config.model_copy(update={"model": sized})
    weights = tiny_model(config.model, seed=seed).state_dict()
    folder = tmp_path_factory.mktemp("any")
    save_artifacts(folder, config, vocabulary, weights)
    loaded = load_artifacts(folder)
    assert loaded.vocabulary == vocabulary
    assert all(torch.equal(loaded.model.state_dict()[name], weights[name]) for name in weights)


def test_the_version_changes_with_the_weights_and_with_nothing_else(tmp_path: Path) -> None:
    versions = [
        load_artifacts(tiny_artifacts(tmp_path / f"{n}", seed=seed)).version for n, seed in enumerate([0, 0, 1])
    ]
    assert versions[0] == versions[1] != versions[2]
    assert all(len(version) == 12 and int(version, 16) >= 0 for version in versions)


def test_the_version_changes_with_the_config(directory: Path) -> None:
    before = load_artifacts(directory).version
    edit_config(directory, {"name": "other"})
    assert load_artifacts(directory).version != before


def test_neither_saving_nor_loading_draws_random_numbers(tmp_path: Path) -> None:
    config, vocabulary = tiny_config()
    weights = tiny_model(config.model).state_dict()
    before = torch.get_rng_state()
    save_artifacts(tmp_path, config, vocabulary, weights)
    load_artifacts(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_dict_in_a_pt_file_loads(directory: Path) -> None:
    weights = weights_of(directory)
    become_pt(directory, torch_bytes(weights))
    found = weights_of(directory)
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(directory: Path, tmp_path: Path) -> None:
    become_pt(directory, torch_bytes({"head.bias": Payload(tmp_path / "ran")}))
    assert_refused(directory, STATE_DICT, expected="a state dict", found=f"unsupported GLOBAL {os.name}.mkdir")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_that_runs_code_is_refused_and_does_not_run(directory: Path, tmp_path: Path) -> None:
    become_pt(directory, pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    assert_refused(directory, STATE_DICT, expected="a state dict", found=f"unsupported GLOBAL {os.name}.mkdir")
    assert not (tmp_path / "ran").exists()


def test_the_payload_of_the_two_tests_above_does_run_when_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))  # noqa: S301  our own harmless bytes
    assert (tmp_path / "ran").exists()


class Payload:
    """Makes a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


# What is damaged is refused: which file, what was expected, what was found


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert_refused(directory, name, expected="a file", found="nothing there")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", CONFIG, expected="a file", found="nothing there")
    assert "nowhere" in refusal(tmp_path / "nowhere").file


def test_a_file_in_place_of_the_folder_is_named(directory: Path) -> None:
    assert_refused(directory / CONFIG, CONFIG, expected="a readable file", found="Not a directory")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    (directory / name).mkdir()
    assert_refused(directory, name, expected="a readable file", found="Is a directory")


@pytest.mark.parametrize("name", [VOCABULARY, SAFETENSORS])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_told_by_its_hash(directory: Path, name: str, kept: float) -> None:
    data = (directory / name).read_bytes()
    cut = data[: int(len(data) * kept)]
    (directory / name).write_bytes(cut)
    assert_refused(directory, name, expected=hashlib.sha256(data).hexdigest(), found=f"({len(cut)} bytes)")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_config_is_no_json(directory: Path, kept: float) -> None:
    data = (directory / CONFIG).read_bytes()
    (directory / CONFIG).write_bytes(data[: int(len(data) * kept)])
    assert_refused(directory, CONFIG, expected="a JSON object", found="no valid JSON")


@pytest.mark.parametrize("name", [VOCABULARY, SAFETENSORS])
@pytest.mark.parametrize("place", [0, 0.3, 0.7, 1])
def test_a_flipped_bit_is_told_by_its_hash(directory: Path, name: str, place: float) -> None:
    data = bytearray((directory / name).read_bytes())
    data[int((len(data) - 1) * place)] ^= 1
    (directory / name).write_bytes(data)
    assert_refused(directory, name, expected="SHA-256", found=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", [VOCABULARY, SAFETENSORS])
def test_a_file_of_another_model_is_told_by_its_hash(directory: Path, tmp_path: Path, name: str) -> None:
    other = tiny_artifacts(tmp_path / "other", casefold=True, seed=1)
    shutil.copy(other / name, directory / name)
    assert_refused(directory, name, expected="SHA-256", found=hashlib.sha256((other / name).read_bytes()).hexdigest())


def test_the_config_of_another_model_does_not_fit_the_files(directory: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_artifacts(tmp_path / "other", casefold=True, seed=1) / CONFIG, directory / CONFIG)
    assert_refused(directory, VOCABULARY, expected="SHA-256", found="bytes")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b"[]", "list"),
        (b"null", "NoneType"),
        (b'"config"', "str"),
        (b"", "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"{'format_version': 1}", "no valid JSON"),
        (b"[" * 200_000, "no valid JSON"),
    ],
)
def test_a_config_that_is_no_object_is_refused(directory: Path, document: bytes, found: str) -> None:
    (directory / CONFIG).write_bytes(document)
    assert_refused(directory, CONFIG, expected="a JSON object", found=found)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_format_version_is_refused_before_anything_else(directory: Path, version: object) -> None:
    """A later format may have other fields, so these are not judged."""
    edit_config(directory, {"format_version": version, "from_the_future": True})
    assert_refused(directory, CONFIG, expected="format_version 1", found=json.dumps(version))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"model": None}, "model"),
        ({"labels": ["negative", "positive"]}, "labels.0"),
        ({"calibration": {"temperature": -1}}, "calibration.temperature"),
        ({"preprocessing": {"max_length": "long"}}, "preprocessing.max_length"),
        ({"files": {"vocabulary.json": 7}}, "files.vocabulary.json"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(directory: Path, change: dict[str, Any], field: str) -> None:
    edit_config(directory, change)
    assert_refused(directory, CONFIG, expected=f"valid settings in {field}", found="")
    assert refusal(directory).found


@pytest.mark.parametrize("name", ["num_embeddings", "embedding_dim", "hidden_size", "num_layers", "pad_to"])
def test_a_damaged_size_is_refused_at_once(directory: Path, name: str) -> None:
    """Without a bound, building the network of such a config would take hours or all memory."""
    model = json.loads((directory / CONFIG).read_text())["model"]
    edit_config(directory, {"model": model | {name: 10**30}})
    assert_refused(directory, CONFIG, expected=f"model.{name}", found="less than or equal")


@pytest.mark.parametrize("name", [VOCABULARY, SAFETENSORS])
def test_a_file_without_a_hash_is_refused(directory: Path, name: str) -> None:
    files = json.loads((directory / CONFIG).read_text())["files"]
    files.pop(name)
    edit_config(directory, {"files": files})
    assert_refused(directory, CONFIG, expected=f"the SHA-256 of {name}", found="none")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b"[]", "one JSON object"),
        (b"{", "Expecting"),
        (b"\xff", "utf-8"),
        (b'{"<PAD>": 0, "a": 1}', "<UNK> at the last index"),
        (b'{"a":' * 200_000, "recursion"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(directory: Path, document: bytes, found: str) -> None:
    rewrite(directory, VOCABULARY, document)
    assert_refused(directory, VOCABULARY, expected="a vocabulary", found=found)


def test_a_vocabulary_of_another_size_is_refused_with_both_sizes(directory: Path) -> None:
    rows = load_artifacts(directory).config.model.num_embeddings
    rewrite(directory, VOCABULARY, Vocabulary("abc").to_json().encode())
    assert_refused(directory, VOCABULARY, expected=f"{rows} tokens", found="5")


def with_infinity(weights: StateDict) -> StateDict:
    weights["lstm.weight_hh_l0"][3, 2] = float("-inf")
    return weights


def with_nan(weights: StateDict) -> StateDict:
    weights["embedding.weight"][-1, -1] = float("nan")
    return weights


BAD_WEIGHTS: list[tuple[Callable[[StateDict], StateDict], str, str]] = [
    (lambda w: {k: v for k, v in w.items() if k != "head.bias"}, "parameter head.bias", "none of that name"),
    (lambda w: w | {"lstm.weight_ih_l1": torch.zeros(1)}, "only the network's parameters", "lstm.weight_ih_l1"),
    (lambda w: w | {"head.weight": torch.zeros(1, 9)}, f"head.weight of shape (1, {HIDDEN_SIZE})", "(1, 9)"),
    (lambda w: w | {"head.weight": torch.zeros(HIDDEN_SIZE)}, "head.weight of shape", f"({HIDDEN_SIZE},)"),
    (lambda w: w | {"head.bias": w["head.bias"].double()}, "head.bias in float32", "float64"),
    (lambda w: w | {"head.bias": w["head.bias"].bfloat16()}, "head.bias in float32", "bfloat16"),
    (lambda w: w | {"head.bias": torch.zeros(1, dtype=torch.int32)}, "head.bias in float32", "int32"),
    (with_nan, "finite values in embedding.weight", "NaN or infinity"),
    (with_infinity, "finite values in lstm.weight_hh_l0", "NaN or infinity"),
    (lambda _: {}, "parameter embedding.weight", "none of that name"),
]


@pytest.mark.parametrize(("damage", "expected", "found"), BAD_WEIGHTS)
def test_weights_that_do_not_fit_the_network_are_refused(
    directory: Path, damage: Callable[[StateDict], StateDict], expected: str, found: str
) -> None:
    rewrite(directory, SAFETENSORS, safetensors.torch.save(damage(weights_of(directory))))
    assert_refused(directory, SAFETENSORS, expected=expected, found=found)


@pytest.mark.parametrize(("damage", "expected", "found"), BAD_WEIGHTS)
def test_weights_in_a_pt_file_are_checked_like_any(
    directory: Path, damage: Callable[[StateDict], StateDict], expected: str, found: str
) -> None:
    become_pt(directory, torch_bytes(damage(weights_of(directory))))
    assert_refused(directory, STATE_DICT, expected=expected, found=found)


@pytest.mark.parametrize(("damage", "expected", "found"), BAD_WEIGHTS)
def test_weights_that_could_not_be_loaded_are_not_saved_over_a_good_set(
    directory: Path, damage: Callable[[StateDict], StateDict], expected: str, found: str
) -> None:
    good = load_artifacts(directory)
    bad = damage({name: tensor.clone() for name, tensor in good.model.state_dict().items()})
    with pytest.raises(ArtifactError) as caught:
        save_artifacts(directory, good.config, good.vocabulary, bad)
    assert Path(caught.value.file).name == SAFETENSORS
    assert expected in caught.value.expected
    assert found in caught.value.found
    assert load_artifacts(directory).version == good.version


def test_a_vocabulary_that_does_not_fit_is_not_saved_over_a_good_set(directory: Path) -> None:
    good = load_artifacts(directory)
    with pytest.raises(ArtifactError, match="one for each row of the embedding, found 5"):
        save_artifacts(directory, good.config, Vocabulary("abc"), good.model.state_dict())
    assert load_artifacts(directory).version == good.version


@pytest.mark.parametrize(
    "bad", [torch.zeros(1).to_sparse(), torch.zeros(1, device="meta")], ids=["sparse", "without values"]
)
def test_a_tensor_without_dense_values_is_refused(directory: Path, bad: Tensor) -> None:
    become_pt(directory, torch_bytes(weights_of(directory) | {"head.bias": bad}))
    assert_refused(directory, STATE_DICT, expected="head.bias as a dense tensor", found="sparse")


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"head.bias": 1.0}, torch.zeros(1), None],
    ids=["a list", "a dict of numbers", "a tensor", "nothing"],
)
def test_a_pt_file_of_something_else_is_refused(directory: Path, content: object) -> None:
    become_pt(directory, torch_bytes(content))
    assert_refused(
        directory, STATE_DICT, expected="a state dict: parameter names to tensors", found=type(content).__name__
    )


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}.", b"not a model" * 100])
@pytest.mark.parametrize("name", [SAFETENSORS, STATE_DICT])
def test_weights_in_no_known_format_are_refused(directory: Path, name: str, data: bytes) -> None:
    if name == STATE_DICT:
        become_pt(directory, data)
    else:
        rewrite(directory, name, data)
    assert_refused(directory, name, expected="a state dict", found="cannot be read as one")
    assert "weights_only" not in refusal(directory).found, "no advice to load it unsafely"


@settings(max_examples=60)
@given(data=st.data())
def test_damage_anywhere_in_a_weights_file_is_at_worst_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Even where the hash agrees, as it would for a file that was damaged before it was hashed."""
    directory = tiny_artifacts(tmp_path_factory.mktemp("damage"))
    name = data.draw(st.sampled_from([SAFETENSORS, STATE_DICT]))
    intact = (directory / SAFETENSORS).read_bytes() if name == SAFETENSORS else torch_bytes(weights_of(directory))
    damaged = bytearray(intact[: data.draw(st.integers(1, len(intact)), label="length")])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=3), label="places"):
        damaged[place] = data.draw(st.integers(0, 255), label="byte")
    if name == STATE_DICT:
        become_pt(directory, bytes(damaged))
    else:
        rewrite(directory, name, bytes(damaged))
    try:
        loaded = load_artifacts(directory)
    except ArtifactError as error:
        assert Path(error.file).name == name  # noqa: PT017  loading may also succeed: a weight changed, no more
    else:
        assert all(tensor.isfinite().all() for tensor in loaded.model.state_dict().values())


# Saving is all or nothing, also to a reader


class PowerCutError(BaseException):
    """The machine stops: nothing after it runs, no clean-up either."""


class Disk:
    """Counts what is done to the disk and stops at the n-th deed; a write then leaves half of its bytes."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, stop_at: int | None, error: Callable[[], BaseException]
    ) -> None:
        self.deeds: list[str] = []
        self._stop_at, self._error, self._monkeypatch = stop_at, error, monkeypatch

    def stops_here(self, deed: str) -> bool:
        self.deeds.append(deed)
        return self._stop_at is not None and len(self.deeds) > self._stop_at

    def error(self) -> BaseException:
        return self._error()

    def watch(self) -> None:
        for name in ("mkdir", "rename", "replace", "rmdir", "unlink", "remove", "fsync"):
            self._monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))
        opened = io.open

        def open_watched(*arguments: Any, **keywords: Any) -> Any:
            if self.stops_here("open"):
                raise self.error()
            return WatchedFile(opened(*arguments, **keywords), self)

        self._monkeypatch.setattr(io, "open", open_watched)

    def _watched(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def deed(*arguments: Any, **keywords: Any) -> Any:
            if self.stops_here(name):
                raise self.error()
            return do(*arguments, **keywords)

        return deed


class WatchedFile:
    """A file whose writing may stop half-way."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        if self._disk.stops_here("write"):
            self._file.write(data[: len(data) // 2])
            raise self._disk.error()
        self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class FullDisk(Disk):
    """Refuses one deed only, as a full disk does: the clean-up after it works."""

    def stops_here(self, deed: str) -> bool:
        super().stops_here(deed)
        return len(self.deeds) - 1 == self._stop_at


@contextmanager
def watching(kind: type[Disk], stop_at: int | None, error: Callable[[], BaseException]) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = kind(monkeypatch, stop_at, error)
        disk.watch()
        yield disk


Set = tuple[ArtifactConfig, Vocabulary, StateDict]


def set_of(seed: int, *, casefold: bool) -> Set:
    config, vocabulary = tiny_config(casefold=casefold)
    return config, vocabulary, dict(tiny_model(config.model, seed=seed).state_dict())


OLD, NEW, LATER = set_of(1, casefold=False), set_of(2, casefold=True), set_of(3, casefold=False)


def is_set(loaded: Artifacts, expected: Set) -> bool:
    config, vocabulary, weights = expected
    same_weights = all(torch.equal(loaded.model.state_dict()[name], tensor) for name, tensor in weights.items())
    return loaded.config.model == config.model and loaded.vocabulary == vocabulary and same_weights


def deeds_of_a_save(directory: Path) -> list[str]:
    with watching(Disk, None, PowerCutError) as disk:
        save_artifacts(directory, *NEW, extras={"curve.png": b"new picture"})
    return disk.deeds


def prepared(directory: Path) -> Path:
    save_artifacts(directory, *OLD, extras={"curve.png": b"old picture"})
    (directory / "notes.txt").write_text("mine")
    return directory


def test_each_file_reaches_the_disk_before_the_set_is_switched(tmp_path: Path) -> None:
    """Four files and their folder are synchronised before the one rename, four replacements come after it."""
    deeds = [deed for deed in deeds_of_a_save(prepared(tmp_path)) if deed in ("write", "fsync", "rename", "replace")]
    assert deeds == ["write", "fsync"] * 4 + ["fsync", "rename", "fsync"] + ["replace"] * 4


def test_a_power_cut_at_any_moment_leaves_the_whole_old_set_or_the_whole_new_one(tmp_path: Path) -> None:
    deeds = deeds_of_a_save(prepared(tmp_path / "rehearsal"))
    survivors = []
    for moment, deed in enumerate(deeds):
        directory = prepared(tmp_path / f"{moment}")
        with watching(Disk, moment, PowerCutError), pytest.raises(PowerCutError):
            save_artifacts(directory, *NEW, extras={"curve.png": b"new picture"})
        loaded = load_artifacts(directory)
        survivors.append("old" if is_set(loaded, OLD) else "new")
        assert is_set(loaded, OLD if survivors[-1] == "old" else NEW), f"neither set whole at {moment}, {deed}"
        assert (directory / "notes.txt").read_text() == "mine"

        save_artifacts(directory, *LATER, extras={"curve.png": b"later picture"})
        assert is_set(load_artifacts(directory), LATER)
        assert (directory / "curve.png").read_bytes() == b"later picture"
        assert sorted(path.name for path in directory.iterdir()) == sorted([*FILES, "curve.png", "notes.txt"])
    switch = deeds.index("rename")
    assert survivors == ["old"] * (switch + 1) + ["new"] * (len(deeds) - switch - 1)


def test_a_power_cut_in_the_first_save_leaves_nothing_to_load_or_the_whole_set(tmp_path: Path) -> None:
    deeds = deeds_of_a_save(tmp_path / "rehearsal")
    for moment, deed in enumerate(deeds):
        directory = tmp_path / f"{moment}"
        with watching(Disk, moment, PowerCutError), pytest.raises(PowerCutError):
            save_artifacts(directory, *NEW, extras={"curve.png": b"new picture"})
        if moment <= deeds.index("rename"):
            assert_refused(directory, CONFIG, expected="a file", found="nothing there")
        else:
            assert is_set(load_artifacts(directory), NEW), deed


def test_a_second_power_cut_while_recovering_from_the_first_changes_nothing(tmp_path: Path) -> None:
    first_cut = deeds_of_a_save(prepared(tmp_path / "rehearsal")).index("replace") + 1
    for moment in range(6):
        directory = prepared(tmp_path / f"{moment}")
        with watching(Disk, first_cut, PowerCutError), pytest.raises(PowerCutError):
            save_artifacts(directory, *NEW, extras={"curve.png": b"new picture"})
        with watching(Disk, moment, PowerCutError), pytest.raises(PowerCutError):
            save_artifacts(directory, *LATER)
        assert is_set(load_artifacts(directory), NEW)


def test_a_save_that_fails_leaves_the_old_set_and_no_leftovers(tmp_path: Path) -> None:
    def full() -> OSError:
        return OSError(errno.ENOSPC, "No space left on device")

    deeds = deeds_of_a_save(prepared(tmp_path / "rehearsal"))
    for moment in range(deeds.index("rename") + 1):
        if deeds[moment] == "mkdir" and moment == 0:
            continue  # the folder is there already, and pathlib is told so by the very error
        directory = prepared(tmp_path / f"{moment}")
        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        with watching(FullDisk, moment, full), pytest.raises(OSError, match="No space left"):
            save_artifacts(directory, *NEW, extras={"curve.png": b"new picture"})
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == before, deeds[moment]


def test_an_interrupt_while_writing_leaves_the_old_set_and_no_leftovers(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    moment = deeds_of_a_save(prepared(tmp_path / "rehearsal")).index("write")
    with watching(FullDisk, moment, KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        save_artifacts(directory, *NEW)
    assert is_set(load_artifacts(directory), OLD)
    assert not list(directory.glob(".*"))


def test_a_new_set_replaces_the_old_one_and_leaves_other_files_alone(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    save_artifacts(directory, *NEW)
    assert is_set(load_artifacts(directory), NEW)
    assert (directory / "notes.txt").read_text() == "mine"
    assert (directory / "curve.png").read_bytes() == b"old picture"


@pytest.mark.parametrize("name", [*FILES, "../outside.txt", "sub/file.txt", "", "/tmp/absolute", ".."])  # noqa: S108  refused
def test_an_extra_must_be_a_plain_file_name_of_its_own(directory: Path, name: str) -> None:
    version = load_artifacts(directory).version
    with pytest.raises(ValueError, match="an extra file cannot be called"):
        save_artifacts(directory, *NEW, extras={name: b""})
    assert load_artifacts(directory).version == version


def test_a_load_that_a_save_overtakes_gives_the_new_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = prepared(tmp_path)
    moments: list[Path] = []
    read = Path.read_bytes

    def read_and_be_overtaken(path: Path) -> bytes:
        data = read(path)
        if not moments:
            moments.append(path)
            save_artifacts(directory, *NEW)
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_be_overtaken)
    assert is_set(load_artifacts(directory), NEW)
    assert [path.name for path in moments] == [CONFIG]


def test_loading_while_another_thread_saves_always_gives_a_whole_set(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        saves = [pool.submit(save_artifacts, directory, *(NEW, OLD)[n % 2]) for n in range(25)]
        over = False
        while not over:
            over = all(save.done() for save in saves)
            loaded = load_artifacts(directory)
            assert is_set(loaded, OLD) or is_set(loaded, NEW)
        assert [save.result() for save in saves] == [None] * 25


def test_saving_over_a_set_with_a_pt_file_serves_the_new_weights(directory: Path) -> None:
    become_pt(directory, torch_bytes(weights_of(directory)))
    save_artifacts(directory, *NEW)
    assert is_set(load_artifacts(directory), NEW)


def test_weights_of_any_layout_are_saved(tmp_path: Path) -> None:
    config, vocabulary, weights = NEW
    slanted = {name: tensor.t().contiguous().t() if tensor.ndim == 2 else tensor for name, tensor in weights.items()}
    save_artifacts(tmp_path, config, vocabulary, {k: torch.nn.Parameter(v) for k, v in slanted.items()})
    assert is_set(load_artifacts(tmp_path), NEW)


def test_whoever_may_read_the_folder_may_read_what_is_being_moved_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is another user's loads in between, too."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr("charlstm.artifacts._move_incoming", lambda _: None)  # the save ends before that
    tiny_artifacts(tmp_path)
    (incoming,) = tmp_path.glob(".*")
    assert stat.S_IMODE(incoming.stat().st_mode) == 0o755
    assert load_artifacts(tmp_path).version
