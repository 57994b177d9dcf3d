"""What the experiment was: data, training, scoring, where the numbers come from."""

from analysis.summary import counted, is_control
from analysis.words import count, listed, shown
from data.published import other_pixels
from pipeline.plan import BASELINE, PROPOSED

AUGMENTATIONS = {'blur_prob': 'blur', 'jpg_prob': 'JPEG', 'resize_prob': 'resizing', 'noise_prob': 'noise'}
AIDS = ('normalize_features', 'zero_init_attention', 'scale_dropout', 'aux_loss_weight', 'entropy_weight')


def level(evidence):
    return f'{100 * (1 - evidence.comparison["alpha"]):g}%'


def detectors(evidence):
    """'7 designs of detectors, 5 seeds each'"""
    seeds = sorted(set(evidence.seeds.values()))
    many = count(seeds[0], 'seed') if len(seeds) == 1 else f'{seeds[0]} to {seeds[-1]} seeds'
    return f'{count(len(evidence.names), "design")} of detectors, {many} each'


def first_run(evidence):
    """opt.json of some run of the proposal, or None."""
    return next(iter(evidence.training.get(PROPOSED.name) or ()), None)


def networks(evidence):
    """Sentences about the network of the baseline and about the multi-scale detector's."""
    detector = (first_run(evidence) or {}).get('detector', {})
    trunk, features = 'a stem and four BasicBlocks', 128
    baseline = 'a stem and seven Bottleneck blocks, a linear classifier: the published architecture'
    if detector.get('fine'):
        trunk, features = 'a stem and two BasicBlocks, 32 and 64 channels, full resolution in the stem', 64
        baseline = f'{trunk}; a linear classifier: a small variant of the published architecture'
    branches = f'a branch for each scale ({trunk}) gives {features} features'
    if detector.get('fusion') == 'evidence':
        fusion = (
            'each branch has a linear classifier and is trained alone. Afterwards their logits are moved and stretched '
            'until the real images of training have the same mean and deviation in all. The weights are the softmax of '
            'these logits: one scale which finds an image fake is enough.'
        )
    else:
        fusion = (
            'a perceptron with 32 hidden units sees all of them and gives one weight for each scale by a softmax; the '
            'weighted sum of the features is classified linearly.'
        )
    return {
        'baseline_network': f'One residual at 0.5, {baseline}.',
        'multiscale_network': f'{branches}; {fusion}',
    }


def threshold(evidence, facts=None):
    """The threshold of the accuracies of the comparison, or of other facts."""
    frozen = (facts or evidence.comparison).get('frozen_threshold')
    return 'the threshold that was frozen on validation images for each seed' if frozen else 'a score of 0.5'


def training_decoders(evidence):
    """Designs of UpsampleBench that made the fakes of training; the first edition names one, others none."""
    if not evidence.edition:
        return []
    if 'training' not in evidence.edition:
        return [evidence.edition['training_decoder']]
    split = (first_run(evidence) or {}).get('options', {}).get('train_split', 'train')
    return [name.partition(',')[0] for name in evidence.edition['training'][split]]


def over(evidence, number):
    """'4 unseen generators'; some tables hold the generator of their training set too, or its design."""
    names = {entry['generator'] for entry in evidence.generators(BASELINE.name) if counted(entry)}
    if 'progan' in names:
        return f'{count(number, "generator")} (with ProGAN, seen in training)'
    if 'training' in (evidence.edition or {}) and (alike := names & set(training_decoders(evidence))):
        return f'{count(number, "generator")} ({len(alike)} of designs seen in training, with other weights)'
    return count(number, 'unseen generator')


def data(evidence):
    """Sentences about training and test images."""
    fakes = sum(entry['fake_images'] for entry in evidence.generators(BASELINE.name))
    found = []
    if edition := evidence.edition:
        tiles = {split: sum(kinds.values()) for split, kinds in edition['tiles'].items()}
        photos = {split: kinds.get('photo', 0) for split, kinds in edition['tiles'].items()}
        decoders = list(map(shown, training_decoders(evidence)))
        redone = 'each redone by every decoder'
        if 'training' not in edition:  # the first edition, which tested the very network of its training set
            seen = f'Training sees one of them, {decoders[0]}.'
        elif len(decoders) == 1:
            seen = f'Training sees {decoders[0]} only, with other weights than the tests.'
        else:
            redone = 'those for testing redone by every decoder'
            seen = f'Those for training are dealt to {listed(decoders)}, with other weights than the tests.'
        found.append(
            f'{edition["name"]}: {tiles["train"]} real tiles of {edition["size"]} px for training and {tiles["test"]} '
            f'for testing ({photos["train"]} and {photos["test"]} of them from photographs, the others rendered), '
            f'{redone}. {seen}'
        )
        made = [name for table, names in edition['tables'].items() if not is_control(table) for name in names]
        worst = max(edition['audit'][name]['shortcut_auc'] for name in made)
        found.append(
            f'A logistic regression on global facts of the images (energies, means, file size) tells fakes from reals '
            f'with an AUC of at most {worst:.2f} for any decoder; 0.5 is chance.'
        )
    elif run := first_run(evidence):
        classes = run['options']['classes']
        found.append('Training images: ' + (f'the classes {listed(classes)}.' if classes else 'all classes.'))
    found.append(
        f'Tested on {count(fakes, "fake")} of {count(len(evidence.generators(BASELINE.name)), "generator")} and reals; '
        f'means are over {over(evidence, evidence.summary(BASELINE.name)["mean_over"])} with both classes.'
    )
    return found


def training(evidence):
    run = first_run(evidence)
    if not run:
        return 'The options of the trainings are not among these results.'
    options = run['options']
    size = 'native pixels' if options['no_resize'] else f'images resized to {options["loadSize"]} px'
    cut = f', cut after every {count(options["delr_freq"], "epoch")}' if options['delr_freq'] else ''
    if options.get('cosine'):
        cut = ' that falls to zero along a cosine'
    augmented = [] if options['no_flip'] else ['flips']
    augmented += [f'{word} (probability {options[key]:g})' for key, word in AUGMENTATIONS.items() if options[key]]
    aids = [f'{shown(key)} {options[key]:g}' for key in AIDS if options[key]]
    pairs = ' (pairs of a fake and its own photograph)' if options.get('pairs') else ''
    smoothed = f', labels smoothed by {options["label_smoothing"]:g}' if options.get('label_smoothing') else ''
    return (
        f'{count(options["niter"], "epoch")} with batches of {options["batch_size"]}{pairs}, '
        f'{options["optim"].capitalize()} with learning rate {options["lr"]:g}{cut}{smoothed}; random crops of '
        f'{options["cropSize"]} px from {size}{", " + listed(augmented) if augmented else ""}; '
        f'{run["precision"]} arithmetic.'
        f'{" The multi-scale detector with " + listed(aids) + "." if aids else ""}'
    )


def scoring(evidence):
    test = next(iter(evidence.tests.get(PROPOSED.name) or ()), None)
    if not test:
        return 'How images were scored is not among these results.'
    sizes = list(test['pixels'].get('by_table', {'': test['pixels']}).values())
    seen = listed(list(dict.fromkeys(map(pixels_in_words, sizes))))
    best = test['model_path'].endswith('best.pth')
    kept = 'the epoch with the best validation AP' if best else 'the last epoch'
    return f'Scored on {seen}; the checkpoint tested is {kept}.'


def pixels_in_words(sizes):
    load, crop = sizes['load_size'], sizes['crop_size']
    size = 'native pixels' if load is None else f'images resized to {load} px'
    return f'{size}, whole images' if crop is None else f'{size}, centre crops of {crop} px'


def published(evidence):
    """How our pixels differ from those of the numbers that the NPR paper prints, or none."""
    test = next(iter(evidence.tests.get(PROPOSED.name) or ()), None)
    if not test or not any(names for _, names in evidence.public):
        return []
    by_table = test['pixels'].get('by_table', {})
    tables = [table.name for table, names in evidence.public if names]
    sizes = {name: by_table.get(name, test['pixels']) for name in tables}
    found = other_pixels({name: (size['load_size'], size['crop_size']) for name, size in sizes.items()})
    return [f'Published numbers are not of the same pixels. {"; ".join(found)}.'] if found else []


def seeds(evidence):
    folders = {name for each in evidence.comparison['folders'].values() for name in each}
    numbers = sorted((name.removeprefix('seed_') for name in folders), key=lambda number: (len(number), number))
    return f'Seed{"" if len(numbers) == 1 else "s"} {listed(numbers)}.'


def provenance(evidence):
    """Where the numbers come from: commits, machine, versions, seeds."""
    machines = [run['machine'] for runs in (*evidence.training.values(), *evidence.tests.values()) for run in runs]
    found = [seeds(evidence)]
    if machines:
        commits = sorted({machine['commit'] or 'unknown' for machine in machines})
        found.append(f'Commit of trainings and tests: {listed(commits)}.')
        kinds = {
            f'{m["gpu"] or "CPU"}, {m["cores"]} cores, PyTorch {m["torch"]}, Python {m["python"]}' for m in machines
        }
        found.append(f'Machine: {"; ".join(sorted(kinds))}.')
    if evidence.commands:
        found.append(f'Command: {"; ".join(evidence.commands)}')
    return found
