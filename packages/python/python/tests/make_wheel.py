"""Writes a wheel with one module and one console script into the folder that it is given."""
import base64
import hashlib
import pathlib
import sys
import zipfile

INFO = "jetcrate_probe-1.0.dist-info"
FILES = {
    "jetcrate_probe.py": "def main():\n    print('installed by pip')\n",
    INFO + "/METADATA": "Metadata-Version: 2.1\nName: jetcrate-probe\nVersion: 1.0\n",
    INFO + "/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    INFO + "/entry_points.txt": "[console_scripts]\njetcrate-probe = jetcrate_probe:main\n",
}

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
record = ""
with zipfile.ZipFile(folder / "jetcrate_probe-1.0-py3-none-any.whl", "w") as wheel:
    for name, text in FILES.items():
        wheel.writestr(name, text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    wheel.writestr(INFO + "/RECORD", record + INFO + "/RECORD,,\n")
