"""Whether memory stays flat: many requests to one running service, its resident memory on the way.

`python -m benchmarks.soak --help` names the options.
"""

import argparse
from pathlib import Path

from benchmarks.load import load
from benchmarks.serving import ROOT, service
from benchmarks.texts import tweets

_ROUND = 10.0  # seconds between two looks
_CONNECTIONS = 64


def main() -> None:
    """Print a row for each look, and how much memory grew after the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts", help="the model (default: artifacts)")
    parser.add_argument("--requests", type=int, default=200_000, help="how many (default: 200000)")
    parser.add_argument("--characters", type=int, help="cut the texts to so many, to be done sooner")
    options = parser.parse_args()
    documents = [{"text": text[: options.characters], "truncate": True} for text in tweets(4000)]
    done, looks = 0, []
    with service(options.artifacts) as server:
        while done < options.requests:
            measured = load(f"{server.url}/predict", documents, _CONNECTIONS, _ROUND)
            done += round(measured.rate * _ROUND)
            looks.append(server.memory())
            print(
                f"{done:>9,} requests  {looks[-1]:>6.1f} MB  {measured.rate:>6,.0f}/s  {measured.errors} errors",
                flush=True,
            )
    print(f"grown by {looks[-1] - looks[0]:+.1f} MB since the first {_ROUND:.0f} s")


if __name__ == "__main__":
    main()
