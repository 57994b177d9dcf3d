"""May attention weights be believed? python faithfulness.py --model_path CHECKPOINT ... --dataroot DIR --out DIR

Takes branches out, replaces weights, perturbs images, compares with known factors, and answers each question plainly:
faithfulness.md (verdicts and tables), faithfulness.json, faithfulness.png. Several checkpoints are seeds of one design.
"""

from dataclasses import replace
from functools import partial, reduce
from pathlib import Path

import numpy as np

from analysis.faithfulness import study
from analysis.faithfulness_figure import faithfulness_figure
from analysis.faithfulness_text import report, verdicts
from analysis.interventions import decide
from data.collection import collect, describe
from data.images import BadImages
from data.loop import over_images
from data.perturbations import Perturbation
from networks import CheckpointError, load_detector, weights_fingerprint
from networks.scoring import feature_batch, prepare
from options.base_options import StrictParser, add_detector, add_machine, add_pixels, bounded, positive
from session import check_alike, describe_pixels, pixel_warnings, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_json, write_text

PERTURBED = (('jpeg', 90), ('shift', 1), ('shift', 2), ('shift', 3))


def get_parser():
    parser = StrictParser(prog='faithfulness.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_path', required=True, nargs='+', help='multi-scale checkpoints: seeds of one design')
    parser.add_argument('--dataroot', required=True, help='as for test.py')
    parser.add_argument('--reals', metavar='DIR', help='real images for generators that come without')
    parser.add_argument('--out', required=True, help='folder for tables, numbers and the figure')
    parser.add_argument(
        '--num_samples', type=positive, default=400, help='images of each generator, half real and half fake, at most'
    )
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of the choice of images and all draws')
    parser.add_argument('--batch_size', type=positive, default=64, help='images at once')
    add_detector(parser, required=False)
    add_pixels(parser, modes=True)
    add_machine(parser, compiles=False)
    return parser


def load_seeds(opt):
    """(detectors of one design, its config, all that its last checkpoint says of it, fingerprints of the weights)

    Raises:
        UserError: a checkpoint without attention, another design than the first, or the same weights twice.
    """
    detectors, configs, seen = [], [], {}
    for path in opt.model_path:
        detector, config = load_detector(path, opt.model_type, opt.npr_scales)
        if not detector.has_attention:
            raise UserError(f'{path}: a {config["model_type"]} detector has no attention whose weights could be tested')
        design = {key: value for key, value in config.items() if key not in ('calibration', 'assumed', 'pixels')}
        if configs and design != configs[0]:
            raise UserError(f'{path}: another design than {opt.model_path[0]}: {design} and {configs[0]}')
        weights = weights_fingerprint(detector.state_dict())
        if weights in seen:
            raise UserError(f'{path} and {seen[weights]} hold the same weights; a seed counts once')
        seen[weights] = path
        detectors.append(detector)
        configs.append(design)
    return detectors, configs[0], config, list(seen)


def choose(found, count, seed):
    """Positions, ascending: of each class of each generator at most half of `count` images.

    Equal lists of lent real images give equal choices, so that generators go on sharing them.
    """
    numbers, labels, chosen = found.rows.generator_numbers(), found.samples.labels, []
    for number in np.unique(numbers):
        for label, half in ((0, count // 2), (1, count - count // 2)):
            own = np.flatnonzero((numbers == number) & (labels == label))
            chosen += np.random.default_rng([seed, label]).permutation(own)[:half].tolist()
    return sorted(chosen)


def main(opt):
    machine.only_one_process('faithfulness.py')
    device, precision, processes = machine.start(opt.gpu_ids, opt.precision)
    detectors, design, config, fingerprints = load_seeds(opt)
    check_alike(opt, opt.model_path)
    print(''.join(pixel_warnings(config, opt)), end='')
    out, dataroot = make_folder(opt.out), Path(opt.dataroot)
    found = collect(dataroot, reals=opt.reals)
    print('\n'.join(describe(dataroot, found, opt.reals)))
    pixels = transforms(opt, config, found.tables)
    print('\n'.join(describe_pixels(pixels)))
    samples = found.with_pixels(pixels)
    chosen = choose(found, opt.num_samples, opt.seed)
    samples, rows = [samples[i] for i in chosen], [found.rows[i] for i in chosen]
    print(f'{len(rows)} images of {len(found.generators)} generators, {len(detectors)} checkpoints')
    bad_images = BadImages(opt.on_bad_image)
    conditions = {None: samples}
    for kind, level in PERTURBED:
        each = Perturbation(kind, level)
        conditions[str(each)] = [replace(s, transform=replace(s.transform, perturbation=each)) for s in samples]
    passes = {condition: [] for condition in conditions}  # of each checkpoint: (indices, features)
    for number, detector in enumerate(detectors, start=1):
        score = partial(feature_batch, prepare(detector, device), device=device, precision=precision)
        for condition, images in conditions.items():
            indices, _, values = over_images(
                score,
                images,
                None,
                batch_size=opt.batch_size,
                workers=opt.num_threads,
                device=device,
                bad_images=bad_images,
                processes=processes,
                description=f'checkpoint {number}/{len(detectors)}: {condition or "as it is"}',
            )
            if not len(indices):
                raise UserError('not one image could be read')
            passes[condition].append((indices, values.reshape(len(indices), len(detector.npr_scales), -1)))
    kept = reduce(np.intersect1d, [indices for found in passes.values() for indices, _ in found])
    if not len(kept):
        raise UserError('not one image could be read under every condition')
    passes = {c: [values[np.isin(indices, kept)] for indices, values in found] for c, found in passes.items()}
    features = passes.pop(None)
    perturbed = {c: [decide(*pair) for pair in zip(detectors, found, strict=True)] for c, found in passes.items()}
    rows = [rows[i] for i in kept]
    result = study(detectors, features, perturbed, rows, opt.seed)
    answers = verdicts(result)
    text = report(result, answers)
    write_text(out / 'faithfulness.md', text)
    facts = {'model_path': opt.model_path, 'weights': fingerprints, 'detector': design, 'dataroot': opt.dataroot}
    facts |= {'pixels': str(pixels), 'precision': precision, 'seed': opt.seed, 'num_samples': opt.num_samples}
    facts |= {'bad_images': list(bad_images.messages), 'machine': machine.describe(), 'verdicts': answers}
    write_json(out / 'faithfulness.json', {**facts, **result})
    faithfulness_figure(result, out / 'faithfulness.png')
    print('\n' + text)
    if bad_images.summary():
        print(bad_images.summary())
    print(f'written to {out}: faithfulness.md, faithfulness.json, faithfulness.png')


if __name__ == '__main__':
    with friendly_errors('faithfulness.py', CheckpointError):
        main(get_parser().parse_args())
