"""From a score file to metrics per generator, their means, and a table to read."""

import numpy as np
import pandas as pd
from scipy.special import expit

from analysis.metrics import accuracy_at, binary_metrics, calibration_error
from analysis.scores import ATTENTION, FAMILY
from util.files import write_csv, write_json, write_text

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
BALANCED = {'balanced_accuracy': 'Balanced acc.'}  # shown where a generator's classes are unequal
CALIBRATED = {  # with what the checkpoint carries from validation
    'frozen_accuracy': 'Acc. at frozen threshold',
    'frozen_false_alarms': 'False alarms',
    'calibrated_ece': 'ECE at frozen temperature',
}
PUBLISHED = {'published_accuracy': 'Published NPR acc.', 'published_ap': 'Published NPR AP'}  # never averaged
ERRORS = ('ece', 'calibrated_ece', 'frozen_false_alarms')  # the lower the better
METRICS = ('accuracy', 'ap', 'auc', 'real_accuracy', 'fake_accuracy')
OPTIONAL = ('balanced_accuracy', 'oracle_accuracy', 'ece', *CALIBRATED)  # averaged where every generator has them


def summarise(frame, published=None, calibration=None):
    """Metrics of each generator and their means.

    Out of the means stay UpsampleBench's tables that say so in their names (controls are not fakes that a detector
    should find, `seen` decoders made the training set) and generators with one class, which have no AP.

    Args:
        frame: from `read_scores`.
        published: {(table, generator): {'accuracy', 'ap', 'source', ...}} to put beside ours, or None.
        calibration: {'temperature', 'threshold', ...} of a checkpoint (calibrate.py), or None.
    Returns:
        dict: 'generators' (list of dicts), 'mean' (dict or None), 'mean_over', 'left_out' (list of sentences);
        'weighted_mean' (by images), 'std' (over generators, n - 1; None for one), 'minimum', like 'mean';
        'tables' and 'families': {name: {'mean', 'mean_over', 'weighted_mean', 'std', 'minimum'}}.
    """
    generators, left_out = [], []
    attention = [name for name in frame.columns if name.startswith(ATTENTION)]
    for (table, generator), rows in frame.groupby(['table', 'generator'], sort=False):
        entry = {'table': table, 'generator': generator, **binary_metrics(rows['label'], rows['logit'])}
        if calibration:
            entry |= calibrated_metrics(rows['label'].to_numpy(), rows['logit'].to_numpy(), calibration)
        if FAMILY in rows and rows[FAMILY].iloc[0]:
            entry['family'] = rows[FAMILY].iloc[0]
        if attention:
            entry['attention'] = {name.removeprefix(ATTENTION): float(rows[name].mean()) for name in attention}
        if (table, generator) in (published or {}):
            entry['published'] = published[table, generator]
        generators.append(entry)
        if reason := outside_mean(table):
            left_out.append(f'{table}/{generator}: {reason}')
        elif entry['ap'] is None:
            only = 'real' if entry['real_images'] else 'fake'
            left_out.append(f'{table}/{generator}: {only} images only, so AP and AUC are undefined')
    inside = [entry for entry in generators if counted(entry)]
    return {
        'generators': generators,
        **means(inside),
        'tables': _grouped(inside, 'table'),
        'families': _grouped(inside, 'family'),
        'left_out': left_out,
    }


def calibrated_metrics(labels, logits, calibration):
    """Accuracy and share of reals called fake at the frozen threshold, calibration error at the frozen temperature."""
    real_accuracy = accuracy_at(labels[labels == 0], logits[labels == 0], calibration['threshold'])
    return {
        'frozen_accuracy': accuracy_at(labels, logits, calibration['threshold']),
        'frozen_false_alarms': None if real_accuracy is None else 1 - real_accuracy,
        'calibrated_ece': calibration['temperature']
        and calibration_error(labels, expit(logits / calibration['temperature'])),
    }


def means(entries):
    """Over generators: 'mean', 'weighted_mean' by images, 'std' (n - 1), 'minimum' (None without any), 'mean_over'."""
    if not entries:
        return {'mean': None, 'mean_over': 0, 'weighted_mean': None, 'std': None, 'minimum': None}
    keys = [*METRICS, *(key for key in OPTIONAL if all(entry.get(key) is not None for entry in entries))]
    images = [entry['real_images'] + entry['fake_images'] for entry in entries]
    values = {key: [entry[key] for entry in entries] for key in keys}
    return {
        'mean': {key: sum(found) / len(found) for key, found in values.items()},
        'mean_over': len(entries),
        'weighted_mean': {key: float(np.average(found, weights=images)) for key, found in values.items()},
        'std': {key: float(np.std(found, ddof=1)) for key, found in values.items()} if len(entries) > 1 else None,
        'minimum': {key: min(found) for key, found in values.items() if key not in ERRORS},
    }


def _grouped(entries, key):
    names = list(dict.fromkeys(entry[key] for entry in entries if key in entry))
    return {name: means([entry for entry in entries if entry.get(key) == name]) for name in names}


def counted(entry):
    """Whether a generator is in the means: both classes, and its table is not a control or the training decoder."""
    return entry['ap'] is not None and not outside_mean(entry['table'])


def outside_mean(table):
    """Why a table's generators are not averaged with the others, or None."""
    if is_control(table):
        return 'a control without up-sampling, so "Fake acc." is a rate of false alarms'
    if table.endswith('_seen'):
        return 'the decoder that made the training set'
    if table.endswith('_sweep'):
        return 'the sweep over factors, which has the design of the training decoder'
    return None


def rows_inside_mean(frame):
    """(n,) bool: rows of a score file whose tables are averaged with others."""
    return ~frame['table'].isin([table for table in frame['table'].unique() if outside_mean(table)])


def is_control(table):
    """Tables named *_controls hold images that were not up-sampled."""
    return table.endswith('_controls')


def right_verdict(frame):
    """(n,) bool: rows of a score file that are on the right side of 0.5; a control is right when it is called real."""
    controls = frame['table'].isin([table for table in frame['table'].unique() if is_control(table)])
    return (frame['logit'] > 0) == ((frame['label'] == 1) & ~controls)


def headings(summary):
    """The columns of a summary's table: {key: heading}."""
    unequal = any(e['ap'] is not None and e['real_images'] != e['fake_images'] for e in summary['generators'])
    beside = any('published' in entry for entry in summary['generators'])
    calibrated = any('frozen_accuracy' in entry for entry in summary['generators'])
    chosen = (BALANCED, unequal), (CALIBRATED, calibrated), (PUBLISHED, beside)
    return HEADINGS | {key: name for columns, shown in chosen if shown for key, name in columns.items()}


def table_rows(summary):
    """Rows (list of lists of str) under `headings`, percentages with one decimal.

    Below the generators: the mean of each table (if there are several), of each family (if several), of all.
    """
    shown = headings(summary)

    def cells(entry):
        values = {**entry, **{f'published_{key}': value for key, value in entry.get('published', {}).items()}}
        counts = ('table', 'generator', 'real_images', 'fake_images')
        return [
            '-' if values.get(key) is None else str(values[key]) if key in counts else f'{100 * values[key]:.1f}'
            for key in shown
        ]

    rows = [cells(entry) for entry in summary['generators']]
    for kind, prefix in (('tables', ''), ('families', 'family ')):
        if len(summary[kind]) > 1:
            for name, group in summary[kind].items():
                rows.append(
                    cells({'table': prefix + name, 'generator': f'mean of {group["mean_over"]}', **group['mean']})
                )
    if summary['mean']:
        rows.append(cells({'generator': f'mean of {summary["mean_over"]}', **summary['mean']}))
    if summary['std']:
        for key, name in (('weighted_mean', 'mean by images'), ('std', 'std'), ('minimum', 'minimum')):
            rows.append(cells({'generator': name, **summary[key]}))
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


def write_summary(summary, folder, facts, notes=()):
    """Write metrics.json (with `facts` about the run), metrics.md and metrics.csv; returns the Markdown.

    Args:
        notes: sentences below the table of metrics.md.
    """
    text = markdown_table(list(headings(summary).values()), table_rows(summary))
    if notes:
        text += '\n' + '\n'.join(f'- {note}' for note in notes) + '\n'
    write_json(folder / 'metrics.json', {**facts, **summary})
    write_text(folder / 'metrics.md', text)
    mean = [{'generator': f'mean of {summary["mean_over"]}', **summary['mean']}] if summary['mean'] else []
    columns = [*HEADINGS, *BALANCED, *(key for key in CALIBRATED if key in headings(summary)), 'family']
    write_csv(folder / 'metrics.csv', pd.DataFrame([*summary['generators'], *mean], columns=columns))
    return text
