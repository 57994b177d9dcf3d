"""Show the attention of a multi-scale detector: python visualize_attention.py --model_path CHECKPOINT --dataroot DIR

Writes scores.csv (every image, with its weights), attention.json and attention.md (numbers), attention.png
(distributions), heatmap.png and correlation.png (several generators), panels_NN.png (images, residuals, weights) and,
with --save_npr_maps, npr_maps/. With --scores FILE all of it comes from a score file and no model is needed.
"""

import os
import shutil
from pathlib import Path

from tqdm import tqdm

from analysis.attention import analyse
from analysis.attention_figures import correlation_figure, distribution_figure, heatmap_figure
from analysis.attention_text import attention_table, sentences
from analysis.figures import brightest_of, image_panels, residual_energy, save_map
from analysis.scores import attention_scales, read_scores
from data.collection import collect, describe
from data.images import BadImage, load_rgb
from data.samples import choose_evenly
from data.seen import SeenImages
from networks import CheckpointError
from options.visualize_options import get_parser
from session import Scorer, describe_pixels, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_json, write_text

PER_PAGE = 8  # images of one panels_NN.png


def from_model(opt, folder):
    """Score everything; (frame, function of table and path that gives an image, facts)."""
    if not opt.dataroot:
        raise UserError('--model_path needs --dataroot, the folder of the images to score')
    place = machine.start(opt.gpu_ids, opt.precision)
    scorer = Scorer(opt, opt.model_path, place, opt.scales)
    if not scorer.has_attention:
        raise UserError(
            f'{opt.model_path}: this {scorer.config["model_type"]} detector looks at one scale, or weighs all images '
            'alike, so it has no attention to show; give a multiscale_attention checkpoint (visualize_cam.py explains '
            'both kinds)'
        )
    dataroot = Path(opt.dataroot)
    found = collect(dataroot, reals=opt.reals)
    print('\n'.join(describe(dataroot, found, opt.reals)))
    pixels = transforms(opt, scorer.config, found.tables)
    print('\n'.join(describe_pixels(pixels)))
    scorer.to_file(found.with_pixels(pixels), found.rows, str(pixels), folder, again=False)
    if scorer.bad_images.summary():
        print(scorer.bad_images.summary())
    facts = {'model_path': opt.model_path, 'weights': scorer.weights, 'dataroot': opt.dataroot, 'pixels': str(pixels)}
    return (
        read_scores(folder / 'scores.csv'),
        lambda table, path: pixels[table].pixels(load_rgb(os.path.normpath(dataroot / path))),
        facts,
    )


def from_scores(opt):
    """The same from a score file."""
    flags = ('scales', 'model_type', 'mode', 'reals', 'loadSize', 'cropSize', 'no_resize', 'no_crop')
    given = [flag for flag in flags if getattr(opt, flag)]
    if given:
        raise UserError(f'--scores tells the scales and pixels itself: leave out --{", --".join(given)}')
    frame = read_scores(opt.scores)
    if not attention_scales(frame):
        raise UserError(f'{opt.scores}: no attention weights in it; test a multiscale_attention detector')
    return frame, SeenImages(Path(opt.scores).parent, opt.dataroot), {'scores': opt.scores}


def load(frame, image_of):
    """({position: image} of those that can be read, how many cannot) for the rows of a frame."""
    images, missing = {}, 0
    for place, (table, path) in enumerate(zip(frame['table'], frame['path'], strict=True)):
        try:
            images[place] = image_of(table, path)
        except BadImage:
            missing += 1
    return images, missing


def draw_panels(chosen, images, scales, folder):
    """panels_NN.png"""
    brightest = brightest_of(images, scales)
    firsts = range(0, len(images), PER_PAGE)
    for page, first in enumerate(tqdm(firsts, desc='panels', unit='page', leave=False), start=1):
        part = slice(first, first + PER_PAGE)
        image_panels(images[part], chosen.iloc[part], scales, folder / f'panels_{page:02d}.png', brightest)


def save_maps(chosen, images, scales, folder):
    """Residual maps of the panels' images, as numbers and as pictures."""
    parts = [path.removeprefix('../').split('/') for path in chosen['path']]
    names = [
        '_'.join(part if generator in part else [generator, *part])  # lent reals lie elsewhere
        for part, generator in zip(parts, chosen['generator'], strict=True)
    ]
    stems = [name.rpartition('.')[0] for name in names]
    for name, stem, image in zip(names, stems, images, strict=True):
        stem = stem if stems.count(stem) == 1 else name.replace('.', '_')
        for scale in scales:
            save_map(residual_energy(image, scale), folder / f'{stem}_{scale:g}')


def clear(folder):
    """Remove what an earlier run left in the folder and this one may not make."""
    for pattern in ('heatmap.png', 'correlation.png', 'panels_*.png'):
        for old in folder.glob(pattern):
            old.unlink()
    shutil.rmtree(folder / 'npr_maps', ignore_errors=True)


def main(opt):
    machine.only_one_process('visualize_attention.py')
    folder = make_folder(opt.output_dir)
    if (folder / 'metrics.json').is_file():
        raise UserError(f'{folder}: holds results of test.py, which stay as they are; choose another --output_dir')
    frame, image_of, facts = from_scores(opt) if opt.scores else from_model(opt, folder)
    clear(folder)  # now that there is something to show
    scales, result = attention_scales(frame), analyse(frame)
    text = attention_table(result) + '\n' + '\n'.join(f'- {sentence}' for sentence in sentences(result)) + '\n'
    write_text(folder / 'attention.md', text)
    write_json(folder / 'attention.json', {**facts, 'seed': opt.seed, **result})
    distribution_figure(frame, folder / 'attention.png')
    written = ['attention.md', 'attention.json', 'attention.png']
    if len(result['generators']) > 1:
        heatmap_figure(result['generators'], folder / 'heatmap.png')
        written.append('heatmap.png')
        if any(entry['ap'] is not None for entry in result['generators']):
            correlation_figure(result['generators'], result['correlation_with'], folder / 'correlation.png')
            written.append('correlation.png')
    groups = frame.groupby(['table', 'generator'], sort=False).ngroup().to_numpy()
    chosen = frame.iloc[choose_evenly(frame['label'].to_numpy(), groups, opt.num_samples, opt.seed)]
    images, missing = load(chosen, image_of)
    chosen, images = chosen.iloc[list(images)], list(images.values())
    if images:
        draw_panels(chosen, images, scales, folder)
        written.append('panels_*.png')
        if opt.save_npr_maps:
            save_maps(chosen, images, scales, make_folder(folder / 'npr_maps'))
            written.append('npr_maps/')
    print('\n' + text)
    if missing:
        print(f'{missing} images are not where {opt.scores or opt.model_path} read them; panels are without them')
    print(f'written to {folder}: {", ".join(written)}')


if __name__ == '__main__':
    with friendly_errors('visualize_attention.py', CheckpointError):
        main(get_parser().parse_args())
