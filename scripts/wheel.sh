#!/bin/sh
# Builds the wheel, looks whether the zoo's weights, the pages' scripts and nothing else are in it, installs it in an empty environment, loads
# every model there and explains a sample of the zoo, from outside the checkout. Takes some minutes: torch is installed anew.
#   sh scripts/wheel.sh              all of it
#   sh scripts/wheel.sh --no-install the wheel and what is in it
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

alone=
"$python" -c 'import hatchling' 2>/dev/null && alone=--no-isolation  # nothing to fetch then
PIP_CONSTRAINT="$root/constraints.txt" "$python" -m build --wheel $alone --outdir "$work" "$root" >"$work/build.log" 2>&1 ||
  { cat "$work/build.log" >&2; exit 1; }
wheel=$(ls "$work"/*.whl)

"$python" - "$wheel" <<'END'
import hashlib, json, sys, zipfile
from pathlib import Path

wheel = zipfile.ZipFile(sys.argv[1])
inside = {file.filename: file for file in wheel.infolist()}
weights = "chiasm/zoo/weights/"
released = json.loads(wheel.read(weights + "checksums.json"))
if not released:
    sys.exit("the wheel lists no models")
for model, files in released.items():
    for name, checksum in files.items():
        found = weights + f"{model}/{name}"
        if found not in inside:
            sys.exit(f"{found} is not in the wheel")
        if hashlib.sha256(wheel.read(found)).hexdigest() != checksum:
            sys.exit(f"{found} in the wheel is not the released one")
    for name in ("README.md", "accuracy.json"):
        if weights + f"{model}/{name}" not in inside:
            sys.exit(f"{weights}{model}/{name} is not in the wheel")
# Beside what loads and is checked: the card, and what was measured.
listed = {f"{weights}{model}/{name}" for model, files in released.items() for name in (*files, "README.md", "accuracy.json")}
stray = sorted(name for name in inside if name.startswith(weights) and name not in listed | {weights + "checksums.json"})
if stray:
    sys.exit(f"the wheel holds files of weights that {weights}checksums.json does not list: {stray[:5]}")
# Pages are made of scripts and templates, which are shipped as they are written.
for folder in ("src/chiasm/view/assets", "src/chiasm/view/templates"):
    for file in sorted(Path(folder).iterdir()):
        name = file.as_posix().removeprefix("src/")
        if name not in inside or wheel.read(name) != file.read_bytes():
            sys.exit(f"{name} is not in the wheel as it is in {folder}")
outside = sorted(name for name in inside if not name.startswith("chiasm/") and ".dist-info/" not in name)
if outside:
    sys.exit(f"the wheel holds what is no part of the package: {outside[:5]}")
of_weights = sum(file.compress_size for name, file in inside.items() if name.startswith(weights))
size = Path(sys.argv[1]).stat().st_size
print(f"{Path(sys.argv[1]).name}: {size / 1e6:.1f} MB, {of_weights / 1e6:.1f} MB of it weights of {len(released)} models")
if size > 40e6:
    sys.exit("the wheel is larger than 40 MB")
END

[ "${1:-}" = --no-install ] && exit 0

"$python" -m venv "$work/venv"
bin=$work/venv/bin
"$bin/python" -m pip install --quiet -c "$root/constraints.txt" "$wheel[models]"
cd "$work"
cat >explain.py <<'END'
import chiasm, sys
from pathlib import Path
from chiasm.zoo import catalog, datasets

if not Path(chiasm.__file__).is_relative_to(sys.prefix):
    sys.exit(f"this is not the wheel: {chiasm.__file__}")
for name in catalog.loadable():
    chiasm.load(f"zoo:{name}")  # which refuses files that are not the released ones
for name in datasets:
    chiasm.dataset(f"zoo:{name}", n=1, seed=0)
sample = chiasm.dataset("zoo:shapes", n=1, seed=0, types=["colour"])[0]
model = chiasm.load("zoo:llava-shapes")
found = chiasm.explain(model, sample, players="grid:3x3,words", budget=128)
print(f"{sample['text'].data} {found.prediction.answer}: {found.values['image'].round(2).tolist()}")
END
env -u PYTHONPATH HF_HUB_OFFLINE=1 "$bin/python" -W error::ImportWarning explain.py
env -u PYTHONPATH HF_HUB_OFFLINE=1 "$bin/chiasm" list models
