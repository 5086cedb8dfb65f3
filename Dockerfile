# The service in one image: `docker build -t charlstm .`, or `docker compose up`; deploy/README.md says more.
# Two images come out of it: `serve` (the last stage, so the default) and, by `--target train`, the training commands.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PATH=/opt/charlstm/bin:$PATH


FROM base AS packages
# Which build of PyTorch: the address of one of PyTorch's own package indexes (its installation page names one for the
# CPU and one for each version of CUDA). Without it pip takes what it finds by default: on x86 Linux, a CUDA build.
ARG TORCH_INDEX=""
WORKDIR /build
RUN python -m venv /opt/charlstm
COPY constraints.txt ./
# PyTorch alone from there; what it needs comes with the other packages, in the versions of constraints.txt.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
# The packages before the source, which changes more often: three empty rooms stand in for it.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir charlstm service training && touch charlstm/__init__.py service/__init__.py training/__init__.py
RUN --mount=type=cache,target=/root/.cache/pip pip install --constraint constraints.txt '.[serve]'


FROM packages AS install-serve
COPY charlstm ./charlstm
COPY service ./service
COPY training ./training
RUN pip install --no-cache-dir --no-deps --force-reinstall .
# Out goes what only building, testing and installing need. Byte code stays: without it, starting takes twice as long.
WORKDIR /opt/charlstm/lib/python3.11/site-packages
RUN find torch/bin -type f ! -name torch_shm_manager -delete \
    && rm -rf torch/test torch/include training \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && pip uninstall --yes setuptools pip


FROM packages AS install-train
RUN --mount=type=cache,target=/root/.cache/pip pip install --constraint constraints.txt '.[teacher]'
COPY charlstm ./charlstm
COPY service ./service
COPY training ./training
RUN pip install --no-cache-dir --no-deps --force-reinstall . && pip uninstall --yes setuptools pip


# Nothing in an image that runs is there to install things with, and nobody in it is root.
FROM base AS runtime
RUN pip uninstall --yes --root-user-action ignore setuptools pip \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin charlstm \
    # A volume that is mounted here for the first time belongs to whom the folder belongs to.
    && install --directory --owner charlstm --group charlstm /models
WORKDIR /app


FROM runtime AS train
LABEL org.opencontainers.image.title="charlstm-train" \
      org.opencontainers.image.description="Trains the model that charlstm serves, from a CSV" \
      org.opencontainers.image.licenses="MIT"
COPY --from=install-train /opt/charlstm /opt/charlstm
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]


FROM runtime AS serve
LABEL org.opencontainers.image.title="charlstm" \
      org.opencontainers.image.description="Sentiment over HTTP, from a small LSTM that shows its memory" \
      org.opencontainers.image.licenses="MIT"
COPY --from=install-serve /opt/charlstm /opt/charlstm
# The committed model; mount another folder here to serve that.
COPY artifacts ./artifacts
ENV CHARLSTM_HOST=0.0.0.0 CHARLSTM_PORT=8000 CHARLSTM_ARTIFACTS=/app/artifacts CHARLSTM_LOG_FORMAT=json
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "from os import environ; from urllib.request import Request, urlopen; urlopen(Request('http://127.0.0.1:' + environ['CHARLSTM_PORT'] + '/readyz', headers={'X-API-Key': environ.get('CHARLSTM_API_KEYS', '').partition(',')[0].strip()}), timeout=2)"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
