"""Who and what the stories are about."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Person:
    name: str
    he: str


_SHE = (
    "Anna", "Mia", "Lena", "Sara", "Nora", "Ella", "Maya", "Lucy", "Ruth", "Ivy", "Emma", "Rosa",
    "Tina", "Kate", "Jane", "Amy", "Zoe", "Clara", "Vera", "Eva",
)  # fmt: skip
_HE = (
    "Tom", "Ben", "Max", "Leo", "Sam", "Jack", "Omar", "Luis", "Paul", "Hugo", "Noah", "Adam",
    "Finn", "Karl", "Ravi", "Ken", "Dan", "Peter", "Ivan", "Theo",
)  # fmt: skip

THINGS = (
    "apples", "pears", "plums", "oranges", "lemons", "cherries", "eggs", "cookies", "muffins",
    "candies", "marbles", "stickers", "stamps", "cards", "coins", "shells", "stones", "beads",
    "buttons", "books", "pencils", "pens", "crayons", "balls", "toys", "balloons", "flowers",
    "roses", "tulips", "seeds", "nuts", "stars", "tickets", "photos", "ribbons", "bottles",
    "cups", "keys",
)  # fmt: skip
GOODS = (
    "pens", "books", "cups", "apples", "cakes", "shirts", "hats", "balls", "lamps", "bags",
    "plates", "toys", "pies", "cards", "plants", "kites", "socks", "mugs", "scarves", "belts",
)  # fmt: skip
HOLDERS = (
    "boxes", "bags", "baskets", "jars", "packs", "crates", "trays", "shelves", "drawers",
    "buckets",
)  # fmt: skip


def person(rng: Random) -> Person:
    if rng.random() < 0.5:
        return Person(rng.choice(_SHE), "she")
    return Person(rng.choice(_HE), "he")


def two_people(rng: Random) -> tuple[Person, Person]:
    first = person(rng)
    second = person(rng)
    while second.name == first.name:
        second = person(rng)
    return first, second


def addend(rng: Random) -> int:
    """A number to add or take away: mostly two digits, now and then three."""
    draw = rng.random()
    if draw < 0.55:
        return rng.randint(2, 40)
    if draw < 0.92:
        return rng.randint(10, 90)
    return rng.randint(50, 300)


def below(rng: Random, number: int) -> int:
    """A number to take from `number` (at least 3) with something left over."""
    return min(addend(rng), rng.randint(2, number - 1))


def factors(rng: Random) -> tuple[int, int]:
    """Two factors, (each, count): the times table mostly, else two digits by one."""
    if rng.random() < 0.75:
        return rng.randint(2, 10), rng.randint(2, 9)
    return rng.randint(11, 30), rng.randint(2, 6)
