"""A service asked from Python: no torch, no FastAPI, `pip install` of the base package is enough.

    from service.client import SentimentClient

    with SentimentClient("http://localhost:8000") as client:
        print(client.predict("Worst update ever").label)

    errors          what can go wrong, as one tree
    policy          how long to wait, how often to ask again
    trying          when to ask again, step by step; sends nothing
    calls           each request, and how its answer is read; sends nothing
    gates, batches, conversation   a trace as arrays; many texts; a live session; send nothing
    core            what both clients share
    blocking*, asynchronous*       the clients, and their live sessions: all that sends anything

Answers are the service's own records. Only names that are listed here are meant for others.
"""

from charlstm.clamp import Clamp
from service.client.asynchronous import AsyncSentimentClient
from service.client.asynchronous_session import AsyncLiveSession
from service.client.blocking import SentimentClient
from service.client.blocking_session import LiveSession
from service.client.errors import ClientError
from service.client.gates import Gates
from service.client.policy import Policy
from service.selection import Foremost, Range

__all__ = [
    "AsyncLiveSession",
    "AsyncSentimentClient",
    "Clamp",
    "ClientError",
    "Foremost",
    "Gates",
    "LiveSession",
    "Policy",
    "Range",
    "SentimentClient",
]
