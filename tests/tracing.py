"""Numbers that write down how they are printed, to tell those of result files from those that somebody typed."""

import operator
import re
from typing import ClassVar

NUMBER = re.compile(r'\d+(?:\.\d+)?')


def tokens(value):
    """All numbers in the strings of a nested value."""
    if isinstance(value, str):
        return set(NUMBER.findall(value))
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return set().union(*map(tokens, value)) if isinstance(value, list | tuple) else set()


class Traced:
    """A number of a result file; arithmetic with it gives such numbers, formatting it is written down."""

    printed: ClassVar = set()

    def __format__(self, spec):
        text = format(plain(self), spec)
        Traced.printed |= tokens(text)
        return text

    def __str__(self):
        return format(self, '')


def plain(value):
    return value.as_integer_ratio()[0] if isinstance(value, TracedInt) else float(value)


def operation(name, reflected=False):
    function = getattr(operator, name)

    def method(self, other):
        values = [plain(each) if isinstance(each, Traced) else each for each in (self, other)]
        return traced(function(*(reversed(values) if reflected else values)))

    return method


class TracedInt(Traced, int):
    pass


class TracedFloat(Traced, float):
    pass


for _name in ('add', 'sub', 'mul', 'truediv'):
    for _class in (TracedInt, TracedFloat):
        setattr(_class, f'__{_name}__', operation(_name))
        setattr(_class, f'__r{_name}__', operation(_name, reflected=True))


def traced(value):
    """The same nested value with numbers that are traced."""
    if isinstance(value, dict):
        return {key: traced(each) for key, each in value.items()}
    if isinstance(value, list):
        return [traced(each) for each in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return (TracedInt if isinstance(value, int) else TracedFloat)(value)
