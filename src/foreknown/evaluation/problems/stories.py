"""Word problems in one to four steps: one function a template."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .cast import GOODS, HOLDERS, THINGS, addend, below, factors, person, two_people
from .worked import Operand, Result, Step, Story, results


def _chain(rng: Random) -> Story:
    """Someone has some; things happen, one to four of them; how many now?"""
    who, friend = two_people(rng)
    thing = rng.choice(THINGS)
    start = max(4, addend(rng))
    have: Operand = start
    now = start
    steps: list[Step] = []
    told = [f"{who.name} has {start} {thing}."]
    template = "chain"
    for _ in range(rng.choices((1, 2, 3, 4), (25, 40, 25, 10))[0]):
        happening = rng.choices(
            ("gain", "lose", "multiply", "half"),
            (45, 35 if now > 8 else 0, 12 if now < 40 else 0, 8 if now % 2 == 0 and now > 8 else 0),
        )[0]
        then = rng.choice(("", "Then ", "After that, ")) if steps else ""
        he = who.he if then else who.he.capitalize()
        if happening == "gain":
            amount = addend(rng)
            verb, label = rng.choice(
                (("buys", "buying"), ("finds", "finding"), ("gets", "getting"), ("wins", "winning"))
            )
            told.append(f"{then}{he} {verb} {amount} more.")
            step = Step(f"After {label}", have, "+", amount)
        elif happening == "lose":
            amount = below(rng, now)
            verb, label, tail = rng.choice(
                (
                    ("gives", "giving", f" to {friend.name}"),
                    ("loses", "losing", ""),
                    ("sells", "selling", ""),
                    ("uses", "using", ""),
                )
            )
            told.append(f"{then}{he} {verb} {amount}{tail}.")
            step = Step(f"After {label}", have, "-", amount)
        elif happening == "multiply":
            times, words, label = rng.choice(
                ((2, "doubles", "doubling"), (3, "triples", "tripling"))
            )
            told.append(f"{then}{he} {words} what {who.he} has.")
            step = Step(f"After {label}", have, "*", times)
        else:
            told.append(f"{then}{he} gives half of them away.")
            step = Step("Half", have, "/", 2)
        template += f" {happening}"
        steps.append(step)
        have = Result(len(steps) - 1)
        now = results(tuple(steps))[-1]
    told.append(
        rng.choice(
            (
                f"How many {thing} does {who.name} have now?",
                f"How many {thing} does {who.he} have in the end?",
                f"How many {thing} are there now?",
            )
        )
    )
    return Story(template, " ".join(told), tuple(steps))


def _boxes(rng: Random) -> Story:
    """Some boxes with so many each, and perhaps some more or fewer."""
    who = person(rng)
    thing, holder = rng.choice(THINGS), rng.choice(HOLDERS)
    each, count = factors(rng)
    total = each * count
    text = rng.choice(
        (
            f"{who.name} has {count} {holder} with {each} {thing} each.",
            f"There are {count} {holder}. Each holds {each} {thing}.",
            f"{who.name} fills {count} {holder} with {each} {thing} in each.",
        )
    )
    steps = [Step(f"In {holder}", each, "*", count)]
    ending = rng.choices(("", "loose", "gone", "both"), (30, 30, 25, 15))[0]
    if ending in ("loose", "both"):
        loose = addend(rng)
        text += rng.choice((f" There are {loose} more loose ones.", f" {loose} more lie beside."))
        steps.append(Step("With the loose ones", Result(0), "+", loose))
        total += loose
    if ending in ("gone", "both"):
        gone = below(rng, total)
        text += rng.choice((f" {who.name} sells {gone} of them.", f" {gone} of them are taken."))
        steps.append(Step("Left", Result(len(steps) - 1), "-", gone))
    text += rng.choice((f" How many {thing} are there now?", f" How many {thing} is that?"))
    return Story(f"boxes {ending}", text, tuple(steps))


def _compare(rng: Random) -> Story:
    """One has more, fewer or a multiple of another's; what has the other, or both together?"""
    who, other = two_people(rng)
    thing = rng.choice(THINGS)
    how = rng.choice(("more", "fewer", "times"))
    first = rng.randint(3, 30) if how == "times" else max(5, addend(rng))
    if how == "more":
        amount = addend(rng)
        relation, step = f"{amount} more", Step(other.name, first, "+", amount)
    elif how == "fewer":
        amount = below(rng, first)
        relation, step = f"{amount} fewer", Step(other.name, first, "-", amount)
    else:
        amount = rng.randint(2, 6)
        relation, step = f"{amount} times as many", Step(other.name, first, "*", amount)
    than = "as" if how == "times" else "than"
    text = f"{who.name} has {first} {thing}. {other.name} has {relation} {than} {who.name}."
    if rng.random() < 0.4:
        text += f" How many {thing} does {other.name} have?"
        return Story(f"compare {how}", text, (step,))
    text += rng.choice(
        (" How many do they have together?", f" How many {thing} do they have in all?")
    )
    together = Step("Together", first, "+", Result(0))
    return Story(f"compare {how} together", text, (step, together))


def _shop(rng: Random) -> Story:
    """Goods at a price, perhaps a second kind, perhaps change."""
    who = person(rng)
    goods, more_goods = rng.sample(GOODS, 2)
    count, price = rng.randint(2, 9), rng.randint(2, 15)
    text = rng.choice(
        (
            f"{who.name} buys {count} {goods} at ${price} each",
            f"{who.name} pays for {count} {goods} that cost ${price} each",
        )
    )
    steps = [Step(goods.capitalize(), price, "*", count)]
    template = "shop"
    if rng.random() < 0.5:
        count, price = rng.randint(2, 9), rng.randint(2, 15)
        text += f" and {count} {more_goods} at ${price} each"
        steps.append(Step(more_goods.capitalize(), price, "*", count))
        steps.append(Step("Total", Result(0), "+", Result(1)))
        template += " two"
    text += "."
    total = results(tuple(steps))[-1]
    if rng.random() < 0.5:
        paid = (total // 10 + rng.randint(1, 5)) * 10
        text += rng.choice(
            (
                f" {who.he.capitalize()} pays with ${paid}. How much change does {who.he} get?",
                f" {who.he.capitalize()} had ${paid}. How much money is left?",
            )
        )
        steps.append(Step("Left", paid, "-", Result(len(steps) - 1)))
        template += " change"
    else:
        text += rng.choice((" How much is that?", f" How much does {who.he} pay?"))
    return Story(template, text, tuple(steps))


def _share(rng: Random) -> Story:
    """Some things, perhaps more or fewer first, then an equal share."""
    who = person(rng)
    thing = rng.choice(THINGS)
    each, people = rng.randint(2, 15), rng.randint(2, 9)
    total = each * people
    change = rng.choices(("", "gain", "lose"), (40, 30, 30))[0]
    steps: list[Step] = []
    pool: Operand = total
    if change == "gain" and total > 4:
        amount = rng.randint(2, total - 2)
        text = f"{who.name} has {total - amount} {thing} and gets {amount} more."
        steps.append(Step("In all", total - amount, "+", amount))
        pool = Result(0)
    elif change == "lose":
        amount = rng.randint(2, 30)
        text = f"{who.name} has {total + amount} {thing} and keeps {amount} of them."
        steps.append(Step("To share", total + amount, "-", amount))
        pool = Result(0)
    else:
        change = ""
        text = f"{who.name} has {total} {thing}."
    group = rng.choice(("friends", "children", "boxes", "plates"))
    text += rng.choice(
        (
            f" They are shared equally among {people} {group}. How many does each get?",
            f" {who.he.capitalize()} splits them evenly into {people} groups."
            " How many are in each group?",
        )
    )
    steps.append(Step("Each", pool, "/", people))
    return Story(f"share {change}", text, tuple(steps))


def _reading(rng: Random) -> Story:
    """So many a day for some days; how many in all, or how many are left?"""
    who = person(rng)
    a_day, days = factors(rng)
    done = a_day * days
    verb, past, unit = rng.choice(
        (
            ("reads", "read", "pages"),
            ("paints", "painted", "tiles"),
            ("plants", "planted", "trees"),
            ("writes", "written", "lines"),
            ("bakes", "baked", "rolls"),
        )
    )
    text = f"{who.name} {verb} {a_day} {unit} a day for {days} days."
    steps = [Step("Done", a_day, "*", days)]
    if rng.random() < 0.5:
        return Story("daily", f"{text} How many {unit} is that?", tuple(steps))
    whole = done + addend(rng)
    text += rng.choice((f" The plan is {whole} {unit}.", f" There are {whole} {unit} to do."))
    steps.append(Step("Left", whole, "-", Result(0)))
    return Story("daily left", f"{text} How many are still to be {past}?", tuple(steps))


def _travel(rng: Random) -> Story:
    """So many kilometres an hour for some hours, then some more."""
    who = person(rng)
    speed, hours = rng.choice((rng.randint(3, 30), 10 * rng.randint(3, 9))), rng.randint(2, 6)
    verb = rng.choice(("drives", "rides", "travels"))
    text = f"{who.name} {verb} {speed} km an hour for {hours} hours"
    steps = [Step("Distance", speed, "*", hours)]
    if rng.random() < 0.5:
        further = addend(rng)
        text += f" and then {further} km further"
        steps.append(Step("In all", Result(0), "+", further))
    text += rng.choice((". How far is that in km?", f". How many km does {who.he} go?"))
    return Story(f"travel {len(steps)}", text, tuple(steps))


def _wages(rng: Random) -> Story:
    """Hours on two days at a wage, perhaps with some of it spent."""
    who = person(rng)
    first, second, wage = rng.randint(2, 8), rng.randint(2, 8), rng.randint(5, 20)
    text = (
        f"{who.name} earns ${wage} an hour. {who.he.capitalize()} works {first} hours on Monday"
        f" and {second} hours on Tuesday."
    )
    steps = [Step("Hours", first, "+", second), Step("Earned", wage, "*", Result(0))]
    if rng.random() < 0.4:
        spent = below(rng, wage * (first + second))
        text += f" {who.he.capitalize()} spends ${spent}. How much is left?"
        steps.append(Step("Left", Result(1), "-", spent))
        return Story("wages spent", text, tuple(steps))
    return Story("wages", f"{text} How much does {who.he} earn?", tuple(steps))


def _rows(rng: Random) -> Story:
    """Rows of plants; some die; perhaps each gives some fruit."""
    who = person(rng)
    across, rows = rng.randint(3, 12), rng.randint(2, 9)
    planted = across * rows
    plant = rng.choice(("trees", "plants", "bushes"))
    text = f"{who.name} plants {rows} rows of {across} {plant}."
    steps = [Step(plant.capitalize(), across, "*", rows)]
    if rng.random() < 0.6:
        dead = rng.randint(2, min(30, planted - 2))
        text += f" {dead} of them die."
        steps.append(Step("Alive", Result(0), "-", dead))
    if rng.random() < 0.4:
        fruit = rng.randint(2, 6)
        text += f" Each of the {plant} left gives {fruit} fruits. How many fruits is that?"
        steps.append(Step("Fruits", Result(len(steps) - 1), "*", fruit))
        return Story(f"rows fruit {len(steps)}", text, tuple(steps))
    text += f" How many {plant} are there?"
    return Story(f"rows {len(steps)}", text, tuple(steps))


def _collect(rng: Random) -> Story:
    """Three days' amounts together, perhaps less some."""
    who = person(rng)
    thing = rng.choice(THINGS)
    first, second, third = addend(rng), addend(rng), addend(rng)
    verb = rng.choice(("collects", "sells", "counts", "makes"))
    text = (
        f"{who.name} {verb} {first} {thing} on Monday, {second} on Tuesday"
        f" and {third} on Wednesday."
    )
    steps = [Step("Two days", first, "+", second), Step("Three days", Result(0), "+", third)]
    if rng.random() < 0.3:
        goal = first + second + third + addend(rng)
        text += f" The goal is {goal}. How many more are needed?"
        steps.append(Step("Needed", goal, "-", Result(1)))
        return Story("collect goal", text, tuple(steps))
    return Story("collect", f"{text} How many {thing} is that in all?", tuple(steps))


def _ages(rng: Random) -> Story:
    """An age from another's, now or some years on."""
    who, other = two_people(rng)
    age = rng.randint(5, 60)
    older = rng.random() < 0.5
    gap = rng.randint(2, 30 if older else age - 2)
    word, op = ("older", "+") if older else ("younger", "-")
    text = f"{who.name} is {age} years old. {other.name} is {gap} years {word}."
    steps = [Step(other.name, age, op, gap)]
    if rng.random() < 0.5:
        years = rng.randint(2, 30)
        text += f" How old will {other.name} be in {years} years?"
        steps.append(Step(f"In {years} years", Result(0), "+", years))
    else:
        text += f" How old is {other.name}?"
    return Story(f"ages {word} {len(steps)}", text, tuple(steps))


def _parts(rng: Random) -> Story:
    """A whole of two parts: the second part, and perhaps what each of it brings."""
    whole = max(6, addend(rng))
    part = below(rng, whole - 1)
    place, one, two = rng.choice(
        (
            ("class", "girls", "boys"),
            ("farm", "cows", "sheep"),
            ("garden", "roses", "tulips"),
            ("shop", "hats", "scarves"),
        )
    )
    text = (
        f"There are {whole} {one} and {two} in a {place}. {part} are {one} and the rest are {two}."
    )
    steps = [Step(two.capitalize(), whole, "-", part)]
    if whole - part < 40 and rng.random() < 0.5:
        each = rng.randint(2, 9)
        text += f" Each of the {two} needs {each} cups of water. How many cups is that?"
        steps.append(Step("Cups", Result(0), "*", each))
    else:
        text += f" How many {two} are there?"
    return Story(f"parts {len(steps)}", text, tuple(steps))


def _bus(rng: Random) -> Story:
    """People get on and off."""
    riders = rng.randint(10, 80)
    off = rng.randint(2, riders - 2)
    on = rng.randint(2, 40)
    vehicle = rng.choice(("bus", "train", "boat"))
    text = f"A {vehicle} carries {riders} people. "
    leave, join = Step("After leaving", riders, "-", off), Step("After joining", Result(0), "+", on)
    steps: tuple[Step, ...]
    if rng.random() < 0.5:
        text += f"{off} get off and {on} get on."
        steps = (leave, join)
    else:
        text += f"{on} get on and {off} get off."
        steps = (
            Step("After joining", riders, "+", on),
            Step("After leaving", Result(0), "-", off),
        )
    return Story("bus", f"{text} How many people are on the {vehicle} now?", steps)


def _savings(rng: Random) -> Story:
    """Savings a week on top of what was there, perhaps less a purchase."""
    who = person(rng)
    start, weekly, weeks = addend(rng), rng.randint(2, 25), rng.randint(2, 9)
    text = f"{who.name} has ${start} and saves ${weekly} a week for {weeks} weeks."
    steps = [Step("Saved", weekly, "*", weeks), Step("In all", start, "+", Result(0))]
    if rng.random() < 0.4:
        price = below(rng, start + weekly * weeks)
        text += (
            f" Then {who.he} buys a {rng.choice(('bike', 'game', 'coat', 'lamp'))} for ${price}."
        )
        steps.append(Step("Left", Result(1), "-", price))
    text += f" How much money does {who.he} have now?"
    return Story(f"savings {len(steps)}", text, tuple(steps))


def _difference(rng: Random) -> Story:
    """How many more has one than the other?"""
    who, other = two_people(rng)
    thing = rng.choice(THINGS)
    more = max(5, addend(rng))
    fewer = below(rng, more)
    text = f"{who.name} has {more} {thing} and {other.name} has {fewer}."
    text += rng.choice(
        (
            f" How many more {thing} does {who.name} have?",
            f" How many fewer {thing} does {other.name} have?",
        )
    )
    return Story("difference", text, (Step("Difference", more, "-", fewer),))


def _recipe(rng: Random) -> Story:
    """What some cakes need, less what is there."""
    who = person(rng)
    each, cakes = rng.randint(2, 12), rng.randint(2, 9)
    have = rng.randint(2, each * cakes - 1)
    good = rng.choice(("eggs", "apples", "nuts", "lemons", "plums"))
    bake = rng.choice(("cakes", "pies", "tarts"))
    text = (
        f"{who.name} wants to bake {cakes} {bake}. Each needs {each} {good}."
        f" {who.he.capitalize()} has {have} {good}. How many more are needed?"
    )
    return Story(
        "recipe", text, (Step("Needed", each, "*", cakes), Step("More", Result(0), "-", have))
    )


_TEMPLATES: tuple[tuple[float, Callable[[Random], Story]], ...] = (
    (6, _chain), (2, _boxes), (2, _compare), (3, _shop), (2, _share), (1, _reading),
    (1, _travel), (1, _wages), (1, _rows), (1, _collect), (1, _ages), (1, _parts),
    (1, _bus), (1, _savings), (1, _difference), (1, _recipe),
)  # fmt: skip


def story(rng: Random) -> Story:
    """One word problem with its steps; numbers stay under a thousand and above zero."""
    weights = [weight for weight, _ in _TEMPLATES]
    while True:
        drawn: Story = rng.choices(_TEMPLATES, weights)[0][1](rng)
        if all(0 < value < 1000 for value in results(drawn.steps)):
            return drawn
