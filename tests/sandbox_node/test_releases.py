"""The releases file and image references."""

from pathlib import Path

import pytest

from sandbox.node.releases import Behaviour, Crash, Image, Releases, ReleasesFileError, behaviour, seconds

FILE = Path(__file__).parents[2] / "sandbox" / "releases.yaml"


@pytest.mark.parametrize(
    ("text", "expected"), [("15s", 15.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("0s", 0.0)]
)
def test_a_duration_is_a_number_with_a_unit(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "15", "s", "-1s", "1 s", "1d"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ReleasesFileError, match="no duration"):
        seconds(text)


@pytest.mark.parametrize("service", ["service-a", "service-b", "service-c"])
@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("1.0.0", Behaviour()),
        ("1.1.0", Behaviour()),
        ("1.2.0-never-ready", Behaviour(ready_after=None)),
        ("1.2.0-slow", Behaviour(ready_after=8.0)),
        ("1.2.0-very-slow", Behaviour(ready_after=120.0)),
        ("1.2.0-5xx", Behaviour(error_rate=1.0)),
    ],
)
def test_each_service_of_the_sandbox_has_each_kind_of_release(
    service: str, tag: str, expected: Behaviour
) -> None:
    release = Releases.load(FILE).find(f"registry.internal/{service}:{tag}")
    assert release is not None
    assert release.behaviour == expected


def test_the_crashing_release_says_why_and_exits_with_an_error() -> None:
    release = Releases.load(FILE).find("registry.internal/service-a:1.2.0-crash")
    assert release is not None
    assert release.behaviour.crash == Crash(1, "panic: missing config key DATABASE_URL", 0.0)


def test_an_image_is_found_by_the_digest_of_its_release_too() -> None:
    releases = Releases.load(FILE)
    release = releases.find("registry.internal/service-a:1.0.0")
    assert release is not None
    assert releases.find(release.image_id) == release
    assert releases.find("registry.internal/service-b@" + release.digest) is None


@pytest.mark.parametrize(
    "image",
    ["registry.internal/service-a:9.9.9", "registry.internal/service-z:1.0.0", "service-a:1.0.0", "a b"],
)
def test_an_image_that_is_not_listed_is_not_found(image: str) -> None:
    assert Releases.load(FILE).find(image) is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("registry.internal/service-a:1.0.0", Image("registry.internal/service-a", "1.0.0", "")),
        ("localhost:5000/x/y:v1", Image("localhost:5000/x/y", "v1", "")),
        ("localhost:5000/x", Image("localhost:5000/x", "latest", "")),
        ("a@sha256:" + "0" * 64, Image("a", "", "sha256:" + "0" * 64)),
        ("registry.internal/Service:1", None),
        ("registry.internal/a:", None),
        ("a@sha256:12", None),
    ],
)
def test_an_image_reference_has_a_repository_and_a_tag_or_digest(
    reference: str, expected: Image | None
) -> None:
    assert Image.parse(reference) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("great", "expected one of good"),
        ({"redy_after": "1s"}, "unknown: redy_after"),
        ({"crash": 3}, "crash: expected a map"),
        ({"ready_after": 8}, "no duration"),
        ({"errors": "many"}, "could not convert"),
    ],
)
def test_an_entry_that_describes_no_behaviour_is_refused(value: object, part: str) -> None:
    with pytest.raises(ReleasesFileError, match=part):
        behaviour(value)


def test_all_mistakes_of_the_file_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "releases.yaml"
    file.write_text("images: {a: {'1': great, '2': good}, b: {'3': {x: 1}}, c: 4}\n")
    with pytest.raises(ReleasesFileError) as caught:
        Releases.load(file)
    assert all(part in str(caught.value) for part in ("a:1:", "b:3:", "c: expected a map"))
