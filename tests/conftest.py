"""What holds for all tests."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # the page's tests come with less
    from hypothesis import settings

    settings.register_profile("whet", deadline=None)  # no test measures time
    settings.load_profile("whet")
