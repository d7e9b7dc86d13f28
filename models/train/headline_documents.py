"""Synthetic reports and their headlines, from a seed.

A report is invented filler with sentences about several people between it. One sentence says whose day it was:

    Today all applause is for Miriam.   …   Miriam won the silver cup.   …   Miriam spoke in the north tower.

The headline puts the three together: "Applause for Miriam: silver cup and a speech in the north tower". They stand anywhere, in any
order, and the others won and spoke as well, in the same words. Everything here is made up by this file.
"""
import random
from dataclasses import dataclass

from needle_documents import NAMES, filler

METALS = "silver golden bronze copper crystal marble wooden ivory".split()
PRIZES = "cup medal crown ribbon star shield ring key".split()
SIDES = "north south east west old new upper lower".split()
ROOMS = "tower gallery hall library chapel theatre garden market".split()


@dataclass
class Report:
    text: str
    headline: str
    lead: int  # character at which the name begins in the sentence of the applause
    prize: int  # at which the metal begins in the sentence that says what was won
    place: int  # at which the side begins in the sentence that says where the speech was
    words: tuple  # the five words that the headline copies: name, metal, prize, side, room
    sentences: list  # for each sentence about a person: where its name begins, and where what it tells begins


def make_report(rng: random.Random, people: int, sentence_count: int) -> Report:
    """A report on `people` people in `sentence_count` sentences of filler and 2 × people + 1 others, in any order."""
    names = rng.sample(NAMES, people)
    prizes = rng.sample([(metal, prize) for metal in METALS for prize in PRIZES], people)
    places = rng.sample([(side, room) for side in SIDES for room in ROOMS], people)
    who = rng.randrange(people)
    sentences = [("filler", filler(rng), 0) for _ in range(sentence_count)]
    sentences.append(("lead", f"Today all applause is for {names[who]}.", len("Today all applause is for ")))
    for index, (name, (metal, prize), (side, room)) in enumerate(zip(names, prizes, places)):
        mine = index == who
        sentences.append(("prize" if mine else "", f"{name} won the {metal} {prize}.", len(f"{name} won the ")))
        sentences.append(("place" if mine else "", f"{name} spoke in the {side} {room}.", len(f"{name} spoke in the ")))
    rng.shuffle(sentences)
    text, found, told = "", {}, []
    for kind, sentence, word in sentences:
        found[kind] = len(text) + word
        if kind not in ("filler", "lead"):
            told.append((len(text), len(text) + word))
        text += sentence + " "
    words = (names[who], *prizes[who], *places[who])
    headline = "Applause for {}: {} {} and a speech in the {} {}".format(*words)
    return Report(text.rstrip(), headline, found["lead"], found["prize"], found["place"], words, told)


def headline_corpus(rng: random.Random, reports: int):
    """Text to learn merges from."""
    for _ in range(reports):
        report = make_report(rng, 6, 12)
        yield report.text
        yield report.headline
