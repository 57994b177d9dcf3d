"""Test a detector: python test.py --model_path CHECKPOINT --dataroot DIR [--output_dir DIR]

Writes scores.csv (one row for each image) first; metrics.json, metrics.md and metrics.csv are computed
from it. An interrupted run goes on where it stopped when the same command is given again. Start it with
torchrun to share the images among processes; the numbers stay the same.
"""

import hashlib
from functools import partial
from pathlib import Path

from analysis.scores import read_scores, score_frame, write_scores
from analysis.summary import summarise, write_summary
from data.collection import collect, describe
from data.datasets import BadImages
from data.journal import Journal
from data.loop import over_images
from data.published import other_pixels, published_results
from data.tables import paper_pixels
from data.transforms import ScoreTransform
from networks import CheckpointError, load_detector, weights_fingerprint
from networks.scoring import prepare, score_batch
from options.base_options import pixel_sizes
from options.test_options import get_parser
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder


def pixel_facts(pixels, mode, precision):
    """What metrics.json says about the pixels: {table: ScoreTransform} as plain values, one pair where all agree."""
    sizes = {table: {'load_size': each.load_size, 'crop_size': each.crop_size} for table, each in pixels.items()}
    first = next(iter(sizes.values()))
    alike = all(each == first for each in sizes.values())
    return {**({'mode': mode} if mode else {}), **(first if alike else {'by_table': sizes}), 'precision': precision}


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
    device, precision, processes = machine.start(opt.gpu_ids, opt.precision)
    detector, config = load_detector(opt.model_path, opt.model_type, opt.npr_scales)
    weights_hash = weights_fingerprint(detector.state_dict())
    detector = prepare(detector, device)
    dataroot = Path(opt.dataroot)
    found = collect(dataroot, opt.classes, opt.reals)
    pixels = {table: ScoreTransform(*pixel_sizes(opt, paper_pixels(table))) for table in found.tables}
    samples, rows = found.with_pixels(pixels), found.rows
    checkpoint = Path(opt.model_path).resolve()
    folder = Path(opt.output_dir or Path('results', checkpoint.parent.name, checkpoint.stem, dataroot.resolve().name))
    if processes.first:
        make_folder(folder)
        print(f'{config["model_type"]} {config["npr_scales"]} from {opt.model_path}')
        if 'assumed' in config:
            print(config['assumed'])
        print('\n'.join(describe(dataroot, found, opt.reals)))
        for words in dict.fromkeys(each.describe() for each in pixels.values()):
            of = [table for table, each in pixels.items() if each.describe() == words]
            print(f'pixels: {words}' + (f' ({", ".join(of)})' if len(of) < len(pixels) else ''))
    bad_images = BadImages(opt.on_bad_image)
    identity = {
        'weights': weights_hash,
        'images': hashlib.sha256(repr(rows).encode()).hexdigest(),
        'pixels': str(pixels),
        'batch_size': opt.batch_size,
        'precision': precision,
    }
    journal = Journal(folder, identity, processes)
    if processes.first and journal.finished:
        print(f'{sum(journal.finished.values())} images were scored by an interrupted run; going on with the others')
    indices, logits, weights = over_images(
        partial(score_batch, detector, device=device, precision=precision),
        samples,
        None,  # each sample has the transform of its table
        opt.batch_size,
        opt.num_threads,
        bad_images,
        processes,
        'scoring',
        pin_memory=device.type == 'cuda',
        journal=journal,
    )
    if processes.first:
        if not len(indices):
            raise UserError(f'{dataroot}: not one image could be read')
        write_scores(
            score_frame([rows[i] for i in indices], logits, weights, detector.npr_scales), folder / 'scores.csv'
        )
        journal.remove()
        facts = {
            'model_path': opt.model_path,
            'detector': config,
            'weights': weights_hash,
            'dataroot': opt.dataroot,
            'pixels': pixel_facts(pixels, opt.mode, precision),
            'not_found': found.not_found,
            'reals': opt.reals,
            'borrowed_reals': found.borrowed,
            'bad_images': list(bad_images.messages),
            'machine': machine.describe(),
        }
        summary = summarise(read_scores(folder / 'scores.csv'), published_results())
        notes = [
            *(f'not in the mean: {sentence}' for sentence in summary['left_out']),
            *(f'real images of {opt.reals}: {name}' for name in found.borrowed),
            *published_beside(summary, pixels),
            *found.not_found,
        ]
        print('\n' + write_summary(summary, folder, facts, notes))
        if bad_images.summary():
            print(bad_images.summary())
        print(f'written to {folder}: scores.csv, metrics.json, metrics.md, metrics.csv')
    processes.close()


if __name__ == '__main__':
    with friendly_errors('test.py', CheckpointError):
        main(get_parser().parse_args())
