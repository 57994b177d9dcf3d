"""What leaving one generator out says: numbers of its score files, a table, a figure."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from analysis.figures import COLOURS, MARKERS, save_figure
from analysis.metrics import accuracy_at, binary_metrics
from analysis.scores import read_scores
from analysis.summary import markdown_table
from analysis.words import count, percent, shown
from networks import load_checkpoint
from networks.verdict import false_alarms
from util.errors import UserError

CONDITIONS = {'as_is': 'as the files are', 'jpeg_95': 'both saved at JPEG 95', 'jpeg_75': 'both saved at JPEG 75'}
ON_THE_WAY = {'jpeg_90': 'saved at JPEG 90'}  # both classes alike, what images meet before anybody looks at them
ON_THE_WAY |= {f'resize_{factor:g}': f'resized by {factor:g}' for factor in (0.75, 0.9, 1.1, 1.25)}
ALL_CONDITIONS = {**CONDITIONS, **ON_THE_WAY}
NUMBERS = {'smoothness': 'Smooth', 'no_grid': 'No grid'}  # of data.left_out.numbers_alone
MEASURED = ('auc', 'ap', 'real_accuracy', 'fake_accuracy')  # accuracies at the threshold frozen on validation


def detector_file(run, copy=None):
    """Path of the detector in the folder of a training: the trained one, or that which join_copy.py made of it."""
    return run / ('model_epoch_joined.pth' if copy else 'model_epoch_last.pth')


def summarise(out, generators, seeds, copy=None):
    """Numbers of every generator that was left out.

    Args:
        out: folder of leave_one_out.py, with scores/GENERATOR/GENERATOR_seed_N/CONDITION/scores.csv and checkpoints/.
        generators: names; seeds: numbers; copy: scale of the copies that images were compared with, or None.
    Returns:
        {'seeds', 'images': {generator: [reals, fakes]}, 'generators': {condition: {generator: {metric: [one for each
        seed]}}}, 'summary': {condition: {metric: {'mean', 'spread' (standard deviation over seeds of the mean over
        generators; None for one seed), 'lowest' (of the generators, averaged over seeds), 'lowest_generator'}}},
        'rates': {condition: {frozen rate: [mean share of reals, of fakes above its threshold]}}}; seeds and generators
        without scores are left out.
    Raises:
        UserError: no generator was scored in every seed.
    """
    folders = {(name, seed): out / 'scores' / name / f'{name}_seed_{seed}' for name in generators for seed in seeds}
    files = {key: [folder / c / 'scores.csv' for c in ALL_CONDITIONS] for key, folder in folders.items()}
    scored = {key for key, needed in files.items() if all(path.is_file() for path in needed)}
    seeds = [seed for seed in seeds if any((name, seed) in scored for name in generators)]
    complete = [name for name in generators if seeds and all((name, seed) in scored for seed in seeds)]
    if not complete:
        raise UserError(f'{out}: no generator was scored with every seed; its logs/ say why')
    images, lines = {}, {condition: {} for condition in ALL_CONDITIONS}
    above = {condition: [] for condition in ALL_CONDITIONS}
    for name in complete:
        for condition in ALL_CONDITIONS:
            lines[condition][name] = []
            for seed in seeds:
                checkpoint = load_checkpoint(detector_file(out / 'checkpoints' / f'{name}_seed_{seed}', copy))
                frame = read_scores(folders[name, seed] / condition / 'scores.csv')
                lines[condition][name].append(measure(frame, checkpoint['calibration']['threshold']))
                above[condition].append(shares_above(frame, checkpoint))
                images[name] = [int((frame['label'] == label).sum()) for label in (0, 1)]
    rates = {
        condition: {
            rate: np.mean([each[rate] for each in found], 0).tolist()
            for rate in found[0]
            if all(rate in each for each in found)
        }
        for condition, found in above.items()
    }
    return {'seeds': seeds, 'images': images, 'rates': rates, **gathered(lines)}


def shares_above(frame, checkpoint):
    """{frozen rate of false alarms: (share of reals, share of fakes above its threshold)}."""
    rates = false_alarms(frame['logit'], checkpoint)
    frozen = [] if rates is None else [rate for rate, _ in checkpoint['calibration']['thresholds']]
    both = [rates[frame['label'] == label] for label in (0, 1)] if frozen else []
    return {f'{rate:g}': [float((part <= rate).mean()) for part in both] for rate in frozen}


def gathered(lines):
    """{condition: {generator: [`measure` of each seed]}} -> 'generators' and 'summary' as `summarise` has them."""
    found = {
        condition: {
            name: {metric: [line[metric] for line in each] for metric in MEASURED} for name, each in entry.items()
        }
        for condition, entry in lines.items()
    }
    summary = {condition: {m: _averaged(entry, m) for m in MEASURED} for condition, entry in found.items()}
    return {'generators': found, 'summary': summary}


def all_scores(out, found):
    """Every score behind `summarise` as one frame: left_out, seed, condition, label, file (its name alone), logit."""
    parts = []
    for name in found['images']:
        for seed in found['seeds']:
            for condition in ALL_CONDITIONS:
                place = out / 'scores' / name / f'{name}_seed_{seed}' / condition / 'scores.csv'
                frame = read_scores(place)[['label', 'path', 'logit']]
                frame['path'] = [Path(path).name for path in frame['path']]
                parts.append(
                    frame.rename(columns={'path': 'file'}).assign(left_out=name, seed=seed, condition=condition)
                )
    return pd.concat(parts)[['left_out', 'seed', 'condition', 'label', 'file', 'logit']]


def measure(frame, threshold):
    """{metric of MEASURED: value} of the scores of one generator and the reals it is compared with."""
    labels, logits = frame['label'].to_numpy(), frame['logit'].to_numpy()
    metrics = binary_metrics(labels, logits)
    real, fake = (accuracy_at(labels[labels == label], logits[labels == label], threshold) for label in (0, 1))
    return {'auc': metrics['auc'], 'ap': metrics['ap'], 'real_accuracy': real, 'fake_accuracy': fake}


def _averaged(entry, metric):
    table = np.array([values[metric] for values in entry.values()])  # (generators, seeds)
    means, lowest = table.mean(0), int(table.mean(1).argmin())
    return {
        'mean': float(means.mean()),
        'spread': float(means.std(ddof=1)) if len(means) > 1 else None,
        'lowest': float(table.mean(1)[lowest]),
        'lowest_generator': list(entry)[lowest],
    }


def table(found):
    """Markdown of `summarise`, as `table_of_generators`. `found` also has 'alone', what data.left_out.numbers_alone
    returns, which follows in a table of its own."""
    note = 'accuracies at the threshold that was frozen on validation images of the other generators.'
    parts = table_of_generators(found, 'Left out', note), _table_on_the_way(found), _table_of_rates(found)
    return ''.join([*parts, _table_of_numbers(found)])


def table_of_generators(found, heading, note):
    """A row for each generator, then mean and minimum; `note`: what the accuracies are."""
    headings = [heading, 'Reals', 'Fakes']
    for words in CONDITIONS.values():
        headings += [f'AUC, {words}', 'Real acc.', 'Fake acc.']
    metrics, rows = ('auc', 'real_accuracy', 'fake_accuracy'), []
    for name, (reals, fakes) in found['images'].items():
        row = [shown(name), str(reals), str(fakes)]
        for condition in CONDITIONS:
            entry = found['generators'][condition][name]
            row += [
                percent(np.mean(entry[m]), np.std(entry[m], ddof=1) if len(entry[m]) > 1 else None) for m in metrics
            ]
        rows.append(row)
    parts = [found['summary'][condition][metric] for condition in CONDITIONS for metric in metrics]
    rows.append(['mean', '', '', *(percent(part['mean'], part['spread']) for part in parts)])
    rows.append(['lowest', '', '', *(percent(part['lowest']) for part in parts)])
    spread = ' ± standard deviation' if len(found['seeds']) > 1 else ''
    note = f'Percentages, mean over {count(len(found["seeds"]), "seed")}{spread}; {note}\n'
    return f'{markdown_table(headings, rows)}\n{note}'


def _table_on_the_way(found):
    if not ON_THE_WAY.keys() <= found['summary'].keys():  # scored by an earlier version
        return ''
    headings = ['Both classes', 'AUC', 'Lowest AUC', 'Generator', 'Real acc.', 'Fake acc.']
    rows = []
    for condition, words in ALL_CONDITIONS.items():
        auc, real, fake = (found['summary'][condition][metric] for metric in ('auc', 'real_accuracy', 'fake_accuracy'))
        rows.append([words.removeprefix('both '), percent(auc['mean'], auc['spread']), percent(auc['lowest'])])
        rows[-1] += [shown(auc['lowest_generator']), *(percent(part['mean'], part['spread']) for part in (real, fake))]
    words = 'The same detectors on images that met something on their way, means over the generators left out.'
    return f'\n{words}\n\n{markdown_table(headings, rows)}'


def _table_of_rates(found):
    rates = found.get('rates', {})
    if not any(rates.values()):  # thresholds were frozen by an earlier version
        return ''
    headings, rows = ['False alarms, frozen'], []
    for words in CONDITIONS.values():
        headings += [f'Reals above, {words}', 'Fakes above']
    for rate in rates['as_is']:
        rows.append([percent(float(rate)), *(percent(share) for c in CONDITIONS for share in rates[c][rate])])
    words = (
        'How far frozen rates hold: percentages of the images above the threshold that so many real validation images '
        'exceed, mean over generators left out and seeds.'
    )
    return f'\n{words}\n\n{markdown_table(headings, rows)}'


def _table_of_numbers(found):
    measured = [found['alone'][number][condition] for number in NUMBERS for condition in CONDITIONS]
    rows = [[shown(name), *(percent(aucs[name]) for aucs in measured)] for name in found['images']]
    rows.append(['mean', *(percent(np.mean([aucs[name] for name in found['images']])) for aucs in measured)])
    headings = ['Left out', *(f'{n}, {words}' for n in NUMBERS.values() for words in CONDITIONS.values())]
    words = (
        'AUC of one number without any training (data/pixel_facts.py). Smooth: detail at half the size over that at '
        'full size; below 50, fakes are the rougher ones. No grid: how little colours follow the 8 x 8 pixels of JPEG '
        'files, which tells how a file was stored, not how its image was made; below 50, fakes show more of that grid.'
    )
    return f'\n{words}\n\n{markdown_table(headings, rows)}'


def draw(found, path):
    """AUC of every generator under every condition, one marker for each seed, the mean as a line."""
    names = list(found['images'])
    figure, axis = plt.subplots(figsize=(1.6 + 1.25 * len(names), 3.4), layout='constrained')
    for place, (condition, words) in enumerate(CONDITIONS.items()):
        style, shift = {'color': COLOURS[place]}, 0.22 * (place - (len(CONDITIONS) - 1) / 2)
        for x, name in enumerate(names):
            values = found['generators'][condition][name]['auc']
            axis.plot([x + shift] * len(values), values, MARKERS[place], markersize=5, alpha=0.8, **style)
            axis.plot(x + shift, found['alone']['smoothness'][condition][name], '_', markersize=14, color='0.45')
        mean = found['summary'][condition]['auc']['mean']
        axis.axhline(mean, linewidth=1, label=f'{words} (mean {mean:.2f})', **style)
    axis.plot([], [], '_', markersize=14, color='0.45', label='smoothness alone, no training')
    axis.axhline(0.5, color='0.6', linewidth=1, linestyle=':')
    axis.set(xticks=range(len(names)), ylabel='ROC AUC, generator left out', ylim=(None, 1.02))
    axis.set_xticklabels([shown(name) for name in names], rotation=20, ha='right')
    axis.grid(axis='y', alpha=0.3)
    figure.legend(loc='outside upper center', ncols=2)
    save_figure(figure, path)
