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
from data.datasets import BadImages
from data.journal import Journal
from data.listing import find_generators, list_samples
from data.loop import over_images
from data.transforms import ScoreTransform
from networks import CheckpointError, load_detector, weights_fingerprint
from networks.scoring import prepare, score_batch
from options.base_options import pixel_sizes
from options.test_options import get_parser
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder


def collect(dataroot, classes):
    """Samples of all generators at or below `dataroot`, and (table, generator, label, path) of each."""
    generators = find_generators(dataroot)
    if classes and len(generators) > 1:
        raise UserError(f'--classes needs one generator, {dataroot} holds {len(generators)}')
    samples, rows = [], []
    for generator in generators:
        found = list_samples(generator.folder, classes, both=False)
        samples += found
        rows += [
            (generator.table, generator.name, sample.label, sample.path.relative_to(dataroot).as_posix())
            for sample in found
        ]
    return generators, samples, rows


def understood(dataroot, generators, images):
    """One line that says what the folder was taken for."""
    if len(generators) == 1:
        what = f'one generator, {generators[0].name}'
    else:
        tables = sorted({generator.table for generator in generators})
        what = f'{len(generators)} generators in {", ".join(tables)}'
    return f'{dataroot}: {what}; {images} images'


def main(opt):
    device, precision, processes = machine.start(opt.gpu_ids, opt.precision)
    detector, config = load_detector(opt.model_path, opt.model_type, opt.npr_scales)
    weights_hash = weights_fingerprint(detector.state_dict())
    detector = prepare(detector, device)
    dataroot = Path(opt.dataroot)
    generators, samples, rows = collect(dataroot, opt.classes)
    checkpoint = Path(opt.model_path).resolve()
    folder = Path(opt.output_dir or Path('results', checkpoint.parent.name, checkpoint.stem, dataroot.resolve().name))
    if processes.first:
        make_folder(folder)
        print(f'{config["model_type"]} {config["npr_scales"]} from {opt.model_path}')
        if 'assumed' in config:
            print(config['assumed'])
        print(understood(dataroot, generators, len(samples)))

    transform = ScoreTransform(*pixel_sizes(opt))
    if processes.first:
        print(f'pixels: {transform.describe()}')
    bad_images = BadImages(opt.on_bad_image)
    identity = {
        'weights': weights_hash,
        'images': hashlib.sha256(repr(rows).encode()).hexdigest(),
        'pixels': str(transform),
        'batch_size': opt.batch_size,
        'precision': precision,
    }
    journal = Journal(folder, identity, processes)
    if processes.first and journal.finished:
        print(f'{sum(journal.finished.values())} images were scored by an interrupted run; going on with the others')
    indices, logits, weights = over_images(
        partial(score_batch, detector, device=device, precision=precision),
        samples,
        transform,
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
            'pixels': {'load_size': transform.load_size, 'crop_size': transform.crop_size, 'precision': precision},
            'bad_images': list(bad_images.messages),
            'machine': machine.describe(),
        }
        summary = summarise(read_scores(folder / 'scores.csv'))
        print('\n' + write_summary(summary, folder, facts))
        for sentence in summary['left_out']:
            print(f'not in the mean: {sentence}')
        if bad_images.summary():
            print(bad_images.summary())
        print(f'written to {folder}: scores.csv, metrics.json, metrics.md, metrics.csv')
    processes.close()


if __name__ == '__main__':
    with friendly_errors('test.py', CheckpointError):
        main(get_parser().parse_args())
