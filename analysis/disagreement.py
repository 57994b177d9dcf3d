"""Where one detector is right and another wrong: counts, and what such images have in common."""

import numpy as np
import pandas as pd
from scipy import ndimage

from analysis.attention import coarseness, entropies, weights_of
from analysis.runs import photograph_names
from analysis.scores import attention_scales
from analysis.statistics import holm
from analysis.summary import is_control, markdown_table, right_verdict
from analysis.words import p_relation

OUTCOMES = ('both right', 'only first right', 'only second right', 'both wrong')
COMPARED = ('only first right', 'only second right')
PERMUTATIONS = 1999
HIGH_FREQUENCY = 'high-frequency energy, grey levels'


def outcomes(first, second):
    """(n,) names of OUTCOMES for two aligned score frames."""
    right = [right_verdict(frame) for frame in (first, second)]
    return np.select([right[0] & right[1], right[0], right[1]], OUTCOMES[:3], OUTCOMES[3])


def count_table(first, found):
    """Rows of counts per generator and class: [table/generator, family, class, images, count of each outcome]."""
    rows = []
    family = first['family'] if 'family' in first else pd.Series('', index=first.index)
    keys = [first['table'], first['generator'], first['label']]
    for (table, generator, label), places in first.groupby(keys, sort=False).indices.items():
        counts = [int(np.sum(found[places] == outcome)) for outcome in OUTCOMES]
        where = [f'{table}/{generator}', family.iloc[places[0]] or '-', ('real', 'fake')[label]]
        rows.append([*where, len(places), *counts])
    return rows


def count_totals(frame, found):
    """{'real': {outcome: number}, 'fake': ...}: reals that generators share count once, controls are no fakes.

    In UpsampleBench equal file names are the same real image; elsewhere only equal paths are.
    """
    paths = frame['path']
    names = paths.str.rpartition('/')[2] if photograph_names(paths.tolist()) else paths
    real = frame['label'] == 0
    chosen = {'real': real & ~names.where(real, paths).duplicated(), 'fake': ~real & ~frame['table'].map(is_control)}
    return {name: {o: int(np.sum(found[rows] == o)) for o in OUTCOMES} for name, rows in chosen.items()}


def sample_places(found, strata, most, seed=0):
    """Positions, ascending: of every stratum and outcome at most `most` images, of outcomes with a comparison."""
    rng, chosen = np.random.default_rng(seed), []
    for stratum in np.unique(strata):
        for outcome in (OUTCOMES[0], *COMPARED):
            own = np.flatnonzero((strata == stratum) & (found == outcome))
            chosen += rng.permutation(own)[:most].tolist()
    return sorted(chosen)


def high_frequency_energy(image):
    """Root mean square of what a Gaussian of sigma 1 takes away from the grey image, in grey levels of 255."""
    grey = np.asarray(image.convert('L'), np.float32)
    return float(np.sqrt(np.mean(np.square(grey - ndimage.gaussian_filter(grey, 1)))))


def traits_of(frame):
    """DataFrame of what a score file tells of each image: attention weights, their coarseness and entropy."""
    scales = attention_scales(frame)
    if not scales:
        return pd.DataFrame(index=frame.index)
    weights = weights_of(frame)
    traits = pd.DataFrame(weights, index=frame.index, columns=[f'weight of {scale:g}' for scale in scales])
    return traits.assign(**{'coarseness, octaves': coarseness(weights, scales), 'entropy, nats': entropies(weights)})


def stratified_auc(values, member, strata):
    """How often an image of the group has a larger value than one outside it, in the same stratum; ties count half.

    Strata are weighed as in van Elteren's test, n1 n2 / (n1 + n2 + 1).

    Returns:
        float, 0.5 without a difference; None if no stratum has both.
    """
    total = weight = 0.0
    for stratum in np.unique(strata):
        inside, outside = (values[(strata == stratum) & (member == which)] for which in (True, False))
        if len(inside) and len(outside):
            pairs = np.sign(inside[:, None] - outside[None]).mean() / 2 + 0.5
            share = len(inside) * len(outside) / (len(inside) + len(outside) + 1)
            total, weight = total + share * pairs, weight + share
    return float(total / weight) if weight else None


def compare_traits(traits, found, strata, seed=0):
    """What tells images on which the detectors disagree from those that both get right, within each stratum?

    Args:
        traits: DataFrame (n rows); found: (n,) OUTCOMES; strata: (n,) integers, as generator and class.
    Returns:
        {outcome of COMPARED: {'images', 'traits': {name: {'auc', 'p', 'p_holm'}}}}; p permutes within strata, Holm over
        the traits of one outcome.
    """
    result = {}
    for outcome in COMPARED:
        used = (found == outcome) | (found == OUTCOMES[0])
        member, groups = found[used] == outcome, strata[used]
        tests = {}
        for name, column in traits.items():
            values = column.to_numpy(float)[used]
            # Only strata with both kinds say anything.
            mixed = np.isin(
                groups, [g for g in np.unique(groups) if 0 < member[groups == g].sum() < np.sum(groups == g)]
            )
            auc = stratified_auc(values[mixed], member[mixed], groups[mixed])
            if auc is not None:
                tests[name] = {'auc': auc, 'p': _permutation_p(values[mixed], member[mixed], groups[mixed], auc, seed)}
        for test, p in zip(tests.values(), holm([test['p'] for test in tests.values()]), strict=True):
            test['p_holm'] = float(p)
        result[outcome] = {'images': int(member.sum()), 'traits': tests}
    return result


def _permutation_p(values, member, strata, observed, seed):
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    # Rank sums within strata give the same AUC as pairs do, for all permutations at once.
    total, weight = np.zeros(PERMUTATIONS), 0.0
    for own in places:
        ranks = pd.Series(values[own]).rank().to_numpy()
        count = int(member[own].sum())
        others = len(own) - count
        drawn = rng.permuted(np.tile(member[own], (PERMUTATIONS, 1)), axis=1)
        auc = (drawn @ ranks - count * (count + 1) / 2) / (count * others)
        share = count * others / (len(own) + 1)
        total, weight = total + share * auc, weight + share
    more = np.abs(total / weight - 0.5) >= abs(observed - 0.5) - 1e-9
    return float((1 + more.sum()) / (1 + PERMUTATIONS))


def report(rows, compared, names, alpha=0.05):
    """Markdown: counts per generator and class, then what the disagreements have in common."""
    first, second = names
    heads = {'only first right': f'only {first} right', 'only second right': f'only {second} right'}
    headings = ['Generator', 'Family', 'Class', 'Images', *(heads.get(name, name) for name in OUTCOMES)]
    total = ['all', '', '', *(sum(row[i] for row in rows) for i in range(3, len(headings)))]
    parts = [
        f'# {first} against {second}: who is right where?\n',
        markdown_table(headings, [[str(cell) for cell in row] for row in [*rows, total]]),
    ]
    for outcome, found in compared.items():
        parts.append(f'## Images on which {heads[outcome]}: {found["images"]} looked at\n')
        if not found['traits']:
            parts.append(
                'Nothing to compare: no generator and class has such images beside some that both get right.\n'
            )
            continue
        cells = [
            [name, f'{test["auc"]:.2f}', *(p_relation(test[key]).removeprefix('= ') for key in ('p', 'p_holm'))]
            for name, test in found['traits'].items()
        ]
        parts.append(markdown_table(['Trait', 'AUC', 'p', 'Holm'], cells))
        parts.append(_sentence(found['traits'], alpha))
    parts.append(
        'AUC: how often such an image has a larger value than one of the same generator and class that both get right '
        '(0.50: no difference); p by permutation within generator and class.\n'
    )
    return '\n'.join(parts)


def _sentence(tests, alpha):
    clear = {name: test['auc'] for name, test in tests.items() if test['p_holm'] < alpha}
    if not clear:
        return 'They have nothing in common that these data show.\n'
    words = [f'{"more" if auc > 0.5 else "less"} {name.split(",")[0]}' for name, auc in clear.items()]
    return f'In common: {"; ".join(words)} than images of the same generator and class that both get right.\n'
