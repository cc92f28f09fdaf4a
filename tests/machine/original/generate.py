"""Random scenarios, the same ones for the same seed: schemas, handlers' behaviour, mutations."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["FAMILIES", "Size", "scenarios"]

EXCEPTION = "Exception"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OPERATIONS = (
    ("+", 44), ("-", 20), ("=", 12), ("?+", 4), ("?-", 4), ("~", 4), ("err", 3), ("err!", 3),
    ("^+", 2), ("^-", 1), ("^=", 1), ("+#", 1), ("-#", 1), ("=#", 1),
)  # fmt: skip

Scenario = dict[str, object]
Behaviour = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Numbers of states and steps of a scenario."""

    states: tuple[int, int] = (2, 6)
    steps: tuple[int, int] = (3, 8)


class _Maker:
    """One scenario in the making."""

    def __init__(self, rng: random.Random, size: Size) -> None:
        self.rng = rng
        self.states = list(LETTERS[: rng.randint(*size.states)])
        self.explicit = rng.random() < 0.2
        self.count = rng.randint(*size.steps)
        self.names = [*self.states, EXCEPTION]

    def some(self, pool: list[str], density: float) -> list[str]:
        """A few names of a pool, in random order."""
        found = [name for name in pool if self.rng.random() < density]
        self.rng.shuffle(found)
        return found[:4]

    def schema(self, autos: float, multis: float, density: float) -> str:
        """A schema in shorthand that everybody accepts."""
        rng = self.rng
        known = self.names if self.explicit else self.states
        height = {name: rng.random() for name in known}
        mutex = set(rng.sample(self.states, 2)) if rng.random() < 0.3 else set()
        parts = []
        for name in known:
            # Require never goes in a circle: only to what stands lower.
            require = self.some([one for one in known if height[one] < height[name]], density / 2)
            add = self.some([one for one in known if one != name], density / 2)
            remove = self.some([one for one in known if one not in require], density / 2)
            if name in mutex:
                remove += [one for one in sorted(mutex) if one not in (*remove, *require)]
            after = self.some(known, density / 3)
            auto = "*" if name != EXCEPTION and rng.random() < autos else ""
            multi = "!" if name == EXCEPTION or rng.random() < multis else ""
            lists = (("?", require), ("+", add), ("-", remove), (">", after))
            words = [
                name + auto + multi,
                *(mark + ",".join(list_) for mark, list_ in lists if list_),
            ]
            parts.append(" ".join(words))
        return "; ".join(parts)

    def operation(self) -> str:
        """A mutation, a dry run or an error."""
        rng = self.rng
        mark = rng.choices([one for one, _ in OPERATIONS], [weight for _, weight in OPERATIONS])[0]
        pool = self.names if rng.random() < 0.12 else self.states
        if mark == "err":
            return mark
        if mark == "err!":
            return mark + rng.choice(pool)
        if rng.random() < 0.02:
            return mark
        chosen = rng.sample(pool, min(len(pool), rng.choice((1, 1, 1, 2, 2, 3))))
        if rng.random() < 0.02 and mark[0] not in "^?":
            chosen.append(chosen[0])
        return mark + ",".join(chosen)

    def handler(self) -> str:
        """The name of a handler that can exist."""
        rng = self.rng
        pool = self.names if rng.random() < 0.15 else self.states
        name = rng.choice(pool)
        if rng.random() < 0.06:
            return rng.choice(("AnyEnter", "AnyState"))
        tail = rng.choice(("Enter", "Enter", "Exit", "State", "State", "State", "End", "", name))
        return name + (tail or rng.choice(pool))

    def behaviours(self, make: Callable[[], Behaviour], most: int) -> dict[str, Behaviour]:
        """A few handlers that behave in some way."""
        return {self.handler(): make() for _ in range(self.rng.randint(1, most))}

    def late(self) -> Behaviour:
        """In which call it happens: mostly in the first one."""
        return {"at": 2} if self.rng.random() < 0.25 else {}

    def refusal(self) -> Behaviour:
        """A handler that says no: always, or once."""
        return {"no": 1} if self.rng.random() < 0.6 else {"no": 2, **self.late()}

    def nesting(self) -> Behaviour:
        """A handler that issues mutations."""
        do = [self.operation() for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.2:
            do.append(do[-1])
        return {"do": do, **self.late()}

    def raising(self) -> Behaviour:
        """A handler that raises once."""
        return {"boom": True, **self.late()}

    def anything(self) -> Behaviour:
        """Nesting, and perhaps a refusal or a raise after it."""
        rng = self.rng
        behaviour = self.nesting() if rng.random() < 0.6 else {}
        kind = rng.choice((self.refusal, self.raising, dict))
        return {**behaviour, **kind()}


def _behaviours(maker: _Maker, family: str) -> dict[str, Behaviour]:
    make = {
        "cancel": (maker.refusal, 6),
        "nested": (maker.nesting, 6),
        "raise": (maker.raising, 6),
        "auto": (maker.refusal, 8),
        "mixed": (maker.anything, 8),
        "partial": (maker.anything, 4),
        "groups": (maker.anything, 5),
    }.get(family)
    return {} if make is None else maker.behaviours(*make)


def _bound(maker: _Maker, handlers: dict[str, Behaviour]) -> str:
    """Some of the names only, among them those that do something."""
    kinds = ("Enter", "Exit", "State", "End", *maker.names)
    possible = ["AnyEnter", "AnyState", *(a + b for a in maker.names for b in kinds)]
    return " ".join(sorted({*maker.some(possible, 0.3), *handlers}))


def _scenario(rng: random.Random, family: str, size: Size) -> Scenario:
    maker = _Maker(rng, size)
    made: Scenario = {"family": family}
    many = family == "auto"
    autos = rng.choice((0.3, 0.5) if many else (0, 0.1, 0.25))
    multis = rng.choice((0, 0.15, 0.3))
    density = rng.choice((0.1, 0.2, 0.4) if many else (0.15, 0.3, 0.5, 0.7))
    made["schema"] = maker.schema(autos, multis, density)
    if rng.random() < 0.5:
        made["order"] = rng.sample(maker.names, len(maker.names))
    if rng.random() < {"nested": 0.25, "mixed": 0.15}.get(family, 0):
        made["limit"] = rng.randint(1, 5)
    handlers = _behaviours(maker, family)
    made["bind"] = "all"
    if family == "none":
        made["bind"] = "none"
    elif family == "partial":
        made["bind"] = _bound(maker, handlers)
    elif family == "groups":
        made["groups"] = 2
        handlers = {
            name + (".2" if rng.random() < 0.5 else ""): one for name, one in handlers.items()
        }
    if handlers:
        made["handlers"] = handlers
    made["steps"] = [maker.operation() for _ in range(maker.count)]
    return made


FAMILIES = {
    "plain": 14,
    "none": 14,
    "cancel": 16,
    "nested": 16,
    "raise": 14,
    "auto": 10,
    "mixed": 10,
    "partial": 3,
    "groups": 3,
}


def scenarios(seed: int, count: int, size: Size | None = None) -> Iterator[Scenario]:
    """Scenarios of all families, mixed."""
    rng = random.Random(seed)
    for _ in range(count):
        family = rng.choices(list(FAMILIES), list(FAMILIES.values()))[0]
        yield _scenario(rng, family, size or Size())
