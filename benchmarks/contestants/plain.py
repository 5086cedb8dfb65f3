"""FastAPI with one forward a request, as most people would write it. `python plain.py ARTIFACTS PORT`."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from charlstm import Predictor

torch.set_num_threads(1)
predictor = Predictor.load(sys.argv[1], "cpu")
app = FastAPI()


class Asked(BaseModel):
    """One text."""

    text: str


@app.post("/predict")
def predict(asked: Asked) -> dict[str, float]:
    """Run in FastAPI's thread pool, as functions without `async` are."""
    return {"negative": predictor.predict(asked.text, truncate=True).probability_negative}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
