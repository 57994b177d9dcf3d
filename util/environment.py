"""Does this Python satisfy requirements.txt? Exit status 0 = yes. Runs without any package installed."""

import importlib.metadata
import sys
from pathlib import Path


def unmet(lines):
    """The requirements (as written) that the running interpreter does not satisfy."""
    try:
        from pip._vendor.packaging.requirements import Requirement
    except ImportError:
        return ['pip']
    missing = []
    for line in lines:
        line = line.partition('#')[0].strip()
        if line:
            requirement = Requirement(line)
            try:
                if not requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True):
                    missing.append(line)
            except importlib.metadata.PackageNotFoundError:
                missing.append(line)
    return missing


if __name__ == '__main__':
    requirements = Path(__file__).resolve().parents[1] / 'requirements.txt'
    missing = unmet(requirements.read_text(encoding='utf-8').splitlines())
    if missing:
        sys.exit(f'not installed or too old: {", ".join(missing)}')
