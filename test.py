"""Test a detector: python test.py --model_path CHECKPOINT --dataroot DIR [--output_dir DIR]

Writes scores.csv (one row for each image) first; metrics.json, metrics.md and metrics.csv are computed
from it. An interrupted run goes on where it stopped when the same command is given again. Start it with
torchrun to share the images among processes; the numbers stay the same.
"""

from pathlib import Path

from analysis.scores import read_scores
from analysis.summary import summarise, write_summary
from data.collection import collect, describe
from data.published import other_pixels, published_results
from networks import CheckpointError
from options.test_options import get_parser
from session import Scorer, describe_pixels, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, read_json


def pixel_facts(pixels, mode, precision):
    """What metrics.json says about the pixels: {table: ScoreTransform} as plain values, one pair where all agree."""
    sizes = {table: {'load_size': each.load_size, 'crop_size': each.crop_size} for table, each in pixels.items()}
    first = next(iter(sizes.values()))
    alike = all(each == first for each in sizes.values())
    return {**({'mode': mode} if mode else {}), **(first if alike else {'by_table': sizes}), 'precision': precision}


def refuse_other_results(folder, facts):
    """Stop before results of another run, images or pixels are replaced only because their folder has the same name.

    Raises:
        UserError: the folder holds such results.
    """
    path = folder / 'metrics.json'
    before = read_json(path) if path.is_file() else facts
    for key, now in facts.items():
        was = before.get(key)
        place = key in ('dataroot', 'model_path')
        if (Path(was).resolve() != Path(now).resolve()) if place else (was != now):
            raise UserError(
                f'{folder}: holds results of other {key} ({was}; now {now}); give another folder with --output_dir'
            )


def published_beside(summary, pixels):
    """Sentences about the published numbers in a summary, if there are any: their source, and other pixels."""
    entries = [entry for entry in summary['generators'] if 'published' in entry]
    if not entries:
        return []
    source = entries[0]['published']['source'].partition(' ')[0]
    tables = {entry['table'] for entry in entries}
    sizes = {table: (each.load_size, each.crop_size) for table, each in pixels.items() if table in tables}
    return [f'published: as printed in {source}, not run here and in no mean', *other_pixels(sizes)]


def main(opt):
    place = machine.start(opt.gpu_ids, opt.precision)
    scorer, processes = Scorer(opt, opt.model_path, place, opt.npr_scales), place[2]
    dataroot = Path(opt.dataroot)
    found = collect(dataroot, opt.classes, opt.reals)
    pixels = transforms(opt, scorer.config, found.tables)
    checkpoint = Path(opt.model_path).resolve()
    folder = Path(opt.output_dir or Path('results', checkpoint.parent.name, checkpoint.stem, dataroot.resolve().name))
    if processes.first:
        make_folder(folder)
        if not opt.output_dir:
            run = {'model_path': opt.model_path, 'dataroot': opt.dataroot, 'reals': opt.reals}
            run['classes'] = opt.classes and list(opt.classes)
            refuse_other_results(folder, run | {'pixels': pixel_facts(pixels, opt.mode, scorer.precision)})
        print(f'{scorer.config["model_type"]} {scorer.config["npr_scales"]} from {opt.model_path}')
        if 'assumed' in scorer.config:
            print(scorer.config['assumed'])
        print('\n'.join(describe(dataroot, found, opt.reals)))
        print('\n'.join(describe_pixels(pixels)))
    processes.gather(None)  # the others wait until the folder is there
    scorer.to_file(found.with_pixels(pixels), found.rows, str(pixels), folder)
    if processes.first:
        facts = {
            'model_path': opt.model_path,
            'detector': scorer.config,
            'weights': scorer.weights,
            'dataroot': opt.dataroot,
            'pixels': pixel_facts(pixels, opt.mode, scorer.precision),
            'classes': opt.classes and list(opt.classes),
            'not_found': found.not_found,
            'reals': opt.reals,
            'borrowed_reals': found.borrowed,
            'bad_images': list(scorer.bad_images.messages),
            'machine': machine.describe(),
        }
        frame = read_scores(folder / 'scores.csv', paths=False)
        summary = summarise(frame, published_results(), scorer.config.get('calibration'))
        notes = [
            *(f'not in the mean: {sentence}' for sentence in summary['left_out']),
            *(f'real images of {opt.reals}: {name}' for name in found.borrowed),
            *published_beside(summary, pixels),
            *found.not_found,
        ]
        print('\n' + write_summary(summary, folder, facts, notes))
        if scorer.bad_images.summary():
            print(scorer.bad_images.summary())
        print(f'written to {folder}: scores.csv, metrics.json, metrics.md, metrics.csv')
    processes.close()


if __name__ == '__main__':
    with friendly_errors('test.py', CheckpointError):
        main(get_parser().parse_args())
