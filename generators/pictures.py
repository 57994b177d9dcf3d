"""Pictures of an edition: contact sheets, the audit, power spectra, residual energy per scale."""

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from PIL import Image

from analysis.figures import COLOURS, contact_sheet, save_figure
from generators.tables import HEADLINE, TABLES, members
from generators.tally import SCALES

SHOWN = 4  # photographs on a contact sheet


def draw_all(out, card, tallies):
    """Write all pictures of an edition into its folder; returns their names."""
    names = [f'contact_{table}.png' for table in TABLES]
    for table, name in zip(TABLES, names, strict=True):
        contact_sheet(samples(out, table), out / name, SHOWN)
    audit_figure(card, out / 'audit.png')
    spectra_figure(tallies, out / 'spectra.png')
    residuals_figure(card, out / 'residuals.png')
    return [*names, 'audit.png', 'spectra.png', 'residuals.png']


def samples(out, table):
    """{'real' or generator: (SHOWN, S, S, 3) uint8} of a table; controls of another size are left out."""
    found = {}
    for member in TABLES[table]:
        folder = out / 'test' / table / member.name
        files = sorted((folder / '1_fake').iterdir())
        chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, SHOWN).round().astype(int))]
        for kind, paths in (('real', [folder / '0_real' / file.name for file in chosen]), (member.name, chosen)):
            pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
            if kind not in found and (not found or pixels.shape == found['real'].shape):
                found[kind] = pixels
    return found


def labels():
    return [member.name.replace('_', ' ') for _, member in members()]


def audit_figure(card, path):
    """Shortcut and spectrum AUC, PSNR and high-frequency energy of every generator."""
    names = [member.name for _, member in members()]
    colours = {table: COLOURS[i] for i, table in enumerate(TABLES)}
    shades = [colours[table] for table, _ in members()]
    facts = [card['audit'][name] for name in names]
    y = np.arange(len(names))
    figure, axes = plt.subplots(1, 3, figsize=(13, 1.4 + 0.27 * len(names)), sharey=True, layout='constrained')
    axes[0].barh(y, [each['shortcut_auc'] - 0.5 for each in facts], left=0.5, color=shades)
    axes[0].plot(
        [each['spectrum_auc'] for each in facts], y, 'D', color='0.2', markersize=4, label='AUC on the power spectrum'
    )
    axes[0].axvline(
        card['shortcut_limit'],
        color='0.3',
        linestyle=':',
        label=f'limit for {" and ".join(name[:2] for name in HEADLINE)}',
    )
    axes[0].set(xlim=(0.48, 1.02), xlabel='AUC of a logistic regression; bars: global facts', title='Shortcuts')
    axes[1].barh(y, [each['psnr_db'] or 0 for each in facts], color=shades)
    axes[1].set(xlabel='dB', title='PSNR against the photograph')
    axes[2].barh(y, [each['energy_ratio'] - 1 for each in facts], left=1, color=shades)
    axes[2].axvline(1, color='0.3', linewidth=1)
    axes[2].set(xlabel='fakes over reals', title='High-frequency energy')
    axes[0].set(yticks=y, yticklabels=labels(), ylim=(len(names) - 0.5, -0.5))
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    marks, words = axes[0].get_legend_handles_labels()
    figure.legend([*handles, *marks], [*colours, *words], loc='outside upper center', ncols=3, frameon=False)
    save_figure(figure, path)


def spectra_figure(tallies, path):
    """Mean log power of fakes minus that of their photographs, zero frequency in the middle of each panel."""
    columns = 5
    names = [member.name for _, member in members()]
    rows = -(-(len(names) + 1) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.3 * columns, 2.5 * rows), layout='constrained')
    for axis in axes.flat:
        axis.set_axis_off()
    real = next(iter(tallies.values()))[0]
    axes.flat[0].imshow(real.spectrum / real.count, cmap='cividis')
    axes.flat[0].set_title('reals, log10 power', fontsize=9)
    for axis, name in zip(axes.flat[1:], names, strict=False):
        real, fake = tallies[name]
        difference = (fake.spectrum - real.spectrum) / real.count
        shown = axis.imshow(difference, cmap='PuOr_r', vmin=-0.6, vmax=0.6)
        axis.set_title(name.replace('_', ' '), fontsize=9)
    figure.colorbar(shown, ax=list(axes[:, -1]), fraction=0.05, extend='both', label='fakes minus reals, log10')
    save_figure(figure, path)


def residuals_figure(card, path):
    """Mean |residual| of fakes over that of photographs, per scale: which scale could see what by energy alone."""
    names = [member.name for _, member in members()]
    values = np.array([[card['audit'][name]['residual_ratio'][f'{scale:g}'] for scale in SCALES] for name in names])
    figure, axis = plt.subplots(figsize=(5, 1.2 + 0.27 * len(names)), layout='constrained')
    limit = max(0.02, float(np.abs(np.log2(values)).max()))
    sns.heatmap(
        np.log2(values),
        ax=axis,
        cmap='PuOr_r',
        vmin=-limit,
        vmax=limit,
        annot=values,
        fmt='.3f',
        annot_kws={'fontsize': 8},
        xticklabels=[f'{scale:g}' for scale in SCALES],
        yticklabels=labels(),
        cbar_kws={'label': 'log2 of the ratio'},
    )
    axis.set(title='mean |residual|, fakes over photographs', xlabel='residual scale')
    save_figure(figure, path)
