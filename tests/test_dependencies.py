"""Each dependency is explained on one page, pinned, and pinned with hashes in the image."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs/explanation/dependencies.md").read_text()


def name_of(requirement: str) -> str:
    """Return the normalized name of a requirement or a pin."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ \[<>=!~;]", requirement)[0]).lower()


def pins_in(path: str) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([^ \\\n]+)", (ROOT / path).read_text(), re.MULTILINE)
    return {name_of(name): version for name, version in lines}


def test_every_dependency_is_explained_and_nothing_else() -> None:
    used = {extra: {name_of(each) for each in found} for extra, found in PROJECT["optional-dependencies"].items()}
    listed = re.findall(r"^\| `([\w.-]+)` \| (\w+)(?= \|)", PAGE, re.MULTILINE)
    assert {(extra, name_of(name)) for name, extra in listed if extra in used} == {
        (extra, name) for extra, names in used.items() for name in names
    }
    run_time = re.findall(r"^\| `([\w.-]+)` \|", PAGE.partition("## Extras")[0], re.MULTILINE)
    assert {name_of(name) for name in run_time} == {name_of(each) for each in PROJECT["dependencies"]}


def test_every_dependency_is_pinned() -> None:
    wanted = [
        *PROJECT["dependencies"],
        *(each for found in PROJECT["optional-dependencies"].values() for each in found),
    ]
    pinned = pins_in("constraints.txt")
    assert sorted({name_of(each) for each in wanted} - set(pinned) - {"dlt"}) == [], (
        "dlt: only `make bench` installs it"
    )


def test_the_image_installs_the_pinned_versions_with_hashes() -> None:
    text = (ROOT / "deploy/requirements.txt").read_text()
    hashed, pinned = pins_in("deploy/requirements.txt"), pins_in("constraints.txt")
    for extra in ("lakehouse", "deploy", "telemetry"):
        assert {name_of(each) for each in PROJECT["optional-dependencies"][extra]} <= set(hashed)
    assert {name_of(each) for each in PROJECT["dependencies"]} <= set(hashed)
    differing = {name: (version, pinned.get(name)) for name, version in hashed.items() if pinned.get(name) != version}
    assert differing == {}, "run `make renew`"
    entries = re.split(r"\n(?=[\w.-]+==)", text)
    assert [entry.partition(" ")[0] for entry in entries[1:] if "--hash=sha256:" not in entry] == []
    assert "--require-hashes" in (ROOT / "deploy/Dockerfile").read_text()
