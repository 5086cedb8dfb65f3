"""How the service runs: each setting once, read from `CHARLSTM_...` variables and from flags of the same names."""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX: Final = "CHARLSTM_"


class Settings(BaseSettings):
    """Every setting of the service; arguments win over environment variables, those over the defaults."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    artifacts: Path = Field(default=Path("artifacts"), description="Folder of the trained model to serve.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 is every one.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    device: str = Field(default="auto", description="Where the model runs: auto, cpu, cuda or cuda:N.")
    threads: int | None = Field(default=None, ge=1, description="Threads of one inference; PyTorch's choice if unset.")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
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
    shutdown_seconds: int = Field(
        default=30, ge=0, description="How long requests in progress may take to finish when the service is stopped."
    )
    root_path: str = Field(
        default="", pattern="^(/.*[^/])?$", description="Path under which a proxy offers the service, such as /api."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe messages to log; debug also logs each request."
    )
