"""From a score file to metrics per generator, their mean, and a table to read."""

import pandas as pd

from analysis.metrics import binary_metrics
from analysis.scores import ATTENTION
from util.files import atomic_path, write_json, write_text

HEADINGS = {
    'table': 'Table',
    'generator': 'Generator',
    'real_images': 'Real',
    'fake_images': 'Fake',
    'accuracy': 'Acc.',
    'ap': 'AP',
    'auc': 'AUC',
    'real_accuracy': 'Real acc.',
    'fake_accuracy': 'Fake acc.',
}
METRICS = ('accuracy', 'ap', 'auc', 'real_accuracy', 'fake_accuracy')


def summarise(frame):
    """Metrics of each generator and their means.

    Out of the mean stay UpsampleBench's tables that say so in their names (controls are not fakes that a detector
    should find, `seen` decoders made the training set) and generators with one class, which have no AP.

    Args:
        frame: from `read_scores`.
    Returns:
        dict: 'generators' (list of dicts), 'mean' (dict or None), 'left_out' (list of sentences).
    """
    generators, left_out = [], []
    for (table, generator), rows in frame.groupby(['table', 'generator'], sort=False):
        entry = {'table': table, 'generator': generator, **binary_metrics(rows['label'], rows['logit'])}
        attention = [name for name in frame.columns if name.startswith(ATTENTION)]
        if attention:
            entry['attention'] = {name.removeprefix(ATTENTION): float(rows[name].mean()) for name in attention}
        generators.append(entry)
        if reason := outside_mean(table):
            left_out.append(f'{table}/{generator}: {reason}')
        elif entry['ap'] is None:
            only = 'real' if entry['real_images'] else 'fake'
            left_out.append(f'{table}/{generator}: {only} images only, so AP and AUC are undefined')
    counted = [entry for entry in generators if entry['ap'] is not None and not outside_mean(entry['table'])]
    mean = {key: sum(entry[key] for entry in counted) / len(counted) for key in METRICS} if counted else None
    return {'generators': generators, 'mean': mean, 'mean_over': len(counted), 'left_out': left_out}


def outside_mean(table):
    """Why a table's generators are not averaged with the others, or None."""
    if is_control(table):
        return 'a control without up-sampling, so "Fake acc." is a rate of false alarms'
    if table.endswith('_seen'):
        return 'the decoder that made the training set'
    return None


def is_control(table):
    """Tables named *_controls hold images that were not up-sampled."""
    return table.endswith('_controls')


def table_rows(summary):
    """Rows (list of lists of str) under `HEADINGS`, percentages with one decimal."""

    def cells(entry):
        return [
            '-' if entry.get(key) is None else f'{100 * entry[key]:.1f}' if key in METRICS else str(entry[key])
            for key in HEADINGS
        ]

    rows = [cells(entry) for entry in summary['generators']]
    if summary['mean']:
        count = summary['mean_over']
        rows.append(cells({'generator': f'mean of {count}', **summary['mean']}))
    return rows


def markdown_table(headings, rows):
    """Aligned Markdown, readable in a terminal too; the first two columns are text, the others numbers."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    for row in [headings, *rows]:
        padded = [
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append('| ' + ' | '.join(padded) + ' |')
    rule = [('-' * w) if i < 2 else '-' * (w - 1) + ':' for i, w in enumerate(widths)]
    lines.insert(1, '| ' + ' | '.join(rule) + ' |')
    return '\n'.join(lines) + '\n'


def write_summary(summary, folder, facts):
    """Write metrics.json (with `facts` about the run), metrics.md and metrics.csv; returns the Markdown."""
    text = markdown_table(list(HEADINGS.values()), table_rows(summary))
    write_json(folder / 'metrics.json', {**facts, **summary})
    write_text(folder / 'metrics.md', text)
    with atomic_path(folder / 'metrics.csv') as temporary:
        mean = [{'generator': f'mean of {summary["mean_over"]}', **summary['mean']}] if summary['mean'] else []
        pd.DataFrame([*summary['generators'], *mean], columns=list(HEADINGS)).to_csv(temporary, index=False)
    return text
