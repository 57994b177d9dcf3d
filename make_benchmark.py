"""Make UpsampleBench from photographs: python make_benchmark.py [--photos DIR] [--out DIR]

Each photograph's last generation stage is redone by small decoders of known up-sampling. Real and fake share
content, size and container; only the origin of their pixels differs. Prints the shortcut audit, which can fail the
build, and writes pictures beside the images: contact sheets, the audit, power spectra, residual energies.
"""

import shutil
import time
from pathlib import Path

from generators.decoders import WEIGHTS
from generators.edition import ENOUGH, SHORTCUT_LIMIT, Edition
from generators.tables import HEADLINE, TABLES
from options.base_options import StrictParser, bounded, positive
from util import machine
from util.errors import UserError, friendly_errors
from util.files import make_folder


def get_parser():
    parser = StrictParser(prog='make_benchmark.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--out', default='./datasets/UpsampleBench', help='folder of the edition')
    parser.add_argument('--photos', metavar='DIR', help='photographs (any depth); default: bundled ones and scenes')
    parser.add_argument('--size', type=bounded(int, 32, 512), default=128, help='side of the images, multiple of 8')
    parser.add_argument('--train', type=positive, default=800, help='real images for training; as many fakes')
    parser.add_argument('--val', type=positive, default=120, help='real images for validation; as many fakes')
    parser.add_argument('--test', type=positive, default=144, help='real images for each test generator')
    parser.add_argument('--seed', type=bounded(int, 0), default=0, help='of splits, crops, scenes and noise')
    parser.add_argument('--weights', metavar='DIR', help='made by generators.train; default: the shipped ones')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing edition')
    return parser


def print_audit(card):
    """Print the audit's table; returns the sentences about generators that fail it."""
    print(f'\nShortcut audit (logistic regression on global facts; limit {SHORTCUT_LIMIT}; 0.5 = no shortcut)')
    print(f'{"generator":18s} {"AUC":>6s} {"spectrum":>9s} {"PSNR dB":>8s} {"HF energy":>10s} {"grid (real)":>16s}')
    failed = []
    for table, members in TABLES.items():
        print(table)
        for member in members:
            facts = card['audit'][member.name]
            verdict = ''
            if table in HEADLINE:
                verdict = '  pass' if facts['shortcut_auc'] <= SHORTCUT_LIMIT else '  FAIL'
                if verdict == '  FAIL':
                    worst = max(facts['fact_aucs'], key=facts['fact_aucs'].get)
                    failed.append(f'{member.name}: AUC {facts["shortcut_auc"]:.3f}, most of it by {worst}')
            psnr = '-' if facts['psnr_db'] is None else f'{facts["psnr_db"]:.1f}'
            grid = f'{facts["grid_contrast_fake"]:.4f} ({facts["grid_contrast_real"]:.4f})'
            print(
                f'  {member.name:16s} {facts["shortcut_auc"]:6.3f} {facts["spectrum_auc"]:9.3f} {psnr:>8s} '
                f'{facts["energy_ratio"]:10.2f} {grid:>16s}{verdict}'
            )
    return failed


def main(args):
    if args.size % 8:
        raise UserError(f'--size {args.size}: expected a multiple of 8')
    out = Path(args.out)
    fresh = out.with_name(f'.{out.name}.new')  # takes the edition's name when it is complete
    aside = out.with_name(f'.{out.name}.old')  # an edition while it is replaced
    if aside.exists() and not out.exists():  # killed between the two renames below
        aside.rename(out)
    if out.exists() and not args.overwrite:
        raise UserError(f'{out}: exists already; --overwrite replaces it')
    if out.exists() and not (out / 'edition.json').is_file():
        raise UserError(f'{out}: is not an edition of UpsampleBench (no edition.json), so it is not overwritten')
    make_folder(out.parent)
    start = time.time()
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        counts = {'train': args.train, 'val': args.val, 'test': args.test}
        card, tallies = Edition(fresh, counts, args.size, args.seed, args.weights or WEIGHTS).build(
            args.photos, machine.cores()
        )
        from generators.pictures import draw_all  # here, or every process of the build would import what draws

        pictures = draw_all(fresh, card, tallies)
        failed = print_audit(card)
        if failed and sum(card['tiles']['test'].values()) >= ENOUGH:
            raise UserError(f'the shortcut audit failed, so no edition is left: {"; ".join(failed)}')
        shutil.rmtree(aside, ignore_errors=True)
        if out.exists():
            out.rename(aside)
        fresh.rename(out)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if failed:
        print(f'with fewer than {ENOUGH} test images chance may do that; the edition stays')
    print()
    for split, origins in card['tiles'].items():
        parts = ', '.join(f'{count} from {origin}s' for origin, count in origins.items())
        print(f'{split:5s} {sum(origins.values()):5d} real tiles: {parts}')
    if card['photos_left_out']:
        print(f'{len(card["photos_left_out"])} photographs left out (all are in edition.json):')
        print('\n'.join(f'  {sentence}' for sentence in card['photos_left_out'][:10]))
    print(f'{out} written in {time.time() - start:.0f} s; look at {", ".join(pictures)}')


if __name__ == '__main__':
    with friendly_errors('make_benchmark.py'):
        main(get_parser().parse_args())
