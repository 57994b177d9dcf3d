"""The picture of an audit of files: how far each generator's classes can be told without looking at artifacts."""

import numpy as np
from matplotlib import pyplot as plt

from analysis.figures import COLOURS, save_figure

KINDS = {'file_auc': 'files (format, size, quality, metadata)', 'pixel_auc': 'global facts of the pixels'}


def file_audit_figure(result, path):
    """Two bars for each generator; bars that are not defined (too few images) are missing.

    Args:
        result: {'table/generator': dict of data.file_audit.audit_generator}; path: of the PNG.
    """
    figure, axis = plt.subplots(figsize=(7, 1.6 + 0.45 * len(result)), layout='constrained')
    y = np.arange(len(result))
    for place, (key, label) in enumerate(KINDS.items()):
        widths = [(facts[key] or 0.5) - 0.5 for facts in result.values()]
        axis.barh(y + 0.4 * (place - 0.5), widths, 0.4, left=0.5, color=COLOURS[place], label=label)
    axis.axvline(0.5, color='0.3', linewidth=1)
    axis.set(xlim=(0.48, 1.02), xlabel='AUC of a classifier (0.5: the class cannot be told)')
    axis.set(yticks=y, yticklabels=list(result), ylim=(len(result) - 0.4, -0.6))
    axis.legend(frameon=False, loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    save_figure(figure, path)
