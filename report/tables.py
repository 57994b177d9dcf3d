"""Tables of the report: {'title', 'head', 'rows'}, cells are strings."""

from analysis.words import p_value, percent, points, shown, span
from data.published import published_results
from data.tables import TABLES
from pipeline.plan import BASELINE, DESIGNS, PROPOSED

HEAD = ['Generator', 'AP base', 'AP multi', 'Acc. base', 'Acc. multi']
PUBLISHED = ['NPR AP', 'NPR acc.']


def generator_tables(evidence):
    """AP and accuracy of baseline and proposal: a table for each public one, one for all others together.

    Rows of one cell are headings within a table; beside public generators stand the numbers that the NPR paper prints.
    """
    ours = {(e['table'], e['generator']): e for e in evidence.generators(PROPOSED.name)}
    numbers = {table.name: table.number for table in TABLES}
    published, rows = published_results(), {}
    for entry in evidence.generators(BASELINE.name):
        pair = entry, ours[entry['table'], entry['generator']]
        row = [shown(entry['generator']), *_cells(pair)]
        if entry['table'] in numbers:
            theirs = published.get((entry['table'], entry['generator']), {})
            row += [percent(theirs.get('ap')), percent(theirs.get('accuracy'))]
        rows.setdefault(entry['table'], []).append(row)
    for name, found in rows.items():
        means = [evidence.summary(design.name)['tables'].get(name) for design in (BASELINE, PROPOSED)]
        if all(means) and len(found) > 1:
            found.append(['mean', *_cells(means), *[''] * (len(found[0]) - 5)])
    tables = [
        {'title': f'{name}, table {numbers[name]} of the NPR paper', 'head': [*HEAD, *PUBLISHED], 'rows': found}
        for name, found in rows.items()
        if name in numbers
    ]
    others = [[[shown(name)], *found] for name, found in rows.items() if name not in numbers]
    if others:
        title = 'UpsampleBench' if evidence.edition else 'Other generators'
        tables.append({'title': title, 'head': HEAD, 'rows': [row for part in others for row in part]})
    return tables


def means_table(evidence):
    """The mean of each table of generators, and of all."""
    rows = []
    for name in [*evidence.summary(BASELINE.name)['tables'], 'mean']:
        summaries = [evidence.summary(design.name) for design in (BASELINE, PROPOSED)]
        pair = [summary['mean'] if name == 'mean' else summary['tables'][name] for summary in summaries]
        if all(pair):
            rows.append([shown(name), *_cells(pair)])
    return {'title': 'Means', 'head': ['Mean of', *HEAD[1:]], 'rows': rows}


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
                p_value(test['wilcoxon']['p_holm']) if test else '',
            ]
        )
    head = ['Design', 'Scales', 'Weights', 'Mean AP', 'Mean acc.', 'Min. AP', 'AP against baseline', 'p (Holm)']
    return {'title': 'All designs', 'head': head, 'rows': rows}
