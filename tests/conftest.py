"""For all tests: none of them may read or write the value cache of the user who runs them."""

from __future__ import annotations

import os

os.environ["CHIASM_CACHE"] = "off"  # the commands that tests start in processes of their own inherit it
