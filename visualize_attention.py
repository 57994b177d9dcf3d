"""Show the attention of a multi-scale detector on one generator.

Writes scores.csv (with attention weights), attention.json (statistics per scale), attention.png (distribution for
real and fake), panels.png (images, residuals, weights) and, with --save_npr_maps, npr_maps/.
"""

import numpy as np

from analysis.figures import attention_distribution, image_panels, residual_energy, save_map
from analysis.scores import score_frame, write_scores
from data.images import load_rgb
from data.listing import find_generators, list_samples
from data.tables import paper_pixels
from data.transforms import ScoreTransform
from networks import CheckpointError
from options.base_options import pixel_sizes
from options.visualize_options import get_parser
from session import Scorer
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_json

PANELS = 8  # images in panels.png, half real and half fake


def choose(samples, count, seed):
    """`count` samples, half of each label where there are enough, at random but in order of path."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in (0, 1):
        found = [sample for sample in samples if sample.label == label]
        chosen += [found[i] for i in sorted(rng.permutation(len(found))[: (count + label) // 2])]
    return chosen


def statistics(frame, scales):
    """Mean, deviation of each scale's weight and mean entropy (nats), for real and fake images separately."""
    result = {}
    for label, name in ((0, 'real'), (1, 'fake')):
        weights = frame.loc[frame['label'] == label, [f'attention_{scale:g}' for scale in scales]].to_numpy()
        if len(weights):
            entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1)
            result[name] = {
                'images': len(weights),
                'mean': dict(zip(map('{:g}'.format, scales), weights.mean(0).tolist(), strict=True)),
                'deviation': dict(zip(map('{:g}'.format, scales), weights.std(0).tolist(), strict=True)),
                'mean_entropy_nats': float(entropy.mean()),
            }
    return result


def main(opt):
    machine.only_one_process('visualize_attention.py')
    scorer = Scorer(opt, opt.model_path, machine.start(opt.gpu_ids, opt.precision), opt.scales)
    if not scorer.has_attention:
        raise UserError(
            f'{opt.model_path}: a {scorer.config["model_type"]} detector looks at one scale ({scorer.scales[0]:g}) and '
            'has no attention to show; give a multiscale_attention checkpoint'
        )
    generators = find_generators(opt.dataroot)
    if len(generators) > 1:
        names = ', '.join(generator.name for generator in generators[:6])
        raise UserError(f'{opt.dataroot}: holds {len(generators)} generators ({names}...); give one of them')
    samples = choose(list_samples(generators[0].folder, both=False), opt.num_samples, opt.seed)
    folder = make_folder(opt.output_dir)
    transform = ScoreTransform(*pixel_sizes(opt, paper_pixels(generators[0].table)))
    indices, logits, weights = scorer.scores(samples, transform)
    if not len(indices):
        raise UserError(f'{opt.dataroot}: not one image could be read')
    samples = [samples[i] for i in indices]
    rows = [
        (generators[0].table, generators[0].name, s.label, s.path.relative_to(opt.dataroot).as_posix()) for s in samples
    ]
    frame = score_frame(rows, logits, weights, scorer.scales)
    write_scores(frame, folder / 'scores.csv')
    numbers = statistics(frame, scorer.scales)
    write_json(folder / 'attention.json', {'generator': generators[0].name, 'seed': opt.seed, **numbers})
    attention_distribution(frame, scorer.scales, generators[0].name, folder / 'attention.png')

    def pixels(sample):
        return transform.pixels(load_rgb(sample.path))

    shown = [i for label in (0, 1) for i in np.flatnonzero(frame['label'] == label)[: PANELS // 2]]
    image_panels([pixels(samples[i]) for i in shown], frame.iloc[shown], scorer.scales, folder / 'panels.png')
    if opt.save_npr_maps:
        maps = make_folder(folder / 'npr_maps')
        for sample, row in zip(samples, rows, strict=True):
            stem = row[3].replace('/', '_').rpartition('.')[0]
            for scale in scorer.scales:
                save_map(residual_energy(pixels(sample), scale), maps / f'{stem}_{scale:g}')
    for name, values in numbers.items():
        means = '  '.join(f'{scale}: {value:.3f}' for scale, value in values['mean'].items())
        print(f'{name}: {values["images"]} images, mean attention {means}')
    if scorer.bad_images.summary():
        print(scorer.bad_images.summary())
    print(f'written to {folder}')


if __name__ == '__main__':
    with friendly_errors('visualize_attention.py', CheckpointError):
        main(get_parser().parse_args())
