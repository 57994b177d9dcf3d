"""Where a detector errs with most confidence: python show_failures.py --results FOLDER [--worst 6]

FOLDER is what test.py wrote. For each generator the errors furthest from the threshold become an HTML page
(index.html, images inside it), those of all generators together a sheet (failures.png): image, residuals at the
detector's scales, score, weights.
"""

import base64
import html
import io
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from analysis.figures import image_panels, residual_energy
from analysis.runs import score_file
from analysis.scores import ATTENTION, read_scores
from analysis.summary import is_control, right_verdict
from data.images import BadImage
from data.seen import SeenImages
from options.base_options import StrictParser, positive
from util.errors import UserError, friendly_errors
from util.files import make_folder, write_text

ON_SHEET = 6  # of failures.png, the most confident errors of all generators
BRIGHTEST = 32.0  # grey levels shown as the lightest colour, the same in all maps of the page
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; color: #222; }}
figure {{ margin: 0 0 1.2em; }} figcaption {{ margin: .3em 0; }} code {{ color: #555; }}
img {{ image-rendering: pixelated; height: 180px; margin-right: 4px; }}
</style>
<h1>{title}</h1>
<p>{introduction}</p>
{sections}
</html>
"""


def get_parser():
    parser = StrictParser(prog='show_failures.py', description=__doc__.split('\n\n')[1])
    parser.add_argument('--results', required=True, metavar='FOLDER', help='written by test.py')
    parser.add_argument('--worst', type=positive, default=6, help='errors shown of each generator, at most')
    parser.add_argument('--dataroot', metavar='DIR', help='where the images are now; default: where test.py read them')
    parser.add_argument('--out', metavar='FOLDER', help='default: failures/ in the results folder')
    return parser


def worst_errors(frame, count):
    """Rows of a score file on the wrong side of 0.5: for each generator the `count` most confident ones."""
    wrong = frame[~right_verdict(frame)]
    order = wrong['logit'].abs().sort_values(ascending=False, kind='stable').index
    return wrong.loc[order].groupby(['table', 'generator'], sort=False).head(count)


def picture(pixels):
    """(H, W, 3) uint8 -> an <img> with the pixels inside."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}" alt="">'


def describe(entry):
    kind = 'control' if is_control(entry['table']) else ('real', 'fake')[entry['label']]
    truth = f'{kind}, called {"fake" if entry["logit"] > 0 else "real"}'
    weights = ', '.join(
        f'{name.removeprefix(ATTENTION)}: {value:.2f}' for name, value in entry.items() if name.startswith(ATTENTION)
    )
    return f'{truth}, score {entry["score"]:.4f}' + (f', weights {weights}' if weights else '')


def section(name, rows, images, scales, counts):
    figures = []
    for entry, image in zip(rows, images, strict=True):
        maps = [residual_energy(image, scale).clip(0, BRIGHTEST) / BRIGHTEST for scale in scales]
        coloured = [(colormaps['cividis'](array)[..., :3] * 255).round().astype(np.uint8) for array in maps]
        pictures = ''.join(picture(pixels) for pixels in [np.asarray(image), *coloured])
        caption = f'{html.escape(describe(entry))}<br><code>{html.escape(entry["path"])}</code>'
        figures.append(f'<figure>{pictures}<figcaption>{caption}</figcaption></figure>')
    missed, alarms = counts
    return f'<h2>{html.escape(name)}</h2><p>{alarms} wrongly called fake, {missed} wrongly called real.</p>' + (
        '\n'.join(figures)
    )


def main(opt):
    results = Path(opt.results)
    frame = read_scores(score_file(results) or results / 'scores.csv')
    seen = SeenImages(results, opt.dataroot)
    facts, scales = seen.facts, seen.scales
    worst = worst_errors(frame, opt.worst)
    out = make_folder(opt.out or results / 'failures')
    for name in ('index.html', 'failures.png'):
        (out / name).unlink(missing_ok=True)  # of earlier scores
    if worst.empty:
        print(f'{results}: no image is on the wrong side of 0.5; nothing to show')
        return
    images, missing = {}, 0
    for index, table, path in zip(worst.index, worst['table'], worst['path'], strict=True):
        try:
            images[index] = seen(table, path)
        except BadImage:
            missing += 1
    if not images:
        raise UserError(
            f'{seen.dataroot}: none of the {len(worst)} images is there any more; {results} names this folder'
        )
    worst = worst.loc[list(images)]
    sections = []
    for (table, generator), rows in worst.groupby(['table', 'generator'], sort=False):
        wrong = frame[(frame['table'] == table) & (frame['generator'] == generator) & ~right_verdict(frame)]
        counts = [int((wrong['logit'] <= 0).sum()), int((wrong['logit'] > 0).sum())]
        shown = [images[index] for index in rows.index]
        sections.append(section(f'{table} / {generator}', rows.to_dict('records'), shown, scales, counts))
    title = f'Most confident errors of {facts["detector"]["model_type"]}'
    introduction = (
        f'{html.escape(facts["model_path"])}; pixels as the detector saw them, then the mean absolute residual at '
        f'{", ".join(f"{scale:g}" for scale in scales)} (lightest: {BRIGHTEST:g} grey levels of 255 or more).'
    )
    write_text(out / 'index.html', PAGE.format(title=title, introduction=introduction, sections='\n'.join(sections)))
    names = worst['path'].str.rpartition('/')[2]
    sheet = worst[~worst.assign(name=names).duplicated(['label', 'logit', 'name'])]  # generators may share reals
    sheet = sheet.loc[sheet['logit'].abs().sort_values(ascending=False, kind='stable').index[:ON_SHEET]]
    image_panels([images[index] for index in sheet.index], sheet, scales, out / 'failures.png', across=True)
    if missing:
        print(f'{missing} images are no longer at {seen.dataroot} and are left out')
    print(f'{len(worst)} errors of {len(sections)} generators; written to {out}: index.html, failures.png')


if __name__ == '__main__':
    with friendly_errors('show_failures.py'):
        main(get_parser().parse_args())
