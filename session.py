"""What the scoring scripts share: a checkpoint made ready on the device that the flags chose."""

import hashlib
from contextlib import nullcontext
from functools import partial

from analysis.scores import stream_scores
from data.images import BadImages
from data.journal import Journal
from data.loop import over_images
from data.tables import paper_pixels
from data.transforms import ScoreTransform, wanted_pixels
from networks import load_checkpoint, load_detector, weights_fingerprint
from networks.compiling import compiled
from networks.scoring import prepare, score_batch
from options.base_options import pixel_sizes
from util.errors import UserError
from util.files import only_writer, read_json, write_json


class Scorer:
    """A detector that is ready to score.

    Args:
        opt: parsed flags of a script that has add_detector, add_pixels, add_machine and --batch_size.
        model_path: checkpoint; place: (device, precision, processes) from util.machine.start.
        npr_scales: scales that the user named, which must agree with the checkpoint.
    Attributes:
        config, weights: of the checkpoint, and the fingerprint of its weights; scales: of its residuals.
        bad_images: those met so far.
    """

    def __init__(self, opt, model_path, place, npr_scales=None):
        self.device, self.precision, self.processes = place
        detector, self.config = load_detector(model_path, opt.model_type, npr_scales)
        self.weights, self.scales = weights_fingerprint(detector.state_dict()), detector.npr_scales
        self.has_attention = detector.has_attention
        if self.processes.first:
            print('\n'.join(pixel_warnings(self.config, opt)), end='')
        self.bad_images = BadImages(opt.on_bad_image)
        self.batch_size, self.compile = opt.batch_size, opt.compile
        network = prepare(detector, self.device)
        if opt.compile:
            network.forward = compiled(network.forward, self.device, self.processes.say)
        self.run = partial(
            over_images,
            partial(score_batch, network, device=self.device, precision=self.precision),
            batch_size=opt.batch_size,
            workers=opt.num_threads,
            device=self.device,
            bad_images=self.bad_images,
            processes=self.processes,
        )

    def scores(self, samples, transform):
        """(indices, logits, weights) of the samples; see data.loop.over_images."""
        return self.run(samples, transform, description='scoring')

    def to_file(self, samples, rows, pixels, folder, description='scoring', again=True):
        """Write folder/scores.csv, going on where an interrupted run of the same work stopped.

        Args:
            samples: each with its own transform; rows: what `score_frame` wants of each.
            pixels: text that tells one choice of transforms from another.
            again: score even if the folder holds the scores of this very work; otherwise leave scored.json there, which
                tells that it does.
        Raises:
            UserError: no image could be read, some were lost, or another run is writing there.
        """
        identity = {
            'weights': self.weights,
            'images': fingerprint(samples, rows),
            'pixels': pixels,
            'batch_size': self.batch_size,
            'precision': self.precision,
            **({'compiled': True} if self.compile else {}),
        }
        done = folder / 'scored.json'
        if not again and done.is_file() and (folder / 'scores.csv').is_file():
            earlier = read_json(done)
            if earlier['identity'] == identity:
                self.bad_images.handle(earlier['bad_images'])
                return
        with only_writer(folder) if self.processes.first else nullcontext():
            journal = Journal(folder, identity, self.processes)
            if self.processes.first and journal.finished:
                count = sum(journal.finished.values())
                print(f'{count} images were scored by an interrupted run; going on with the others')
            indices, logits, weights = self.run(samples, None, description=description, journal=journal)
            if self.processes.first:
                if not len(indices):
                    raise UserError('not one image could be read')
                done.unlink(missing_ok=True)
                stream_scores(rows, indices, logits, weights, self.scales, folder / 'scores.csv')
                if not again:
                    write_json(done, {'identity': identity, 'bad_images': list(self.bad_images.messages)})
                journal.remove()


def transforms(opt, config, tables):
    """{table: ScoreTransform}: what the flags ask for, else what the detector wants."""
    wanted = wanted_pixels(config)
    return {table: ScoreTransform(*pixel_sizes(opt, wanted, paper_pixels(table))) for table in tables}


def describe_pixels(pixels):
    """A line for each choice in {table: ScoreTransform}."""
    tables = {}
    for table, transform in pixels.items():
        tables.setdefault(transform.describe(), []).append(table)
    return [f'pixels: {words}' + (f' ({", ".join(of)})' if len(tables) > 1 else '') for words, of in tables.items()]


def check_alike(opt, model_paths):
    """Several detectors must be scored on the same pixels.

    Raises:
        UserError: they want different ones, and no flag chooses.
    """
    sizes = {path: pixel_sizes(opt, wanted_pixels(load_checkpoint(path))) for path in model_paths}
    if len(set(sizes.values())) > 1:
        (one, first), (other, second) = list({size: path for path, size in sizes.items()}.items())[:2]
        raise UserError(
            f'{first} wants {ScoreTransform(*one).describe()}, {second} wants {ScoreTransform(*other).describe()}; '
            'choose for both, as with --mode native or --no_resize --cropSize 224'
        )


def pixel_warnings(config, opt):
    """Lines that warn if a detector is to score other pixels than it was trained on, or than its threshold knows."""
    trained, scored = config.get('pixels'), pixel_sizes(opt, wanted_pixels(config))
    frozen_on = (config.get('calibration') or {}).get('pixels')
    mode, words = 'resized' if scored[0] else 'native', ScoreTransform(*scored).describe()
    if trained and mode != (was := 'resized' if trained['load_size'] else 'native'):
        given = [f'--{name}' for name in ('mode', 'loadSize', 'no_resize') if getattr(opt, name)]
        why = f'leave out {" and ".join(given)}' if given else 'its threshold was frozen on such'
        return [f'warning: trained on {was} pixels, scores {mode} ones; {why}\n']
    if frozen_on and words != (was := ScoreTransform(**frozen_on).describe()):
        return [f'warning: the threshold was frozen on other pixels ({was}) than are scored ({words})\n']
    return []


def fingerprint(samples, rows):
    """Hash of what is scored: names, labels, and each file's length and time of change."""
    digest = hashlib.sha256()
    for sample, row in zip(samples, rows, strict=True):
        try:
            facts = sample.path.stat()
            facts = (facts.st_size, facts.st_mtime_ns)
        except OSError:  # the loader names the file
            facts = None
        digest.update(repr((row, facts)).encode())
    return digest.hexdigest()
