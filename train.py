"""Train a detector: python train.py --name RUN --dataroot DIR [--model_type single_scale] ...

Writes below --checkpoints_dir/--name: opt.json (options and machine), train_log.jsonl (one line per epoch),
model_epoch_last.pth, model_epoch_best.pth (highest validation AP) and tensorboard events.
"""

import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from analysis.metrics import binary_metrics
from data.datasets import TrainBatches, make_loader
from data.images import BadImages
from data.listing import fingerprint, list_split
from data.loop import over_images
from data.packed import pack
from data.pairs import PairBatches
from data.transforms import Augmentation, ScoreTransform, TrainTransform, normalise
from networks import (
    CheckpointError,
    count_parameters,
    create_detector,
    load_checkpoint,
    save_checkpoint,
)
from networks.compiling import compiled
from networks.scoring import score_batch
from networks.trainer import NonFiniteLoss, Trainer, attention_entropy, learning_rate
from options.base_options import pixel_sizes
from options.train_options import get_config, get_parser
from util import machine
from util.errors import UserError, friendly_errors
from util.interrupt import StopRequest
from util.runs import RunLog, open_run
from util.seeds import get_rng, seed_everything, set_rng


def get_transforms(opt):
    load_size, crop_size = pixel_sizes(opt)
    augmentation = Augmentation(**{field: getattr(opt, field) for field in Augmentation.__dataclass_fields__})
    train = TrainTransform(load_size, crop_size, not opt.no_flip, augmentation)
    return train, ScoreTransform(load_size, crop_size)


def validate(detector, score, pass_over_images, samples):
    """Loss, accuracies, AP and mean attention of the detector on validation images; a flat dict."""
    detector.eval()
    indices, logits, weights = pass_over_images(score, samples)
    labels = samples.labels[indices]
    metrics = binary_metrics(labels, logits)
    if metrics['ap'] is None:
        raise UserError('validation needs readable images of both classes')
    line = {'val/loss': float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits))))}
    line |= {f'val/{key}': metrics[key] for key in ('accuracy', 'ap', 'real_accuracy', 'fake_accuracy')}
    if weights is not None:
        for scale, column in zip(detector.npr_scales, weights.T, strict=True):
            line[f'attention/{scale:g}'] = float(column.mean())
        line['attention/entropy'] = float(attention_entropy(torch.from_numpy(weights)).mean())
    return line


class Run:
    """A training run: what is kept between epochs, how it is saved and restored."""

    def __init__(self, opt, config, trainer, folder, processes):
        self.opt, self.config, self.trainer, self.folder, self.processes = opt, config, trainer, folder, processes
        self.epoch, self.batch, self.losses, self.history, self.best_ap = 0, 0, [], [], -1.0

    def restore(self):
        """Load model_epoch_last.pth, if the run got that far."""
        path = self.folder / 'model_epoch_last.pth'
        if not path.is_file():
            return
        state = load_checkpoint(path)
        self.trainer.detector.load_state_dict(state['model'])
        self.trainer.optimizer.load_state_dict(state['trainer']['optimizer'])
        set_rng(state['trainer']['rng'][self.processes.rank])
        self.epoch, self.batch = state['epoch'], state['batch']
        self.history, self.best_ap = state['history'], state['best_ap']
        losses = state['trainer'].get('losses')  # absent where an earlier version trained
        self.losses = losses[self.processes.rank] if losses else []

    def save(self, name='model_epoch_last.pth'):
        """Write a checkpoint from which the run goes on exactly as if it had not been interrupted."""
        trainer = {'optimizer': self.trainer.optimizer.state_dict()}
        trainer |= {'rng': self.processes.gather(get_rng()), 'losses': self.processes.gather(self.losses)}
        if self.processes.first:
            save_checkpoint(
                self.folder / name,
                self.config,
                self.trainer.detector.state_dict(),
                trainer=trainer,
                epoch=self.epoch,
                batch=self.batch,
                history=self.history,
                best_ap=self.best_ap,
                pixels=dict(zip(('load_size', 'crop_size'), pixel_sizes(self.opt), strict=True)),
            )

    def train_epoch(self, loader, batches, bad_images, log, stop):
        """Train until the end of the epoch, or until a stop is requested between steps; returns whether it was."""
        batches.position(self.epoch, self.batch)
        total = len(batches) + self.batch
        bar = tqdm(
            loader,
            total=total,
            initial=self.batch,
            desc=f'epoch {self.epoch + 1}/{self.opt.niter}',
            unit='step',
            disable=not self.processes.first,
            leave=False,
        )
        for batch in bar:
            # All processes stop before the same step, and leave the same steps out: the others would wait for ever.
            shares = self.processes.gather((stop.requested, batch.images is None, batch.failures, batch.misfits))
            for _, _, failures, misfits in shares:
                if misfits and bad_images.policy == 'stop':  # no offer to skip: each batch would lack a part
                    raise UserError(misfits[0])
                bad_images.handle(failures)
            if any(requested for requested, *_ in shares):
                return True
            if not any(empty for _, empty, *_ in shares):
                self.trainer.set_rate(self.rate(self.epoch + self.batch / total))
                images = batch.images.to(self.trainer.device, non_blocking=True)  # as bytes: a quarter of the floats
                self.losses.append(self.trainer.step(normalise(images), batch.labels))
                bar.set_postfix(loss=f'{self.losses[-1]:.4f}', refresh=False)
                if log and self.batch % self.opt.loss_freq == 0:
                    log.loss(self.losses[-1], self.epoch * total + self.batch)
            self.batch += 1
        if not self.losses:
            raise UserError('not one training image could be read')
        return False

    def rate(self, epoch):
        """Learning rate after so many epochs, which may be a fraction."""
        return learning_rate(self.opt.lr, epoch, self.opt.delr_freq, self.opt.niter if self.opt.cosine else None)

    def finish_epoch(self, line):
        """Append the epoch's line to the history, keep the best and the last checkpoint."""
        self.history.append(line)
        self.epoch, self.batch, self.losses = self.epoch + 1, 0, []
        if line['val/ap'] > self.best_ap:
            self.best_ap = line['val/ap']
            self.save('model_epoch_best.pth')
        self.save()


def main(opt):
    device, precision, processes = machine.start(opt.gpu_ids, opt.precision)
    config = get_config(opt)
    train_transform, val_transform = get_transforms(opt)
    train_samples, val_samples = (
        list_split(Path(opt.dataroot) / split, opt.classes, opt.pairs) for split in (opt.train_split, opt.val_split)
    )
    if opt.batch_size < processes.world:
        raise UserError(f'--batch_size {opt.batch_size} is less than the {processes.world} processes that share it')

    seed_everything(opt.seed)  # all processes start from the same weights
    detector = create_detector(config)
    seed_everything(opt.seed + processes.rank)  # but drop different features
    trainer = Trainer(
        detector,
        device,
        optim=opt.optim,
        lr=opt.lr,
        beta1=opt.beta1,
        weight_decay=opt.weight_decay,
        precision=precision,
        aux_loss_weight=opt.aux_loss_weight,
        entropy_weight=opt.entropy_weight,
        patch_loss=opt.patch_loss,
        label_smoothing=opt.label_smoothing,
        distributed=processes.world > 1,
        accumulate=opt.accumulate,
        wrap=partial(compiled, device=device, say=processes.say) if opt.compile else None,
    )

    folder = Path(opt.checkpoints_dir) / opt.name
    options = {**vars(opt), 'npr_scales': config['npr_scales']}
    options['cosine'] = opt.cosine and opt.niter  # with it, more epochs are another training
    identity = {'options': options, 'precision': precision, 'processes': processes.world}
    identity['images'] = fingerprint(opt.dataroot, train_samples + val_samples)
    if processes.first:
        open_run(folder, identity, opt.continue_train, opt.overwrite)
    processes.gather(None)  # the others wait until the folder is there
    run = Run(opt, config, trainer, folder, processes)
    if opt.continue_train:
        run.restore()
    log = None
    if processes.first:
        facts = {'detector': config, 'parameters': count_parameters(detector), 'machine': machine.describe()}
        # A run that is finished keeps saying which commit and machine made it.
        log = RunLog(folder, {**identity, **facts} if run.epoch < opt.niter else None, run.history)
        print(f'{opt.model_type} {config["npr_scales"]}: {count_parameters(detector):,} parameters')
        print(f'{len(train_samples)} training and {len(val_samples)} validation images; run folder {folder}')
        if opt.continue_train:
            print(f'continuing at epoch {run.epoch + 1}, step {run.batch + 1}')

    packed = partial(pack, load_size=train_transform.load_size, threads=max(1, opt.num_threads))
    cache = None if opt.no_cache else opt.cache_dir or Path(opt.checkpoints_dir) / '.cache'
    train_pixels, val_pixels = (cache and packed(samples, folder=cache) for samples in (train_samples, val_samples))
    bad_images = BadImages(opt.on_bad_image)
    if opt.pairs:
        batches = PairBatches(train_samples, opt.batch_size, opt.seed, processes.rank, processes.world)
    else:
        batches = TrainBatches(
            train_samples.labels, opt.batch_size, opt.seed, opt.class_bal, processes.rank, processes.world
        )
    loader = make_loader(train_samples, train_transform, batches, opt.num_threads, device, train_pixels)
    score = partial(score_batch, detector, device=device, precision=precision)
    pass_over_images = partial(
        over_images,
        transform=val_transform,
        batch_size=opt.batch_size,
        workers=opt.num_threads,
        device=device,
        bad_images=bad_images,
        processes=processes,
        packed=val_pixels,
        description='validation',
    )
    with StopRequest() as stop:
        while run.epoch < opt.niter:
            start = time.time()
            if run.train_epoch(loader, batches, bad_images, log, stop):
                run.save()
                if processes.first:
                    print(f'stopped at epoch {run.epoch + 1}, step {run.batch}; go on with --continue_train')
                raise SystemExit(128 + (max(processes.gather(stop.requested)) or signal.SIGTERM))
            run.save()  # an interruption during validation costs the validation only
            line = {'epoch': run.epoch + 1, 'lr': run.rate(run.epoch)}
            line['train/loss'] = float(np.mean(processes.gather(run.losses)))
            trainer.share_buffers()
            line |= validate(detector, score, pass_over_images, val_samples)
            line['seconds'] = round(time.time() - start, 1)
            run.finish_epoch(line)
            if log:
                log.epoch(run.history)
    if log:
        log.close()
        if bad_images.summary():
            print(bad_images.summary())
        print(f'done: {folder}/model_epoch_last.pth, model_epoch_best.pth (validation AP {run.best_ap:.4f})')
    processes.close()


if __name__ == '__main__':
    with friendly_errors('train.py', CheckpointError, NonFiniteLoss):
        main(get_parser().parse_args())
