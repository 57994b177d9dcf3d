"""Tables of the report: {'title', 'head', 'rows', 'note'}, cells are strings."""

from data.tables import TABLES
from pipeline.plan import BASELINE, DESIGNS, PROPOSED
from report.words import percent, points, shown, span


def generator_tables(evidence):
    """One table for each table of generators: AP and accuracy of baseline and proposal, NPR's published numbers."""
    ours = {(e['table'], e['generator']): e for e in evidence.generators(PROPOSED.name)}
    numbers = {table.name: table.number for table in TABLES}
    found = {}
    for entry in evidence.generators(BASELINE.name):
        pair = entry, ours[entry['table'], entry['generator']]
        published = evidence.published.get((entry['table'], entry['generator']))
        row = [shown(entry['generator']), *_cells(pair)]
        row += [percent(published['ap']), percent(published['accuracy'])] if published else ['', '']
        found.setdefault(entry['table'], []).append(row)
    tables = []
    for name, rows in found.items():
        means = [evidence.summary(design.name)['tables'].get(name) for design in (BASELINE, PROPOSED)]
        if all(means):
            rows.append(['mean', *_cells(means), '', ''])
        beside = any(row[-1] for row in rows)
        title = f'Table {numbers[name]}: {shown(name)}' if name in numbers else shown(name)
        head = ['', 'AP base', 'AP multi', 'Acc. base', 'Acc. multi', *(('NPR AP', 'NPR acc.') if beside else ())]
        tables.append({'title': title, 'head': head, 'rows': [row[: len(head)] for row in rows]})
    return tables


def _cells(pair):
    return [percent(entry[metric], entry['std'][metric]) for metric in ('ap', 'accuracy') for entry in pair]


def design_table(evidence):
    """Every design: scales, parameters, mean and minimum over generators, difference to the baseline."""
    scales = {design.name: ', '.join(f'{scale:g}' for scale in design.scales) for design in DESIGNS}
    rows = []
    for name in evidence.names:
        summary, test = evidence.summary(name), evidence.test(name, 'ap')
        runs, mean = evidence.training.get(name), summary['mean'] or {}
        rows.append(
            [
                shown(name),
                scales.get(name, ''),
                f'{runs[0]["parameters"] / 1e6:.2f} M' if runs else '',
                percent(mean.get('ap'), mean.get('std', {}).get('ap')),
                percent(mean.get('accuracy'), mean.get('std', {}).get('accuracy')),
                percent((summary['minimum'] or {}).get('ap')),
                f'{points(test["interval"]["estimate"])} ({span(test["interval"])})' if test else '',
                _holm(test),
            ]
        )
    head = ['Design', 'Scales', 'Weights', 'Mean AP', 'Mean acc.', 'Min. AP', 'AP against baseline', 'p (Holm)']
    return {'title': 'All designs', 'head': head, 'rows': rows}


def _holm(test):
    p = test and test['wilcoxon']['p_holm']
    return '' if p is None else '<0.001' if p < 0.001 else f'{p:.3f}'
