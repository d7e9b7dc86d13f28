"""Writes manifest.json: every case, and the sha256 of every file under models/ and cases/. The last step of a generation."""
import hashlib
import json
import pathlib
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
files = sorted(path for folder in ("models", "cases") for path in (root / folder).rglob("*") if path.is_file())
names = [path.relative_to(root).as_posix() for path in files]
cases = [name.removeprefix("cases/").removesuffix("/case.json") for name in names if name.endswith("/case.json")]
manifest = {
    "format": 1,
    "numberOfCases": len(cases),
    "cases": cases,
    "files": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in zip(names, files)},
}
(root / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
print(f"{len(cases)} cases, {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
