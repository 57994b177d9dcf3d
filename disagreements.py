"""When is one detector right and another wrong? python disagreements.py FIRST SECOND --out DIR

FIRST and SECOND are folders that test.py wrote for the same images, as the baseline's and the multi-scale detector's.
Counts the images on which only one is right, per generator and class (disagreements.md, .json), tests what they have in
common (attention weights, high-frequency energy), and shows the most decided ones (disagreements.png).
"""

from contextlib import suppress

import numpy as np
import pandas as pd
from tqdm import tqdm

from analysis.disagreement import (
    COMPARED,
    HIGH_FREQUENCY,
    compare_traits,
    count_table,
    count_totals,
    high_frequency_energy,
    outcomes,
    report,
    sample_places,
    traits_of,
)
from analysis.figures import image_panels
from analysis.runs import align, at_frozen_thresholds, photograph_names, read_results
from analysis.scores import attention_scales
from data.images import BadImage
from data.seen import SeenImages
from options.base_options import StrictParser, bounded, positive
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_json, write_text

SHEET_ROWS = 6  # of disagreements.png, for each of the two kinds


def get_parser():
    parser = StrictParser(prog='disagreements.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('first', help='results folder of one seed, or NAME=FOLDER')
    parser.add_argument('second', help='the same of another detector')
    parser.add_argument('--out', required=True, help='folder for the tables and the sheet')
    parser.add_argument('--dataroot', metavar='DIR', help='where the images are now; default: where test.py read them')
    parser.add_argument(
        '--frozen_threshold', action='store_true', help='right at the threshold that calibrate.py froze, not at 0.5'
    )
    parser.add_argument(
        '--most', type=positive, default=100, help='images looked at of each generator, class and outcome'
    )
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of that choice and of the permutations')
    return parser


def repeated(frames, seed):
    """(n,) bool: all but one image of each photograph and class, chosen at random, because they are not independent.

    File names tell photographs in UpsampleBench; elsewhere only an image under the same name and path is the same.
    """
    paths = frames[0]['path'].tolist()
    names = photograph_names(paths) or paths
    order = np.random.default_rng(seed).permutation(len(paths))
    keys = pd.DataFrame({'name': names, 'label': frames[0]['label'].to_numpy()}).iloc[order]
    result = np.zeros(len(paths), bool)
    result[order] = keys.duplicated().to_numpy()
    return result


def sheet(frames, names, found, seen, seed, path):
    """The images on which the detectors are most decidedly of different opinion, SHEET_ROWS for each of COMPARED;
    False where none of them can be read."""
    margin, rows = (frames[0]['logit'] - frames[1]['logit']).abs().to_numpy(), []
    for outcome in COMPARED:
        own = np.flatnonzero((found == outcome) & ~repeated(frames, seed))
        rows += own[np.argsort(-margin[own], kind='stable')][:SHEET_ROWS].tolist()
    attentive = next((frame for frame in frames if attention_scales(frame)), frames[1])
    images = {}
    for row, table, image in zip(rows, *(attentive[key].iloc[rows] for key in ('table', 'path')), strict=True):
        with suppress(BadImage):  # it is not there any more
            images[row] = seen(table, image)
    rows = [row for row in rows if row in images]
    if not rows:
        return False
    shown = attentive.iloc[rows].copy()
    other = [
        f'{name} {value:.3f}' for name, frame in zip(names, frames, strict=True) for value in frame['score'].iloc[rows]
    ]
    shown['note'] = [f'{a}\n{b}' for a, b in zip(other[: len(rows)], other[len(rows) :], strict=True)]
    image_panels(list(images.values()), shown, attention_scales(attentive) or seen.scales, path)
    return True


def main(opt):
    results = align([read_results(opt.first), read_results(opt.second)])
    if any(len(each.frames) > 1 for each in results):
        raise UserError('give results of one seed each; analysis.compare takes several')
    if opt.frozen_threshold:
        results = [at_frozen_thresholds(each) for each in results]
    names, frames = [each.name for each in results], [each.frames[0] for each in results]
    seen = SeenImages(results[0].folders[0], opt.dataroot)
    found = outcomes(*frames)
    strata = frames[0].groupby(['table', 'generator', 'label'], sort=False).ngroup().to_numpy()
    traits = pd.concat([traits_of(frame) for frame in frames], axis=1)
    if traits.columns.duplicated().any():
        raise UserError('both detectors have attention; give the baseline, or another single-scale detector, as one')
    places, energies, missing = [], [], 0
    candidates = np.flatnonzero(~repeated(frames, opt.seed))
    chosen = candidates[sample_places(found[candidates], strata[candidates], opt.most, opt.seed)]
    for place in tqdm(chosen, desc='looking', unit='image', leave=False):
        row = frames[0].iloc[place]
        try:
            energies.append(high_frequency_energy(seen(row['table'], row['path'])))
            places.append(place)
        except BadImage:
            missing += 1
    if not len(chosen):
        raise UserError('there is no image that both get right or only one of them: nothing to compare')
    if not places:
        raise UserError(f'{seen.dataroot}: none of the images is there any more; say with --dataroot where they are')
    traits = traits.iloc[places].assign(**{HIGH_FREQUENCY: energies})
    compared = compare_traits(traits, found[places], strata[places], opt.seed)
    rows, out = count_table(frames[0], found), make_folder(opt.out)
    totals = count_totals(frames[0], found)
    text = report(rows, compared, names)
    write_text(out / 'disagreements.md', text)
    facts = {
        'frozen_threshold': opt.frozen_threshold,
        'first': names[0],
        'second': names[1],
        'folders': [str(each.folders[0]) for each in results],
    }
    write_json(
        out / 'disagreements.json',
        {**facts, 'most': opt.most, 'seed': opt.seed, 'counts': rows, 'totals': totals, 'in_common': compared},
    )
    written = ['disagreements.md', 'disagreements.json']
    (out / 'disagreements.png').unlink(missing_ok=True)
    if np.isin(found, COMPARED).any() and sheet(frames, names, found, seen, opt.seed, out / 'disagreements.png'):
        written.append('disagreements.png')
    print(text)
    if missing:
        print(f'{missing} images could not be read and are left out')
    print(f'written to {out}: {", ".join(written)}')


if __name__ == '__main__':
    with friendly_errors('disagreements.py'):
        main(get_parser().parse_args())
