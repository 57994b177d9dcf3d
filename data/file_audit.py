"""Do files give their class away? Formats, sizes and JPEG qualities of real and fake, and what a classifier sees.

In the public sets reals are often JPEG and fakes PNG, and their sizes differ. A detector can be right for that reason
alone, so a result should stand beside this audit.
"""

from collections import Counter

import numpy as np
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from tqdm import tqdm

from data.images import BadImage, load_rgb
from data.pixel_facts import FACTS, global_facts

FILE_FACTS = ('width', 'height', 'bytes per pixel', 'JPEG', 'PNG', 'WebP', 'JPEG quality', 'has EXIF')
LEAST = 10  # images of a class below which a classifier tells nothing
STANDARD_LUMA = 3688  # sum of the 64 entries of the luma table of quality 50 (ITU-T T.81, table K.1)


def jpeg_quality(image):
    """Quality of a JPEG whose luma table is scaled from the standard's; 0 for other formats.

    Right to +-1 from 25 to 100; below, where entries are clipped, the result is too high. Tables of other makers get
    the quality whose table has the same sum. Source of the scaling: IJG libjpeg.
    """
    tables = getattr(image, 'quantization', None)
    if not tables:
        return 0
    percent = 100 * sum(tables[min(tables)]) / STANDARD_LUMA
    return round(100 - percent / 2) if percent <= 100 else max(1, round(5000 / percent))


def file_facts(path):
    """(8,) float in the order of FILE_FACTS, from the header and the file's length.

    Raises:
        BadImage: not readable.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            exif = 'exif' in image.info
            formats = [float(image.format == name) for name in ('JPEG', 'PNG', 'WEBP')]
            quality = jpeg_quality(image)
    except Exception as error:
        raise BadImage(f'{path}: cannot be opened ({error})') from error
    return np.array([width, height, path.stat().st_size / (width * height), *formats, quality, exif], float)


def differing_containers(real, fake):
    """Sentences about what differs between two files apart from their pixels and length: [] if nothing does."""
    found = []
    with Image.open(real) as one, Image.open(fake) as other:
        kinds = {
            'name': (real.name, fake.name),
            'format': (one.format, other.format),
            'mode': (one.mode, other.mode),
            'size': (one.size, other.size),
            'metadata': (one.info, other.info),
            'time of change': (real.stat().st_mtime_ns, fake.stat().st_mtime_ns),
        }
    for kind, (a, b) in kinds.items():
        if a != b:
            found.append(f'{fake}: {kind} {b}, that of {real}: {a}')
    return found


def separability(labels, facts, names=None, seed=0):
    """Cross-validated AUC of a random forest that sees the facts only, or None with too few images of a class.

    Args:
        labels: (n,) 0 or 1; facts: (n, k).
        names: (n,) file names; a real image and its fake often share theirs, and must not be in different folds, where
            each would point at the other's class.
    Returns:
        float in [0.5, 1] (an AUC below 0.5 is luck, and counted as 0.5).
    """
    labels = np.asarray(labels)
    if min(np.bincount(labels, minlength=2)) < LEAST:
        return None
    forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=seed)
    groups = np.arange(len(labels)) if names is None else np.unique(names, return_inverse=True)[1]
    if (folds := min(5, len(set(groups)))) < 2:
        return None
    folds = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(forest, facts, labels, groups=groups, cv=folds, method='predict_proba')[:, 1]
    return max(0.5, float(roc_auc_score(labels, scores)))


def audit_generator(samples, most, seed=0):
    """Facts of one generator's files.

    Args:
        samples: list of data.samples.Sample; most: images looked at of each class, evenly spread over the list.
    Returns:
        dict: 'real' and 'fake' ({'images'} of all, {'looked_at', 'formats', 'sizes', 'different_sizes', 'jpeg_quality'}
        of those looked at), 'unreadable',
        'file_auc' (files alone), 'pixel_auc' (brightness, contrast, fine detail, colour alone), None where undefined.
    """
    chosen = []
    for label in (0, 1):
        found = [sample for sample in samples if sample.label == label]
        places = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int) if found else []
        chosen += [found[i] for i in places]
    names, labels, files, pixels, unreadable = [], [], [], [], 0
    for sample in tqdm(chosen, desc='audit', unit='image', leave=False):
        try:
            facts, image = file_facts(sample.path), load_rgb(sample.path)
        except BadImage:
            unreadable += 1
            continue
        names.append(f'{class_folder(sample.path)}/{sample.path.stem}')
        labels.append(sample.label)
        files.append(facts)
        pixels.append(global_facts(np.asarray(image)))
    labels, files = np.array(labels, int), np.array(files).reshape(-1, len(FILE_FACTS))
    result = {'unreadable': unreadable}
    for label, name in ((0, 'real'), (1, 'fake')):
        result[name] = _describe(files[labels == label]) | {'images': sum(s.label == label for s in samples)}
    result['file_auc'] = separability(labels, files, names, seed)
    result['pixel_auc'] = separability(labels, np.array(pixels).reshape(-1, len(FACTS)), names, seed)
    return result


def class_folder(path):
    """'car' of gen/car/0_real/1.png: files of one name in different class folders have nothing in common."""
    return path.parent.parent.name


def _describe(files):
    """Of (n, 8) facts: counts of formats and of the commonest sizes, range of JPEG qualities."""
    formats = Counter()
    for name, place in (('JPEG', 3), ('PNG', 4), ('WebP', 5)):
        formats[name] = int(files[:, place].sum())
    formats['other'] = len(files) - sum(formats.values())
    sizes = Counter(f'{int(width)}x{int(height)}' for width, height in files[:, :2])
    qualities = files[files[:, 6] > 0, 6]
    return {
        'looked_at': len(files),
        'formats': {name: count for name, count in formats.items() if count},
        'sizes': dict(sizes.most_common(3)),
        'different_sizes': len(sizes),
        'jpeg_quality': [int(qualities.min()), int(qualities.max())] if len(qualities) else None,
    }
