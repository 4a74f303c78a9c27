"""Runs pip's resolver for another machine: pip reads environment markers, what is installed and which wheels fit
from the interpreter that runs it. Here the markers are those of the target, and what is installed are the stubs."""
import json
import sys

asked = json.load(sys.stdin)
try:
    import pip  # noqa: F401
except ImportError:
    sys.exit("python3 has no pip: apt-get install python3-pip")

from pip._internal.cli import cmdoptions
from pip._internal.cli.main import main
from pip._internal.metadata import importlib, pkg_resources
from pip._vendor.packaging import markers
from pip._vendor.packaging.utils import canonicalize_name

markers.default_environment = lambda: dict(asked["markers"])
# pip allows --platform only with --target, and then takes nothing for installed
cmdoptions.check_dist_restriction = lambda *_, **__: None


def without(there, iter_dependencies):
    """What is there in a version that nobody knows is no dependency."""

    def iterate(self, extras=()):
        return (r for r in iter_dependencies(self, extras) if canonicalize_name(r.name) not in there)

    return iterate


for backend in (importlib, pkg_resources):
    backend.Distribution.iter_dependencies = without(set(asked["there"]), backend.Distribution.iter_dependencies)

# what lies beside pip on this machine is not installed on the target
sys.path[:] = [asked["stubs"]] + [p for p in sys.path if not p.endswith(("site-packages", "dist-packages"))]
sys.exit(main(asked["args"]))
