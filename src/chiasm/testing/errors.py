"""The one error of the conformance kit."""

from __future__ import annotations

from chiasm.core.errors import ChiasmError


class ConformanceError(ChiasmError, AssertionError):
    """Something does not keep its protocol.

    Also an ``AssertionError``, so that test runners report it as a failure and not as a crash.

    Args:
        subject: what was checked, e.g. ``"estimator 'exact'"``.
        failed: name of the property that does not hold.
        detail: what was seen and what was expected.
    """

    def __init__(self, subject: str, failed: str, detail: str) -> None:
        """Build the message."""
        super().__init__(f"{subject} fails {failed!r}: {detail}")
        self.subject, self.failed, self.detail = subject, failed, detail
