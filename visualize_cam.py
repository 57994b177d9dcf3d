"""Where does a detector look? python visualize_cam.py --model_path CHECKPOINT --dataroot DIR --output_dir DIR

Draws class activation maps for images of one generator or many: for each branch of a multi-scale detector (an image and
its copy, where those are compared) and for their weighed sum, or the one map of a single-scale detector; beside them
what occlusion says, as a check (cams_NN.png). Their numbers go to cams.json: the rank correlation of map and occlusion,
window by window.
"""

from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from torchvision.transforms.v2.functional import pil_to_tensor
from tqdm import tqdm

from analysis.cam_figure import cam_page
from data.collection import collect, describe
from data.images import BadImage, BadImages, load_rgb
from data.samples import choose_evenly
from data.transforms import normalise
from networks import CheckpointError, load_detector
from networks.cam import activation_maps, cell_size, names_of, occlusion
from networks.scoring import prepare
from options.base_options import (
    StrictParser,
    add_detector,
    add_machine,
    add_pixels,
    bounded,
    positive,
)
from session import describe_pixels, pixel_warnings, transforms
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_json

PER_PAGE = 6  # images of one cams_NN.png


def get_parser():
    parser = StrictParser(prog='visualize_cam.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--model_path', required=True, help='checkpoint; it knows its detector and scales')
    parser.add_argument('--dataroot', required=True, help='folder of one generator (0_real, 1_fake), or of many')
    parser.add_argument('--reals', metavar='DIR', help='real images for generators that come without')
    parser.add_argument('--output_dir', required=True, help='folder for the pictures and numbers')
    parser.add_argument('--num_samples', type=positive, default=12, help='images, half real and half fake')
    parser.add_argument('--window', type=positive, default=32, help='side of the occluded windows in pixels')
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of the choice of images')
    add_detector(parser, required=False)
    add_pixels(parser, modes=True)
    add_machine(parser, only_gpu=True)
    return parser


def agreement(cam, occluded, window, cell=8):
    """Spearman's correlation of a map, averaged over the windows, with occlusion; None where one is constant.

    Args:
        cam: (h, w); occluded: (ceil(H / window), ceil(W / window)); window, cell: sides in pixels of a window
            and of a position of the map.
    """
    cells = window // cell
    rows, columns = occluded.shape
    pooled = np.array(
        [
            cam[r * cells : (r + 1) * cells, c * cells : (c + 1) * cells].mean()
            for r in range(rows)
            for c in range(columns)
        ]
    )
    found = occluded.flatten().numpy()
    return None if np.ptp(pooled) == 0 or np.ptp(found) == 0 else float(spearmanr(pooled, found).statistic)


def explain(detector, image, window):
    """(ActivationMaps of one PIL image, its occlusion map), on the CPU or the detector's device."""
    tensor = normalise(pil_to_tensor(image)).to(next(detector.parameters()).device)
    return activation_maps(detector, tensor[None]), occlusion(detector, tensor, window).cpu()


def main(opt):
    machine.only_one_process('visualize_cam.py')
    device = machine.start(opt.gpu_ids, 'fp32')[0]
    detector, config = load_detector(opt.model_path, opt.model_type, opt.npr_scales)
    cell = cell_size(detector)
    if opt.window % cell:
        raise UserError(f'--window {opt.window}: expected a multiple of {cell}, the pixels of one position of a map')
    print(''.join(pixel_warnings(config, opt)), end='')
    detector = prepare(detector, device)
    dataroot, folder = Path(opt.dataroot), make_folder(opt.output_dir)
    found = collect(dataroot, reals=opt.reals)
    print('\n'.join(describe(dataroot, found, opt.reals)))
    pixels = transforms(opt, config, found.tables)
    print('\n'.join(describe_pixels(pixels)))
    places = choose_evenly(found.samples.labels, found.rows.generator_numbers(), opt.num_samples, opt.seed)
    shown, numbers, bad_images = [], [], BadImages(opt.on_bad_image)
    for place in tqdm(places, desc='explaining', unit='image', leave=False):
        table, generator, label, path, _ = found.rows[place]
        try:
            image = pixels[table].pixels(load_rgb(found.samples[place].path))
        except BadImage as error:
            bad_images.handle([str(error)])
            continue
        maps, occluded = explain(detector, image, opt.window)
        entry = {'table': table, 'generator': generator, 'label': label, 'path': path, 'logit': float(maps.logits[0])}
        entry['weights'] = maps.weights[0].tolist()
        entry['agreement'] = agreement(maps.fused[0].cpu(), occluded, opt.window, cell)
        numbers.append(entry)
        shown.append((image, entry, maps.branches[0].cpu().numpy(), maps.fused[0].cpu().numpy(), occluded.numpy()))
    if not shown:
        raise UserError('not one image could be read')
    for old in folder.glob('cams_*.png'):
        old.unlink()
    for page, first in enumerate(range(0, len(shown), PER_PAGE), start=1):
        cam_page(shown[first : first + PER_PAGE], names_of(detector), folder / f'cams_{page:02d}.png')
    agreements = [entry['agreement'] for entry in numbers if entry['agreement'] is not None]
    mean = float(np.mean(agreements)) if agreements else None
    facts = {'model_path': opt.model_path, 'detector': config, 'window': opt.window, 'seed': opt.seed}
    write_json(folder / 'cams.json', {**facts, 'mean_agreement': mean, 'images': numbers})
    if agreements:
        print(f'map and occlusion agree over {len(agreements)} images: mean rank correlation {mean:+.2f}')
    if bad_images.summary():
        print(bad_images.summary())
    print(f'written to {folder}: cams_*.png, cams.json')


if __name__ == '__main__':
    with friendly_errors('visualize_cam.py', CheckpointError):
        main(get_parser().parse_args())
