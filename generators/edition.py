"""UpsampleBench: an edition is a folder of real tiles and, for each, what generators and controls make of it.

Real tiles are written first; then each part of each generator is made from these files by one of a few processes, so
that memory does not grow with the number of photographs.
"""

import multiprocessing
import os
import shutil
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from generators import controls
from generators.decoders import load_decoder
from generators.jobs import Job, run_job, start_worker, tally_of
from generators.photos import bundled_photos, folder_photos
from generators.reals import SPLITS, by_group, grouped, real_tiles
from generators.tables import HEADLINE, NARROW, TABLES, TRAINING, members, networks
from generators.tally import Tally, compare, rounded
from util.errors import UserError
from util.files import write_json

SHORTCUT_LIMIT = 0.65
ENOUGH = 100  # test images of a generator from which on a failed audit is no chance
CHUNK = 40  # images that one process makes at a time
MEASURED = 80  # real tiles on which the blur of a control is measured, about
ROOT = Path(__file__).resolve().parents[1]
REALS = '.reals'  # folder of real tiles while an edition is built; its files are linked from all others


class Edition:
    """One build: where it goes, and what its jobs have in common.

    Args:
        out: Path of a folder to fill; it does not exist yet.
        counts: {'train': n, 'val': n, 'test': n}, tiles in each split at most.
        size: side of a tile in pixels, a multiple of 8.
        seed: of splits, crops, scenes and the generators' noise.
        weights: folder of the generators' weights.
    """

    def __init__(self, out, counts, size, seed, weights):
        self.out, self.counts, self.size, self.seed, self.weights = out, counts, size, seed, Path(weights)
        self.reals, self.groups, self.left_out = {}, {}, []

    def build(self, photos_folder, workers):
        """Fill the folder; edition.json is written last.

        Args:
            photos_folder: photographs, or None for the bundled ones filled up with rendered scenes.
            workers: processes.
        Returns:
            (card, tallies): what edition.json says, and {generator: (Tally of reals, Tally of fakes)}.
        Raises:
            UserError: missing weights, too few photographs, or files that differ in more than their pixels.
        """
        for design, number in networks():
            load_decoder(design, self.weights, number)  # missing weights stop the build before anything is made
        photos_folder = photos_folder and Path(photos_folder)
        photos = folder_photos(photos_folder) if photos_folder else bundled_photos()
        with ProcessPoolExecutor(workers, mp_context=process_context(), initializer=start_worker) as pool:
            photos = grouped(photos, partial(pool.map, chunksize=8))
            arguments = self.counts, self.size, self.seed, not photos_folder, self.out / REALS
            for split, found, problems in real_tiles(pool, photos, *arguments):
                self.reals[split] = [tile.path for tile in found]
                self.groups[split] = [tile.group for tile in found]
                self.left_out += [sentence.replace(f'{photos_folder}{os.sep}', '') for sentence in problems]
            run(pool, self.training_jobs(), 'training images')
            reals = self.reals['test']
            shared = Tally()
            for part in pool.map(tally_of, [reals[i : i + CHUNK] for i in range(0, len(reals), CHUNK)]):
                shared += part
            tested = [(table, m) for table, m in members() if m.name != 'low_passed']
            found = run(pool, self.test_jobs(tested), 'test images')
            tallies, audits = audit(found, self.groups['test'], shared)
            # The blur of its control is that of the blurriest generator of the headline tables.
            ratio = min(audits[m.name]['energy_ratio'] for table, m in tested if table in HEADLINE)
            some = reals[:: max(1, len(reals) // MEASURED)]
            shown = [np.asarray(Image.open(path)) for path in some]
            sigma = controls.matching_sigma(shown, min(ratio, controls.SHARPEST))
            blurred = [(table, m) for table, m in members() if m.name == 'low_passed']
            more = audit(run(pool, self.test_jobs(blurred, sigma), 'low-passed'), self.groups['test'], shared)
        tallies, audits = tallies | more[0], audits | more[1]
        shutil.rmtree(self.out / REALS)
        card = {
            'name': 'UpsampleBench, second edition',
            'photos': 'a folder' if photos_folder else 'bundled with scikit-image and scikit-learn; rendered scenes',
            'size': self.size,
            'seed': self.seed,
            'tiles': {split: Counter(path.name.partition('_')[0] for path in self.reals[split]) for split in SPLITS},
            'photos_left_out': self.left_out,
            'containers': 'compared file by file: name, format, mode, size, metadata and time are those of the real',
            'near_duplicates': near_duplicates(photos),
            'training_decoder': NARROW[0].design,
            'training': {
                f'train{suffix}': [f'{m.design}, seed {m.seed}' for m in found] for suffix, found in TRAINING.items()
            },
            'tables': {table: [m.name for m in found] for table, found in TABLES.items()},
            'low_pass_sigma': sigma,
            'shortcut_limit': SHORTCUT_LIMIT,
            'audit': {m.name: audits[m.name] for _, m in members()},
        }
        write_json(self.out / 'edition.json', card)
        return card, tallies

    def jobs(self, folder, member, split, reals, sigma=None):
        for label in ('0_real', '1_fake'):
            (folder / label).mkdir(parents=True, exist_ok=True)
        starts = range(0, len(reals), CHUNK)
        return [
            Job(folder, member, split, tuple(reals[i : i + CHUNK]), i, self.seed, self.weights, sigma) for i in starts
        ]

    def training_jobs(self):
        """Narrow: every real tile and its fake. Wide: as many, dealt to the decoders in turn."""
        jobs = []
        for split in ('train', 'val'):
            for suffix, decoders in TRAINING.items():
                for place, member in enumerate(decoders):
                    chosen = self.reals[split][place :: len(decoders)]
                    jobs += self.jobs(self.out / f'{split}{suffix}' / member.name, member, split, chosen)
        return jobs

    def test_jobs(self, tested, sigma=None):
        return [
            job
            for table, member in tested
            for job in self.jobs(self.out / 'test' / table / member.name, member, 'test', self.reals['test'], sigma)
        ]


def process_context():
    """How processes start: by a server that has imported what they need once, so that they share its memory.

    A fork of this process would inherit the threads of work that torch has done here.
    """
    if sys.platform != 'linux':
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['generators.jobs'])
    # The server would look for them in the current folder (Python 3.11 to 3.13 drop the path that they hand over).
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    ours = {'PYTHONPATH': paths, 'PYTHONSAFEPATH': '1', 'OPENBLAS_NUM_THREADS': '1'}
    before = {key: os.environ.get(key) for key in ours}
    os.environ.update(ours)
    try:
        forkserver.ensure_running()
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
    return context


def near_duplicates(photos):
    """Lists of names of photographs that are kept in one split because they are alike."""
    groups = by_group(photos).values()
    return [[photo.name for photo in group] for group in groups if len(group) > 1]


def run(pool, jobs, description):
    """What came of all jobs, added up in their order: {generator's Member: Part, of the first job}.

    Raises:
        UserError: a real file and its fake differ in more than their pixels.
    """
    found = {}
    total = sum(len(job.reals) for job in jobs)
    with tqdm(total=total, desc=description, unit='image', leave=False) as bar:
        for part in pool.map(run_job, jobs):
            bar.update(len(part.job.reals))
            if part.differences:
                raise UserError(f'real and fake differ in their files, so no edition is left: {part.differences[0]}')
            if part.job.member in found:
                found[part.job.member] += part
            else:
                found[part.job.member] = part
    return found


def audit(found, groups, shared):
    """({generator: (Tally of reals, of fakes)}, {generator: facts}) of what `run` returned; shared: Tally of reals."""
    tallies, audits = {}, {}
    for member, part in found.items():
        tallies[member.name] = part.real if part.real.count else shared, part.fake
        audits[member.name] = rounded(compare(*tallies[member.name], groups, part.errors or None, member.period))
    return tallies, audits
