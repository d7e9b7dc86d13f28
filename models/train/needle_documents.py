"""Synthetic documents with planted facts, from a seed.

A document is an invented archive log: sentences of filler, and between them facts of one template,

    The access code of Miriam is 48K.

The question asks for one of them. All facts are alike but for name and code, so finding the template is not enough: the
name in the question has to be found among the names in the document. Everything here is made up by this file.
"""
import random
from dataclasses import dataclass

NAMES = (
    "Miriam Oskar Leila Tomas Ingrid Pavel Noor Felix Amara Boris Clara Dmitri Elena Farid Greta Hugo Irena Jonas Katya Lars "
    "Marta Nadia Otto Paula Quentin Rosa Stefan Tamar Ulrich Vera Walter Xenia Yusuf Zelda Anton Bianca Cyril Delia Emil Frida "
    "Gustav Hanna Ivan Julia Karim Lidia Marek Nina Olga Piotr Renata Sergei Tessa Umberto Viktor Wanda Yara Zoltan Agnes Bruno"
).split()
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"

PLACES = "reading room|east wing|lower archive|map cabinet|north gallery|copying desk|cold store|lecture hall|binding workshop|garden office"
SUBJECTS = "the assistant|the night guard|a visitor|the head librarian|the courier|a student|the restorer|the porter|an inspector|the curator"
VERBS = "checked|locked|opened|cleaned|measured|photographed|described|moved to|returned to|waited in"
WHEN = "before noon|in the evening|after the storm|during the tour|at dawn|without delay|for the second time|as usual|on request|by mistake"
OBJECTS = "a box of letters|the old register|two glass plates|a torn atlas|the spare keys|some loose pages|a wooden frame|the visitor book|a roll of film|the brass lamp"
CONDITIONS = "in good order|slightly damp|covered with dust|out of place|marked for repair|ready for loan|still missing|newly bound|hard to read|locked away"
SHELVES = "shelf|drawer|table|row|case"


def _pick(rng: random.Random, words: str) -> str:
    return rng.choice(words.split("|"))


def filler(rng: random.Random) -> str:
    """One sentence of 8 to 16 words without a name or a code. Single digits occur: they are no sign of a code."""
    kind = rng.randrange(4)
    if kind == 0:
        return f"{_pick(rng, SUBJECTS).capitalize()} {_pick(rng, VERBS)} the {_pick(rng, PLACES)} {_pick(rng, WHEN)}."
    if kind == 1:
        return f"In the {_pick(rng, PLACES)} {_pick(rng, OBJECTS)} was found {_pick(rng, CONDITIONS)} {_pick(rng, WHEN)}."
    if kind == 2:
        return f"{_pick(rng, OBJECTS).capitalize()} from {_pick(rng, SHELVES)} {rng.randrange(1, 10)} went to the {_pick(rng, PLACES)} {_pick(rng, WHEN)}."
    return f"{_pick(rng, SUBJECTS).capitalize()} left {_pick(rng, OBJECTS)} on {_pick(rng, SHELVES)} {rng.randrange(1, 10)}, {_pick(rng, CONDITIONS)}."


@dataclass
class Fact:
    name: str
    code: str

    @property
    def sentence(self) -> str:
        return f"The access code of {self.name} is {self.code}."

    @property
    def question(self) -> str:
        return f"What is the access code of {self.name}?"


@dataclass
class Document:
    text: str
    facts: list  # of Fact, in the order of the text
    starts: list  # character at which the code of each fact begins


def make_document(rng: random.Random, fact_count: int, sentence_count: int) -> Document:
    """`fact_count` facts spread over `sentence_count` sentences of filler; at least one lies between two facts."""
    names = rng.sample(NAMES, fact_count)
    codes = set()
    while len(codes) < fact_count:
        codes.add(f"{rng.randrange(10)}{rng.randrange(10)}{rng.choice(LETTERS)}")
    codes = sorted(codes)
    rng.shuffle(codes)
    facts = [Fact(name, code) for name, code in zip(names, codes)]
    # Places among the sentences: drawn from what is left when one sentence lies between any two, then moved apart.
    free = sentence_count - (fact_count - 1)
    assert free >= 0, "not enough sentences"
    places = sorted(rng.choices(range(free + 1), k=fact_count))
    places = [place + index for index, place in enumerate(places)]
    text, starts, at = "", [], 0
    for index in range(sentence_count + 1):
        while at < fact_count and places[at] == index:
            sentence = facts[at].sentence
            starts.append(len(text) + sentence.index(facts[at].code))
            text += sentence + " "
            at += 1
        if index < sentence_count:
            text += filler(rng) + " "
    return Document(text.rstrip(), facts, starts)


def tokenizer_corpus(rng: random.Random, sentences: int):
    """Text to learn merges from. It has single digits and never a code, so that digits of a code stay tokens of their own."""
    for _ in range(sentences):
        yield filler(rng)
        name = rng.choice(NAMES)
        yield f"The access code of {name} is"
        yield f"What is the access code of {name}?"
