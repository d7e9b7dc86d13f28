"""Writes vectors/sampling.json: what Hugging Face's warpers leave of random logits, in their order, in float64.

Usage: python sampling.py
"""
import json
import pathlib

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

FORBIDDEN = -float("inf")


def main():
    lot = torch.Generator().manual_seed(0)
    cases = []
    for temperature in (1.0, 0.5, 2.0):
        for top_k in (0, 1, 3, 8, 50):
            for top_p in (1.0, 0.9, 0.5, 0.05, 0.0):
                logits = (3 * torch.randn(12, generator=lot)).double().round(decimals=3)
                cases.append(case(logits, temperature, top_k, top_p))
    ties = torch.tensor([1.0, 2.0, 2.0, 0.5, 2.0, 1.0, 1.0, -3.0]).double()
    cases += [case(ties, 1.0, top_k, 1.0) for top_k in (1, 2, 3, 4, 5)]
    # Probabilities of 1/4, 1/2, 3/16, 1/16: top_p just below and just above the sums of the best.
    halves = torch.tensor([0.25, 0.5, 0.1875, 0.0625]).double().log()
    cases += [case(halves, 1.0, 0, top_p) for edge in (0.5, 0.75, 0.9375) for top_p in (edge - 1e-9, edge + 1e-9)]
    processed = torch.tensor([FORBIDDEN, 1.5, FORBIDDEN, 0.25, -0.5, FORBIDDEN]).double()
    cases += [case(processed, 1.0, top_k, top_p) for top_k, top_p in ((0, 1.0), (5, 1.0), (2, 1.0), (0, 0.8), (5, 0.95))]
    path = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "sampling.json"
    lines = ",\n".join(json.dumps(each) for each in cases)
    path.write_text(f'{{ "source": "transformers 5.18.0, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper", "cases": [\n{lines}\n] }}\n')
    print(f"{len(cases)} distributions")


def case(logits, temperature, top_k, top_p):
    """Forbidden tokens are null; probabilities of 0 are what was left out."""
    scores = logits[None]
    # As generate() puts them together: a warper that would change nothing is left out.
    warpers = [TemperatureLogitsWarper(temperature)] if temperature != 1.0 else []
    warpers += [TopKLogitsWarper(top_k)] if top_k > 0 else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1.0 else []
    for warper in warpers:
        scores = warper(None, scores)
    return dict(
        logits=[None if value == FORBIDDEN else value for value in logits.tolist()], temperature=temperature, topK=top_k, topP=top_p,
        probabilities=scores.softmax(dim=-1)[0].tolist(),
    )


if __name__ == "__main__":
    main()
