"""The table and the sentences of an attention analysis."""

from analysis.summary import markdown_table
from analysis.words import p_relation


def attention_table(result):
    """Markdown: mean weight of each scale on reals and fakes, entropy and change of coarseness, per generator."""
    scales = [f'{scale:g}' for scale in result['scales']]
    headings = ['Generator', 'Family', 'Images']
    headings += [f'{name} {scale}' for name in ('real', 'fake') for scale in scales]
    headings += ['real entropy', 'fake entropy', 'coarser by', 'AP']
    rows = []
    for entry in result['generators']:
        groups = [entry['real'], entry['fake']]
        cells = [f'{entry["table"]}/{entry["generator"]}', entry['family'] or '-']
        cells.append(str(sum(group['images'] for group in groups if group)))
        cells += [
            f'{group["mean"][scale]:.3f} ± {group["std"][scale]:.3f}' if group else '-'
            for group in groups
            for scale in scales
        ]
        cells += [f'{group["entropy"]:.2f}' if group else '-' for group in groups]
        cells.append('-' if entry['shift'] is None else f'{entry["shift"]:+.3f}')
        cells.append('-' if entry['ap'] is None else f'{100 * entry["ap"]:.1f}')
        rows.append(cells)
    return (
        markdown_table(headings, rows)
        + '\nMean attention weight ± standard deviation over images; entropy in nats (equal weights: '
        + f'log {len(scales)}); "coarser by": mean octave log2(1/scale) of fakes minus reals, in octaves.\n'
    )


def sentences(result):
    """What the numbers say, one sentence for each question."""
    return [*_separation(result['separation_of_generators']), *_families(result['families']), *_correlation(result)]


def _separation(found):
    if not found['fake']:
        return ['Whether generators differ cannot be asked of one generator.']
    words = []
    for name in ('fake', 'real'):
        if found[name]:
            words.append(f'{100 * found[name]["share"]:.1f}% of {name}s (p {p_relation(found[name]["p"])})')
    text = f'Which generator an image belongs to explains of the variance of the weights: {", ".join(words)}.'
    if found['real'] and found['fake']['share'] <= 2 * found['real']['share']:
        text += ' Reals of different sets differ about as much, so it is what images show, not who made them.'
    return [text]


def _families(found):
    if not found['fake']:
        return [
            'Whether families differ cannot be asked: it takes two families, one of them with two unrelated generators.'
        ]
    fake = found['fake']
    counts = ', '.join(f'{count} {family}' for family, count in fake['families'].items())
    text = (
        f'Mean weights on fakes ({counts}): Jensen-Shannon distance {fake["within"]:.3f} within families, '
        f'{fake["between"]:.3f} between; silhouette {fake["silhouette"]:+.2f}; p {p_relation(fake["p"])}'
    )
    if found['real']:
        real = found['real']
        text += f' (on the reals of the same sets: silhouette {real["silhouette"]:+.2f}, p {p_relation(real["p"])})'
    return [f'{text}. Families {"differ" if fake["p"] < 0.05 else "are not shown to differ"}.']


def _correlation(result):
    found = result['correlation_with'].get('coarseness', {}).get('ap')
    if not found:
        return ['Whether attention goes with accuracy cannot be asked: too few generators, or nothing varies.']
    return [
        f'Coarseness on fakes and AP over {found["generators"]} generators: Spearman {found["rho"]:+.2f}, '
        f'95% interval {found["low"]:+.2f} to {found["high"]:+.2f}, p {p_relation(found["p"])}.'
    ]
