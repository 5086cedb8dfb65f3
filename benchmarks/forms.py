"""What each form of a trace costs beside the inference that it comes from: the service's own `Server-Timing`, medians.

`--help` names the options; the README beside this file holds results and the machine they come from.
"""

import argparse
import re
import statistics
from pathlib import Path

import httpx

from benchmarks.serving import ROOT, service

CHARACTERS = 200
_SENTENCE = "Great game, but the last update ruined it. "
_FORMS: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "npz": ({}, {"Accept": "application/x-npz"}),
    "npz, deflate": ({}, {"Accept": "application/x-npz;compression=deflate"}),
    "JSON": ({}, {}),
    "JSON, 4 decimals": ({"precision": 4}, {}),
    "JSON, gzip": ({}, {"Accept-Encoding": "gzip"}),
    "JSON, summary": ({"detail": "summary"}, {}),
    "HTML": ({}, {"Accept": "text/html"}),
}


def measure(client: httpx.Client, form: str, rounds: int) -> tuple[float, float, int]:
    """Return the medians of inference and serialization in milliseconds, and the bytes of an answer."""
    fields, headers = _FORMS[form]
    text = (_SENTENCE * CHARACTERS)[:CHARACTERS]
    stages, size = [], 0
    for _ in range(rounds):
        answer = client.post(
            "/gates", json={"text": text, **fields}, headers={"Accept-Encoding": "identity", **headers}
        )
        timing = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.raise_for_status().headers["Server-Timing"]))
        stages.append((float(timing["inference"]), float(timing["serialization"])))
        size = answer.num_bytes_downloaded
    inference, serialization = zip(*stages, strict=True)
    return statistics.median(inference), statistics.median(serialization), size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts", help="the model (default: artifacts)")
    parser.add_argument("--rounds", type=int, default=50, help="requests of each form (default: 50)")
    options = parser.parse_args()
    print(f"{CHARACTERS} characters, every unit of every step\n")
    print("| form | inference ms | serialization ms | their sum / inference | bytes |\n|---|---|---|---|---|")
    with service(options.artifacts) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for form in _FORMS:
            measure(client, form, 3)  # warms up
            inference, serialization, size = measure(client, form, options.rounds)
            ratio = (inference + serialization) / inference
            print(f"| {form} | {inference:.1f} | {serialization:.1f} | {ratio:.2f} | {size:,} |")


if __name__ == "__main__":
    main()
