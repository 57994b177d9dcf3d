"""Where attention goes on fakes against reals, over seeds: by known factor, by family, by generator."""

import re

import numpy as np

from analysis.attention import by_generator, correlation, mean_of, separation, weights_of
from analysis.clusters import cluster_of
from analysis.statistics import mean_interval
from analysis.summary import outside_mean, rows_inside_mean

FACTOR = re.compile(r'_x(\d+)$')


def factor_of(entry):
    """The up-sampling factor of an UpsampleBench decoder by its name, or None."""
    if not re.match(r'U\d_', entry['table']):
        return None
    found = FACTOR.search(entry['generator'])
    return int(found[1]) if found else 1 if entry['generator'].startswith('factor1') else None


def positive_control(entries):
    """Does coarseness follow the known factor? `correlation` of shift with log2(factor), and the mean per factor.

    'correlation' is None where even the best order of these decoders would not reach p < 0.05.
    """
    known = sorted((factor_of(e), e['shift']) for e in entries if factor_of(e) and e['shift'] is not None)
    factors = [factor for factor, _ in known]
    by_factor = {
        str(f): float(np.mean([shift for factor, shift in known if factor == f])) for f in sorted(set(factors))
    }
    best = correlation(factors, range(len(factors))) if known else None
    possible = best is not None and best['p'] < 0.05
    return {
        'by_factor': by_factor,
        'correlation': correlation(factors, [shift for _, shift in known]) if possible else None,
    }


def family_shift(entries, family, alpha=0.05):
    """Mean change of coarseness (fakes minus reals) over unrelated generators of a family, with a t interval.

    Returns:
        {'mean', 'low', 'high', 'units', 'tables'}; the interval is None with fewer than three units; None without any.
    """
    units, tables = {}, {}
    for entry in entries:
        if entry['family'] == family and entry['shift'] is not None and not outside_mean(entry['table']):
            units.setdefault(cluster_of(entry['generator']), []).append(entry['shift'])
            tables[entry['table']] = None
    if not units:
        return None
    found = mean_interval([np.mean(shifts) for shifts in units.values()], alpha)
    if len(units) < 3:
        found |= {'low': None, 'high': None}
    return {**found, 'units': len(units), 'tables': list(tables)}


def mean_entries(frames):
    """`by_generator` of each seed's frame, every number the mean over seeds; 'shifts' of all of them."""
    seeds = [by_generator(frame) for frame in frames]
    return [{**mean_of(same), 'shifts': [entry['shift'] for entry in same]} for same in zip(*seeds, strict=True)]


def separations(frames):
    """{'real', 'fake': {'share': adjusted for the number of generators, mean over seeds, 'p': largest} or None}"""
    found = {}
    for label, name in enumerate(('real', 'fake')):
        each = []
        for frame in frames:
            chosen = frame[(frame['label'] == label) & rows_inside_mean(frame)]
            each.append(separation(weights_of(chosen), (chosen['table'] + '/' + chosen['generator']).tolist()))
        if None in each:
            found[name] = None
            continue
        shares = [1 - (1 - e['share']) * (e['images'] - 1) / max(e['images'] - e['groups'], 1) for e in each]
        found[name] = {'share': max(0.0, float(np.mean(shares))), 'p': max(e['p'] for e in each)}
    return found
