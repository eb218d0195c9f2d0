"""Image references, as the OCI distribution specification writes them: `registry/path:tag@digest`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")

REPOSITORY_PATTERN = f"^{_REPOSITORY.pattern}$"
RELEASE_PATTERN = (
    rf"^\s*(?:@(?:{_DIGEST.pattern})"
    rf"|(?:{_TAG.pattern}|(?:{_REPOSITORY.pattern})(?::{_TAG.pattern})?)(?:@(?:{_DIGEST.pattern}))?)\s*$"
)
"""What a form can check of a release; `release_image` decides."""


class ImageError(ValueError):
    """Text is no image reference; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image reference; `str` gives it back.

    Attributes:
        repository: Registry and path, `registry.internal/service-a`.
        tag: Empty if there is none.
        digest: `sha256:` and 64 hexadecimal digits; empty if there is none.
    """

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @classmethod
    def parse(cls, text: str) -> Image:
        """Read a reference.

        Raises:
            ImageError: A part isn't formed as it must be.
        """
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise ImageError("expected a digest of sha256: and 64 hexadecimal digits after '@'")
        repository, tag = rest, ""
        if ":" in rest.rpartition("/")[2]:
            repository, _, tag = rest.rpartition(":")
            if not _TAG.fullmatch(tag):
                raise ImageError("expected a tag of at most 128 letters, digits, '_', '.' and '-' after ':'")
        if len(repository) > 255 or not _REPOSITORY.fullmatch(repository):
            raise ImageError("expected an image such as registry.internal/service-a, in lower case")
        return cls(repository, tag, digest)


def release_image(repository: str, text: str) -> Image:
    """The image that a person means by `text` for a service of this repository.

    Args:
        repository: The service's image in the train, without tag or digest.
        text: A tag (`1.1.0`), a digest (`@sha256:…`), both (`1.1.0@sha256:…`) or a full reference.

    Raises:
        ImageError: It is none of these, names no release, or is an image of another repository.
    """
    tag, at, _ = text.partition("@")
    if (not tag and at) or (tag != repository and _TAG.fullmatch(tag)):
        return Image.parse(f"{repository}:{text}" if tag else f"{repository}{text}")
    image = Image.parse(text)
    if image.repository != repository:
        raise ImageError(f"expected a release of {repository}")
    if not image.tag and not image.digest:
        raise ImageError("expected a tag or a digest, as without one it would be whatever is latest")
    return image
