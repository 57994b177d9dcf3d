"""Numbers as tables and sentences print them, and small pieces of sentences."""

import re


def percent(value, spread=None):
    """0.7654, 0.022 -> '76.5±2.2'; '-' where it is undefined."""
    if value is None:
        return '-'
    return f'{100 * value:.1f}' + ('' if spread is None else f'±{100 * spread:.1f}')


def points(value, digits=1):
    """A difference of percentages: -0.028 -> '-2.8'."""
    return '-' if value is None else f'{100 * value:+.{digits}f}'


def span(interval, digits=1):
    return f'{points(interval["low"], digits)} to {points(interval["high"], digits)}'


def p_value(value):
    return '-' if value is None else '<0.001' if value < 0.001 else f'{value:.3f}'


def p_relation(value):
    """What follows a p in a sentence: '= 0.012' or '< 0.001'."""
    return '< 0.001' if value < 0.001 else f'= {value:.3f}'


def count(number, noun):
    return f'{number} {noun}' + ('' if number == 1 else 's')


def listed(names):
    """['a', 'b', 'c'] -> 'a, b and c'"""
    *most, last = names
    return f'{", ".join(most)} and {last}' if most else last


def shown(name):
    """Name of a design, table or generator for readers."""
    return name.replace('_', ' ')


def typographic(value):
    """The same strings, lists and dicts with minus signs before numbers, where no line can break."""
    if isinstance(value, str):
        return re.sub(r'(?<![\w.-])-(?=\d)', '\N{MINUS SIGN}', value)
    if isinstance(value, list):
        return [typographic(each) for each in value]
    if isinstance(value, dict):
        return {key: typographic(each) for key, each in value.items()}
    return value
