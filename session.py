"""What the scoring scripts share: a checkpoint made ready on the device that the flags chose."""

import hashlib
from functools import partial

from analysis.scores import stream_scores
from data.images import BadImages
from data.journal import Journal
from data.loop import over_images
from networks import load_checkpoint, load_detector, weights_fingerprint
from networks.compiling import compiled
from networks.scoring import prepare, score_batch
from options.base_options import pixel_sizes
from util.errors import UserError
from util.files import read_json, write_json


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
            print('\n'.join(other_than_trained(self.config, opt)), end='')
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
            UserError: no image could be read, or some were lost.
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


def trained_pixels(model_paths):
    """'pixels' of the config of detectors that are scored alike.

    Raises:
        UserError: some were trained on native pixels and some were not.
    """
    trained = [load_checkpoint(path).get('pixels') for path in model_paths]
    if len({bool(pixels) and not pixels['load_size'] for pixels in trained}) > 1:
        raise UserError('--model_path: some were trained on native pixels, some were not; score them apart')
    return trained[0]


def other_than_trained(config, opt):
    """A line of warning if a detector that was trained on native pixels is to score resized ones, or the reverse."""
    trained = config.get('pixels')
    mode = 'resized' if pixel_sizes(opt, trained)[0] else 'native'
    if not trained or mode == ('resized' if trained['load_size'] else 'native'):
        return []
    cure = '--loadSize and --mode paper' if mode == 'resized' else '--no_resize and --mode native'
    was = 'native' if mode == 'resized' else 'resized'
    return [f'warning: trained on {was} pixels, scores {mode} ones; leave out {cure}\n']


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
