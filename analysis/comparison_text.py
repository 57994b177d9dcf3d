"""A comparison as Markdown: tables to read, and one sentence for each hypothesis, chosen by its outcome."""

from analysis.comparison import counted
from analysis.summary import is_control, markdown_table
from analysis.words import count, p_value, points, span

SHOWN = {'ap': 'AP', 'accuracy': 'Acc.', 'real_accuracy': 'Real acc.', 'fake_accuracy': 'Fake acc.'}
LONG = {'ap': 'mean AP', 'accuracy': 'mean accuracy'}
ENOUGH_SEEDS = 5


def by_generator(summary, controls):
    """{'table/generator': metrics} in order, without (or only) the controls, and with the mean at the end."""
    rows = {
        f'{entry["table"]}/{entry["generator"]}': entry
        for entry in summary['generators']
        if is_control(entry['table']) == controls
    }
    if summary['mean'] and not controls:
        rows['mean'] = summary['mean']
    return rows


def comparison_table(summaries):
    """Markdown: one row for each generator, AP and accuracy of each detector; means and spread; then the controls.

    Args:
        summaries: {detector: from analysis.comparison.over_seeds}.
    """
    parts = []
    for controls, keys in ((False, ('ap', 'accuracy')), (True, ('real_accuracy', 'fake_accuracy'))):
        rows = {name: by_generator(summary, controls) for name, summary in summaries.items()}
        generators = list(next(iter(rows.values())))
        if not generators:
            continue
        headings = ['Generator', 'Table', *(f'{SHOWN[key]} {name}' for key in keys for name in summaries)]
        lines = []
        for generator in generators:
            table, _, short = generator.rpartition('/')
            lines.append([short, table, *(_cell(rows[name].get(generator), key) for key in keys for name in summaries)])
        if controls:
            parts.append('Controls (no up-sampling; "Fake acc." is the rate of false alarms on them):\n')
        elif generators[-1] == 'mean':
            tables = list(next(iter(summaries.values()))['tables'])
            for table in tables if len(tables) > 1 else ():
                means = [_cell(summary['tables'][table], key) for key in keys for summary in summaries.values()]
                lines.append(['mean', table, *means])
            for row in ('mean by images', 'std over generators', 'minimum'):
                spread = [_cell(summary[row.replace(' ', '_')], key) for key in keys for summary in summaries.values()]
                lines.append([row, '', *spread])
        parts.append(markdown_table(headings, lines))
    return '\n'.join(parts)


def _cell(entry, key):
    value = (entry or {}).get(key)
    if value is None:
        return '-'
    spread = entry.get('std', {}).get(key)
    return f'{100 * value:.1f}' + ('' if spread is None else f' ± {100 * spread:.1f}')


def over_what(summaries, frozen=False):
    """Sentences below the table: what the mean is over, what ± is, at which threshold accuracies are."""
    summary = next(iter(summaries.values()))
    outside = [f'{e["table"]}/{e["generator"]}' for e in summary['generators'] if not counted(e)]
    text = f'Percentages; the mean is over {count(summary["mean_over"], "generator")}'
    text += f' (not in it: {", ".join(outside)}).' if outside else '.'
    seeds = {name: summary['seeds'] for name, summary in summaries.items()}
    if max(seeds.values()) > 1:
        text += f' Means over seeds ({", ".join(f"{name} {n}" for name, n in seeds.items())}), ± standard deviation.'
    if frozen:
        text += ' Accuracies are at the threshold that was frozen on validation images for each seed.'
    return text + '\n'


def tests_table(tests, alpha):
    """Markdown: one row for each detector and hypothesis; differences in points of percent."""
    coverage = f'{100 * (1 - alpha):g}% interval'
    headings = ['Detector', 'Metric', 'Generators', 'Units', 'Difference', coverage]
    headings += ['Wilcoxon p', 'Holm', 'rank-biserial', 't-test p', 'Holm', "Cohen's d_z"]
    rows = []
    for test in tests:
        wilcoxon, t = test['wilcoxon'], test['t']
        metric = SHOWN[test['metric']] + (f', {test["family"]}' if test['family'] else '')
        rows.append(
            [
                *(test['detector'], metric, str(test['generators']), str(test['n'])),
                *(points(test['interval']['estimate'], 2), span(test['interval'], 2)),
                *(p_value(wilcoxon['p']), p_value(wilcoxon['p_holm']), _number(wilcoxon['rank_biserial'])),
                *(p_value(t['p']), p_value(t['p_holm']), _number(t['d_z'])),
            ]
        )
    return markdown_table(headings, rows)


def generators_table(rows, alpha):
    """Markdown: one row for each generator, differences of one detector and the baseline within it."""
    coverage = f'{100 * (1 - alpha):g}%'
    headings = ['Generator', 'Table', 'AP diff.', coverage, 'Acc. diff.', coverage]
    headings += ['only it right', 'only baseline right', 'McNemar p', 'AUC diff.', 'DeLong p']
    lines = []
    for row in rows:
        mcnemar, delong = row['mcnemar'], row['delong'] or {'difference': None, 'p_holm': None}
        line = [row['generator'], row['table']]
        for metric in ('ap', 'accuracy'):
            line += [points(row[metric]['estimate'], 2), span(row[metric], 2)]
        line += [str(mcnemar['only_a']), str(mcnemar['only_b']), p_value(mcnemar['p_holm'])]
        lines.append([*line, points(delong['difference'], 2), p_value(delong['p_holm'])])
    return markdown_table(headings, lines)


def friedman_text(friedman, names, alpha):
    """One line for each metric: Friedman's test, mean ranks, Nemenyi's critical difference, pairs beyond it."""
    lines = []
    for metric, test in friedman.items():
        ranks = ', '.join(f'{name} {rank:.2f}' for rank, name in sorted(zip(test['ranks'], names, strict=True)))
        apart = [
            f'{names[i]} and {names[j]}'
            for i in range(len(names))
            for j in range(i)
            if abs(test['ranks'][i] - test['ranks'][j]) > test['critical_difference']
        ]
        if test['p'] > alpha:
            found = 'the test does not find that the detectors differ'
        else:
            found = (
                f'pairs that differ: {"; ".join(apart)}' if apart else 'they differ, but no pair is far enough apart'
            )
        lines.append(
            f'- {SHOWN[metric]}: p = {p_value(test["p"])}, mean ranks (1 = best) {ranks}; critical difference '
            f'{test["critical_difference"]:.2f} at {alpha:g} (Nemenyi, {test["n"]} units); {found}.'
        )
    return '\n'.join(lines) + '\n'


def outcome(test, alpha):
    """'higher' or 'lower' where interval and Holm-corrected Wilcoxon test agree, else 'open'."""
    p, interval = test['wilcoxon']['p_holm'], test['interval']
    if p is not None and p <= alpha:
        if interval['low'] > 0:
            return 'higher'
        if interval['high'] < 0:
            return 'lower'
    return 'open'


def sentence(test, baseline, alpha):
    """What the data say about one hypothesis."""
    noun = f'{test["family"]} generator' if test['family'] else 'generator'
    what = f'a higher {LONG[test["metric"]]} than {baseline} over {count(test["generators"], noun)}'
    interval, wilcoxon = test['interval'], test['wilcoxon']
    numbers = (
        f'{points(interval["estimate"], 2)} points, {100 * (1 - alpha):g}% interval {span(interval, 2)}, '
        f'Wilcoxon p after Holm {p_value(wilcoxon["p_holm"])}'
    )
    result = outcome(test, alpha)
    if result == 'higher':
        return f'Supported by these data: {test["detector"]} has {what} ({numbers}).'
    if result == 'lower':
        return f'Not supported by these data: that {test["detector"]} has {what}; it is lower ({numbers}).'
    text = f'Not supported by these data: that {test["detector"]} has {what} ({numbers}).'
    if interval['low'] > 0 or interval['high'] < 0:
        text += ' The interval excludes zero, but the test over generators does not confirm it.'
    elif wilcoxon['p_holm'] is not None and wilcoxon['p_holm'] <= alpha:
        text += ' The test over generators finds a difference; the interval, wider by seeds and images, includes zero.'
    smallest = wilcoxon['smallest_p_holm']
    if smallest is None or smallest > alpha:
        lowest = '' if smallest is None else f' (after Holm it cannot go below p = {smallest:.3g})'
        text += f' {count(test["n"], "independent unit")} can never decide it by this test{lowest}.'
    return text


def caveats(seeds, result):
    """Sentences about what the numbers leave out.

    Args:
        seeds: {detector: number of seeds}; result: from analysis.comparison.compare, or None.
    """
    sentences = []
    if not result:
        sentences.append('Nothing is tested: no generator is in the mean, which takes both classes and no control.')
    single = [name for name, count in seeds.items() if count == 1]
    if single:
        sentences.append(f"One seed only ({', '.join(single)}): the seed's luck is not included in anything above.")
    few = [f'{name} {count}' for name, count in seeds.items() if count < ENOUGH_SEEDS]
    if few:
        sentences.append(f'Preliminary: fewer than {ENOUGH_SEEDS} seeds ({", ".join(few)}).')
    if result and not any(test['family'] for test in result['tests']):
        sentences.append(
            'Nothing is said about diffusion models: the score files name no diffusion generator (column family).'
        )
    return sentences


def _number(value):
    return '-' if value is None else f'{value:+.2f}'
