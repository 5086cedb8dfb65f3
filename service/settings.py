"""How the service runs: each setting once, read from `CHARLSTM_...` variables and from flags of the same names."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_core import to_json
from pydantic_settings import BaseSettings, SettingsConfigDict

from charlstm.config import Precision
from service.origins import Origins

ENV_PREFIX: Final = "CHARLSTM_"


class Settings(BaseSettings):
    """Every setting of the service; arguments win over environment variables, those over the defaults."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    artifacts: Path = Field(default=Path("artifacts"), description="Folder of the trained model to serve.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every one.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    device: str = Field(default="auto", description="Where the model runs: auto, cpu, cuda or cuda:N.")
    threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; if unset, a core fewer than there are, 4 at most."
    )
    precision: Literal[Precision, "auto"] = Field(
        default="float32", description="Arithmetic of predictions; auto is bfloat16 where the device has it."
    )
    engine_socket: Path | None = Field(
        default=None, description="Join the engine that listens here, instead of starting one."
    )
    max_texts: int = Field(default=512, ge=1, description="Most texts in one batch request.")
    max_characters: int = Field(
        default=10_000, ge=1, description="Most characters in one text, even where the request lets it be cut."
    )
    max_body_bytes: int = Field(
        default=2 * 1024 * 1024,
        ge=1,
        description="Most bytes in a request body: by default 4096 for each text of a full batch. The limit that a "
        "request reaches first decides.",
    )
    max_waiting_texts: int = Field(
        default=4096, ge=1, description="Texts that may be accepted and not answered yet; above, the answer is 429."
    )
    max_waiting_characters: int = Field(
        default=1_000_000, ge=1, description="Characters of them that may be left to read; above, the answer is 429."
    )
    deadline_seconds: float = Field(
        default=10.0, gt=0, description="A request that is not answered by then gets 504 and costs nothing more."
    )
    request_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a request may take to arrive: its head, then the connection is cut, and likewise its "
        "body, then the answer is 408.",
    )
    stall_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long a client may take next to nothing of an answer, less than 64 KiB, before the connection "
        "is cut.",
    )
    max_unread_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=0,
        description="What answers may hold that clients have not taken yet, in a process of the service; above, a "
        "trace is refused with 429.",
    )
    max_live_sessions: int = Field(
        default=64,
        ge=1,
        description="Live sessions (WebSockets) that a process of the service has open at a time; above, it closes "
        "with 4503.",
    )
    max_live_sessions_per_client: int = Field(
        default=8,
        ge=1,
        description="How many of them may come from one address; above, likewise. Behind a proxy, FORWARDED_ALLOW_IPS "
        "has to name the proxy, or all come from its address.",
    )
    live_characters: int = Field(default=1000, ge=1, description="Most characters in the text of a live session.")
    live_memory_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=0,
        description="What live sessions may keep of the memory of what they read, together in a process: six numbers "
        "of four bytes for each character and unit. Where there is no room, a text is read again with each message.",
    )
    live_messages_per_second: float = Field(
        default=50.0,
        gt=0,
        description="Messages that a live session takes, on average over 10 seconds; above, it closes with 4429.",
    )
    live_idle_seconds: float = Field(
        default=300.0, gt=0, description="How long a live session may say nothing before it closes with 4408."
    )
    live_stall_seconds: float = Field(
        default=20.0,
        gt=0,
        description="How long the client of a live session may take to take in what is sent; then the connection is "
        "cut, without a code.",
    )
    allowed_origins: str = Field(
        default="",
        description="Whose web pages may ask beside the service's own, in live sessions and otherwise (CORS): origins "
        "such as https://example.com, with commas between; * is everybody's.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long a service that is told to stop says not ready and still answers everybody. Behind a load "
        "balancer: longer than it takes to notice, usually 5 to 15; 0 suits a service that has none.",
    )
    shutdown_seconds: int = Field(
        default=30,
        ge=0,
        description="How long requests in progress may take to finish after that, when nobody can connect any more.",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Processes that answer HTTP; they share one engine.")
    api_keys: SecretStr | None = Field(
        default=None,
        description="Keys, one of which every request needs, with commas between; nobody needs one if there are none. "
        "Prefer the variable or the file: flags are seen by everyone on the machine.",
    )
    api_keys_file: Path | None = Field(default=None, description="File with more such keys, one a line.")
    admin_keys: SecretStr | None = Field(
        default=None, description="Keys for /admin/reload, likewise; it is not there if there are none."
    )
    protect_operations: bool = Field(default=False, description="Whether probes and /metrics need a key as well.")
    root_path: str = Field(
        default="", pattern="^(/.*[^/])?$", description="Path under which a proxy offers the service, such as /api."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe messages to log."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How to log: lines for people, or one JSON object a line."
    )
    access_log: bool = Field(default=False, description="Whether to log a line for each request.")
    log_texts: bool = Field(
        default=False, description="Whether those lines show the start of the request's body, texts and all."
    )
    otel: bool = Field(
        default=False,
        description="Whether to trace requests with OpenTelemetry; the exporter is configured by its own OTEL_... "
        "variables.",
    )

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _check_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            parse_keys(keys.get_secret_value().split(","))
        return keys

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, words: str) -> str:
        Origins(words)
        return words

    def to_json(self) -> bytes:
        """Write every setting, secrets included: for the service's own processes alone."""
        return to_json({name: _in_clear(getattr(self, name)) for name in type(self).model_fields})


def _in_clear(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def parse_keys(words: Iterable[str]) -> list[str]:
    """Return the keys among words that may be blank.

    Raises:
        ValueError: There are none, or one is no run of visible ASCII characters. The message does not show it.
    """
    keys = [key for word in words if (key := word.strip())]
    if not keys:
        raise ValueError("should hold at least one key")
    if not all(re.fullmatch(r"[\x21-\x7e]+", key) for key in keys):
        raise ValueError("should hold keys of visible ASCII characters only")
    return keys
